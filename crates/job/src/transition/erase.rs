//! What was asked and made must go, and what identifies a task must not go before the task.

use super::draft::{Draft, ignore};
use crate::erase::Erased;
use crate::event::By;
use crate::record::CancelAsk;
use crate::state::{End, Filing, State, Step};
use crate::{ErasureId, OpenAttempt, Ticket, Verdict, settle};

/// Marks the content as gone, wherever nobody can be writing it just now: a request on the wire, or an
/// output on its way into the bucket, is waited for. A job that has not ended is stopped as far as it
/// can be; its attempts keep their marks, so that a task of theirs is still found, and billed to it.
pub(super) fn asked(mut draft: Draft<'_>, by: &By, erasure: &ErasureId) -> Verdict {
    if draft.job.life.erased.is_some() {
        return ignore("erased already");
    }
    let now = draft.now;
    // Until the horizon the intent of a silent submitter may still be on its way to the fence.
    let unsettled = |attempt: &OpenAttempt| now < settle::quiet_horizon(attempt, draft.policy);
    let (ticket, stops) = match draft.state() {
        State::Submitting { .. } => return ignore("its request is on the way: not yet"),
        State::InDoubt { attempt, .. } | State::Parked { attempt, .. } if unsettled(attempt) => {
            return ignore("a task of it may still appear: not before the quiet horizon");
        }
        State::Downloading { .. } | State::Finished { filing: Filing::Pending, .. } => {
            return ignore("its output is on the way into the bucket: not yet");
        }
        State::Held { .. }
        | State::Queued { .. }
        | State::InDoubt { .. }
        | State::Parked { .. } => (Ticket::Kept, true),
        State::Generating { .. } => (Ticket::Due(Step::Poll, now), true),
        State::Overdue { .. } | State::Finished { filing: Filing::Nothing | Filing::Filed, .. } => {
            (Ticket::Kept, false)
        }
    };
    draft.life.erased = Some(Erased { by: by.clone(), at: now, erasure: erasure.clone() });
    let what = format!("content erased by {}", by.as_str());
    if matches!(draft.state(), State::Held { .. } | State::Queued { .. }) {
        return draft.finish(End::Cancelled { by: by.clone() }, None, None, what);
    }
    if stops {
        draft.life.cancel.get_or_insert_with(|| CancelAsk { by: by.clone(), at: now });
    }
    draft.stay(ticket, Some(&what))
}
