//! `jobs watch`: one job, a line for each of its steps.

use super::{LOOK_EVERY, after, ended, find, too_long, verdict};
use crate::cli::Global;
use crate::exit::Outcome;
use crate::output::{Row, say, streamed};
use crate::patience::Patience;
use crate::session::Session;
use job::{JobId, StateWord};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const COLUMNS: &[&str] = &["after", "state", "what", "by"];

/// Tells what has happened, then each step as it is written, until the job has ended or waits for a person.
pub(super) async fn run(
    global: &Global,
    session: &Session,
    id: &JobId,
    timeout: Duration,
) -> Outcome {
    let mut patience = Patience::new(global, LOOK_EVERY, Some(timeout)).answered();
    let mut counts: BTreeMap<StateWord, u64> = BTreeMap::new();
    let mut told = 0;
    loop {
        let late = || too_long(timeout, &counts);
        let question = async || {
            // The record first: what ends it stands in the timeline by then.
            let record = find(session, id).await?.record;
            Ok((record, session.store.timeline(id).await?))
        };
        let (record, mut timeline) = patience.ask(None, late, question).await?;
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
        counts = BTreeMap::from([(record.life.state.word(), 1)]);
        if ended(&counts) == 1 {
            return Ok(verdict(counts.into_iter()));
        }
        if patience.is_over() {
            return Err(too_long(timeout, &counts));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
