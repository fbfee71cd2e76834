//! `limits` over the gateway.

use super::gateway::Gateway;
use super::{own_name, rows};
use crate::cli::{Global, LimitsOf, LimitsSetArgs, LimitsVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Form, Format, Rows};
use crate::verbs::limits::{COLUMNS, of, steps};
use serde_json::{Value, json};
use store::Limit;

/// Runs `limits`.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: LimitsVerb) -> Outcome {
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
    page(&view)
}

/// The page for people.
fn page(view: &Value) -> Outcome {
    let mut shown = Rows::new(&Form::plain(Format::Table), COLUMNS);
    let mut said = Vec::new();
    for account in all(view, "accounts") {
        for class in all(account, "classes") {
            let mut row = rows::row(class.clone())?;
            row.insert("account".into(), account["account"].clone());
            if !account["stopped_until"].is_null() {
                row.insert("stopped_until".into(), account["stopped_until"].clone());
            }
            for name in ["slots", "lookahead", "create_rpm"] {
                let is = class[name].as_f64().zip(class["configured"][name].as_u64());
                let (now, configured) = is.ok_or_else(|| rows::strange("a limit"))?;
                let configured = u32::try_from(configured).unwrap_or(u32::MAX);
                row.insert(name.into(), json!(of(now, configured)));
            }
            shown.add(row)?;
        }
        said.extend(lowered(account));
    }
    shown.end()?;
    output::say(&format!("\n{}\n", output::plain(text(view, "limited_by"))))?;
    let told =
        all(view, "causes").map(|cause| ["says", "next", "page"].map(|name| text(cause, name)));
    output::say(&steps(told.map(|[says, next, page]| (says, next, page))))?;
    for sentence in said {
        output::say(&format!("{}\n", output::plain(&sentence)))?;
    }
    Ok(Exit::Done)
}

fn all<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value[name].as_array().into_iter().flatten()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// What rests on an account, and what is lower than configured, each in a sentence.
fn lowered(account: &Value) -> Vec<String> {
    let name = text(account, "account");
    let held = all(account, "held").map(|held| {
        let (call, until, code) = (text(held, "call"), text(held, "until"), text(held, "code"));
        format!("No {call} on account {name} until {until}: {code}.")
    });
    let of_classes = all(account, "classes").flat_map(|class| {
        let of = format!("{name} {}", text(class, "class"));
        let slowed = class["slowed"].as_array().into_iter().flatten().map({
            let of = of.clone();
            move |slowed| {
                let (since, code, whole) =
                    (text(slowed, "since"), text(slowed, "code"), text(slowed, "whole_at"));
                format!("{of}: fed less since {since}, because {code}; whole at {whole}.")
            }
        });
        all(class, "set").map(move |change| set(&of, change)).chain(slowed)
    });
    let of_calls = all(account, "calls").flat_map(|call| all(call, "set"));
    held.chain(of_classes).chain(of_calls.map(|change| set(name, change))).collect()
}

/// What a person lowered, of an account or a class.
fn set(of: &str, change: &Value) -> String {
    let until = change["until"].as_str().map(|at| format!("until {at}"));
    let until = until.unwrap_or_else(|| "until it is taken back".to_owned());
    let value = change["value"].as_f64().unwrap_or_default();
    let [limit, by, at, reason] = ["limit", "by", "at", "reason"].map(|name| text(change, name));
    format!("{of}: {limit} {value}, set by {by} at {at} {until}: {reason}.")
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
