//! `keys` over the gateway: those that the caller's own key may manage.

use super::gateway::Gateway;
use super::{own_name, rows};
use crate::cli::{CreateArgs, Global, KeysVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows, note};
use crate::verbs::keys::{COLUMNS, KEEP_IT};
use job::Timestamp;
use serde_json::{Value, json};

/// What to do where a key is not there.
const LISTED: &str =
    "`seedfleet keys list` shows those there are; configured keys are not among them";

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: KeysVerb) -> Outcome {
    match verb {
        KeysVerb::Create(args) => create(global, gateway, args).await,
        KeysVerb::List { tenant } => {
            let query: Vec<_> = tenant.iter().map(|name| ("tenant", name.as_str())).collect();
            let mut shown = Rows::new(&global.output, COLUMNS);
            for key in rows::items(gateway.get(&["keys"], &query).await?)? {
                shown.add(row(&key))?;
            }
            shown.end()?;
            Ok(Exit::Done)
        }
        KeysVerb::Rotate { id, overlap, by } => {
            own_name(by.as_deref())?;
            let (path, body) = (format!("{id}:rotate"), json!({"overlap_s": overlap.as_secs()}));
            let made = gateway.post(&["keys", &path], &body, &[], |status| status == 201).await;
            show_once(global, &made.map_err(|failure| failure.if_absent(LISTED))?)
        }
        KeysVerb::Revoke { id } => {
            let ended = gateway.delete(&["keys", id.as_str()], &[]).await;
            ended.map_err(|failure| failure.if_absent(LISTED))?;
            note(&format!("key {id} has ended; gateways hear of it within 2 seconds"));
            Ok(Exit::Done)
        }
    }
}

async fn create(global: &Global, gateway: &Gateway, args: CreateArgs) -> Outcome {
    own_name(args.by.as_deref())?;
    let scopes: Vec<&str> = args.scopes.iter().map(|scope| scope.word()).collect();
    let sources: Vec<String> = args.sources.iter().map(ToString::to_string).collect();
    // The tenant is always said: the API takes it for the caller's own where it is left out, and a key of the fleet's
    // operators must not come about by that.
    let mut body = json!({
        "name": args.name, "tenant": args.tenant, "mode": args.mode.word(),
        "scopes": scopes, "sources": sources,
    });
    if let Some(lives) = args.expires_in {
        let now = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond());
        body["expires_at"] = json!((now + lives).rfc3339());
    }
    let made = gateway.post(&["keys"], &body, &[], |status| status == 201).await;
    show_once(
        global,
        &made.map_err(|failure| match failure.exit {
            Exit::Auth => {
                failure.because("--tenant says whose key it is: a key makes keys of its own tenant")
            }
            _ => failure,
        })?,
    )
}

/// The one answer that shows the secret.
fn show_once(global: &Global, made: &Value) -> Result<Exit, Failure> {
    let mut shown = Row::from_iter([("key".to_owned(), made["key"].clone())]);
    shown.extend(row(made));
    if !made["old_ends_at"].is_null() {
        shown.insert("old_ends_at".into(), made["old_ends_at"].clone());
    }
    output::object(&global.output, shown)?;
    if !global.quiet {
        note(KEEP_IT);
    }
    Ok(Exit::Done)
}

/// With the names that a key from Redis has.
fn row(key: &Value) -> Row {
    let of = |name: &str| (name.to_owned(), key[name].clone());
    let words = |name: &str| {
        let words = key[name].as_array().into_iter().flatten().filter_map(Value::as_str);
        (name.to_owned(), json!(words.collect::<Vec<_>>().join(",")))
    };
    Row::from_iter([
        of("id"),
        of("name"),
        of("tenant"),
        of("mode"),
        words("scopes"),
        words("sources"),
        of("state"),
        of("ends_at"),
        of("used_at"),
        of("created_at"),
        of("created_by"),
        of("rotated_from"),
    ])
}
