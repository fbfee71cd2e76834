//! `failed` and `usage` over the gateway.

use super::gateway::Gateway;
use super::{bulk, jobs, own_tenant, requests, rows};
use crate::cli::{FailedVerb, Global, UsageArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Rows};
use crate::verbs::failed::{Shown, show};
use crate::verbs::totals::USAGE_COLUMNS;
use job::Timestamp;
use serde_json::json;
use store::OperationVerb;
use survey::Group;

/// What to do where a batch is not there.
pub(super) const BATCHES: &str = "`seedfleet batch list` shows those there are";

/// Runs `failed`.
pub(super) async fn failed(global: &Global, gateway: &Gateway, verb: FailedVerb) -> Outcome {
    match verb {
        FailedVerb::List { whose, dismissed, all } => {
            own_tenant(whose.tenant.as_deref())?;
            let query: Vec<_> = whose.batch.iter().map(|name| ("batch", name.as_str())).collect();
            let page = gateway.get(&["failures"], &query).await;
            let page = page.map_err(|failure| failure.if_absent(BATCHES))?;
            let groups = rows::items(page)?.into_iter().map(rows::row);
            show(global, groups.collect::<Result<_, Failure>>()?, Shown::of(dismissed, all))
        }
        FailedVerb::Show { code, which, limit, cursor } => {
            own_tenant(which.whose.tenant.as_deref())?;
            jobs::list(global, gateway, &which.filter().code(&code), limit, cursor).await
        }
        FailedVerb::Retry { code, which, many, decision } => {
            own_tenant(which.whose.tenant.as_deref())?;
            let wish = (OperationVerb::Retry, &which.filter().code(&code));
            bulk::run(global, gateway, wish, &many, &decision).await
        }
        FailedVerb::Export { code, which, no_archive } => {
            requests::failed(global, gateway, code.as_deref(), (&which, !no_archive)).await
        }
        FailedVerb::Dismiss { code, whose, conditions, many, decision } => {
            own_tenant(whose.tenant.as_deref())?;
            let filter = whose.filter(conditions.as_ref()).code(&code);
            let wish = (OperationVerb::Dismiss, &filter);
            bulk::run(global, gateway, wish, &many, &decision).await
        }
    }
}

/// Runs `usage`.
pub(super) async fn usage(global: &Global, gateway: &Gateway, args: UsageArgs) -> Outcome {
    own_tenant(args.tenant.as_deref())?;
    let (from, to) = (args.from.map(Timestamp::rfc3339), args.to.map(Timestamp::rfc3339));
    let mut query = vec![("group_by", Group::from(args.by).word())];
    query.extend(from.as_deref().map(|from| ("from", from)));
    query.extend(to.as_deref().map(|to| ("to", to)));
    let page = gateway.get(&["usage"], &query).await?;
    let mut shown = Rows::new(&global.output, USAGE_COLUMNS);
    let budget = page["budget"].clone();
    for total in rows::items(page)? {
        let cost = rows::money(&total["cost"]);
        let mut row = rows::row(total)?;
        if global.output.has_columns() {
            row.insert("cost".into(), json!(cost));
        }
        shown.add(row)?;
    }
    shown.end()?;
    if global.output.is_a_page() {
        let each = [("today", "/today"), ("in all", "/total")].map(|(span, at)| {
            let of = |key: &str| rows::text(&budget, &format!("{at}/{key}"));
            let max = of("max").map(|max| format!(" of {max}")).unwrap_or_default();
            format!("{}{max} {span}", of("spent").unwrap_or("0"))
        });
        let until = rows::text(&budget, "/resets_at").unwrap_or_default();
        let said = format!("Bought or reserved: {}; the day turns at {until}.", each.join(", "));
        output::say(&format!("\n{}\n", output::plain(&said)))?;
    }
    Ok(Exit::Done)
}
