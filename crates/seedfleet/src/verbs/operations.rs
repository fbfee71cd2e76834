//! `operations`: what was asked for many jobs at once, and following one to its end.

use crate::cli::{Global, OperationsVerb};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Progress, Row, Rows};
use crate::patience::Patience;
use crate::session::Session;
use crate::verbs::totals::row;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use store::{Operation, OperationVerb};
use survey::OperationView;
use tokio::time::Instant;
use worker::Operations;

/// Between two looks at one.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A gateway that is there takes an operation in hand much sooner.
const NOBODY_AFTER: Duration = Duration::from_secs(4);

pub(crate) const COLUMNS: &[&str] =
    &["id", "state", "verb", "changed", "left", "where", "by", "reason", "created_at"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, verb: OperationsVerb) -> Outcome {
    let session = Session::open(global).await?;
    match verb {
        OperationsVerb::List { limit } => {
            let mut rows = Rows::new(&global.output, COLUMNS);
            for operation in session.store.operations(usize::from(limit)).await? {
                rows.add(line(&operation)?)?;
            }
            rows.end()?;
            Ok(Exit::Done)
        }
        OperationsVerb::Show { id } => {
            output::object(&global.output, line(&find(&session, &id).await?)?)?;
            Ok(Exit::Done)
        }
        OperationsVerb::Watch { id, timeout } => {
            find(&session, &id).await?;
            follow(global, &session, &id, 0, timeout).await
        }
    }
}

fn line(operation: &Operation) -> Result<Row, Failure> {
    Ok(flat(row(&OperationView::from(operation))?))
}

/// An operation with its counts beside the rest.
pub(crate) fn flat(mut row: Row) -> Row {
    let jobs = row.shift_remove("jobs").unwrap_or_default();
    row.insert("changed".into(), jobs["changed"].clone());
    row.insert("left".into(), jobs["left"].clone());
    row
}

async fn find(session: &Session, id: &str) -> Result<Operation, Failure> {
    session.store.operation(id).await?.ok_or_else(|| {
        let what = format!("there is no operation {id} in pool {}", session.store.pool());
        Failure::new(Exit::NotFound, what)
            .hint("`seedfleet operations list` shows those of the last 90 days")
    })
}

/// Follows an operation to its end and tells what it did. Where no gateway carries it out, this process does.
///
/// # Errors
///
/// Redis away; time is up, or Ctrl-C: it goes on as far as somebody carries it out.
pub(crate) async fn follow(
    global: &Global,
    session: &Session,
    id: &str,
    matched: u64,
    timeout: Duration,
) -> Outcome {
    let progress = Progress::begin((matched > 0).then_some(matched), global.quiet);
    let patience = Patience::new(global, LOOK_EVERY, Some(timeout)).answered();
    let late = || late(id, format!("{id} has not ended within {timeout:?}"));
    let interrupted = format!("interrupted; {id} goes on as far as a gateway carries it out");
    let ended = end(session, id, &progress, (patience, late));
    let ended = unless_interrupted(id, interrupted, ended).await;
    progress.end();
    told(global, line(&ended?)?, matched)
}

/// The end of an operation, unless Ctrl-C comes before: what is said then.
pub(crate) async fn unless_interrupted<T>(
    id: &str,
    said: String,
    end: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, said).hint(again(id))),
        ended = end => ended,
    }
}

/// Time is up.
pub(crate) fn late(id: &str, said: String) -> Failure {
    Failure::new(Exit::Deadline, said).hint(again(id))
}

fn again(id: &str) -> String {
    format!("`seedfleet operations watch {id}` follows it again")
}

/// Looks until it has ended, or time is up.
async fn end(
    session: &Session,
    id: &str,
    progress: &Progress,
    (mut patience, late): (Patience, impl Fn() -> Failure),
) -> Result<Operation, Failure> {
    let own = Operations {
        store: session.store.clone(),
        policy: Arc::new(session.policy.clone()),
        door: session.door()?,
    };
    let mut alone_since: Option<Instant> = None;
    loop {
        let question = async || Ok((find(session, id).await?, own.are_in_hand().await?));
        let (operation, in_hand) = patience.ask(Some(progress), &late, question).await?;
        if operation.ended_at.is_some() {
            return Ok(operation);
        }
        if patience.is_over() {
            return Err(late());
        }
        let done = operation.progress;
        progress.at(
            done.changed + done.left,
            &format!("{} changed, {} skipped", done.changed, done.left),
        );
        if in_hand {
            alone_since = None;
        } else if alone_since.get_or_insert_with(Instant::now).elapsed() >= NOBODY_AFTER {
            progress.remark("no gateway carries operations out here: this command does");
            patience.ask(Some(progress), &late, async || Ok(own.turn().await?)).await?;
            alone_since = None;
            continue;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What it came to, and the exit code that says it.
///
/// # Errors
///
/// It ended before its end.
pub(crate) fn told(global: &Global, mut operation: Row, matched: u64) -> Outcome {
    let count = |name: &str| operation.get(name).and_then(Value::as_u64).unwrap_or(0);
    let word = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    let (changed, left, id) = (count("changed"), count("left"), word("id").to_owned());
    let done = past(word("verb"));
    let failed = operation.get("failed").and_then(Value::as_str).map(str::to_owned);
    // What was counted before it began may have moved on since; what it looked at is what it found.
    let matched = matched.max(changed + left);
    if global.output.is_a_page() {
        output::say(&output::plain(&format!(
            "operation {id}  {matched} matched  {changed} {done}  {left} skipped"
        )))?;
        output::say("\n")?;
    } else {
        operation.insert("matched".into(), json!(matched));
        output::object(&global.output, operation)?;
    }
    if let Some(why) = failed {
        let exit = if changed > 0 { Exit::Partial } else { Exit::Failed };
        let what = format!("{id} ended before its end, after {changed} jobs");
        return Err(Failure::new(exit, what).because(why));
    }
    Ok(match (changed, left) {
        (_, 0) => Exit::Done,
        (0, _) => Exit::Conflict,
        (_, _) => Exit::Partial,
    })
}

/// What became of the jobs that a verb of this word changed.
fn past(word: &str) -> &'static str {
    match OperationVerb::ALL.into_iter().find(|verb| verb.word() == word) {
        Some(OperationVerb::Cancel) => "asked to stop",
        Some(OperationVerb::Pause) => "paused",
        Some(OperationVerb::Resume) => "resumed",
        Some(OperationVerb::Retry) => "requeued",
        Some(OperationVerb::Dismiss) => "dismissed",
        // A newer gateway may know more verbs.
        None => "changed",
    }
}
