//! `jobs clone` and `failed export` over the gateway, which tells what jobs were asked for.

use super::gateway::Gateway;
use super::jobs::LISTED;
use super::lines::Lines;
use super::rows::{strange, text};
use super::{batch, own_tenant, submit};
use crate::cli::{CloneArgs, FailedWhich, Global};
use crate::exit::{Failure, Outcome};
use crate::verbs::cost::is_ours;
use crate::verbs::failed::export::{Failed, Sheet, filter};
use crate::verbs::jobs::copy;
use admission::{FIELDS, TAKE_MAX};
use job::JobId;
use seedance::{Request, Route, Rules};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Runs `jobs clone`.
pub(super) async fn clone(global: &Global, gateway: &Gateway, args: &CloneArgs) -> Outcome {
    let old = request_of(gateway, &args.id).await?;
    let mut body = copy::changed(old.clone(), &args.set)?;
    let (says_take, same) = (body.contains_key("take"), alike(&old, &body));
    let whole = Value::Object(body.clone());
    let weighed = gateway.post(&["estimate"], &whole, &[], |status| status == 200).await?;
    let cost = text(&weighed, "/estimate/currency").zip(text(&weighed, "/estimate/cost"));
    let (currency, cost) = cost.ok_or_else(|| strange("a cost"))?;
    copy::agree(global, args, same, &format!("{currency} {cost}"))?;
    // The next take that nobody has, unless one was asked for, or the request is another.
    let first = if same && !says_take { take_of(&old).saturating_add(1) } else { take_of(&body) };
    for take in first..=TAKE_MAX {
        if take > 1 {
            body.insert("take".to_owned(), json!(take));
        }
        let sent = gateway.post_new(&["jobs"], &Value::Object(body.clone())).await;
        let (is_new, view) = sent.map_err(|failure| {
            failure.or_hint("`seedfleet jobs list` tells whether the copy was made")
        })?;
        if is_new || !same || says_take {
            return copy::show(global, &args.id, submit::told(&view, false), (take, is_new));
        }
    }
    Err(copy::all_exist())
}

/// Which take of its request a document is.
fn take_of(body: &Map<String, Value>) -> u32 {
    let said = body.get("take").and_then(Value::as_u64);
    said.and_then(|take| u32::try_from(take).ok()).unwrap_or(1)
}

/// What a job was asked for.
async fn request_of(gateway: &Gateway, id: &JobId) -> Result<Map<String, Value>, Failure> {
    let opened = gateway.open(&["jobs", id.as_str(), "request"], &[], &[]).await;
    let opened = opened.map_err(|failure| failure.if_absent(LISTED))?;
    let view = Lines::of(gateway, opened).next_value().await?;
    let view = view.ok_or_else(|| strange("what the job was asked for"))?;
    document(view).map_err(|why| copy::unknown(id, why))
}

/// The request in an answer, or why there is none.
fn document(mut view: Value) -> Result<Map<String, Value>, String> {
    match view["request"].take() {
        Value::Object(request) => Ok(request),
        _ => Err(text(&view, "/why").unwrap_or("the gateway does not tell its request").to_owned()),
    }
}

/// Whether two documents ask the provider for the same, as the door reads them on a route that takes both.
fn alike(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let [one, other] = [one, other].map(|body| {
        let mut body = body.clone();
        body.retain(|field, value| !is_ours(field, value));
        Value::Object(body)
    });
    let beside: Vec<&str> = FIELDS.into_iter().filter(|field| *field != "priority").collect();
    let read = |route, body: &Value| -> Option<Request> {
        let checked = seedance::validate_beside(route, body, &Rules::default(), &beside);
        checked.ok().map(|checked| checked.request)
    };
    let equal = |route| read(route, &one).is_some_and(|one| read(route, &other) == Some(one));
    one == other || Route::ALL.into_iter().any(equal)
}

/// Runs `failed export`.
pub(super) async fn failed(
    global: &Global,
    gateway: &Gateway,
    code: Option<&str>,
    (which, archive): (&FailedWhich, bool),
) -> Outcome {
    own_tenant(which.whose.tenant.as_deref())?;
    let mut sheet = Sheet::begin(global)?;
    if let Some(name) = &which.whose.batch {
        batch::of_name(gateway, name).await?;
    }
    let filter = filter(code, which);
    let (conditions, archive) = (filter.to_string(), archive.to_string());
    let query = [("where", conditions.as_str()), ("archive", archive.as_str())];
    let open = async || gateway.open(&["requests"], &query, &[]).await;
    if sheet.has_columns() {
        let mut keys = BTreeSet::new();
        let mut lines = Lines::of(gateway, open().await?);
        while let Some(view) = lines.next_value().await? {
            let metadata = view["request"]["metadata"].as_object();
            keys.extend(metadata.into_iter().flat_map(Map::keys).cloned());
        }
        sheet.columns(keys)?;
    }
    sheet.head()?;
    let mut lines = Lines::of(gateway, open().await?);
    while let Some(view) = lines.next_value().await? {
        let failure = &view["failure"];
        let told =
            ["code", "class", "message", "advice", "retryable"].map(|of| failure[of].clone());
        let id = text(&view, "/job_id").ok_or_else(|| strange("a job's id"))?.to_owned();
        let retry_of = text(&view, "/retry_of").map(str::to_owned);
        let failed = Failed { id, retry_of, told };
        if !sheet.passes(&failed) {
            let document = if sheet.has_documents() { document(view) } else { Ok(Map::new()) };
            sheet.add(failed, document)?;
        }
    }
    sheet.end(&filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn what_stands_beside_a_request_makes_no_other_one_of_it() {
        let boat =
            json!({"model": "seedance-2.0", "content": [{"type": "text", "text": "a boat"}]});
        let old = body(&boat);
        let with = |field: &str, value: Value| {
            let mut new = old.clone();
            new.insert(field.to_owned(), value);
            new
        };
        assert!(alike(&old, &with("metadata", json!({"order": "7"}))));
        assert!(alike(&old, &with("take", json!(3))));
        assert!(!alike(&old, &with("duration", json!(8))));
        assert!(alike(&old, &with("duration", json!(5))), "as long as it is anyway");
        assert_eq!((take_of(&old), take_of(&with("take", json!(3)))), (1, 3));
    }

    #[test]
    fn a_request_that_cannot_be_told_says_why() {
        let why = "nobody here knows what it was asked for";
        assert_eq!(document(json!({"request": null, "why": why})), Err(why.to_owned()));
        assert_eq!(document(json!({"request": {"model": "x"}})), Ok(body(&json!({"model": "x"}))));
    }
}
