//! What callers and operators ask for, and what a broken step leaves behind.

use super::draft::{Draft, ignore};
use super::submit;
use crate::attempt::AttemptOutcome;
use crate::cap::SpendCap;
use crate::event::{By, DoubtCause};
use crate::record::CancelAsk;
use crate::state::{End, Filing, HeldWhy, State, Step};
use crate::{TaskId, Ticket, Verdict, retry, settle};

pub(super) fn approved(draft: Draft<'_>, by: &By) -> Verdict {
    let tries = match draft.state() {
        State::Held { why: HeldWhy::Review } => 0,
        // It meets its cap again where that still stands.
        State::Held { why: HeldWhy::Budget { tries, .. } } => *tries,
        State::Held { why: HeldWhy::Paused { .. } }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => return ignore("not held for a decision"),
    };
    let now = draft.now;
    draft.requeue(tries, now, format!("approved by {}", by.as_str()))
}

pub(super) fn review_rejected(draft: Draft<'_>, by: &By, reason: &str) -> Verdict {
    let State::Held { why: HeldWhy::Review | HeldWhy::Budget { .. } } = draft.state() else {
        return ignore("not held for a decision");
    };
    let what = format!("rejected by {}: {reason}", by.as_str());
    draft.finish(End::Rejected { by: by.clone(), reason: reason.to_owned() }, None, None, what)
}

/// Only what waits in the queue is paused: everything else has been paid for, or waits for something else.
pub(super) fn pause_asked(draft: Draft<'_>, by: &By, reason: &str) -> Verdict {
    let State::Queued { tries } = draft.state() else {
        return ignore("not queued");
    };
    let what = format!("paused by {}: {reason}", by.as_str());
    draft.go(State::Held { why: HeldWhy::Paused { tries: *tries } }, Ticket::Gone, what)
}

/// Back to where it stood: with the tries it had, and due since it was taken in, so that it waits behind
/// nobody who came later.
pub(super) fn resume_asked(draft: Draft<'_>, by: &By) -> Verdict {
    let State::Held { why: HeldWhy::Paused { tries } } = draft.state() else {
        return ignore("not paused");
    };
    let due = draft.job.created_at;
    draft.requeue(*tries, due, format!("resumed by {}", by.as_str()))
}

/// Nothing is bought over a cap, and nothing fails for it: the job waits until there is room.
pub(super) fn budget_reached(draft: Draft<'_>, cap: SpendCap) -> Verdict {
    let State::Queued { tries } = draft.state() else {
        return ignore("not queued");
    };
    let why = HeldWhy::Budget { tries: *tries, cap };
    draft.go(State::Held { why }, Ticket::Gone, format!("waits for budget: {cap}"))
}

/// As [`resume_asked`]: the oldest stands in front again.
pub(super) fn budget_freed(draft: Draft<'_>) -> Verdict {
    let State::Held { why: HeldWhy::Budget { tries, .. } } = draft.state() else {
        return ignore("not held for a cap");
    };
    let due = draft.job.created_at;
    draft.requeue(*tries, due, "the budget has room again")
}

/// Unpaid jobs stop at once. A job with a task only notes the wish: the poller deletes the task if
/// a read still says `queued`, because DELETE on a finished task would destroy what was paid for.
pub(super) fn cancel_asked(mut draft: Draft<'_>, by: &By) -> Verdict {
    let ticket = match draft.state() {
        State::Held { .. } | State::Queued { .. } => {
            let what = format!("cancelled by {}, unpaid", by.as_str());
            return draft.finish(End::Cancelled { by: by.clone() }, None, None, what);
        }
        State::Submitting { .. } | State::InDoubt { .. } | State::Parked { .. } => Ticket::Kept,
        State::Generating { .. } => Ticket::Due(Step::Poll, draft.now),
        State::Overdue { .. } | State::Downloading { .. } | State::Finished { .. } => {
            return ignore("too late to cancel");
        }
    };
    if draft.job.life.cancel.is_some() {
        return ignore("already asked");
    }
    draft.life.cancel = Some(CancelAsk { by: by.clone(), at: draft.now });
    draft.stay(ticket, Some(&format!("cancel asked by {}", by.as_str())))
}

pub(super) fn cancel_done(draft: Draft<'_>, id: &TaskId) -> Verdict {
    match draft.state() {
        State::Generating { task, .. } if task.id == *id => {
            let asked = draft.job.life.cancel.as_ref();
            let by = asked.map_or_else(|| By::named("provider"), |ask| ask.by.clone());
            let task = Some(task.clone());
            draft.finish(End::Cancelled { by }, task, None, "cancelled at the provider, unpaid")
        }
        State::Generating { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("this task is no longer watched"),
    }
}

pub(super) fn cancel_too_late(mut draft: Draft<'_>, id: &TaskId) -> Verdict {
    match draft.state() {
        State::Generating { task, checks, .. }
            if task.id == *id && draft.job.life.cancel.is_some() =>
        {
            let poll = &draft.policy.poll;
            let due = draft.in_jittered(retry::cadence(poll.first, poll.steady, *checks), *checks);
            draft.life.cancel = None;
            draft.stay(Ticket::Due(Step::Poll, due), Some("too late to cancel"))
        }
        State::Generating { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("no cancel is open"),
    }
}

/// The one door by which a second create can follow an attempt that was never proven harmless: a
/// person has seen the evidence and takes the risk.
pub(super) fn resend_ordered(mut draft: Draft<'_>, by: &By, reason: &str) -> Verdict {
    let State::Parked { attempt, .. } = draft.state() else {
        return ignore("not parked");
    };
    // A job with several fitting tasks is parked early; see `gave_up`.
    if draft.now < settle::quiet_horizon(attempt, draft.policy) {
        return ignore("a task of it may still appear: not before the quiet horizon");
    }
    let outcome =
        AttemptOutcome::Abandoned { by: by.as_str().to_owned(), reason: reason.to_owned() };
    let now = draft.now;
    draft.life.close(attempt.clone(), outcome, now);
    draft.requeue(0, now, format!("sent again by {}: {reason}", by.as_str()))
}

pub(super) fn gave_up(mut draft: Draft<'_>, by: &By, reason: &str) -> Verdict {
    let (State::Parked { attempt, .. } | State::InDoubt { attempt, .. }) = draft.state() else {
        return ignore("not in doubt");
    };
    // Closing the attempt frees its mark and its slot. Until the horizon its task may still appear,
    // and another job in doubt that drew the mark again would take it for its own.
    if draft.now < settle::quiet_horizon(attempt, draft.policy) {
        return ignore("a task of it may still appear: not before the quiet horizon");
    }
    let outcome =
        AttemptOutcome::Abandoned { by: by.as_str().to_owned(), reason: reason.to_owned() };
    let now = draft.now;
    draft.life.close(attempt.clone(), outcome, now);
    let what = format!("given up by {}: {reason}", by.as_str());
    draft.finish(End::GivenUp { by: by.clone(), reason: reason.to_owned() }, None, None, what)
}

/// A mark on a failure, and nothing of its truth: it stands as it ended, and may be made again.
pub(super) fn dismissed(mut draft: Draft<'_>, by: &By, reason: &str) -> Verdict {
    if draft.state().failure_code().is_none() {
        return ignore("not failed");
    }
    if draft.job.life.dismissed {
        return ignore("dismissed already");
    }
    draft.life.dismissed = true;
    let what = format!("dismissed by {}: {reason}", by.as_str());
    draft.stay(Ticket::Kept, Some(&what))
}

/// A panic, or a fault of our own making. What it leaves depends on what may have been bought.
pub(super) fn step_broke(draft: Draft<'_>, step: Step, reason: &str) -> Verdict {
    if draft.state().step() != Some(step) {
        return ignore("the job has left this step");
    }
    let what = format!("step {} broke: {reason}", step.word());
    let policy = draft.policy;
    let pause = match draft.state() {
        State::Submitting { attempt, .. } => {
            let id = attempt.id.clone();
            let cause = DoubtCause { kind: "step-broke".to_owned(), detail: reason.to_owned() };
            return submit::unclear(draft, &id, &cause);
        }
        State::Queued { .. } => policy.submit.retry_max,
        State::InDoubt { .. } => policy.settle.look_max,
        State::Parked { .. } => policy.settle.parked_look,
        State::Generating { .. } => policy.poll.max,
        State::Overdue { .. } => policy.poll.overdue_look,
        State::Downloading { .. } | State::Finished { filing: Filing::Pending, .. } => {
            policy.download.retry_max
        }
        State::Held { .. } | State::Finished { .. } => return ignore("nothing is due"),
    };
    let due = draft.in_jittered(pause, 0);
    draft.stay(Ticket::Due(step, due), Some(&what))
}
