//! `failed`, `usage` and `limits` over the gateway.

use super::gateway::Gateway;
use super::{bulk, jobs, no_way, own_name, own_tenant, rows};
use crate::cli::{FailedVerb, Global, LimitsOf, LimitsSetArgs, LimitsVerb, UsageArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Form, Format, Rows};
use crate::verbs::failed::{Shown, show};
use crate::verbs::limits::COLUMNS as LIMIT_COLUMNS;
use crate::verbs::totals::USAGE_COLUMNS;
use job::Timestamp;
use serde_json::{Value, json};
use store::{Limit, OperationVerb};
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
        FailedVerb::Export { .. } => {
            let needs = "the requests of older jobs, which the API does not tell";
            Err(no_way("failed export", needs))
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

/// Runs `limits`.
pub(super) async fn limits(global: &Global, gateway: &Gateway, verb: LimitsVerb) -> Outcome {
    let view = match verb {
        LimitsVerb::Show => {
            let query: Vec<_> = gateway.pool.iter().map(|pool| ("pool", pool.as_str())).collect();
            gateway.get(&["limits"], &query).await?
        }
        LimitsVerb::Set(args) => {
            let body = wish(gateway, &args)?;
            change(gateway, &args.of, "set", &body).await?
        }
        LimitsVerb::Reset(args) => {
            let words: Vec<&str> = args.limits.iter().copied().map(Limit::word).collect();
            let mut body = common(gateway, &args.of);
            body["limits"] = json!(words);
            change(gateway, &args.of, "reset", &body).await?
        }
    };
    if !global.output.is_a_page() {
        output::object(&global.output, rows::row(view)?)?;
        return Ok(Exit::Done);
    }
    let mut shown = Rows::new(&Form::plain(Format::Table), LIMIT_COLUMNS);
    for account in view["accounts"].as_array().into_iter().flatten() {
        for class in account["classes"].as_array().into_iter().flatten() {
            let mut row = rows::row(class.clone())?;
            row.insert("account".into(), account["account"].clone());
            if !account["stopped_until"].is_null() {
                row.insert("stopped_until".into(), account["stopped_until"].clone());
            }
            shown.add(row)?;
        }
    }
    shown.end()?;
    let said = rows::text(&view, "/limited_by").unwrap_or_default();
    output::say(&format!("\n{}\n", output::plain(said)))?;
    Ok(Exit::Done)
}

fn common(gateway: &Gateway, of: &LimitsOf) -> Value {
    let mut body = json!({"reason": of.reason});
    if let Some(pool) = &gateway.pool {
        body["pool"] = json!(pool);
    }
    if let Some(class) = of.class {
        body["class"] = json!(class.word());
    }
    body
}

fn wish(gateway: &Gateway, args: &LimitsSetArgs) -> Result<Value, Failure> {
    let mut body = common(gateway, &args.of);
    for (name, value) in [
        ("create_rpm", args.create_rpm),
        ("running", args.running),
        ("lookahead", args.lookahead),
        ("retrieve_qps", args.retrieve_qps),
        ("list_qps", args.list_qps),
        ("delete_qps", args.delete_qps),
    ] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    match args.lasts {
        Some(lasts) if lasts.as_secs() == 0 => {
            Err(Failure::usage("--for: the gateway wants a second at least"))
        }
        Some(lasts) => {
            body["for_s"] = json!(lasts.as_secs());
            Ok(body)
        }
        None => Ok(body),
    }
}

async fn change(
    gateway: &Gateway,
    of: &LimitsOf,
    verb: &str,
    body: &Value,
) -> Result<Value, Failure> {
    own_name(of.by.as_deref())?;
    let Some(account) = &of.account else {
        return Err(Failure::usage("--account is missing: over the gateway the account is named")
            .hint("`seedfleet limits show` names them"));
    };
    let path = format!("{account}:{verb}");
    gateway.post(&["limits", &path], body, &[], |status| status == 200).await
}
