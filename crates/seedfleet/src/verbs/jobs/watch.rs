//! `jobs watch`: one job, a line for each of its steps.

use super::{LOOK_EVERY, after, ended, find, too_long, verdict};
use crate::cli::Global;
use crate::exit::Outcome;
use crate::output::{Row, say, streamed};
use crate::session::Session;
use job::JobId;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub(crate) const COLUMNS: &[&str] = &["after", "state", "what", "by"];

/// Tells what has happened, then each step as it is written, until the job has ended or waits for a person.
pub(super) async fn run(
    global: &Global,
    session: &Session,
    id: &JobId,
    timeout: Duration,
) -> Outcome {
    let deadline = Instant::now() + timeout;
    let mut told = 0;
    loop {
        // The record first: what ends it stands in the timeline by then.
        let record = find(session, id).await?.record;
        let mut timeline = session.store.timeline(id).await?;
        timeline.sort_by_key(|line| line.rev);
        for line in timeline.iter().filter(|line| line.rev > told) {
            let mut row = Row::new();
            row.insert("after".into(), json!(after(line, &record)));
            row.insert("state".into(), json!(line.to.as_str()));
            row.insert("what".into(), json!(line.what));
            row.insert("by".into(), json!(line.by));
            row.insert("at".into(), json!(line.at.rfc3339()));
            row.insert("revision".into(), json!(line.rev));
            say(&streamed(&global.output, COLUMNS, row)?)?;
        }
        told = timeline.last().map_or(told, |line| line.rev.max(told));
        let counts = BTreeMap::from([(record.life.state.word(), 1)]);
        if ended(&counts) == 1 {
            return Ok(verdict(counts.into_iter()));
        }
        if Instant::now() >= deadline {
            return Err(too_long(timeout, &counts));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
