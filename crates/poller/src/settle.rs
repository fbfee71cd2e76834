//! The settle step: what did an unclear create buy?
//!
//! First the attempt's own callback, which names the task and is confirmed by a read; then the
//! account's list, scanned whole and shared by everybody in doubt. Here only evidence is gathered:
//! `job::transition` decides what it proves.

use crate::context::Context;
use crate::leave::Leave;
use crate::line::Rank;
use crate::report::report;
use job::settle::{self, Match, Sighting};
use job::{
    Event, FoundVia, JobId, Look, OpenAttempt, Outlook, Policy, Record, Source, State, TaskId,
    Timestamp,
};
use provider::{Retrieved, Site};
use reconcile::scan::Scan;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use store::{Held, Queue, StoreError, Stored};
use telemetry::{Span, SpanName, fields};
use worker::{Outcome, Step, Turn, fault};

/// Pause when Redis did not answer in the middle of a look-up.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// Settles the doubts of one pool.
pub(crate) struct SettleStep {
    pub(crate) context: Arc<Context>,
    pub(crate) leave: Leave,
}

#[async_trait::async_trait]
impl Step for SettleStep {
    fn queue(&self) -> Queue {
        Queue::Settle
    }

    async fn run(&self, held: &Held, turn: &Turn) -> Outcome {
        let span = Span::part(SpanName::FindTask);
        let outcome = span.within(self.find(held, turn)).await;
        if let Outcome::Report(Event::TaskFound { attempt, task, .. }) = &outcome {
            span.set(fields::ATTEMPT_ID, attempt.as_str());
            span.set(fields::TASK_ID, task.as_str());
        }
        outcome
    }
}

impl SettleStep {
    async fn find(&self, held: &Held, turn: &Turn) -> Outcome {
        let record = &held.stored.record;
        let (State::InDoubt { attempt, .. } | State::Parked { attempt, .. }) = &record.life.state
        else {
            return self.late(&held.stored, turn).await;
        };
        let site = Site::for_reads(&attempt.facts);
        let mut named = Named::Nothing;
        if let Some(hint) = &held.stored.hint
            && self.is_free(hint, turn).await
        {
            named = self.confirms(&site, record, hint, turn).await;
            if let Named::Bought(bought_by) = named {
                return found(bought_by, hint.clone(), FoundVia::Callback).await;
            }
        }
        let reach_back_to = settle::created_after(attempt);
        let scanner = self.context.scanner(&site);
        let model_ids = BTreeSet::from([attempt.facts.model_id.clone()]);
        // Before the horizon no empty look proves anything: the task that a callback named is worth more.
        let early = held.stored.now < settle::quiet_horizon(attempt, turn.policy());
        let reads_again = early && matches!(named, Named::Unread);
        let pause = reread_pause(held.stored.now.since(attempt.begun_at), turn.policy());
        let unread =
            |pause| Outcome::hand_back(pause, "the task that a callback named cannot be read yet");
        let scan = tokio::select! {
            scan = scanner.scan(reach_back_to, model_ids) => scan,
            // The turn at the list may be long in coming.
            () = tokio::time::sleep(pause), if reads_again => return unread(Duration::ZERO),
            // A stopping process does not wait for its turn at the list.
            () = turn.drain() => return Outcome::hand_back(Duration::ZERO, "stopping"),
        };
        let Some(scan) = scan else {
            return Outcome::hand_back(STORE_PAUSE, "the scanner ended; a new one begins");
        };
        let outcome = match &*scan {
            Scan::Torn { why } => {
                tracing::info!(why, "a scan of the task list proves nothing");
                looked(attempt, Look::Inconclusive)
            }
            Scan::Whole { began_at, seen, .. } => {
                self.judge(record, attempt, *began_at, seen, turn).await
            }
        };
        match outcome {
            Outcome::Report(Event::Looked {
                look: Look::Nothing { .. } | Look::Inconclusive,
                ..
            }) if reads_again => unread(pause),
            outcome => outcome,
        }
    }
}

/// How long the task that a callback named is left alone after a read in vain. Most are readable within
/// seconds of the create, so the young are asked about more often than the old.
fn reread_pause(age: Duration, policy: &Policy) -> Duration {
    let longest = policy.settle.look_first;
    (age / 4).clamp(longest / 4, longest)
}

/// What a callback's word is worth.
enum Named<'a> {
    /// There is none, or it names another's task.
    Nothing,
    /// The task cannot be read: too young, or the provider does not answer.
    Unread,
    /// The task is this attempt's.
    Bought(&'a OpenAttempt),
}

impl SettleStep {
    /// A callback named a task of a job that has ended: one confirmed read says whether it is the
    /// job's. Taking it in, or telling a person of it, is decided by the machine.
    async fn late(&self, stored: &Stored, turn: &Turn) -> Outcome {
        let (record, policy) = (&stored.record, turn.policy());
        let ended = matches!(record.life.state, State::Finished { .. });
        let Some(hint) = stored.hint.as_ref().filter(|_| ended) else {
            return Outcome::Report(Event::StepLeft);
        };
        let known = record.life.state.task().map(|task| &task.facts);
        let attempts = record.life.attempts.iter().rev().map(|attempt| &attempt.open.facts);
        let mut sites: Vec<Site> = Vec::new();
        for site in known.into_iter().chain(attempts).map(Site::for_reads) {
            if !sites.contains(&site) {
                sites.push(site);
            }
        }
        for site in sites {
            match self.context.retrieve(&site, hint, Rank::AskedFor).await {
                Retrieved::Task { task, raw, .. } => {
                    if record.life.state.task().is_some_and(|owned| owned.id == *hint) {
                        let raw = String::from_utf8_lossy(&raw);
                        let life = policy.download.link_life;
                        let report = report(&task, &raw, stored.now, life, Outlook::default());
                        return Outcome::Report(Event::TaskSeen { task: hint.clone(), report });
                    }
                    let sighting = Sighting::of(hint.clone(), &task);
                    if let Some(attempt) = settle::bought_late(record, &sighting, policy) {
                        return found(attempt, hint.clone(), FoundVia::Callback).await;
                    }
                }
                Retrieved::NotFound => {}
                // Asked again for as long as the provider can answer at all.
                Retrieved::Trouble(trouble)
                    if stored.now < record.life.updated_at + policy.settle.records_kept =>
                {
                    return Outcome::hand_back(policy.settle.look_max, trouble.code);
                }
                Retrieved::Trouble(_) => {}
            }
        }
        tracing::warn!(task.id = %hint, "a callback named a task that is not this ended job's");
        Outcome::Report(Event::StepLeft)
    }

    /// Who bought each task. One that was taken over from elsewhere may be this attempt's all the same:
    /// whoever named it could not know. It counts as nobody's here, so that nothing is proven absent
    /// because of it; the commit then tells of the owner.
    async fn buyers(&self, tasks: &[TaskId]) -> Result<Vec<Option<JobId>>, StoreError> {
        let mut owners = self.context.store.owners(tasks).await?;
        let ids: Vec<JobId> = owners.iter().flatten().cloned().collect();
        for stored in self.context.store.load_many(&ids).await?.into_iter().flatten().flatten() {
            if stored.record.spec.source == Source::Adopted {
                let taken_over = Some(stored.record.id);
                owners.iter_mut().filter(|owner| **owner == taken_over).for_each(|o| *o = None);
            }
        }
        Ok(owners)
    }

    /// A task that another job has taken in is not adopted, whatever a callback says: the commit
    /// would be refused at every turn, and the list never be asked.
    async fn is_free(&self, hint: &TaskId, turn: &Turn) -> bool {
        match self.context.store.owners(std::slice::from_ref(hint)).await {
            Ok(owners) => owners.iter().flatten().all(|owner| *owner == turn.claim().id),
            // The commit checks again.
            Err(_) => true,
        }
    }

    /// The body of a callback is only a hint: the task is an attempt's if an authenticated read shows
    /// the attempt's own mark. One of a closed attempt is news as well: it was paid for.
    async fn confirms<'a>(
        &self,
        site: &Site,
        record: &'a Record,
        hint: &TaskId,
        turn: &Turn,
    ) -> Named<'a> {
        let Retrieved::Task { task, .. } = self.context.retrieve(site, hint, Rank::AskedFor).await
        else {
            return Named::Unread;
        };
        let sighting = Sighting::of(hint.clone(), &task);
        if let Some(bought_by) = settle::bought_late(record, &sighting, turn.policy()) {
            return Named::Bought(bought_by);
        }
        tracing::warn!(task.id = %hint, "a callback named a task that is not this job's");
        Named::Nothing
    }

    async fn judge(
        &self,
        record: &Record,
        attempt: &OpenAttempt,
        scan_began_at: Timestamp,
        seen: &[Sighting],
        turn: &Turn,
    ) -> Outcome {
        let policy = turn.policy();
        let seen = match self.leave.believable(attempt, seen, scan_began_at, policy).await {
            Ok(seen) => seen,
            Err(error) => return Outcome::hand_back(STORE_PAUSE, error.to_string()),
        };
        let fitting: Vec<TaskId> = seen
            .iter()
            .filter(|s| s.nonce_s.is_none() || settle::fits(attempt, s, policy))
            .filter(|s| settle::could_be(attempt, s, policy))
            .map(|s| s.id.clone())
            .collect();
        // Usually nobody, sometimes one; the nonce is unique among the account's open attempts.
        let owners = match self.buyers(&fitting).await {
            Ok(owners) => owners,
            Err(error) => return Outcome::hand_back(STORE_PAUSE, error.to_string()),
        };
        let mine = &turn.claim().id;
        let owned_by_other = |task: &TaskId| {
            fitting
                .iter()
                .zip(&owners)
                .any(|(id, owner)| id == task && owner.as_ref().is_some_and(|o| o != mine))
        };
        match settle::find(attempt, &seen, policy, &owned_by_other) {
            Match::One(task) => found(attempt, task, FoundVia::List).await,
            Match::Several(tasks) => looked(attempt, Look::Several { tasks }),
            Match::Blurred(tasks) => {
                tracing::warn!(
                    tasks = tasks.len(),
                    "tasks in the list show no mark: it proves nothing"
                );
                looked(attempt, Look::Inconclusive)
            }
            Match::Nothing => {
                match self.leave.for_absence(record, attempt, scan_began_at, policy).await {
                    Ok(leave) => looked(attempt, Look::Nothing { scan_began_at, leave }),
                    Err(error) => Outcome::hand_back(STORE_PAUSE, error.to_string()),
                }
            }
        }
    }
}

async fn found(attempt: &OpenAttempt, task: TaskId, via: FoundVia) -> Outcome {
    fault::point(fault::SETTLE_FOUND).await;
    Outcome::Report(Event::TaskFound { attempt: attempt.id.clone(), task, via, said: None })
}

fn looked(attempt: &OpenAttempt, look: Look) -> Outcome {
    Outcome::Report(Event::Looked { attempt: attempt.id.clone(), look })
}
