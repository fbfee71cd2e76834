//! The poll step: one authenticated look at one task, and what it means.

use crate::context::{Context, no_permit, trouble};
use crate::line::Rank;
use crate::measure::Echo;
use crate::outlooks::Outlooks;
use crate::report::report;
use crate::sweeps::{Answer, Sweeps};
use job::{Event, Outlook, Policy, PollPolicy, Record, State, TaskRef, TaskReport, rounds};
use limiter::NoPermit;
use provider::{Deleted, Retrieved, Site};
use seedance::{Call, TaskStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Held, Queue};
use telemetry::{Span, SpanName, fields};
use worker::{Outcome, Step, Turn, fault};

/// How long a read that said `queued` allows a DELETE: far less than a generation takes.
const QUEUED_IS_NEWS: Duration = Duration::from_secs(2);

/// Due times are whole milliseconds.
const ROUNDED: Duration = Duration::from_millis(2);

/// Watches the tasks of one pool.
pub(crate) struct PollStep {
    pub(crate) context: Arc<Context>,
    /// Section `download`: life of a link whose signature does not tell.
    pub(crate) link_life: Duration,
    /// Notes whether tasks show our mark.
    pub(crate) echo: Echo,
    /// Looks at many tasks with one page of the list.
    pub(crate) sweeps: Sweeps,
    /// How long tasks take.
    pub(crate) outlooks: Outlooks,
}

#[async_trait::async_trait]
impl Step for PollStep {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, held: &Held, turn: &Turn) -> Outcome {
        let record = &held.stored.record;
        let (State::Generating { task, .. } | State::Overdue { task, .. }) = &record.life.state
        else {
            return Outcome::Report(Event::StepLeft);
        };
        let site = Site::for_reads(&task.facts);
        let outlook = self.outlooks.of(&self.context, record, &site.account).await;
        if let Some(pause) = too_early(record, task, held, turn.policy(), &outlook) {
            return Outcome::hand_back(pause, "no task like this one has ended so soon");
        }
        let rank = match is_asked_for(task, held) {
            true => Rank::AskedFor,
            false => Rank::of(record, task, turn.policy(), &outlook, held.stored.now),
        };
        let seen = tokio::select! {
            seen = self.look(&site, task, held, rank) => seen,
            // A stopping process does not wait for its turn at the list: nothing is lost with a look.
            () = turn.drain(), if !is_urgent(task, held) => {
                return Outcome::hand_back(Duration::ZERO, "stopping");
            }
        };
        let event = match seen {
            Retrieved::Task { task: seen, raw, .. } => {
                self.echo.note(&self.context, record, &seen).await;
                self.outlooks.learn(&self.context, record, task, &seen, held.stored.now).await;
                let cancel = record.life.cancel.is_some() && seen.status == TaskStatus::Queued;
                match cancel {
                    true => self.withdraw(&site, task, held).await,
                    false => {
                        let raw = String::from_utf8_lossy(&raw);
                        let (now, life) = (held.stored.now, self.link_life);
                        // Told of its end and read too early: looked at again as if nothing were known.
                        let outlook =
                            if is_told(task, held) { Outlook::default() } else { outlook };
                        let report = report(&seen, &raw, now, life, outlook);
                        Event::TaskSeen { task: task.id.clone(), report }
                    }
                }
            }
            Retrieved::NotFound => Event::TaskMissing { task: task.id.clone() },
            Retrieved::Trouble(t) => {
                Event::PollTroubled { task: task.id.clone(), trouble: trouble(&t, held.stored.now) }
            }
        };
        fault::point(fault::POLL_READ).await;
        Outcome::Report(event)
    }
}

/// Whether one look at this very task is wanted, and soon: somebody wants it stopped, a callback said that it
/// has ended, the last answers about it were odd, or it is looked at so rarely that nobody is due with it.
fn is_urgent(task: &TaskRef, held: &Held) -> bool {
    let ordinary = matches!(held.stored.record.life.state, State::Generating { odd: 0, .. });
    !ordinary || is_asked_for(task, held)
}

/// Whether somebody waits for this very look.
fn is_asked_for(task: &TaskRef, held: &Held) -> bool {
    held.stored.record.life.cancel.is_some() || is_told(task, held)
}

/// Whether a callback said that this very task has ended.
fn is_told(task: &TaskRef, held: &Held) -> bool {
    held.stored.hint.as_ref() == Some(&task.id)
}

/// How long to wait before the first look at a task that cannot have ended yet. Whoever bought it knew nothing
/// of times; a task that was looked at has its next look from the machine.
fn too_early(
    record: &Record,
    task: &TaskRef,
    held: &Held,
    policy: &Policy,
    outlook: &Outlook,
) -> Option<Duration> {
    let untouched = matches!(
        &record.life.state,
        State::Generating { seen, checks: 0, troubles: 0, odd: 0, .. } if seen.is_empty()
    );
    let PollPolicy { first, jitter_ratio, steady, .. } = &policy.poll;
    // Due sooner than whoever bought it made it: somebody wanted a look, and a callback may have said why.
    let made_due = first.mul_f64(1.0 - jitter_ratio.clamp(0.0, 1.0)).saturating_sub(ROUNDED);
    let asked_for = held.stored.now < task.known_at + made_due;
    if !untouched || asked_for || is_urgent(task, held) {
        return None;
    }
    let since = rounds::since(record, task)?;
    let due = outlook.first_look(&task.facts.account, *steady, since)?;
    let pause = due.since(held.stored.now);
    (!pause.is_zero()).then_some(pause)
}

impl PollStep {
    /// With others by a page of the list where that is cheaper, else by itself.
    async fn look(&self, site: &Site, task: &TaskRef, held: &Held, rank: Rank) -> Retrieved {
        let span = Span::part(SpanName::LookAtTask);
        span.set(fields::TASK_ID, task.id.as_str());
        span.set(fields::ACCOUNT, &site.account);
        let seen = span.within(self.look_at(site, task, held, rank)).await;
        match &seen {
            Retrieved::Task { task, .. } => span.set(fields::OUTCOME, task.status.word()),
            Retrieved::NotFound => span.set(fields::OUTCOME, "not_found"),
            Retrieved::Trouble(trouble) => span.fail(&trouble.code),
        }
        seen
    }

    async fn look_at(&self, site: &Site, task: &TaskRef, held: &Held, rank: Rank) -> Retrieved {
        let model_id = &task.facts.model_id;
        if !is_urgent(task, held)
            && let Answer::Row(read) = self.sweeps.look(site, model_id, &task.id, rank).await
        {
            let (task, raw) = *read;
            return Retrieved::Task { task: Box::new(task), raw: raw.into(), request_id: None };
        }
        self.context.retrieve(site, &task.id, rank).await
    }

    /// Somebody wants the job stopped and the read just said `queued`. Nothing but a queued task is
    /// ever deleted: on a finished one DELETE destroys the record of what was paid for.
    async fn withdraw(&self, site: &Site, task: &TaskRef, held: &Held) -> Event {
        let id = task.id.clone();
        let read_at = Instant::now();
        let permit = self.context.limiter.permit(&site.account, Call::Delete);
        let permit = match tokio::time::timeout(QUEUED_IS_NEWS, permit).await {
            Ok(Ok(permit)) if read_at.elapsed() <= QUEUED_IS_NEWS => permit,
            Ok(Err(why @ NoPermit::Unconfigured { .. })) => {
                let trouble = trouble(&no_permit(&why), held.stored.now);
                return Event::PollTroubled { task: id, trouble };
            }
            // Redis was away, this process stood still, or deletes are held: by now the task may have
            // succeeded. The wish stays, the next turn reads again.
            Ok(Ok(_) | Err(NoPermit::Held { .. })) | Err(_) => {
                let word = TaskStatus::Queued.word().to_owned();
                let (unknown, outlook) = (false, Outlook::default());
                let report = TaskReport::InProgress { word, unknown, outlook };
                return Event::TaskSeen { task: id, report };
            }
        };
        match self.context.client.delete(permit, site, &task.id).await {
            Deleted::Cancelled => Event::CancelDone { task: id },
            Deleted::TooLate => Event::CancelTooLate { task: id },
            Deleted::Gone => Event::TaskMissing { task: id },
            Deleted::Trouble(t) => {
                Event::PollTroubled { task: id, trouble: trouble(&t, held.stored.now) }
            }
        }
    }
}
