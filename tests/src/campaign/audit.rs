//! The nine invariants, checked from outside when all is quiet: the simulator's ledger, the bucket,
//! the records, the callers' receipts and every log must tell one story.

use super::Order;
use super::doors::Doors;
use super::ground::Ground;
use super::ledger::{Digest, Ended};
use super::record::{Facts, Seen};
use futures::StreamExt;
use job::{Record, StateWord};
use serde_json::Value;
use std::collections::BTreeMap;
use store::{ListQuery, Store};

/// Timelines read at once.
const AT_ONCE: usize = 48;
/// Faults told; more say nothing new.
const TOLD_MAX: usize = 60;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Audit {
    pub(super) creates: u64,
    pub(super) doubtful: u64,
    /// Doubtful attempts the ledger has a task of.
    pub(super) with_task: u64,
    pub(super) adopted: u64,
    /// Doubtful attempts whose task the ledger knows and whose job took in that very task.
    pub(super) taken_in: u64,
    pub(super) wrong_adoptions: u64,
    pub(super) resent: u64,
    pub(super) parked: u64,
    pub(super) parked_why: BTreeMap<String, u64>,
    pub(super) needs_person: u64,
    pub(super) stored: u64,
    pub(super) failed: u64,
    pub(super) duplicates: u64,
    pub(super) lost: u64,
    pub(super) outputs_lost: u64,
    pub(super) over_limit_windows: u64,
    pub(super) most_in_a_minute: u64,
    pub(super) most_at_once: u64,
    /// From doubt to adoption, milliseconds, by list and by callback.
    pub(super) by_list_ms: Vec<u64>,
    pub(super) by_callback_ms: Vec<u64>,
    /// What does not hold, in words.
    pub(super) broken: Vec<String>,
    /// There were more.
    pub(super) more: u64,
}

impl Audit {
    pub(super) fn wrong(&mut self, words: String) {
        match self.broken.len() < TOLD_MAX {
            true => self.broken.push(words),
            false => self.more += 1,
        }
    }

    /// A time that so many of a hundred stay below.
    pub(super) fn percentile(times: &[u64], percent: usize) -> Option<u64> {
        let mut times = times.to_vec();
        times.sort_unstable();
        times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied()
    }
}

/// Compares everything with everything.
///
/// # Errors
///
/// Ledger or server cannot be read at all.
pub(super) async fn audit(
    order: &Order,
    store: &Store,
    ground: &Ground,
    stats: &Value,
    doors: &Doors<'_>,
) -> Result<Audit, String> {
    let (dir, data) = (&ground.dir, ground.redis.data());
    let digest = Digest::read(&dir.join("ledger.ndjson"), order.create_rpm)?;
    let mut audit = Audit {
        creates: digest.creates,
        duplicates: digest.duplicates(),
        over_limit_windows: digest.over_limit,
        most_in_a_minute: digest.most_in_a_minute as u64,
        most_at_once: u64::try_from(digest.most_at_once).unwrap_or(0),
        ..Audit::default()
    };
    if audit.duplicates > 0 {
        for (mark, tasks) in digest.bought.iter().filter(|(_, tasks)| tasks.len() > 1) {
            audit.wrong(format!("1: {mark} was bought {} times: {tasks:?}", tasks.len()));
        }
    }
    let facts = Facts { order, digest: &digest, bucket: dir.join("bucket") };
    let mut seen = Seen::default();
    let mut cursor = None;
    loop {
        let query = ListQuery { cursor, ..ListQuery::default() };
        let page = store.list(&query).await.map_err(|error| error.to_string())?;
        let records = page.items.into_iter().map(|stored| stored.record);
        let mut told = futures::stream::iter(records)
            .map(async |record: Record| (store.timeline(&record.id).await, record))
            .buffer_unordered(AT_ONCE);
        while let Some((timeline, record)) = told.next().await {
            let timeline = timeline.map_err(|error| error.to_string())?;
            facts.record(&record, &timeline, &mut seen, &mut audit);
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    seen.owners(order, &digest, &mut audit);
    receipts(doors, &seen, &mut audit);
    books(store, &mut audit).await?;
    windows(stats, &mut audit);
    super::canary::search(dir, &digest.tokens, &mut audit)?;
    super::canary::search_server(data, &mut audit)?;
    Ok(audit)
}

/// 2 and 7: every acknowledged intake is a job, and the one it was told to be.
fn receipts(doors: &Doors<'_>, seen: &Seen, audit: &mut Audit) {
    for (n, receipt) in doors.receipts() {
        let mark = doors.mark(n);
        let Some(ids) = seen.jobs.get(&mark) else {
            audit.lost += 1;
            audit.wrong(format!("7: {mark} was acknowledged and is not there"));
            continue;
        };
        if let Some(id) = &receipt.id
            && !ids.contains(id)
        {
            audit.lost += 1;
            audit.wrong(format!("7: {mark} was told to be {id} and is {ids:?}"));
        }
    }
    for complaint in doors.complaints() {
        audit.wrong(format!("7: {complaint}"));
    }
}

/// 6: indexes, counters, slots and tickets agree with the records.
async fn books(store: &Store, audit: &mut Audit) -> Result<(), String> {
    let recount = store.recount().await.map_err(|error| error.to_string())?;
    for drift in &recount.drifts {
        audit.wrong(format!("6: {drift:?}"));
    }
    if recount.unreadable > 0 {
        audit.wrong(format!("6: {} records cannot be read", recount.unreadable));
    }
    let counts = store.counts().await.map_err(|error| error.to_string())?;
    let slots = store.slots().await.map_err(|error| error.to_string())?;
    if counts.keys().all(|word: &StateWord| word.is_finished()) && !slots.is_empty() {
        audit.wrong(format!("6: slots taken for nobody: {slots:?}"));
    }
    Ok(())
}

/// 5: the simulator's own windows, and what must stay zero at its file host.
fn windows(stats: &Value, audit: &mut Audit) {
    for (call, scopes) in stats["windows"].as_object().into_iter().flatten() {
        for (scope, window) in scopes.as_object().into_iter().flatten() {
            let over = window["over_limit"].as_u64().unwrap_or(0);
            if over > 0 {
                audit.over_limit_windows += over;
                audit.wrong(format!("5: {call} of {scope} was over its limit {over} times"));
            }
        }
    }
    if audit.over_limit_windows > 0 {
        let most = audit.most_in_a_minute;
        audit.wrong(format!("5: {} windows over the limit, most {most}", audit.over_limit_windows));
    }
    if stats["media"]["authorization_seen"] != 0 {
        audit.wrong("8: our key went to the file host".to_owned());
    }
}

/// Paid, by the ledger.
pub(super) fn is_paid(digest: &Digest, task: &str) -> bool {
    digest.tasks.get(task).is_some_and(|task| matches!(task.ended, Ended::Billed { .. }))
}
