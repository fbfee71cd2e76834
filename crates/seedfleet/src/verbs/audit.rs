//! `audit`: what people decided, newest first, as the store wrote it down with each decision.

use crate::cli::{AuditArgs, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Row, Rows};
use crate::session::Session;
use job::Timestamp;
use serde_json::json;

const COLUMNS: &[&str] = &["at", "by", "what", "job", "result", "reason"];

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: &AuditArgs) -> Outcome {
    let session = Session::open(global).await?;
    let since = match args.since {
        Some(back) => Some(session.store.now().await? - back),
        None => None,
    };
    let mut rows = decisions(&session, since, args.limit).await?;
    rows.extend(pool_wide(&session, since, args.alarms).await?);
    rows.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    rows.truncate(args.limit);
    let mut out = Rows::new(&global.output, COLUMNS);
    for (_, row) in rows {
        out.add(row)?;
    }
    out.end()?;
    Ok(Exit::Done)
}

async fn decisions(
    session: &Session,
    since: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<(Timestamp, Row)>, Failure> {
    let lines = session.store.decisions(since, limit).await?;
    let row = |line: store::DecisionLine| {
        let mut row = Row::new();
        row.insert("at".into(), json!(line.at.rfc3339()));
        row.insert("by".into(), json!(line.by));
        row.insert("what".into(), json!(line.verb));
        row.insert("job".into(), json!(line.job));
        row.insert("result".into(), json!(line.result));
        row.insert("reason".into(), json!(line.reason));
        row.insert("evidence".into(), line.evidence);
        (line.at, row)
    };
    Ok(lines.into_iter().map(row).collect())
}

/// What was done to the whole pool, such as a freeze or a thaw; with `alarms` what the fleet raised too.
async fn pool_wide(
    session: &Session,
    since: Option<Timestamp>,
    alarms: bool,
) -> Result<Vec<(Timestamp, Row)>, Failure> {
    let lines = session.store.audit(store::keys::AUDIT_LINES_MAX).await?;
    let wanted = |line: &store::AuditLine| {
        since.is_none_or(|since| line.at >= since) && (alarms || line.by.is_some())
    };
    let recent = lines.into_iter().filter(wanted);
    let row = |line: store::AuditLine| {
        let mut row = Row::new();
        row.insert("at".into(), json!(line.at.rfc3339()));
        row.insert("by".into(), json!(line.by.as_deref().unwrap_or("the fleet")));
        row.insert("what".into(), json!(line.alarm));
        row.insert("job".into(), json!(line.job));
        row.insert("result".into(), json!(if line.by.is_some() { "done" } else { "alarm" }));
        row.insert("reason".into(), json!(line.reason));
        (line.at, row)
    };
    Ok(recent.map(row).collect())
}
