//! The life of a job, as one pure function.
//!
//! The files below it follow a job's way: `submit` (begin, answers, doubt), `lookup` (settle),
//! `watch` (poll), `fetch` (download) `people` (operators, callers) and
//! `erase` (what must go). `tests` tries every state
//! against every event and holds four promises: at most one task per job may bill; a job that still
//! has somewhere to go has a ticket; a finished job never moves, save on proof of a paid task; and
//! hearing an event twice leaves what hearing it once leaves.

mod draft;
mod erase;
mod fetch;
#[cfg(test)]
mod histories;
mod lookup;
#[cfg(test)]
mod outputs;
mod people;
#[cfg(test)]
mod records_end;
mod submit;
#[cfg(test)]
mod tests;
mod watch;

use crate::{Contradiction, Event, Policy, Record, Timestamp, Verdict};
use draft::Draft;

/// Decides what `event` means for `job` at `now`. Late news is [`Verdict::Ignore`]d.
///
/// `now` is the Redis server's clock. The function reads nothing else and changes nothing.
///
/// # Errors
///
/// [`Contradiction`]: no history we allow leads here. The caller pages and writes nothing.
///
/// # Source
///
/// The states and the submit protocol are drawn in `docs/state-machine.md`, the retry rules in
/// `docs/retry-matrix.md`; both pages are printed by this crate.
pub fn transition(
    job: &Record,
    event: &Event,
    now: Timestamp,
    policy: &Policy,
) -> Result<Verdict, Contradiction> {
    let draft = Draft::new(job, now, policy);
    // Named, not `_`: a new event does not compile until someone decides what it means.
    match event {
        Event::SubmitBegan { attempt } => Ok(submit::began(draft, attempt)),
        Event::UsefulnessPassed => Ok(submit::usefulness_passed(draft)),
        Event::IntentForgotten { attempt, instead_of } => {
            Ok(submit::forgotten(draft, attempt, instead_of.as_ref()))
        }
        Event::AttemptNotSent { attempt, reason, unreachable, stops_in_row } => {
            Ok(submit::not_sent(draft, attempt, reason, *unreachable, *stops_in_row))
        }
        Event::AttemptRefused { attempt, refusal } => Ok(submit::refused(draft, attempt, refusal)),
        Event::AttemptAccepted { attempt, task } => {
            submit::accepted(draft, attempt, task, None, None)
        }
        Event::AttemptUnclear { attempt, cause } => Ok(submit::unclear(draft, attempt, cause)),
        Event::SubmitLeasePassed => Ok(submit::lease_passed(draft)),
        Event::Looked { attempt, look } => Ok(lookup::looked(draft, attempt, look)),
        Event::TaskFound { attempt, task, via, said } => {
            submit::accepted(draft, attempt, task, Some(*via), said.as_deref())
        }
        Event::TaskSeen { task, report } => watch::seen(draft, task, report),
        Event::PollTroubled { task, trouble } => Ok(watch::troubled(draft, task, trouble)),
        Event::TaskMissing { task } => Ok(watch::missing(draft, task)),
        Event::OutputStored { task, output } => Ok(fetch::stored(draft, task, output)),
        Event::DownloadTroubled { task, reason } => Ok(fetch::troubled(draft, task, reason)),
        Event::BucketTroubled { task, reason } => Ok(fetch::bucket_troubled(draft, task, reason)),
        Event::LinkDied { task, fresh, reason } => {
            Ok(fetch::link_died(draft, task, fresh.as_ref(), reason))
        }
        Event::PayloadFiled => Ok(fetch::payload_filed(draft)),
        Event::FilingTroubled => Ok(fetch::filing_troubled(draft)),
        Event::Approved { by } => Ok(people::approved(draft, by)),
        Event::ReviewRejected { by, reason } => Ok(people::review_rejected(draft, by, reason)),
        Event::PauseAsked { by, reason } => Ok(people::pause_asked(draft, by, reason)),
        Event::ResumeAsked { by } => Ok(people::resume_asked(draft, by)),
        Event::BudgetReached { cap } => Ok(people::budget_reached(draft, *cap)),
        Event::BudgetFreed => Ok(people::budget_freed(draft)),
        Event::CancelAsked { by } => Ok(people::cancel_asked(draft, by)),
        Event::CancelDone { task } => Ok(people::cancel_done(draft, task)),
        Event::CancelTooLate { task } => Ok(people::cancel_too_late(draft, task)),
        Event::ResendOrdered { by, reason } => Ok(people::resend_ordered(draft, by, reason)),
        Event::GaveUp { by, reason } => Ok(people::gave_up(draft, by, reason)),
        Event::Dismissed { by, reason } => Ok(people::dismissed(draft, by, reason)),
        Event::EraseAsked { by, erasure } => Ok(erase::asked(draft, by, erasure)),
        Event::StepLeft => Ok(draft::ignore("the job has left this step")),
        Event::StepBroke { step, reason } => Ok(people::step_broke(draft, *step, reason)),
    }
}
