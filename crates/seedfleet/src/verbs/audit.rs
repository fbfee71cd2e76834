//! `audit`: what people decided, newest first, as the store wrote it down with each decision.

use crate::cli::{AuditArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Row, Rows};
use crate::session::Session;
use crate::verbs::totals::row;

const COLUMNS: &[&str] = &["at", "by", "what", "job", "result", "reason"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: &AuditArgs) -> Outcome {
    let session = Session::open(global).await?;
    let since = match args.since {
        Some(back) => Some(session.store.now().await? - back),
        None => None,
    };
    let lines = survey::audit(&session.store, since, args.limit, args.alarms).await?;
    show(global, lines.iter().map(row).collect::<Result<_, Failure>>()?)
}

/// The lines, as the API tells them.
///
/// # Errors
///
/// As of all rows.
pub(crate) fn show(global: &Global, lines: Vec<Row>) -> Outcome {
    let mut out = Rows::new(&global.output, COLUMNS);
    for line in lines {
        out.add(line)?;
    }
    out.end()?;
    Ok(Exit::Done)
}
