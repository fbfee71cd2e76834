//! `erase` over the gateway.

use super::gateway::Gateway;
use super::{TENANT_DEFAULT, own_name, own_tenant, rows};
use crate::cli::{EraseVerb, Erasing, Global};
use crate::exit::{Exit, Outcome};
use crate::output::{self, Row};
use crate::verbs::erase::{agree, would_go};
use crate::verbs::freeze::given;
use job::JobId;
use serde_json::{Value, json};

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: EraseVerb) -> Outcome {
    match verb {
        EraseVerb::Job { id, how } => job(global, gateway, &id, &how).await,
        EraseVerb::EndUser { end_user, tenant, how } => {
            own_tenant((tenant != TENANT_DEFAULT).then_some(tenant.as_str()))?;
            let what = "the content of every job of this end user would go";
            erase(global, gateway, &how, what, json!({"end_user": end_user})).await
        }
        EraseVerb::Tenant { tenant, how } => {
            let what = format!("the content of every job of tenant {tenant} would go");
            erase(global, gateway, &how, &what, json!({"tenant": tenant})).await
        }
        EraseVerb::Show { id } => {
            let id = id.to_string();
            tell(global, &gateway.get(&["erasures", &id], &[]).await?)
        }
    }
}

async fn job(global: &Global, gateway: &Gateway, id: &JobId, how: &Erasing) -> Outcome {
    own_name(how.by.as_deref())?;
    let path = ["jobs", id.as_str()];
    let found = gateway.get(&path, &[]).await?;
    let what = would_go(id, rows::state(&found)?, how)?;
    let reason = given(&how.reason)?;
    agree(how, &what)?;
    let cancel = how.cancel.to_string();
    let query = [("reason", reason), ("cancel", cancel.as_str())];
    tell(global, &gateway.delete(&path, &query).await?)
}

async fn erase(
    global: &Global,
    gateway: &Gateway,
    how: &Erasing,
    what: &str,
    mut wish: Value,
) -> Outcome {
    own_name(how.by.as_deref())?;
    wish["reason"] = json!(given(&how.reason)?);
    wish["cancel"] = json!(how.cancel);
    agree(how, what)?;
    let asked = gateway.post(&["erasures"], &wish, &[], |s| matches!(s, 200 | 202)).await?;
    tell(global, &asked)
}

/// With the names that an erasure from Redis has.
fn tell(global: &Global, erasure: &Value) -> Outcome {
    let of = |name: &str| (name.to_owned(), erasure[name].clone());
    let mut row = Row::from_iter([
        of("id"),
        of("progress"),
        of("by"),
        of("reason"),
        of("waits_for"),
        of("jobs_waiting"),
        of("jobs_before"),
        of("interruptions"),
        of("subject"),
        of("asked_at"),
        of("done_at"),
    ]);
    for name in ["jobs", "objects", "bytes", "media", "intents"] {
        row.insert(name.into(), erasure["removed"][name].clone());
    }
    row.insert("lines".into(), erasure["removed"]["timeline_lines"].clone());
    row.insert("rejects".into(), erasure["removed"]["rejects"].clone());
    output::object(&global.output, row)?;
    match rows::text(erasure, "/progress") {
        Some("done") => Ok(Exit::Done),
        // The fleet goes on with it.
        Some(_) => Ok(Exit::Partial),
        None => Err(rows::strange("how the erasure stands")),
    }
}
