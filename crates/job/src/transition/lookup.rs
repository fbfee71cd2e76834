//! Settle: evidence gathered for an unclear attempt.

use super::draft::{Draft, ignore};
use crate::attempt::{AttemptOutcome, OpenAttempt};
use crate::event::{Look, ResendLeave};
use crate::mutant::{self, Mutant};
use crate::state::{Looks, ParkWhy, State, Step};
use crate::{Alarm, AttemptId, DoubtPolicy, Ticket, Timestamp, Verdict, retry, settle};

/// Whole scans after the quiet horizon that together prove absence; the second guards against a
/// list that shifted under the first.
const EMPTY_SCANS_NEEDED: u32 = 2;

pub(super) fn looked(draft: Draft<'_>, id: &AttemptId, look: &Look) -> Verdict {
    match draft.state() {
        State::InDoubt { attempt, looks, .. } if attempt.id == *id => {
            in_doubt(draft, attempt, *looks, look)
        }
        State::Parked { attempt, looks, .. } if attempt.id == *id => {
            parked(draft, attempt, *looks, look)
        }
        State::InDoubt { .. }
        | State::Parked { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("this attempt is no longer in doubt"),
    }
}

fn in_doubt(mut draft: Draft<'_>, attempt: &OpenAttempt, looks: Looks, look: &Look) -> Verdict {
    let policy = &draft.policy.settle;
    let horizon = settle::quiet_horizon(attempt, draft.policy);
    let mut looks = Looks { count: looks.count + 1, ..looks };
    let pause = retry::backoff(policy.look_first, policy.look_max, looks.count);
    let due = match look {
        Look::Several { tasks } => {
            let why = ParkWhy::SeveralTasks { tasks: tasks.clone() };
            return park(draft, attempt, looks, why);
        }
        Look::Inconclusive if draft.now >= horizon + policy.blind_max => {
            return park(draft, attempt, looks, ParkWhy::ListUnreadable);
        }
        Look::Inconclusive => draft.now + pause,
        // What is older than the provider's records is in no list, bought or not.
        Look::Nothing { scan_began_at, .. }
            if *scan_began_at >= attempt.begun_at + policy.records_kept =>
        {
            return park(draft, attempt, looks, ParkWhy::ListUnreadable);
        }
        Look::Nothing { scan_began_at, .. } => {
            let apart = |last: Timestamp| *scan_began_at >= last + policy.scan_gap;
            if *scan_began_at >= horizon && looks.last_empty_at.is_none_or(apart) {
                looks.empty_after_horizon += 1;
                looks.last_empty_at = Some(*scan_began_at);
            }
            match looks.last_empty_at {
                Some(last) => last + policy.scan_gap,
                None if draft.now >= horizon => draft.now,
                None => horizon.min(draft.now + pause),
            }
        }
    };
    if let Look::Nothing { leave, .. } = look
        && (looks.empty_after_horizon >= EMPTY_SCANS_NEEDED
            || looks.empty_after_horizon == 1 && mutant::on(Mutant::OneScanProves))
    {
        return absent(draft, attempt, looks, *leave);
    }
    if let State::InDoubt { looks: kept, .. } = &mut draft.life.state {
        *kept = looks;
    }
    draft.stay(Ticket::Due(Step::Settle, due), None)
}

/// Nothing of the attempt can arrive any more, and nothing of it was made.
fn absent(
    mut draft: Draft<'_>,
    attempt: &OpenAttempt,
    looks: Looks,
    leave: ResendLeave,
) -> Verdict {
    let resends = mutant::on(Mutant::StrictResends);
    let doubt = if resends { DoubtPolicy::Balanced } else { draft.policy.doubt };
    match (doubt, leave) {
        (DoubtPolicy::Strict, _) => park(draft, attempt, looks, ParkWhy::NoTaskStrict),
        (DoubtPolicy::Balanced, _) if draft.job.life.resends >= draft.policy.settle.resend_max => {
            park(draft, attempt, looks, ParkWhy::ResendSpent)
        }
        (DoubtPolicy::Balanced, ResendLeave::EvidenceMissing) => {
            park(draft, attempt, looks, ParkWhy::EvidenceMissing)
        }
        (DoubtPolicy::Balanced, ResendLeave::DayBudgetSpent) => {
            park(draft, attempt, looks, ParkWhy::DayBudgetSpent)
        }
        (DoubtPolicy::Balanced, ResendLeave::Granted) => {
            let now = draft.now;
            draft.life.close(attempt.clone(), AttemptOutcome::Absent, now);
            draft.life.resends += 1;
            let tries = match draft.state() {
                State::InDoubt { tries, .. } => *tries,
                State::Held { .. }
                | State::Queued { .. }
                | State::Submitting { .. }
                | State::Parked { .. }
                | State::Generating { .. }
                | State::Overdue { .. }
                | State::Downloading { .. }
                | State::Finished { .. } => 0,
            };
            let what = format!("attempt {} proven absent: sent again", attempt.number);
            draft.requeue(tries, now, what)
        }
    }
}

fn park(draft: Draft<'_>, attempt: &OpenAttempt, looks: Looks, why: ParkWhy) -> Verdict {
    let what = match &why {
        ParkWhy::NoTaskStrict => "parked: no task seen, policy strict".to_owned(),
        ParkWhy::ResendSpent => "parked: no task seen, re-sends spent".to_owned(),
        ParkWhy::EvidenceMissing => "parked: no task seen, list not proven".to_owned(),
        ParkWhy::DayBudgetSpent => "parked: no task seen, re-sends of the day spent".to_owned(),
        ParkWhy::ListUnreadable => "parked: the list proves nothing".to_owned(),
        ParkWhy::SeveralTasks { tasks } => format!("parked: {} tasks fit", tasks.len()),
    };
    let (since, due) = (draft.now, draft.now + draft.policy.settle.parked_look);
    let state = State::Parked { attempt: attempt.clone(), why, since, looks };
    draft.page(Alarm::JobParked).go(state, Ticket::Due(Step::Settle, due), what)
}

/// A parked job keeps watching for as long as the provider keeps records.
fn parked(mut draft: Draft<'_>, attempt: &OpenAttempt, looks: Looks, look: &Look) -> Verdict {
    let policy = &draft.policy.settle;
    let due = draft.now + policy.parked_look;
    let ticket = if due <= attempt.begun_at + policy.records_kept {
        Ticket::Due(Step::Settle, due)
    } else {
        Ticket::Gone
    };
    if let State::Parked { looks: kept, why, .. } = &mut draft.life.state {
        *kept = Looks { count: looks.count + 1, ..looks };
        match look {
            Look::Several { tasks } => *why = ParkWhy::SeveralTasks { tasks: tasks.clone() },
            Look::Nothing { .. } | Look::Inconclusive => {}
        }
    }
    draft.stay(ticket, None)
}
