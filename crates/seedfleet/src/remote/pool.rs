//! Verbs of operators over the gateway: `queue`, `workers` and `audit`, of a whole pool, with a key of tenant `*`.

use super::gateway::Gateway;
use super::{lacks, own_name, rows};
use crate::cli::{AuditArgs, DrainArgs, Global, PauseArgs, QueueVerb, ResumeArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row};
use crate::verbs::{audit, queue, workers};
use serde_json::{Value, json};
use store::PauseScope;

/// Lines of the audit in one answer.
const LINES_MAX: usize = 1_000;

/// Runs `queue`.
pub(super) async fn queue(global: &Global, gateway: &Gateway, verb: QueueVerb) -> Outcome {
    match verb {
        QueueVerb::Status => queue::show(global, look(gateway).await?),
        QueueVerb::Pause(args) => {
            let part = pause(global, gateway, &args).await?;
            output::object(&global.output, part)?;
            Ok(Exit::Done)
        }
        QueueVerb::Resume(args) => resume(global, gateway, &args).await,
        QueueVerb::Drain(args) => drain(global, gateway, &args).await,
    }
}

/// Runs `workers`.
pub(super) async fn workers(global: &Global, gateway: &Gateway) -> Outcome {
    if global.pool.is_some() {
        let needs = "the configuration, since a gateway reckons with all pools together";
        return Err(lacks("workers --pool", needs, "leave --pool out"));
    }
    workers::show(global, rows::row(gateway.get(&["workers"], &[]).await.map_err(of_operators)?)?)
}

/// Runs `audit`.
pub(super) async fn audit(global: &Global, gateway: &Gateway, args: &AuditArgs) -> Outcome {
    if !(1..=LINES_MAX).contains(&args.limit) {
        let what = format!("--limit: over a gateway 1 to {LINES_MAX} lines are told");
        return Err(Failure::usage(what).hint("--direct opens Redis, which tells more"));
    }
    let (limit, alarms) = (args.limit.to_string(), args.alarms.to_string());
    let since = args.since.map(|since| since.as_secs().max(1).to_string());
    let mut query = vec![("limit", limit.as_str()), ("alarms", alarms.as_str())];
    query.extend(since.as_deref().map(|since| ("within_s", since)));
    query.extend(gateway.pool.as_deref().map(|pool| ("pool", pool)));
    let page = gateway.get(&["audit"], &query).await.map_err(of_operators)?;
    let lines = rows::items(page)?.into_iter().map(rows::row);
    audit::show(global, lines.collect::<Result<_, Failure>>()?)
}

/// What is told of a whole pool is told to operators.
pub(super) fn of_operators(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Auth => failure.because("a whole pool is the operators': it wants a key of tenant *"),
        _ => failure,
    }
}

async fn look(gateway: &Gateway) -> Result<Row, Failure> {
    let query: Vec<_> = gateway.pool.iter().map(|pool| ("pool", pool.as_str())).collect();
    rows::row(gateway.get(&["queues"], &query).await.map_err(of_operators)?)
}

/// A wish about a part of the pool.
fn part(gateway: &Gateway, scope: &PauseScope, reason: &str) -> Value {
    let mut body = json!({"reason": reason});
    match queue::named(scope) {
        (kind, None) => body["stage"] = json!(kind),
        (kind, Some(of)) => body[kind] = json!(of),
    }
    if let Some(pool) = &gateway.pool {
        body["pool"] = json!(pool);
    }
    body
}

async fn ask(gateway: &Gateway, verb: &str, body: &Value) -> Result<Row, Failure> {
    let told = gateway.post(&[verb], body, &[], |status| status == 200).await;
    rows::row(told.map_err(of_operators)?)
}

async fn pause(global: &Global, gateway: &Gateway, args: &PauseArgs) -> Result<Row, Failure> {
    own_name(args.decision.by.as_deref())?;
    queue::agree(args)?;
    let scope = args.scope();
    let mut body = part(gateway, &scope, args.decision.reason()?);
    match args.lasts() {
        Some(lasts) if lasts.as_secs() == 0 => {
            return Err(Failure::usage("--for: the gateway wants a second at least"));
        }
        Some(lasts) => body["for_s"] = json!(lasts.as_secs()),
        None => body["until_resumed"] = json!(true),
    }
    let part = ask(gateway, "queues:pause", &body).await?;
    queue::remind(global, &scope);
    Ok(part)
}

async fn drain(global: &Global, gateway: &Gateway, args: &DrainArgs) -> Outcome {
    let part = pause(global, gateway, &args.pause).await?;
    queue::drained(global, args, async || look(gateway).await).await?;
    output::object(&global.output, part)?;
    Ok(Exit::Done)
}

async fn resume(global: &Global, gateway: &Gateway, args: &ResumeArgs) -> Outcome {
    own_name(args.decision.by.as_deref())?;
    queue::agree_to_resume(args)?;
    let body = part(gateway, &args.scope(), args.decision.reason()?);
    let part = ask(gateway, "queues:resume", &body).await;
    let part = part.map_err(|failure| match failure.exit {
        Exit::Conflict => failure.hint("`seedfleet queue status` shows what is paused"),
        _ => failure,
    })?;
    output::object(&global.output, part)?;
    Ok(Exit::Done)
}
