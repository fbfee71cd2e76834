//! Which attempt could have bought a task that nobody owns? Looked for among the records, and among
//! the intents of the second fence.

use crate::{Ground, ReconcileError};
use assets::Walked;
use futures::StreamExt;
use job::filter::Filter;
use job::settle::{self, Sighting};
use job::{AttemptId, Intent, JobId, OpenAttempt, Policy, Record, State, TaskId, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{ListQuery, StoreError, Stored};

/// Records looked through for the attempts of unowned tasks.
const RECORDS_MAX: usize = 200_000;
/// An intent is written this much before its task at most.
const INTENT_LEAD: Duration = Duration::from_secs(3_600);

/// An attempt that fits a task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fit {
    pub(crate) job: JobId,
    pub(crate) attempt: AttemptId,
}

/// The attempts of a record of which a task may turn up: the open one, and those closed without proof.
fn unproven(record: &Record) -> impl Iterator<Item = &OpenAttempt> {
    let closed = record.life.attempts.iter();
    let closed = closed.filter(|attempt| !attempt.outcome.bought_nothing()).map(|a| &a.open);
    record.life.state.open_attempt().into_iter().chain(closed)
}

/// Whether an attempt of the record fits, and which.
pub(crate) fn fit(record: &Record, seen: &Sighting, policy: &Policy) -> Option<Fit> {
    let fitting = unproven(record).find(|attempt| settle::fits(attempt, seen, policy))?;
    Some(Fit { job: record.id.clone(), attempt: fitting.id.clone() })
}

/// Looks through the records, newest first, for attempts that fit; one record page at a time. A task
/// that several attempts fit is left out: a person decides.
pub(crate) async fn among_records(
    ground: &Ground,
    account: &str,
    tasks: &[Sighting],
) -> Result<BTreeMap<TaskId, Fit>, ReconcileError> {
    let mut fits: BTreeMap<TaskId, Vec<Fit>> = BTreeMap::new();
    let (mut cursor, mut looked) = (None, 0);
    loop {
        let query = ListQuery { cursor, ..ListQuery::default() };
        let page = ground.store.list(&query).await?;
        looked += page.items.len();
        for Stored { record, .. } in &page.items {
            let of_account = |attempt: &OpenAttempt| attempt.facts.account == account;
            if !unproven(record).any(of_account) {
                continue;
            }
            for seen in tasks {
                let fit = fit(record, seen, &ground.policy);
                fits.entry(seen.id.clone()).or_default().extend(fit);
            }
        }
        match page.next {
            Some(next) if looked < RECORDS_MAX => cursor = Some(next),
            Some(_) | None => break,
        }
    }
    Ok(only(fits))
}

fn only<T>(fits: BTreeMap<TaskId, Vec<T>>) -> BTreeMap<TaskId, T> {
    let one = |(task, mut fits): (TaskId, Vec<T>)| match fits.len() {
        1 => fits.pop().map(|fit| (task, fit)),
        _ => None,
    };
    fits.into_iter().filter_map(one).collect()
}

/// Looks through the intents of the time of these tasks. Empty where the fence is off.
pub(crate) async fn among_intents(
    ground: &Ground,
    account: &str,
    tasks: &[Sighting],
) -> Result<BTreeMap<TaskId, Intent>, ReconcileError> {
    let oldest = tasks.iter().filter_map(|seen| seen.created_at).min();
    let (Some(intents), Some(oldest)) = (&ground.intents, oldest) else {
        return Ok(BTreeMap::new());
    };
    let mut fits: BTreeMap<TaskId, Vec<Intent>> = BTreeMap::new();
    let mut walk = intents.walk(ground.store.pool(), oldest - INTENT_LEAD);
    while let Some(step) = walk.next().await {
        let intent = match step {
            Walked::Intent(intent) if intent.attempt.facts.account == account => intent,
            Walked::Intent(_) | Walked::Gone | Walked::Unreadable { .. } => continue,
            Walked::Broke(error) => return Err(error.into()),
        };
        for seen in tasks {
            if settle::fits(&intent.attempt, seen, &ground.policy) {
                fits.entry(seen.id.clone()).or_default().push((*intent).clone());
            }
        }
    }
    Ok(only(fits))
}

/// Jobs that still wait to be sent and ask for what the task is: what it could have been bought for
/// in a life that Redis has lost.
pub(crate) async fn waiting_like(
    ground: &Ground,
    model_id: &str,
    made: Option<Timestamp>,
    at_most: usize,
) -> Result<Vec<JobId>, StoreError> {
    let query = ListQuery::of(Filter::all().state(job::StateWord::Queued));
    let page = ground.store.list(&query).await?;
    let could = |stored: &&Stored| {
        let Record { spec, life, created_at, .. } = &stored.record;
        let waits = matches!(life.state, State::Queued { .. });
        let in_time = made.is_none_or(|made| *created_at <= made + Duration::from_secs(5));
        waits && in_time && spec.request.model_id == model_id
    };
    Ok(page.items.iter().filter(could).take(at_most).map(|s| s.record.id.clone()).collect())
}
