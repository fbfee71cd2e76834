//! From an event to a commit: load, decide, write, and decide again when somebody was faster.

use crate::commit::{CommitRequest, Committed, Writer};
use crate::decide::{self, Deciding};
use crate::lease::Released;
use crate::operations::Only;
use crate::queue::{Claim, Queue};
use crate::{ReportError, Store, StoreError, Stored, facts};
use job::{Contradiction, Event, JobId, Life, Policy, TaskId, Ticket, Timestamp, Verdict};
use std::time::Duration;

/// Decisions on one event. More rivals than this for one job are a fault, not traffic.
pub(crate) const DECIDE_MAX: usize = 16;

/// Pause for a ticket that comes back although its holder's news was no news: long enough that a
/// worker that always reports late does not spin.
const LATE_NEWS_PAUSE: Duration = Duration::from_secs(5);

/// What became of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Reported {
    /// The machine moved, and so did the record.
    Written {
        /// The record from here on; as it was, where only the ticket has moved.
        stored: Box<Stored>,
        /// What was decided; its alarms are in the audit list and the caller's to page.
        verdict: Box<Verdict>,
    },
    /// Late or repeated news. A worker's ticket was handed back or dropped.
    Ignored {
        /// Why, for the log.
        why: &'static str,
        /// The record as it is.
        stored: Box<Stored>,
    },
    /// The worker's lease ran out and the ticket moved on: drop the work.
    Fenced,
    /// No such job.
    Gone,
    /// The task belongs to another job; nothing was written: page.
    Owned {
        /// Which task.
        task: TaskId,
        /// Whose it is.
        by: JobId,
    },
}

/// What is asked about an event, and under which conditions.
#[derive(Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) event: &'a Event,
    pub(crate) policy: &'a Policy,
    /// A person whose decision is written down with what it does.
    pub(crate) deciding: Option<&'a Deciding<'a>>,
    /// What must stand for it to be written.
    pub(crate) only: Option<&'a Only>,
}

impl Question<'_> {
    fn verdict(&self, before: &Stored) -> Result<Verdict, Contradiction> {
        if self.deciding.is_some_and(|deciding| !deciding.stands(before)) {
            return Ok(Verdict::Ignore { why: decide::CHANGED });
        }
        job::transition(&before.record, self.event, before.now, self.policy)
    }

    /// When the same step is due again, of a verdict that changes nothing but that: a look at a task that is still
    /// at work. Whoever changed the record since it was read has taken the ticket along, or asked for it, or left
    /// when it is due alone; so its revision need not be checked.
    fn unmoved<'w>(
        &self,
        before: &Stored,
        verdict: &Verdict,
        writer: Writer<'w>,
    ) -> Option<(&'w Claim, Timestamp)> {
        let Writer::Worker(claim) = writer else { return None };
        // A ticket of a submit queue lies in a lane, where whose turn it is counts as well.
        if claim.queue.class().is_some() {
            return None;
        }
        let Verdict::Write { life, ticket: Ticket::Due(step, at), effects, note: None } = verdict
        else {
            return None;
        };
        let same = **life == before.record.life && before.record.life.state.step() == Some(*step);
        let alone = effects.is_empty() && self.deciding.is_none() && self.only.is_none();
        (same && alone).then_some((claim, *at))
    }
}

/// Only the guard of a new attempt is answered so.
fn unguarded(committed: &Committed) -> StoreError {
    StoreError::Bug(format!("a commit without a guard answered {committed:?}"))
}

/// What an event was part of has ended before it.
fn closed(before: Stored) -> Reported {
    Reported::Ignored { why: "what it belonged to has ended", stored: Box::new(before) }
}

/// The record as a commit has left it.
fn written(before: Stored, life: &Life, revision: u64, now: Timestamp) -> Stored {
    let mut stored = before;
    stored.record.life = life.clone();
    stored.revision = revision;
    stored.now = now;
    stored
}

impl Store {
    /// Tells the machine what was learned about a job and writes its verdict.
    ///
    /// A report about an attempt outlives the reporter's lease: the attempt's id is the stronger
    /// fence, and a bought task must be written down whoever holds the ticket by now.
    ///
    /// Safe to repeat: the machine ignores what it heard before.
    ///
    /// # Errors
    ///
    /// [`ReportError::Contradiction`]: page, nothing was written, a worker's ticket is still its own.
    /// [`ReportError::Store`]: as every call.
    pub async fn report(
        &self,
        id: &JobId,
        writer: Writer<'_>,
        event: &Event,
        policy: &Policy,
    ) -> Result<Reported, ReportError> {
        let question = Question { event, policy, deciding: None, only: None };
        self.report_as(id, writer, None, question).await
    }

    /// As [`Store::report`], by the holder of a ticket, about the record as it was claimed or as Begin left it:
    /// who has not seen a later commit is refused by its revision, and only then is the record read.
    ///
    /// Read at once all the same, with the server's clock, before a decision that this clock or the queue's
    /// silence makes: that a task is proven absent, that a submitter is gone, that it is too late to buy.
    ///
    /// # Errors
    ///
    /// As [`Store::report`].
    pub async fn report_seen(
        &self,
        seen: Stored,
        claim: &Claim,
        event: &Event,
        policy: &Policy,
    ) -> Result<Reported, ReportError> {
        let seen = Some(seen).filter(|_| !wants_fresh_truth(event));
        let question = Question { event, policy, deciding: None, only: None };
        self.report_as(&claim.id, Writer::Worker(claim), seen, question).await
    }

    /// As [`Store::report`], written and counted as part of an operation, and only while it is open: one that
    /// has ended, or was undone by the next, changes nothing any more.
    ///
    /// # Errors
    ///
    /// As [`Store::report`].
    pub async fn report_while_open(
        &self,
        id: &JobId,
        event: &Event,
        policy: &Policy,
        operation: &str,
    ) -> Result<Reported, ReportError> {
        let (key, counts) = (self.keys().operation(operation), Some("changed"));
        let only = Only { key, field: "open", counts };
        let question = Question { event, policy, deciding: None, only: Some(&only) };
        self.report_as(id, Writer::Outside, None, question).await
    }

    /// The first decision is made on `seen`, where that is something new and the server's clock is known.
    pub(crate) async fn report_as(
        &self,
        id: &JobId,
        mut writer: Writer<'_>,
        seen: Option<Stored>,
        question: Question<'_>,
    ) -> Result<Reported, ReportError> {
        let Question { event, deciding, only, .. } = question;
        let token = ulid::Ulid::generate().to_string();
        let mut seen = seen.and_then(|seen| self.decided(seen, question));
        for _ in 0..DECIDE_MAX {
            let decided = match seen.take() {
                Some(decided) => Some(decided),
                None => self.decided_anew(id, question).await?,
            };
            let Some((before, verdict)) = decided else {
                self.drop_ticket(writer).await?;
                return Ok(Reported::Gone);
            };
            let Verdict::Write { life, ticket, effects, note } = &verdict else {
                return Ok(self.ignored(verdict, before, writer).await?);
            };
            if before.archived {
                self.recall(id).await?;
                continue;
            }
            if let Some((claim, at)) = question.unmoved(&before, &verdict, writer) {
                return Ok(self.only_put_off(claim, at, before, verdict).await?);
            }
            let decision = deciding.map(|deciding| deciding.line(&before, life)).transpose()?;
            let committed = self
                .commit(&CommitRequest {
                    before: &before,
                    life,
                    ticket: *ticket,
                    effects,
                    note: note.as_ref(),
                    writer,
                    token: &token,
                    guard: None,
                    decision: decision.as_deref(),
                    only,
                })
                .await?;
            match committed {
                Committed::Ok { revision, now, .. } | Committed::Already { revision, now, .. } => {
                    let stored = written(before, life, revision, now);
                    return Ok(self.put_down(*ticket, stored, verdict, writer).await?);
                }
                // It was there when it was read: it has left Redis, and comes back where this is news.
                Committed::Stale { .. } | Committed::Gone => {}
                Committed::Closed => return Ok(closed(before)),
                Committed::Fenced if speaks_of_an_attempt(event) => writer = Writer::Outside,
                Committed::Fenced => return Ok(Reported::Fenced),
                Committed::Owned { task, by } => return Ok(Reported::Owned { task, by }),
                Committed::Stopped { .. }
                | Committed::Frozen { .. }
                | Committed::Hinted
                | Committed::Paused
                | Committed::NoSlot
                | Committed::Capped
                | Committed::OverBudget { .. }
                | Committed::HeldOff { .. }
                | Committed::NonceTaken
                | Committed::Wait { .. } => return Err(unguarded(&committed).into()),
            }
        }
        let cause = format!("{id} changed {DECIDE_MAX} times while one event was decided");
        Err(StoreError::Refused { cause }.into())
    }

    /// The record as it stands, and the verdict on it; nothing where there is no such job.
    async fn decided_anew(
        &self,
        id: &JobId,
        question: Question<'_>,
    ) -> Result<Option<(Stored, Verdict)>, ReportError> {
        let Some(before) = self.load(id).await? else { return Ok(None) };
        let verdict = question.verdict(&before)?;
        Ok(Some((before, verdict)))
    }

    /// The verdict on a record that was read before. Only one that the commit will check against the record is
    /// good: that there is no news, or a contradiction, must be seen in the record itself.
    fn decided(&self, mut before: Stored, question: Question<'_>) -> Option<(Stored, Verdict)> {
        before.now = self.inner.clock.now()?;
        let verdict = question.verdict(&before).ok()?;
        matches!(verdict, Verdict::Write { .. }).then_some((before, verdict))
    }

    async fn only_put_off(
        &self,
        claim: &Claim,
        at: Timestamp,
        stored: Stored,
        verdict: Verdict,
    ) -> Result<Reported, StoreError> {
        Ok(match self.put_off(claim, at).await? {
            Released::Done => {
                Reported::Written { stored: Box::new(stored), verdict: Box::new(verdict) }
            }
            Released::Fenced => Reported::Fenced,
        })
    }

    async fn put_down(
        &self,
        ticket: Ticket,
        stored: Stored,
        verdict: Verdict,
        writer: Writer<'_>,
    ) -> Result<Reported, StoreError> {
        if ticket == Ticket::Kept {
            self.settle_ticket(writer, &stored).await?;
        }
        Ok(Reported::Written { stored: Box::new(stored), verdict: Box::new(verdict) })
    }

    async fn ignored(
        &self,
        verdict: Verdict,
        stored: Stored,
        writer: Writer<'_>,
    ) -> Result<Reported, StoreError> {
        let why = match verdict {
            Verdict::Ignore { why } => why,
            Verdict::Write { .. } => "written",
        };
        self.settle_ticket(writer, &stored).await?;
        Ok(Reported::Ignored { why, stored: Box::new(stored) })
    }

    /// A worker that wrote no new ticket gives its own back if the job still needs its step, and
    /// drops it otherwise.
    async fn settle_ticket(&self, writer: Writer<'_>, stored: &Stored) -> Result<(), StoreError> {
        let Writer::Worker(claim) = writer else { return Ok(()) };
        match facts::queue_of(&stored.record) {
            Some(queue) if queue == claim.queue => {
                self.hand_back(claim, &stored.record, late_pause(claim)).await?;
            }
            None if claim.queue == Queue::Settle => {
                self.drop_unless_asked(claim, &stored.record).await?;
            }
            Some(_) | None => drop(self.drop_claim(claim).await?),
        }
        Ok(())
    }

    async fn drop_ticket(&self, writer: Writer<'_>) -> Result<(), StoreError> {
        match writer {
            Writer::Worker(claim) => self.drop_claim(claim).await.map(drop),
            Writer::Outside => Ok(()),
        }
    }
}

/// A queued job whose old submitter reported late has lost nothing: it may be sent at once.
const fn late_pause(claim: &Claim) -> Duration {
    match claim.queue {
        Queue::Submit(_) => Duration::ZERO,
        Queue::Settle | Queue::Poll | Queue::Download | Queue::Notify => LATE_NEWS_PAUSE,
    }
}

/// Events by which another create is allowed, or a paid task given up, for what time it is or for what nobody said.
/// A record that is some seconds old would be refused by its revision, and a clock would only be late; here neither is
/// relied upon.
///
/// Named, so that a new event does not compile until someone decides.
const fn wants_fresh_truth(event: &Event) -> bool {
    match event {
        Event::Looked { .. }
        | Event::SubmitLeasePassed
        | Event::UsefulnessPassed
        | Event::IntentForgotten { .. }
        | Event::SubmitBegan { .. }
        | Event::ResendOrdered { .. }
        | Event::TaskMissing { .. } => true,
        Event::AttemptNotSent { .. }
        | Event::AttemptRefused { .. }
        | Event::AttemptAccepted { .. }
        | Event::AttemptUnclear { .. }
        | Event::TaskFound { .. }
        | Event::Approved { .. }
        | Event::ReviewRejected { .. }
        | Event::PauseAsked { .. }
        | Event::ResumeAsked { .. }
        | Event::BudgetReached { .. }
        | Event::BudgetFreed
        | Event::TaskSeen { .. }
        | Event::PollTroubled { .. }
        | Event::OutputStored { .. }
        | Event::DownloadTroubled { .. }
        | Event::BucketTroubled { .. }
        | Event::LinkDied { .. }
        | Event::PayloadFiled
        | Event::FilingTroubled
        | Event::CancelAsked { .. }
        | Event::CancelDone { .. }
        | Event::CancelTooLate { .. }
        | Event::GaveUp { .. }
        | Event::Dismissed { .. }
        | Event::EraseAsked { .. }
        | Event::StepLeft
        | Event::StepBroke { .. } => false,
    }
}

/// Named, so that a new event does not compile until someone decides whether it outlives a lease.
const fn speaks_of_an_attempt(event: &Event) -> bool {
    match event {
        Event::AttemptNotSent { .. }
        | Event::AttemptRefused { .. }
        | Event::AttemptAccepted { .. }
        | Event::AttemptUnclear { .. }
        | Event::TaskFound { .. }
        | Event::IntentForgotten { .. } => true,
        Event::Approved { .. }
        | Event::ReviewRejected { .. }
        | Event::PauseAsked { .. }
        | Event::ResumeAsked { .. }
        | Event::BudgetReached { .. }
        | Event::BudgetFreed
        | Event::SubmitBegan { .. }
        | Event::UsefulnessPassed
        | Event::SubmitLeasePassed
        | Event::Looked { .. }
        | Event::TaskSeen { .. }
        | Event::PollTroubled { .. }
        | Event::TaskMissing { .. }
        | Event::OutputStored { .. }
        | Event::DownloadTroubled { .. }
        | Event::BucketTroubled { .. }
        | Event::LinkDied { .. }
        | Event::PayloadFiled
        | Event::FilingTroubled
        | Event::CancelAsked { .. }
        | Event::CancelDone { .. }
        | Event::CancelTooLate { .. }
        | Event::ResendOrdered { .. }
        | Event::GaveUp { .. }
        | Event::Dismissed { .. }
        | Event::EraseAsked { .. }
        | Event::StepLeft
        | Event::StepBroke { .. } => false,
    }
}
