//! `webhooks` over the gateway.

use super::gateway::Gateway;
use super::{TENANT_DEFAULT, own_tenant, rows};
use crate::cli::{Global, WebhooksVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows};
use crate::verbs::webhooks::{COLUMNS, full};
use job::Timestamp;
use serde_json::{Value, json};

/// What to do where an endpoint is not there.
const LISTED: &str = "`seedfleet webhooks list` shows them";

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: WebhooksVerb) -> Outcome {
    let (WebhooksVerb::List { tenant }
    | WebhooksVerb::Test { tenant, .. }
    | WebhooksVerb::Replay { tenant, .. }) = &verb;
    own_tenant((tenant != TENANT_DEFAULT).then_some(tenant.as_str()))?;
    match verb {
        WebhooksVerb::List { .. } => {
            let mut shown = Rows::new(&global.output, COLUMNS);
            for endpoint in rows::items(gateway.get(&["webhook-endpoints"], &[]).await?)? {
                shown.add(row(&endpoint))?;
            }
            shown.end()?;
            Ok(Exit::Done)
        }
        WebhooksVerb::Test { endpoint, .. } => {
            let told = act(gateway, &endpoint, "test", &Value::Null).await?;
            let row = Row::from_iter([("event".to_owned(), told["event"].clone())]);
            output::object(&global.output, row)?;
            Ok(Exit::Done)
        }
        WebhooksVerb::Replay { endpoint, since, types, .. } => {
            let now = Timestamp::from_unix_ms(jiff::Timestamp::now().as_millisecond());
            let mut wish = json!({"since": (now - since).rfc3339()});
            if !types.is_empty() {
                wish["types"] = json!(types);
            }
            let told = act(gateway, &endpoint, "replay", &wish).await?;
            let names = ["events", "until", "kept_from"];
            let row = names.map(|name| (name.to_owned(), told[name].clone()));
            output::object(&global.output, Row::from_iter(row))?;
            if told["outbox_full"] == true { Err(full()) } else { Ok(Exit::Done) }
        }
    }
}

async fn act(gateway: &Gateway, id: &str, verb: &str, body: &Value) -> Result<Value, Failure> {
    let path = format!("{id}:{verb}");
    let told = gateway.post(&["webhook-endpoints", &path], body, &[], |status| status == 202).await;
    told.map_err(|failure| failure.if_absent(LISTED))
}

/// With the names that an endpoint from Redis has.
fn row(endpoint: &Value) -> Row {
    let status = match rows::text(endpoint, "/disabled/why") {
        Some(why) => json!(format!("disabled: {why}")),
        None => endpoint["status"].clone(),
    };
    let types = endpoint["types"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let types = types.collect::<Vec<_>>().join(" ");
    let of = |name: &str| (name.to_owned(), endpoint[name].clone());
    Row::from_iter([
        of("id"),
        of("url"),
        ("types".to_owned(), json!(types)),
        ("status".to_owned(), status),
        of("waiting"),
        of("failed_tries"),
        of("next_try_at"),
        of("last_failure"),
    ])
}
