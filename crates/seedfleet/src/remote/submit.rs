//! `submit` over the gateway.

use super::gateway::Gateway;
use super::rows::{strange, text};
use super::{TENANT_DEFAULT, jobs, own_tenant};
use crate::cli::{Global, SubmitArgs};
use crate::exit::{Exit, Outcome};
use crate::output::{self, Row, note, plain};
use crate::patience::Patience;
use crate::verbs::submit;
use job::JobId;
use serde_json::{Value, json};

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, args: &SubmitArgs) -> Outcome {
    own_tenant((args.tenant != TENANT_DEFAULT).then_some(args.tenant.as_str()))?;
    let body = submit::body(args)?;
    let key = args.idempotency_key.as_deref().map(|key| ("idempotency-key", key));
    let headers: Vec<(&'static str, &str)> = key.into_iter().collect();
    let view = gateway.post(&["jobs"], &body, &headers, |s| matches!(s, 200 | 202)).await;
    let view = view.map_err(|failure| match failure.exit {
        Exit::Outage => {
            failure.because("should it have been taken in, the same command finds the same job")
        }
        _ => failure,
    })?;
    for warning in view["warnings"].as_array().into_iter().flatten() {
        let of = |key: &str| plain(warning[key].as_str().unwrap_or_default());
        note(&format!("warning: {} {}", of("pointer"), of("message")));
    }
    let id = JobId::parse(text(&view, "/id").ok_or_else(|| strange("an id"))?)?;
    if !args.wait {
        output::object(&global.output, told(&view, key.is_some()))?;
        return Ok(Exit::Done);
    }
    note(&format!("{id} accepted; waiting for its end"));
    let patience = Patience::new(global, jobs::LOOK_EVERY, Some(args.timeout)).answered();
    jobs::wait_for(global, gateway, std::slice::from_ref(&id), (patience, args.timeout)).await
}

pub(super) fn told(view: &Value, has_key: bool) -> Row {
    let existing = match (view["deduplicated"] == true, has_key) {
        (false, _) => None,
        (true, false) => Some("by its fingerprint"),
        (true, true) => Some("by its idempotency key or its fingerprint"),
    };
    let of = |pointer: &str| view.pointer(pointer).cloned().unwrap_or(Value::Null);
    let cost = text(view, "/estimate/currency").zip(text(view, "/estimate/cost"));
    Row::from_iter([
        ("job".to_owned(), of("/id")),
        ("state".to_owned(), of("/state")),
        ("existing".to_owned(), json!(existing)),
        ("tokens_estimated".to_owned(), of("/estimate/tokens")),
        ("cost_estimated".to_owned(), json!(cost.map(|(c, n)| format!("{c} {n}")))),
    ])
}
