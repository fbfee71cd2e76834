//! `webhooks`: a tenant's endpoints, a test event, and events told again.

use crate::cli::{Global, WebhooksVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, Rows};
use crate::session::Session;
use job::Timestamp;
use serde_json::json;
use store::{Endpoint, EndpointState, HookEvent};

pub(crate) const COLUMNS: &[&str] =
    &["id", "url", "types", "status", "waiting", "failed_tries", "next_try_at"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: WebhooksVerb) -> Outcome {
    match verb {
        WebhooksVerb::List { tenant } => list(global, &tenant).await,
        WebhooksVerb::Test { endpoint, tenant } => test(global, &endpoint, &tenant).await,
        WebhooksVerb::Replay { endpoint, tenant, since, types } => {
            let session = Session::open_for(global, Some(&tenant)).await?;
            let endpoint = find(&session, &endpoint, &tenant).await?.endpoint;
            let chosen = if types.is_empty() { endpoint.types.clone() } else { types };
            let chooser = Endpoint { types: chosen, ..endpoint.clone() };
            let now = session.store.now().await?;
            let window = (now - since, now);
            let done = session.store.replay(&endpoint, window, |kind| chooser.takes(kind)).await?;
            let mut row = Row::new();
            row.insert("events".into(), json!(done.events));
            row.insert("until".into(), json!(done.until.rfc3339()));
            row.insert("kept_from".into(), json!(done.kept_from.map(Timestamp::rfc3339)));
            output::object(&global.output, row)?;
            if done.full {
                return Err(full());
            }
            Ok(Exit::Done)
        }
    }
}

/// Not all of it was taken.
pub(crate) fn full() -> Failure {
    Failure::new(Exit::Partial, "its outbox has no more room, or it is disabled")
        .hint("run it again with a shorter --since when what waits has been delivered")
}

async fn list(global: &Global, tenant: &str) -> Outcome {
    let session = Session::open_for(global, Some(tenant)).await?;
    let mut rows = Rows::new(&global.output, COLUMNS);
    for state in session.store.endpoints(tenant).await? {
        rows.add(row(&state))?;
    }
    rows.end()?;
    Ok(Exit::Done)
}

fn row(state: &EndpointState) -> Row {
    let status = match &state.off {
        Some(off) => format!("disabled: {}", off.why),
        None => "enabled".to_owned(),
    };
    let mut row = Row::new();
    row.insert("id".into(), json!(state.endpoint.id));
    row.insert("url".into(), json!(state.endpoint.url));
    row.insert("types".into(), json!(state.endpoint.types.join(" ")));
    row.insert("status".into(), json!(status));
    row.insert("waiting".into(), json!(state.waiting));
    row.insert("failed_tries".into(), json!(state.tries));
    row.insert("next_try_at".into(), json!(state.next_at.map(Timestamp::rfc3339)));
    row.insert("last_failure".into(), json!(state.why));
    row
}

async fn test(global: &Global, endpoint: &str, tenant: &str) -> Outcome {
    let session = Session::open_for(global, Some(tenant)).await?;
    find(&session, endpoint, tenant).await?;
    let event = HookEvent::test(endpoint, session.store.now().await?);
    let id = event.id.clone();
    if !session.store.tell_endpoint(endpoint, event).await? {
        return Err(Failure::new(
            Exit::Conflict,
            "this endpoint is disabled, or its outbox is full",
        ));
    }
    let mut row = Row::new();
    row.insert("event".into(), json!(id));
    output::object(&global.output, row)?;
    Ok(Exit::Done)
}

async fn find(session: &Session, id: &str, tenant: &str) -> Result<EndpointState, Failure> {
    let none = || {
        Failure::new(Exit::NotFound, format!("tenant {tenant} has no webhook endpoint {id}"))
            .hint("`seedfleet webhooks list` shows them")
    };
    session.store.endpoint(id, tenant).await?.ok_or_else(none)
}
