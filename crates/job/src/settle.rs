//! Finding out what an unclear create bought: the quiet horizon and the match by nonce.

use crate::attempt::OpenAttempt;
use crate::policy::Policy;
use crate::{TaskId, Timestamp};
use std::time::Duration;

/// Clocks of two companies: a task may seem to be made a little before we began.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5);
/// The provider stamps whole seconds.
const STAMP_STEP: Duration = Duration::from_secs(1);

/// A task as a list shows it, reduced to what can identify an orphan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The task.
    pub id: TaskId,
    /// Its model id on the wire.
    pub model_id: String,
    /// Its `execution_expires_after` in seconds: our nonce.
    pub nonce_s: Option<u32>,
    /// When the provider made it.
    pub created_at: Option<Timestamp>,
    /// Echoed identifier, where one was sent.
    pub safety_identifier: Option<String>,
}

impl Sighting {
    /// What an answer of the provider shows of the task `id`.
    #[must_use]
    pub fn of(id: TaskId, task: &seedance::Task) -> Self {
        Self {
            id,
            model_id: task.model.clone().unwrap_or_default(),
            nonce_s: task.execution_expires_after_s,
            created_at: task.created_at_s.map(Timestamp::from_unix_s),
            safety_identifier: task.safety_identifier.clone(),
        }
    }
}

/// What a scan says about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// No task fits. Whether that proves anything depends on when the scan began.
    Nothing,
    /// Exactly one fits.
    One(TaskId),
    /// More than one fits: a person decides.
    Several(Vec<TaskId>),
    /// None fits, but these were made at the right time and do not show their mark: they cannot be
    /// told apart from the attempt's, so the scan proves nothing.
    Blurred(Vec<TaskId>),
}

/// From this instant on a scan that sees nothing counts as evidence of absence.
///
/// Deadline of the last byte, plus what our kernel may still deliver, plus the longest stay in the
/// provider's front door, plus the list's lag. Before it a scan may find, never exclude.
#[must_use]
pub fn quiet_horizon(attempt: &OpenAttempt, policy: &Policy) -> Timestamp {
    created_before(attempt, policy) + policy.settle.list_lag_max
}

/// A task of the attempt cannot have been made later than this.
fn created_before(attempt: &OpenAttempt, policy: &Policy) -> Timestamp {
    attempt.send_by + policy.delivery_max + policy.settle.front_door_max
}

/// A task of the attempt cannot have been made earlier than this: how far back a scan must reach.
#[must_use]
pub fn created_after(attempt: &OpenAttempt) -> Timestamp {
    attempt.begun_at - CLOCK_SKEW_MAX
}

/// Whether the task is the attempt's, as far as a list can tell.
#[must_use]
pub fn fits(attempt: &OpenAttempt, seen: &Sighting, policy: &Policy) -> bool {
    seen.nonce_s == Some(attempt.nonce_s) && could_be(attempt, seen, policy)
}

/// Whether the task can be the attempt's, whatever its mark.
#[must_use]
pub fn could_be(attempt: &OpenAttempt, seen: &Sighting, policy: &Policy) -> bool {
    let identifier_agrees = match (&attempt.safety_identifier, &seen.safety_identifier) {
        (Some(sent), Some(echoed)) => sent == echoed,
        // Not sent, or not echoed: says nothing either way.
        (None, _) | (Some(_), None) => true,
    };
    let in_window = seen.created_at.is_none_or(|made| {
        made + STAMP_STEP >= created_after(attempt)
            && made <= created_before(attempt, policy) + CLOCK_SKEW_MAX
    });
    seen.model_id == attempt.facts.model_id && identifier_agrees && in_window
}

/// Looks for the attempt's task among `seen`; `owned_by_other` says which belong to another job or
/// attempt already.
#[must_use]
pub fn find(
    attempt: &OpenAttempt,
    seen: &[Sighting],
    policy: &Policy,
    owned_by_other: &dyn Fn(&TaskId) -> bool,
) -> Match {
    let mut fitting: Vec<TaskId> = seen
        .iter()
        .filter(|s| fits(attempt, s, policy) && !owned_by_other(&s.id))
        .map(|s| s.id.clone())
        .collect();
    fitting.sort();
    fitting.dedup();
    match fitting.len() {
        0 => {
            let unmarked = |s: &&Sighting| s.nonce_s.is_none() && could_be(attempt, s, policy);
            let mut blurred: Vec<TaskId> = seen
                .iter()
                .filter(unmarked)
                .filter(|s| !owned_by_other(&s.id))
                .map(|s| s.id.clone())
                .collect();
            blurred.sort();
            blurred.dedup();
            if blurred.is_empty() { Match::Nothing } else { Match::Blurred(blurred) }
        }
        1 => Match::One(fitting.remove(0)),
        _ => Match::Several(fitting),
    }
}
