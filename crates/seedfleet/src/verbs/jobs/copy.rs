//! `jobs clone`: a new job of an older one's request.

use super::find;
use crate::cli::{CloneArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, note};
use crate::session::{Session, operator};
use crate::verbs::bulk;
use crate::verbs::import::money;
use crate::verbs::submit::{refused, told};
use admission::{How, Intake, TAKE_MAX};
use job::{JobId, Source};
use serde_json::{Map, Value, json};

/// Runs the verb.
pub(super) async fn run(global: &Global, session: &Session, args: CloneArgs) -> Outcome {
    let old = find(session, &args.id).await?.record;
    let now = session.store.now().await?;
    let document = admission::whole_document(&session.buckets()?, &old.spec, now).await;
    let body = changed(document.map_err(|why| unknown(&args.id, why))?, &args.set)?;
    let (door, says_take) = (session.door()?, body.contains_key("take"));
    let mut intake = Intake {
        tenant: old.spec.tenant.clone(),
        made_by: Some(operator(None).as_str().to_owned()),
        ..Intake::new(Value::Object(body), Source::Cli)
    };
    let checked = door.check(&intake, now).map_err(|refusal| refused(&refusal))?;
    let same = checked.request == old.spec.request;
    agree(global, &args, same, &money(checked.cost.currency, checked.cost.micros))?;
    // The next take that nobody has, unless one was asked for, or the request is another.
    let first = if same && !says_take { old.spec.take.saturating_add(1) } else { checked.take };
    for take in first..=TAKE_MAX {
        intake.take_override = (!says_take).then_some(take);
        let admitted = door.admit(intake.clone()).await.map_err(|refusal| refused(&refusal))?;
        let is_new = admitted.how == How::Created;
        if is_new || !same || says_take {
            let row = told(&admitted, session.pool.simulated);
            let take = if says_take { checked.take } else { take };
            return show(global, &args.id, row, (take, is_new));
        }
    }
    Err(all_exist())
}

/// The request cannot be told.
pub(crate) fn unknown(id: &JobId, why: String) -> Failure {
    Failure::new(Exit::Conflict, format!("{id} cannot be copied")).because(why)
}

/// A request as it is sent once more, with fields changed.
///
/// # Errors
///
/// A field that cannot be set.
pub(crate) fn changed(
    mut body: Map<String, Value>,
    fields: &[(String, String)],
) -> Result<Map<String, Value>, Failure> {
    // They name the old job; which take this is, is found out.
    body.shift_remove("custom_id");
    body.shift_remove("take");
    for (field, value) in fields {
        set(&mut body, field, value)?;
    }
    Ok(body)
}

/// Tells what it costs, and asks unless it was agreed to.
///
/// # Errors
///
/// Nobody agreed.
pub(crate) fn agree(
    global: &Global,
    args: &CloneArgs,
    same: bool,
    cost: &str,
) -> Result<(), Failure> {
    let what = if same { "another take of its request" } else { "a changed request" };
    let what = format!("a copy of {}, {what}, would cost about {cost}", args.id);
    if !args.yes {
        return bulk::ask(&what, "do it with --yes");
    }
    if !global.quiet {
        note(&what);
    }
    Ok(())
}

/// Shows the copy, which may have been there before.
///
/// # Errors
///
/// As of every object.
pub(crate) fn show(
    global: &Global,
    of: &JobId,
    mut row: Row,
    (take, is_new): (u32, bool),
) -> Outcome {
    let id = row.get("job").and_then(Value::as_str).unwrap_or_default().to_owned();
    row.insert("copy_of".into(), json!(of));
    row.insert("take".into(), json!(take));
    output::object(&global.output, row)?;
    if !is_new {
        note(&format!(
            "this request exists already as {id}, nothing was bought; --set take=2 wants another take of it"
        ));
    }
    Ok(Exit::Done)
}

/// Nothing is left to be tried.
pub(crate) fn all_exist() -> Failure {
    Failure::new(Exit::Conflict, format!("all {TAKE_MAX} takes of this request exist"))
}

/// Sets one field of a request. A value that reads as JSON is that, and any other is a text; none takes the field out.
fn set(body: &mut Map<String, Value>, field: &str, text: &str) -> Result<(), Failure> {
    if field == "prompt" {
        return prompt(body, text);
    }
    let (mut at, mut name) = (body, field);
    while let Some((outer, inner)) = name.split_once('.') {
        let within = at.entry(outer).or_insert_with(|| Value::Object(Map::new()));
        at = within
            .as_object_mut()
            .ok_or_else(|| Failure::usage(format!("--set {field}: {outer} holds no fields")))?;
        name = inner;
    }
    if text.is_empty() {
        at.shift_remove(name);
        return Ok(());
    }
    // Texts stay texts, whatever they look like.
    let is_text = ["custom_id", "end_user", "consent_ref", "model"].contains(&name)
        || field.starts_with("metadata.");
    let read = serde_json::from_str(text).ok().filter(|_| !is_text);
    at.insert(name.to_owned(), read.unwrap_or_else(|| json!(text)));
    Ok(())
}

/// The text among the content.
fn prompt(body: &mut Map<String, Value>, text: &str) -> Result<(), Failure> {
    let content = body.entry("content").or_insert_with(|| json!([]));
    let items = content
        .as_array_mut()
        .ok_or_else(|| Failure::usage("--set prompt: the request's content is no list"))?;
    let at = items.iter().position(|item| item["type"] == "text");
    let item = json!({"type": "text", "text": text});
    match (at, text.is_empty()) {
        (Some(at), true) => drop(items.remove(at)),
        (Some(at), false) => items[at] = item,
        (None, true) => {}
        (None, false) => items.insert(0, item),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_set_in_their_place_and_taken_out_by_nothing() {
        let mut body = json!({
            "content": [{"type": "text", "text": "a boat"}], "duration": 4, "ratio": "16:9",
        });
        let body = body.as_object_mut().unwrap();
        for (field, text) in [
            ("prompt", "a ship"),
            ("duration", "8"),
            ("ratio", ""),
            ("metadata.order", "991"),
            ("output.prefix", "orders/991"),
            ("generate_audio", "false"),
            ("custom_id", "7"),
        ] {
            set(body, field, text).unwrap();
        }
        assert_eq!(body["content"], json!([{"type": "text", "text": "a ship"}]));
        assert_eq!((&body["duration"], body.get("ratio")), (&json!(8), None));
        assert_eq!(body["metadata"], json!({"order": "991"}));
        assert_eq!(
            (&body["output"]["prefix"], &body["custom_id"]),
            (&json!("orders/991"), &json!("7"))
        );
        assert_eq!(body["generate_audio"], json!(false));
        set(body, "prompt", "").unwrap();
        assert_eq!(body["content"], json!([]));
        assert_eq!(set(body, "duration.x", "1").unwrap_err().exit, Exit::Usage);
    }
}
