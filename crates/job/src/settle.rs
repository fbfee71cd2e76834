//! Finding out what an unclear create bought: the quiet horizon and the match by nonce.

use crate::attempt::{Attempt, AttemptOutcome, OpenAttempt};
use crate::mutant::{self, Mutant};
use crate::policy::Policy;
use crate::record::Record;
use crate::state::State;
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
    if mutant::on(Mutant::NoQuietHorizon) {
        return attempt.begun_at;
    }
    if mutant::on(Mutant::NoListLag) {
        return created_before(attempt, policy);
    }
    created_before(attempt, policy) + policy.settle.list_lag_max
}

/// A task of the attempt cannot have been made later than this.
fn created_before(attempt: &OpenAttempt, policy: &Policy) -> Timestamp {
    if mutant::on(Mutant::NoFrontDoor) {
        return attempt.send_by + policy.delivery_max;
    }
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
    let marked = seen.nonce_s == Some(attempt.nonce_s) || mutant::on(Mutant::MarkIgnored);
    marked && could_be(attempt, seen, policy)
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
    let in_window = in_window || mutant::on(Mutant::WindowIgnored);
    seen.model_id == attempt.facts.model_id && identifier_agrees && in_window
}

/// The attempt of a job that has bought a task the job does not own: one whose mark the task shows,
/// whatever was made of the attempt since. A stray counts only where it keeps the job from buying.
#[must_use]
pub fn bought_late<'a>(
    job: &'a Record,
    seen: &Sighting,
    policy: &Policy,
) -> Option<&'a OpenAttempt> {
    let waits = matches!(job.life.state, State::Held { .. } | State::Queued { .. });
    if !waits && job.life.tasks().any(|task| *task == seen.id) {
        return None;
    }
    let unanswered = |a: &&Attempt| !matches!(a.outcome, AttemptOutcome::Accepted { .. });
    let closed = job.life.attempts.iter().rev().filter(unanswered).map(|a| &a.open);
    job.life.state.open_attempt().into_iter().chain(closed).find(|a| fits(a, seen, policy))
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
    let owned_by_other = |task: &TaskId| owned_by_other(task) && !mutant::on(Mutant::OwnersIgnored);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docs::{open_attempt, policy, record};
    use crate::{DoubtPolicy, Event, FoundVia, Verdict, transition};

    fn absent(job: &mut Record, open: &OpenAttempt) {
        let (open, closed_at) = (open.clone(), open.send_by);
        job.life.attempts.push(Attempt { open, closed_at, outcome: AttemptOutcome::Absent });
    }

    fn sighting(open: &OpenAttempt, id: &str) -> Sighting {
        Sighting {
            id: TaskId::parse(id).expect("an id"),
            model_id: open.facts.model_id.clone(),
            nonce_s: Some(open.nonce_s),
            created_at: Some(open.begun_at),
            safety_identifier: None,
        }
    }

    #[test]
    fn a_task_of_a_closed_attempt_is_taken_in_before_another_is_bought() {
        let (policy, open) = (policy(DoubtPolicy::Balanced), open_attempt('A'));
        let mut job = record(State::Queued { tries: 0 });
        absent(&mut job, &open);
        let seen = sighting(&open, "cgt-late");
        for strays in [vec![], vec![seen.id.clone()]] {
            job.life.strays = strays;
            let found = bought_late(&job, &seen, &policy).expect("it shows the mark");
            let (attempt, task) = (found.id.clone(), seen.id.clone());
            let event = Event::TaskFound { attempt, task, via: FoundVia::Callback, said: None };
            let verdict = transition(&job, &event, open.send_by, &policy).expect("allowed");
            let Verdict::Write { life, .. } = verdict else { panic!("{verdict:?}") };
            assert_eq!(life.state.task().map(|task| &task.id), Some(&seen.id));
            assert!(life.strays.is_empty(), "it is the job's own now");
        }
        let stranger = Sighting { nonce_s: Some(open.nonce_s - 1), ..seen };
        assert_eq!(bought_late(&job, &stranger, &policy), None);
    }

    #[test]
    fn beside_an_open_attempt_a_late_task_is_told_once() {
        let (policy, old) = (policy(DoubtPolicy::Balanced), open_attempt('A'));
        let attempt = OpenAttempt { nonce_s: 100_000, ..open_attempt('B') };
        let mut job = record(State::Submitting { attempt, tries: 0 });
        absent(&mut job, &old);
        let seen = sighting(&old, "cgt-late");
        assert_eq!(bought_late(&job, &seen, &policy), Some(&old));
        job.life.strays.push(seen.id.clone());
        assert_eq!(bought_late(&job, &seen, &policy), None, "a person has been told");
    }
}
