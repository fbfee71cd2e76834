//! Begin, and every answer a create can get. The only place where a task enters a record.

use super::draft::{Draft, ignore};
use crate::attempt::{AttemptOutcome, OpenAttempt, TaskRef};
use crate::event::{DoubtCause, FoundVia, Refusal};
use crate::intent;
use crate::mutant::{self, Mutant};
use crate::retry::{self, AfterRefusal, Stop};
use crate::state::{Cause, End, Looks, State, Step};
use crate::{Alarm, AttemptId, Contradiction, Effect, TaskId, Ticket, Timestamp, Verdict};
use seedance::Class;
use std::time::Duration;

/// Longest stop an answer can ask for: a monthly quota. After it one probe asks again.
const STOP_MAX: Duration = Duration::from_secs(32 * 86_400);

/// Committed before the request leaves the process. From here on a crash is doubt: the lease that
/// stays behind brings somebody to say so.
pub(super) fn began(mut draft: Draft<'_>, attempt: &OpenAttempt) -> Verdict {
    let tries = match draft.state() {
        State::Queued { tries } => *tries,
        State::InDoubt { tries, .. } if mutant::on(Mutant::BeginFromDoubt) => *tries,
        State::Held { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => return ignore("only a queued job begins an attempt"),
    };
    if draft.job.life.cancel.is_some() {
        return ignore("a cancel was asked for");
    }
    draft.life.attempts_begun += 1;
    let what = format!("attempt {} begun", attempt.number);
    draft.go(State::Submitting { attempt: attempt.clone(), tries }, Ticket::Kept, what)
}

pub(super) fn usefulness_passed(draft: Draft<'_>) -> Verdict {
    let passed = draft.job.spec.useful_until.is_some_and(|until| until <= draft.now);
    match draft.state() {
        State::Queued { .. } if passed => {
            draft.finish(End::NotUseful, None, None, "no longer useful, unpaid")
        }
        State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("not queued, or still useful"),
    }
}

/// The open attempt with this id, and the tries spent before it.
fn open<'a>(draft: &Draft<'a>, id: &AttemptId) -> Option<(&'a OpenAttempt, u32)> {
    let found = match draft.state() {
        State::Submitting { attempt, tries } | State::InDoubt { attempt, tries, .. } => {
            (attempt, *tries)
        }
        State::Parked { attempt, .. } => (attempt, 0),
        State::Held { .. }
        | State::Queued { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => return None,
    };
    (found.0.id == *id || mutant::on(Mutant::ReportsNotFenced)).then_some(found)
}

/// Proof that nothing was bought, from the only process that ever held this attempt's body.
pub(super) fn not_sent(
    mut draft: Draft<'_>,
    id: &AttemptId,
    reason: &str,
    unreachable: bool,
    stops_in_row: u32,
) -> Verdict {
    let Some((attempt, tries)) = open(&draft, id) else {
        return ignore("a report about another attempt");
    };
    let (now, policy) = (draft.now, &draft.policy.submit);
    let outcome = AttemptOutcome::NotSent { reason: reason.to_owned() };
    draft.life.close(attempt.clone(), outcome, now);
    // A gate of our own that closed, or a route already known to be down, is waiting and no failure.
    let spends = unreachable && stops_in_row == 0;
    let tries = tries + u32::from(spends);
    if tries >= policy.tries_max && spends {
        let cause = Cause {
            code: "submit-not-sent".to_owned(),
            class: Class::Server,
            message: reason.to_owned(),
            task_existed: false,
        };
        return draft.finish(End::Failed { cause }, None, None, "could not be sent, unpaid");
    }
    // Waiting costs no try, so it must grow by itself: a gate that always closes, say because the
    // body takes longer to upload than the deadline allows, is tried ever more rarely.
    let unsent = |a: &&crate::Attempt| matches!(a.outcome, AttemptOutcome::NotSent { .. });
    let in_row = draft.life.attempts.iter().rev().take_while(unsent).count();
    let turn = u32::try_from(in_row).unwrap_or(u32::MAX).saturating_sub(1);
    let pause = retry::backoff(policy.retry_first, policy.retry_max, turn);
    let due = draft.now + pause;
    let draft = if unreachable {
        let until =
            draft.now + retry::stop_pause(Stop::Backoff, stops_in_row, &draft.policy.submit);
        let code = "unreachable".to_owned();
        stop(draft, attempt, until, Class::Server, code, stops_in_row)
    } else {
        draft
    };
    draft.requeue(tries, due, format!("attempt {} sent nothing: {reason}", attempt.number))
}

/// A definite no.
pub(super) fn refused(mut draft: Draft<'_>, id: &AttemptId, refusal: &Refusal) -> Verdict {
    let Some((attempt, tries)) = open(&draft, id) else {
        return ignore("a report about another attempt");
    };
    let rule = match retry::after_refusal(refusal.class) {
        AfterRefusal::Doubt if mutant::on(Mutant::AmbiguousIsDefinite) => {
            AfterRefusal::StopAccount(Stop::Backoff)
        }
        rule => rule,
    };
    if rule == AfterRefusal::Doubt {
        let cause =
            DoubtCause { kind: refusal.code.clone(), detail: "not a definite refusal".into() };
        return unclear(draft, id, &cause);
    }
    let (now, submit) = (draft.now, &draft.policy.submit);
    let outcome = AttemptOutcome::Refused { code: refusal.code.clone() };
    draft.life.close(attempt.clone(), outcome, now);
    match rule {
        AfterRefusal::Fail | AfterRefusal::Doubt => {
            let cause = Cause {
                code: refusal.code.clone(),
                class: refusal.class,
                message: refusal.message.clone(),
                task_existed: false,
            };
            let what = format!("refused: {}", refusal.code);
            // The account itself answered well: a row of stops ends, as after a success.
            let (account, class) = (attempt.facts.account.clone(), attempt.facts.class);
            let draft = draft.with(Effect::ClearStop { account, class });
            draft.finish(End::Failed { cause }, None, None, what)
        }
        AfterRefusal::StopAccount(kind) => {
            let pause = retry::stop_pause(kind, refusal.stops_in_row, submit);
            let asked = refusal.not_before.unwrap_or(draft.now).min(draft.now + STOP_MAX);
            let until = (draft.now + pause).max(asked);
            let stopped = stop(
                draft,
                attempt,
                until,
                refusal.class,
                refusal.code.clone(),
                refusal.stops_in_row,
            );
            // Another account of the pool may be free sooner: do not sleep through all of it.
            let due = until.min(stopped.now + submit.retry_max);
            stopped.requeue(tries, due, format!("account waits: {}", refusal.code))
        }
    }
}

fn stop<'a>(
    draft: Draft<'a>,
    attempt: &OpenAttempt,
    until: Timestamp,
    class: Class,
    code: String,
    stops_in_row: u32,
) -> Draft<'a> {
    let account = attempt.facts.account.clone();
    let in_row = stops_in_row.saturating_add(1);
    let only = retry::stops_one_class(class).then_some(attempt.facts.class);
    let draft = draft.with(Effect::StopAccount { account, only, until, class, code, in_row });
    match class {
        Class::Auth | Class::Account => draft.page(Alarm::AccountStopped),
        Class::Input
        | Class::Content
        | Class::Output
        | Class::Rate
        | Class::Capacity
        | Class::Pause
        | Class::Server
        | Class::Ambiguous
        | Class::State => draft,
    }
}

/// Silence may have bought a task. Only a look-up or a person settles it; never a re-send.
pub(super) fn unclear(draft: Draft<'_>, id: &AttemptId, cause: &DoubtCause) -> Verdict {
    match draft.state() {
        State::Submitting { attempt, .. }
            if attempt.id == *id && mutant::on(Mutant::TimeOutMeansNotSent) =>
        {
            not_sent(draft, id, &cause.kind, false, 0)
        }
        State::Submitting { attempt, tries } if attempt.id == *id => {
            doubt(draft, attempt, *tries, cause.clone())
        }
        State::Submitting { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("no longer submitting this attempt"),
    }
}

/// The second fence holds an attempt that the record does not know. Nothing is sent until it is
/// settled what that one bought.
pub(super) fn forgotten(
    mut draft: Draft<'_>,
    attempt: &OpenAttempt,
    instead_of: Option<&AttemptId>,
) -> Verdict {
    if draft.job.life.attempt(&attempt.id).is_some() {
        return ignore("this attempt is known");
    }
    let now = draft.now;
    let tries = match (draft.state(), instead_of) {
        (State::Queued { tries }, None) => *tries,
        (State::Held { .. }, None) => 0,
        (State::Submitting { attempt: own, tries }, Some(unsent)) if own.id == *unsent => {
            let reason = format!("met {} of a life that Redis has lost", attempt.id);
            draft.life.close(own.clone(), AttemptOutcome::NotSent { reason }, now);
            *tries
        }
        (State::InDoubt { attempt: own, tries, .. }, None) if own.is_answered_for_by(attempt) => {
            draft.life.close(own.clone(), AttemptOutcome::Absent, now);
            *tries
        }
        (State::Parked { attempt: own, .. }, None) if own.is_answered_for_by(attempt) => {
            draft.life.close(own.clone(), AttemptOutcome::Absent, now);
            0
        }
        // An open question of its own is settled first; whatever then wants to send meets the
        // intent again.
        (
            State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. }
            | State::Finished { .. },
            _,
        ) => return ignore("nothing is about to be sent"),
    };
    draft.life.attempts_begun = draft.life.attempts_begun.max(attempt.number);
    doubt(draft, attempt, tries, intent::forgotten(&attempt.id))
}

/// The ticket of a submitting job was handed out again: whoever held it is gone or late.
pub(super) fn lease_passed(draft: Draft<'_>) -> Verdict {
    match draft.state() {
        State::Submitting { attempt, .. } if mutant::on(Mutant::LeasePassedRequeues) => {
            not_sent(draft, &attempt.id, "lease-passed", false, 0)
        }
        State::Submitting { attempt, tries } => {
            let cause = DoubtCause {
                kind: "lease-passed".to_owned(),
                detail: "the submitter did not report".to_owned(),
            };
            doubt(draft, attempt, *tries, cause)
        }
        State::Held { .. }
        | State::Queued { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("not submitting"),
    }
}

fn doubt(draft: Draft<'_>, attempt: &OpenAttempt, tries: u32, cause: DoubtCause) -> Verdict {
    let (since, due) = (draft.now, draft.now + draft.policy.settle.look_first);
    let what = format!("attempt {} unclear: {}", attempt.number, cause.kind);
    let attempt = attempt.clone();
    let state = State::InDoubt { attempt, cause, since, looks: Looks::default(), tries };
    let ticket = Ticket::Due(Step::Settle, due);
    draft.go(
        state,
        if mutant::on(Mutant::DoubtWithoutTicket) { Ticket::Gone } else { ticket },
        what,
    )
}

/// A task is known to have come of `id`: by the provider's answer, or found later (`via`).
///
/// The only door by which a task enters. One that finds the door shut is written down as a stray,
/// because it may have been paid for.
pub(super) fn accepted(
    mut draft: Draft<'_>,
    id: &AttemptId,
    task: &TaskId,
    via: Option<FoundVia>,
    said: Option<&str>,
) -> Result<Verdict, Contradiction> {
    // A stray is taken in rather than another task bought.
    let waits = matches!(draft.state(), State::Held { .. } | State::Queued { .. });
    let stray = waits && draft.job.life.strays.contains(task);
    if !stray && draft.job.life.tasks().any(|t| t == task) {
        return Ok(ignore("this task is known"));
    }
    let Some(bought_by) = draft.job.life.attempt(id).cloned() else {
        return Err(Contradiction::UnknownAttempt {
            job: draft.job.id.clone(),
            state: draft.state().word(),
            attempt: id.clone(),
            task: task.clone(),
        });
    };
    let takes = match draft.state() {
        State::Submitting { attempt, .. }
        | State::InDoubt { attempt, .. }
        | State::Parked { attempt, .. } => attempt.id == *id,
        // Late proof for a closed attempt: buying again is what must not happen now.
        State::Held { .. } | State::Queued { .. } => true,
        State::Generating { .. } | State::Overdue { .. } | State::Downloading { .. } => false,
        State::Finished { end, task: owned, .. } => match end {
            End::GivenUp { .. } | End::TimedOut => owned.is_none(),
            End::Stored { .. }
            | End::Failed { .. }
            | End::Expired { .. }
            | End::Cancelled { .. }
            | End::Rejected { .. }
            | End::NotUseful
            | End::OutputLost { .. } => false,
        },
    };
    if !takes {
        draft.life.add_stray(task.clone());
        let what = format!("stray task {task} of attempt {}", bought_by.number);
        return Ok(draft.page(Alarm::StrayTask).stay(Ticket::Kept, Some(&what)));
    }
    draft.life.strays.retain(|known| known != task);
    Ok(generate(draft, bought_by, task, via, said))
}

fn generate(
    mut draft: Draft<'_>,
    bought_by: OpenAttempt,
    task: &TaskId,
    via: Option<FoundVia>,
    said: Option<&str>,
) -> Verdict {
    let now = draft.now;
    let (account, class) = (bought_by.facts.account.clone(), bought_by.facts.class);
    let outcome = AttemptOutcome::Accepted { task: task.clone() };
    if draft.state().open_attempt().is_some() {
        draft.life.close(bought_by.clone(), outcome, now);
    }
    let what = match via {
        None => format!("accepted as {task}"),
        Some(FoundVia::Callback) => format!("adopted {task}, named by its callback"),
        Some(FoundVia::List) => format!("adopted {task}, found in the list"),
        Some(FoundVia::Operator) => {
            format!("adopted {task}, {}", said.unwrap_or("by an operator"))
        }
    };
    let first = if via.is_some() || draft.job.life.cancel.is_some() {
        // Adopted late, or somebody wants to stop it: look at once.
        Duration::ZERO
    } else {
        draft.policy.poll.first
    };
    let due = draft.in_jittered(first, 0);
    let task = TaskRef {
        id: task.clone(),
        attempt: bought_by.id.clone(),
        known_at: now,
        expires_at: bought_by.begun_at + Duration::from_secs(u64::from(bought_by.nonce_s)),
        facts: bought_by.facts,
    };
    let give_up_at = now + draft.policy.poll.deadline;
    let seen = String::new();
    let state = State::Generating { task, seen, checks: 0, troubles: 0, odd: 0, give_up_at };
    draft.with(Effect::ClearStop { account, class }).go(state, Ticket::Due(Step::Poll, due), what)
}
