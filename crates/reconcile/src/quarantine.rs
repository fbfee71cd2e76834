//! After Redis lost data: make everything known again that the second fence holds, then let creates
//! go on.
//!
//! A rolled-back Redis has forgotten attempts, and perhaps whole jobs. Creates are frozen then. Once
//! whatever was under way has had time to arrive, every intent of the time is compared with its
//! record: a job that is gone comes back in doubt about the attempt it had sent; a job that does not
//! know the attempt learns of it. Settle adopts each task or parks the job, as with any doubt.
//!
//! May be run twice, at once, or again after a crash: what is known already is left alone.

use crate::report::{Deed, DeedKind, Finding, FindingKind, Recovered, Report};
use crate::steady::Steady;
use crate::{Ground, ReconcileError};
use assets::{IntentError, Walked};
use futures::StreamExt;
use job::{Event, Intent, JobId, StateWord, Timestamp};
use std::time::{Duration, Instant};
use store::{Freeze, Reported, Writer};

/// Intents compared with their records in one go.
const BATCH: usize = 64;
/// How much the bucket's clock may be behind Redis's.
const CLOCK_MARGIN: Duration = Duration::from_secs(3_600);
/// Walks tried before the caller hears of the trouble.
const WALKS_MAX: u32 = 5;
/// Pause after a walk that broke.
const WALK_PAUSE: Duration = Duration::from_secs(1);
/// How long a walk waits for Redis to come back before its caller hears of it.
const OUTAGE_MAX: Duration = Duration::from_secs(120);
/// Pause between two looks at Redis's clock while the horizon is waited out.
const CLOCK_LOOK: Duration = Duration::from_secs(1);

/// How a quarantine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Creates go on.
    Thawed,
    /// Somebody else ended the freeze meanwhile.
    ThawedElsewhere,
    /// Something could not be read: creates stay frozen for a person.
    NeedsPerson,
}

/// The whole quarantine of one freeze: waits out the horizon, recovers, thaws. A second loss
/// meanwhile makes it begin again.
///
/// # Errors
///
/// [`ReconcileError`]: the freeze stands; run it again.
pub async fn run(ground: &Ground, freeze: &Freeze) -> Result<(Ended, Report), ReconcileError> {
    let mut freeze = freeze.clone();
    loop {
        wait_out(ground, freeze.since).await?;
        let report = recover(ground, freeze.since, false).await?;
        let Some(recovered) = report.recovered.filter(|recovered| recovered.unreadable == 0) else {
            return Ok((Ended::NeedsPerson, report));
        };
        let Recovered { intents, restored, doubted, .. } = recovered;
        let reason = format!(
            "quarantine: {intents} requests compared, {restored} jobs restored, {doubted} put in doubt"
        );
        if ground.store.thaw_only(&freeze, "quarantine", &reason).await? {
            return Ok((Ended::Thawed, report));
        }
        match ground.store.watch().await?.frozen {
            Some(newer) if newer.since != freeze.since => freeze = newer,
            Some(_) | None => return Ok((Ended::ThawedElsewhere, report)),
        }
    }
}

/// Waits until whatever was being sent at `since` has been made and shows in lists, by Redis's clock;
/// a leap of it while we wait counts for nothing.
///
/// # Errors
///
/// Redis.
pub async fn wait_out(ground: &Ground, since: Timestamp) -> Result<(), ReconcileError> {
    let until = since + ground.horizon();
    let steady = Steady::default();
    loop {
        let now = steady.believed(ground.store.now().await?);
        if now >= until {
            return Ok(());
        }
        tokio::time::sleep(until.since(now).min(CLOCK_LOOK)).await;
    }
}

/// Compares every request that was sent in the time the provider keeps records for, up to `since`
/// and on, with its job; restores and doubts unless `dry_run`.
///
/// # Errors
///
/// [`ReconcileError`]; what was recovered by then stays, and the next run finds it known.
pub async fn recover(
    ground: &Ground,
    since: Timestamp,
    dry_run: bool,
) -> Result<Report, ReconcileError> {
    let mut walks = 0;
    loop {
        walks += 1;
        match walk(ground, since, dry_run).await {
            Err(ReconcileError::Fence(IntentError::Away(why))) if walks < WALKS_MAX => {
                tracing::warn!(why, "a walk through the intents broke; it begins again");
                tokio::time::sleep(WALK_PAUSE * walks).await;
            }
            ended => return ended,
        }
    }
}

async fn walk(ground: &Ground, since: Timestamp, dry_run: bool) -> Result<Report, ReconcileError> {
    let intents = ground.intents.as_ref().ok_or(ReconcileError::NoFence)?;
    let from = since - ground.policy.settle.records_kept - CLOCK_MARGIN;
    let pool = ground.store.pool();
    let mut report = Report::new(pool, ground.store.now().await?, from, dry_run);
    let frozen = ground.store.watch().await?.frozen;
    let mut walk = Walk { ground, frozen, sum: Recovered::default(), report: &mut report };
    let mut steps = intents.walk(pool, from).ready_chunks(BATCH);
    while let Some(steps) = steps.next().await {
        let mut batch = Vec::with_capacity(steps.len());
        for step in steps {
            match step {
                Walked::Intent(intent) => batch.push(*intent),
                Walked::Gone => {}
                Walked::Unreadable { path, why } => walk.unreadable(&path, &why),
                Walked::Broke(error) => return Err(error.into()),
            }
        }
        walk.outlast(&batch).await?;
    }
    let sum = walk.sum;
    report.recovered = Some(sum);
    Ok(report)
}

/// A walk under way.
struct Walk<'a> {
    ground: &'a Ground,
    /// The freeze in force when it began.
    frozen: Option<Freeze>,
    sum: Recovered,
    report: &'a mut Report,
}

impl Walk<'_> {
    /// Compares a batch, again after an outage of Redis: a walk that began anew at each would never end
    /// where outages are more frequent than walks are short. What Redis may have lost meanwhile shows as
    /// another freeze; then what was compared before counts for nothing.
    async fn outlast(&mut self, batch: &[Intent]) -> Result<(), ReconcileError> {
        let mut away_since: Option<Instant> = None;
        loop {
            let before = self.sum;
            let error = match self.compare(batch).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_outage() => error,
                Err(error) => return Err(error),
            };
            // Jobs that were restored or put in doubt before it broke stay counted as such.
            let Recovered { restored, doubted, .. } = self.sum;
            self.sum = Recovered { restored, doubted, ..before };
            let since = *away_since.get_or_insert_with(Instant::now);
            if since.elapsed() > OUTAGE_MAX {
                return Err(error);
            }
            tokio::time::sleep(WALK_PAUSE).await;
            if let Ok(watch) = self.ground.store.watch().await
                && watch.frozen != self.frozen
            {
                return Err(error);
            }
        }
    }

    async fn compare(&mut self, batch: &[Intent]) -> Result<(), ReconcileError> {
        self.sum.intents += batch.len() as u64;
        let ids: Vec<JobId> = batch.iter().map(|intent| intent.job.clone()).collect();
        let records = self.ground.store.load_many(&ids).await?;
        let mut lost = Vec::new();
        for (intent, found) in batch.iter().zip(records) {
            match found {
                Ok(Some(stored)) if intent.is_known_to(&stored.record) => self.sum.known += 1,
                Ok(Some(_)) => self.tell(intent, &intent.job).await?,
                Ok(None) => lost.push(intent),
                Err(error) => self.unreadable(intent.job.as_str(), &error.to_string()),
            }
        }
        self.bring_back(&lost).await
    }

    async fn bring_back(&mut self, lost: &[&Intent]) -> Result<(), ReconcileError> {
        if lost.is_empty() {
            return Ok(());
        }
        let store = &self.ground.store;
        let now = store.now().await?;
        let records: Vec<_> = lost.iter().map(|intent| intent.restored(now)).collect();
        let back = match self.report.dry_run {
            true => vec![true; records.len()],
            false => store.restore(&records).await?,
        };
        for (intent, back) in lost.iter().zip(back) {
            if back {
                self.sum.restored += 1;
                self.note("restored", DeedKind::Restored, intent, &intent.job);
                continue;
            }
            // The same request was asked for again under a new id, or another process was faster.
            let spec = &intent.spec;
            match store.job_of_request(&spec.tenant, &spec.fingerprint).await? {
                Some(other) if other != intent.job => self.tell(intent, &other).await?,
                Some(_) | None => self.sum.known += 1,
            }
        }
        Ok(())
    }

    /// Tells a job of an attempt that it does not know.
    async fn tell(&mut self, intent: &Intent, job: &JobId) -> Result<(), ReconcileError> {
        let attempt = intent.attempt.clone();
        if self.report.dry_run {
            self.sum.doubted += 1;
            self.note("doubted", DeedKind::Doubted, intent, job);
            return Ok(());
        }
        let event = Event::IntentForgotten { attempt, instead_of: None };
        let policy = &self.ground.policy;
        match self.ground.store.report(job, Writer::Outside, &event, policy).await? {
            Reported::Written { .. } => {
                self.sum.doubted += 1;
                self.note("doubted", DeedKind::Doubted, intent, job);
            }
            Reported::Ignored { stored, .. } if intent.is_known_to(&stored.record) => {
                self.sum.known += 1;
            }
            Reported::Ignored { stored, .. } => {
                self.left(intent, job, stored.record.life.state.word())
            }
            // Gone between two reads, or owned: the next walk sees what it is.
            Reported::Gone | Reported::Owned { .. } | Reported::Fenced => self.sum.left += 1,
        }
        Ok(())
    }

    /// A job that is about to send will meet the intent again; one that has ended will not.
    fn left(&mut self, intent: &Intent, job: &JobId, word: StateWord) {
        self.sum.left += 1;
        if !word.is_finished() {
            return;
        }
        let attempt = &intent.attempt;
        self.report.find(Finding {
            kind: FindingKind::ForgottenAttempt,
            account: Some(attempt.facts.account.clone()),
            job: Some(job.clone()),
            task: None,
            sentence: format!(
                "{job} has ended as {} and does not know {}, begun {}: that attempt may have bought a task",
                word.as_str(),
                attempt.id,
                attempt.begun_at.rfc3339()
            ),
            cure: "seedfleet reconcile: an unowned task of that time is told there".to_owned(),
        });
    }

    fn unreadable(&mut self, what: &str, why: &str) {
        self.sum.unreadable += 1;
        self.report.find(Finding {
            kind: FindingKind::Unreadable,
            account: None,
            job: None,
            task: None,
            sentence: format!(
                "{what} cannot be read, and something may have been bought by it: {why}"
            ),
            cure: "read it by hand; then seedfleet reconcile --after-restore --yes --reason TEXT"
                .to_owned(),
        });
    }

    fn note(&mut self, word: &str, kind: DeedKind, intent: &Intent, job: &JobId) {
        if !self.report.dry_run {
            telemetry::metrics().intents_recovered.add(1, [word]);
            tracing::warn!(job_id = %job, attempt = %intent.attempt.id, word, "recovered from its intent");
        }
        let attempt = Some(intent.attempt.id.clone());
        self.report.did(Deed { kind, job: Some(job.clone()), attempt, task: None });
    }
}
