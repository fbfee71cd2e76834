//! `operations` over the gateway, which carries them out.

use super::gateway::Gateway;
use super::jobs::LOOK_EVERY;
use super::rows;
use crate::cli::{Global, OperationsVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Rows};
use crate::patience::Patience;
use crate::verbs::operations::{COLUMNS, flat, late, told, unless_interrupted};
use serde_json::Value;
use std::time::Duration;

/// Runs the verb.
pub(super) async fn run(global: &Global, gateway: &Gateway, verb: OperationsVerb) -> Outcome {
    match verb {
        OperationsVerb::List { limit } => {
            let page = gateway.get(&["operations"], &[("limit", &limit.to_string())]).await?;
            let mut shown = Rows::new(&global.output, COLUMNS);
            for operation in rows::items(page)? {
                shown.add(flat(rows::row(operation)?))?;
            }
            shown.end()?;
            Ok(Exit::Done)
        }
        OperationsVerb::Show { id } => {
            output::object(&global.output, flat(rows::row(find(gateway, &id).await?)?))?;
            Ok(Exit::Done)
        }
        OperationsVerb::Watch { id, timeout } => {
            find(gateway, &id).await?;
            follow(global, gateway, &id, 0, timeout).await
        }
    }
}

async fn find(gateway: &Gateway, id: &str) -> Result<Value, Failure> {
    let found = gateway.get(&["operations", id], &[]).await;
    let hint = "`seedfleet operations list` shows those of the last 90 days";
    found.map_err(|failure| failure.if_absent(hint))
}

/// Follows an operation to its end and tells what it did.
///
/// # Errors
///
/// The gateway away; time is up, or Ctrl-C: it goes on.
pub(super) async fn follow(
    global: &Global,
    gateway: &Gateway,
    id: &str,
    matched: u64,
    timeout: Duration,
) -> Outcome {
    let progress = Progress::begin((matched > 0).then_some(matched), global.quiet);
    let patience = Patience::new(global, LOOK_EVERY, Some(timeout)).answered();
    let late = || late(id, format!("{id} has not ended within {timeout:?}; it goes on"));
    let ended = end(gateway, id, &progress, (patience, late));
    let ended = unless_interrupted(id, format!("interrupted; {id} goes on"), ended).await;
    progress.end();
    told(global, flat(rows::row(ended?)?), matched)
}

/// Looks until it has ended, or time is up.
async fn end(
    gateway: &Gateway,
    id: &str,
    progress: &Progress,
    (mut patience, late): (Patience, impl Fn() -> Failure),
) -> Result<Value, Failure> {
    loop {
        let question = async || find(gateway, id).await;
        let operation = patience.ask(Some(progress), &late, question).await?;
        if !operation["ended_at"].is_null() {
            return Ok(operation);
        }
        let of = |name: &str| operation["jobs"][name].as_u64().unwrap_or(0);
        let (changed, left) = (of("changed"), of("left"));
        progress.at(changed + left, &format!("{changed} changed, {left} skipped"));
        if patience.is_over() {
            return Err(late());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
