//! A person says which waiting job an unowned task was bought for: what is left to do where Redis
//! lost data and no second fence remembers.

use crate::{Ground, ReconcileError};
use job::{
    AttemptId, By, Event, Facts, FoundVia, JobId, OpenAttempt, Record, State, TaskId, Timestamp,
};
use provider::{Retrieved, Site};
use seedance::{EXPIRES_AFTER_DEFAULT_S, Task};
use serde_json::json;
use std::time::Duration;
use store::{Decided, Reported, Stored};

/// Why the task is not the job's.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Redis.
    #[error(transparent)]
    Away(#[from] ReconcileError),
    /// In words.
    #[error("{0}")]
    Refused(String),
}

/// The job owns the task now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The attempt that stands for the purchase from now on.
    pub attempt: AttemptId,
    /// Whose account bought it.
    pub account: String,
}

/// Gives a task that nobody owns to a job that still waits to be sent, and that asked for the same
/// model. The purchase is written down as an attempt of that job, so nothing is bought for it again.
///
/// # Errors
///
/// [`ClaimError::Refused`]: nothing was written.
pub async fn claim(
    ground: &Ground,
    job: &JobId,
    task: &TaskId,
    by: &By,
    reason: &str,
) -> Result<Claimed, ClaimError> {
    let refused = |why: String| Err(ClaimError::Refused(why));
    let store = &ground.store;
    let stored = store.load(job).await.map_err(ReconcileError::from)?;
    let Some(stored) = stored else { return refused(format!("there is no {job}")) };
    let record = &stored.record;
    if !matches!(record.life.state, State::Queued { .. } | State::Held { .. }) {
        let word = record.life.state.word().as_str();
        return refused(format!(
            "{job} is {word}: only a job that waits to be sent takes a task so"
        ));
    }
    let owners = store.owners(std::slice::from_ref(task)).await.map_err(ReconcileError::from)?;
    if let Some(owner) = owners.into_iter().flatten().next() {
        return refused(format!("{task} belongs to {owner}"));
    }
    let Some((site, seen)) = find(ground, task).await else {
        return refused(format!("no account of the pool shows {task} when it is read"));
    };
    let wanted = &record.spec.request.model_id;
    if seen.model.as_ref() != Some(wanted) {
        let made = seen.model.unwrap_or_default();
        return refused(format!("{task} is of model {made:?}, {job} asked for {wanted:?}"));
    }
    let attempt = purchase(ground, record, &site, &seen, stored.now);
    let id = attempt.id.clone();
    let evidence = json!({
        "task": task, "account": site.account, "model": seen.model, "status": seen.status,
        "created_at": seen.created_at_s, "execution_expires_after": seen.execution_expires_after_s,
    });
    let decided = Decided { by, verb: "reconcile --claim", reason, evidence: &evidence };
    let event = Event::IntentForgotten { attempt, instead_of: None };
    tell(ground, job, &event, &decided).await?;
    let said = Some(format!("by {}: {reason}", by.as_str()));
    let (task, via) = (task.clone(), FoundVia::Operator);
    let event = Event::TaskFound { attempt: id.clone(), task, via, said };
    tell(ground, job, &event, &decided).await?;
    Ok(Claimed { attempt: id, account: site.account })
}

async fn tell(
    ground: &Ground,
    job: &JobId,
    event: &Event,
    decided: &Decided<'_>,
) -> Result<(), ClaimError> {
    // The machine refuses the first event to a job that sends by now, and the second to a task with
    // an owner.
    let any = |_: &Stored| true;
    let decide = ground.store.decide(job, event, &ground.policy, decided, &any);
    match decide.await.map_err(ReconcileError::from)? {
        Reported::Written { .. } => Ok(()),
        Reported::Ignored { why, .. } => Err(ClaimError::Refused(format!("{job}: {why}"))),
        Reported::Owned { task, by } => Err(ClaimError::Refused(format!("{task} belongs to {by}"))),
        Reported::Gone | Reported::Fenced => {
            Err(ClaimError::Refused(format!("{job} is gone meanwhile")))
        }
    }
}

/// The account whose list holds the task.
async fn find(ground: &Ground, task: &TaskId) -> Option<(Site, Task)> {
    for site in ground.sites() {
        if let Some(Retrieved::Task { task, .. }) = ground.retrieve(&site, task).await {
            return Some((site, *task));
        }
    }
    None
}

/// The attempt as far as the task itself tells of it.
fn purchase(
    ground: &Ground,
    record: &Record,
    site: &Site,
    seen: &Task,
    now: Timestamp,
) -> OpenAttempt {
    let request = &record.spec.request;
    let begun_at = seen.created_at_s.map_or(now, Timestamp::from_unix_s);
    OpenAttempt {
        id: AttemptId::from_ulid(ulid::Ulid::generate()),
        number: record.life.attempts_begun.saturating_add(1),
        nonce_s: seen.execution_expires_after_s.unwrap_or(EXPIRES_AFTER_DEFAULT_S),
        begun_at,
        send_by: begun_at + Duration::from_secs(1),
        renderer: 0,
        body_sha256: String::new(),
        safety_identifier: None,
        intent: None,
        facts: Facts {
            route: ground.settings.route,
            create_url: site.tasks_url.clone(),
            retrieve_url: site.tasks_url.clone(),
            model_id: request.model_id.clone(),
            account: site.account.clone(),
            class: request.slot_class(),
            price_version: String::new(),
        },
    }
}
