//! Wishes: written down, worked off in turns, looked at.

use crate::Settings;
use crate::archived::Target;
use crate::receipt::{Erasure, Progress, Removed, Subject};
use assets::{Buckets, IntentError, Intents, RecordKind, RecordMark};
use job::{By, ErasureId, JobId, Policy, Timestamp};
use std::time::Duration;
use store::{MEMBERS_MAX, Member, OwnLock, ReportError, Store, StoreError};
use tokio::time::{Instant, interval_at};

/// How long the lock of an erasure outlives a process that died.
const LOCK_TTL: Duration = Duration::from_secs(15);
/// Between two renewals of it by a living one.
const LOCK_RENEW: Duration = Duration::from_secs(5);
/// Pages of one turn: then other wishes have theirs.
const PAGES_MAX: usize = 4;
/// Pause before the first new look at jobs that are waited for; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(2);
/// The longest such pause.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Pause after a turn that broke off.
const BROKEN_OFF: Duration = Duration::from_secs(10);

/// Why an erasure did not go on. It is written down and tried again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// Redis.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The machine and the record contradict each other.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The bucket.
    #[error(transparent)]
    Bucket(#[from] assets::Error),
    /// The second fence.
    #[error(transparent)]
    Fence(#[from] IntentError),
    /// A record that is no JSON.
    #[error("the record of {job} cannot be written: {why}")]
    Record {
        /// Whose.
        job: JobId,
        /// In words.
        why: String,
    },
    /// So many records that none of them is told rather than some.
    #[error("{what} has {max} records or more: read the objects below `records/` themselves")]
    TooMany {
        /// Which day or batch.
        what: String,
        /// The bound.
        max: usize,
    },
    /// A receipt that cannot be read, or is no JSON.
    #[error("erasure {id} cannot be read: {why}")]
    Unreadable {
        /// Which.
        id: ErasureId,
        /// In words.
        why: String,
    },
}

/// Erases for one pool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Eraser {
    pub(crate) store: Store,
    pub(crate) buckets: Buckets,
    pub(crate) intents: Option<Intents>,
    pub(crate) policy: Policy,
}

/// What somebody wants erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whose jobs.
    pub tenant: String,
    /// Which of them.
    pub subject: Subject,
    /// Who asks.
    pub by: By,
    /// Why.
    pub reason: String,
    /// Stop what has not ended, as far as it can be stopped.
    pub cancel: bool,
}

impl Eraser {
    /// The eraser of `store`'s pool. The fence is where its submitters have it.
    #[must_use]
    pub fn new(store: Store, buckets: Buckets, intents: Option<Intents>, policy: Policy) -> Self {
        Self { store, buckets, intents, policy }
    }

    /// A fresh id; one wish may be asked for in several pools under one.
    #[must_use]
    pub fn draw() -> ErasureId {
        ErasureId::from_ulid(ulid::Ulid::generate())
    }

    /// Writes a wish down. From here on it is fulfilled, whatever becomes of this process. It is about the
    /// jobs that are there now: what comes later has not been meant.
    ///
    /// # Errors
    ///
    /// [`EraseError::Store`]; it may be written down.
    pub async fn ask(&self, id: ErasureId, wish: Wish) -> Result<Erasure, EraseError> {
        let Wish { tenant, subject, by, reason, cancel } = wish;
        let asked_at = self.store.now().await?;
        let erasure = Erasure {
            id,
            tenant,
            subject,
            by,
            reason,
            cancel,
            asked_at,
            progress: Progress::Working,
            done_at: None,
            waits_for: None,
            jobs_before: 0,
            jobs_waiting: 0,
            interruptions: 0,
            removed: Removed::default(),
            under_way: false,
            after: None,
            passes: 0,
        };
        self.save(&erasure, Some(asked_at)).await?;
        match erasure.subject {
            Subject::EndUser { .. } | Subject::Tenant => {
                let why = format!("{}: {}", erasure.id, erasure.reason);
                self.store.note_pool("erase_asked", erasure.by.as_str(), &why).await?;
            }
            // A job's own line comes with its mark; the passing of time is no decision.
            Subject::Job { .. } | Subject::Retention { .. } => {}
        }
        Ok(erasure)
    }

    /// An erasure as it stands; with everything removed, its receipt.
    ///
    /// # Errors
    ///
    /// [`EraseError`].
    pub async fn look(&self, id: &ErasureId) -> Result<Option<Erasure>, EraseError> {
        let Some((text, counted)) = self.store.erasure(id).await? else { return Ok(None) };
        let erasure: Erasure = serde_json::from_str(&text)
            .map_err(|error| EraseError::Unreadable { id: id.clone(), why: error.to_string() })?;
        Ok(Some(Erasure { removed: Removed::read(&counted), ..erasure }))
    }

    /// Works a wish off for one turn, unless somebody else does; tells how it stands then. A long one
    /// takes several turns: its next is due at once.
    ///
    /// Safe to repeat at any point.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; what is gone by then is gone, and the next turn goes on.
    pub async fn work(&self, id: &ErasureId) -> Result<Option<Erasure>, EraseError> {
        // A caller's turn and the keeper's may be in one process: each is a holder of its own.
        let lock = self.store.own_lock(id.as_str());
        if !self.store.hold(&lock, LOCK_TTL).await? {
            return self.look(id).await;
        }
        let turn = self.locked(id, &lock, self.turn(id)).await;
        if let Err(error) = self.store.let_go(&lock).await {
            tracing::warn!(erasure = %id, %error, "the lock of an erasure was not let go; it lapses");
        }
        turn.transpose()?;
        self.look(id).await
    }

    /// Keeps the lock while a turn lasts; none: it was lost, and somebody else goes on.
    async fn locked<T>(
        &self,
        id: &ErasureId,
        lock: &OwnLock,
        turn: impl Future<Output = T>,
    ) -> Option<T> {
        let mut turn = std::pin::pin!(turn);
        let mut every = interval_at(Instant::now() + LOCK_RENEW, LOCK_RENEW);
        loop {
            tokio::select! {
                told = &mut turn => return Some(told),
                _ = every.tick() => match self.store.hold(lock, LOCK_TTL).await {
                    Ok(true) => {}
                    Ok(false) => return None,
                    Err(error) => {
                        // The turn's own calls fail as well, or the next renewal is in time.
                        tracing::debug!(erasure = %id, %error, "the lock was not renewed");
                    }
                },
            }
        }
    }

    async fn turn(&self, id: &ErasureId) -> Result<(), EraseError> {
        let Some(mut erasure) = self.look(id).await? else {
            return Ok(self.store.drop_erasure(id).await?);
        };
        if erasure.progress == Progress::Done {
            return Ok(self.store.drop_erasure(id).await?);
        }
        if erasure.under_way {
            erasure.interruptions += 1;
        }
        erasure.under_way = true;
        if erasure.after.is_none() {
            // A new pass looks at everybody again who was waited for.
            erasure.jobs_waiting = 0;
            erasure.waits_for = None;
        }
        self.save(&erasure, Some(self.store.now().await?)).await?;
        if erasure.subject == Subject::Tenant {
            let rejects = self.store.drop_rejects(&erasure.tenant).await?;
            self.count(id, Removed { rejects, ..Removed::default() }).await?;
        }
        for _ in 0..PAGES_MAX {
            let page = self.page(&erasure).await?;
            let Some(last) = page.last().cloned() else {
                let page = self.archived_page(&erasure).await?;
                self.erase_page(&page, &mut erasure).await;
                // What is waited for would come first again.
                if page.is_empty() || erasure.jobs_waiting > 0 {
                    return self.end_pass(erasure).await;
                }
                self.save(&erasure, Some(self.store.now().await?)).await?;
                continue;
            };
            let targets: Vec<Target> =
                page.into_iter().map(|member| Target { id: member.id, left: None }).collect();
            self.erase_page(&targets, &mut erasure).await;
            if matches!(erasure.subject, Subject::Job { .. }) {
                return self.end_pass(erasure).await;
            }
            erasure.after = Some((last.at, last.id));
            self.save(&erasure, Some(self.store.now().await?)).await?;
        }
        erasure.under_way = false;
        self.save(&erasure, Some(self.store.now().await?)).await
    }

    async fn end_pass(&self, mut erasure: Erasure) -> Result<(), EraseError> {
        let now = self.store.now().await?;
        (erasure.after, erasure.under_way) = (None, false);
        let due = if erasure.jobs_waiting > 0 {
            let pause = WAIT_FIRST.saturating_mul(1 << erasure.passes.min(10)).min(WAIT_MAX);
            erasure.passes = erasure.passes.saturating_add(1);
            erasure.progress = Progress::Waiting;
            Some(now + pause)
        } else {
            erasure.progress = Progress::Done;
            erasure.done_at = Some(now);
            None
        };
        self.save(&erasure, due).await
    }

    /// The next jobs of a wish.
    async fn page(&self, erasure: &Erasure) -> Result<Vec<Member>, EraseError> {
        let (keys, tenant) = (self.store.keys(), &erasure.tenant);
        let after = erasure.after.as_ref().map(|(at, id)| Member { id: id.clone(), at: *at });
        let (index, until) = match &erasure.subject {
            Subject::Job { job } => {
                return Ok(vec![Member { id: job.clone(), at: Timestamp::default() }]);
            }
            Subject::EndUser { hash } => (keys.ix_user_of(tenant, hash), erasure.asked_at),
            Subject::Tenant => (keys.ix_tenant(tenant), erasure.asked_at),
            Subject::Retention { ended_before } => (keys.ix_kept(tenant), *ended_before),
        };
        Ok(self.store.members(&index, after.as_ref(), Some(until)).await?)
    }

    pub(crate) async fn count(&self, id: &ErasureId, removed: Removed) -> Result<(), EraseError> {
        Ok(self.store.count_erased(id, &removed.named()).await?)
    }

    async fn save(&self, erasure: &Erasure, due: Option<Timestamp>) -> Result<(), EraseError> {
        let text = serde_json::to_string(erasure).map_err(|error| EraseError::Unreadable {
            id: erasure.id.clone(),
            why: error.to_string(),
        })?;
        Ok(self.store.save_erasure(&erasure.id, &text, due).await?)
    }

    /// Erases what has been kept for long enough, tenant by tenant; tells how many jobs went in these turns.
    /// A tenant has one such erasure at a time.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; the next sweep goes on.
    pub async fn retain(&self, settings: &Settings) -> Result<u64, EraseError> {
        let (mut jobs, mut after) = (0, None::<String>);
        loop {
            let tenants = self.store.kept_tenants(after.as_deref()).await?;
            let Some(last) = tenants.last().cloned() else { return Ok(jobs) };
            for tenant in tenants {
                if let Some(kept_for) = settings.kept_for(&tenant) {
                    jobs += self.retain_one(tenant, kept_for).await?;
                }
            }
            after = Some(last);
        }
    }

    async fn retain_one(&self, tenant: String, kept_for: Duration) -> Result<u64, EraseError> {
        let ended_before = self.store.now().await? - kept_for;
        let index = self.store.keys().ix_kept(&tenant);
        if self.store.members(&index, None, Some(ended_before)).await?.is_empty()
            && self.none_archived(&tenant, ended_before).await?
        {
            return Ok(0);
        }
        if let Some(before) = self.store.aged(&tenant).await?
            && let Some(before) = self.look(&before).await?
            && before.progress != Progress::Done
        {
            return Ok(0);
        }
        let id = Self::draw();
        self.store.note_aged(&tenant, &id).await?;
        let wish = Wish {
            tenant,
            subject: Subject::Retention { ended_before },
            by: By::named("retention"),
            reason: format!("kept for {} days", kept_for.as_secs() / 86_400),
            cancel: false,
        };
        let asked = self.ask(id, wish).await?;
        Ok(self.work(&asked.id).await?.map_or(0, |worked| worked.removed.jobs))
    }

    /// Whether no content of a tenant lies in the bucket that was kept for long enough.
    async fn none_archived(&self, tenant: &str, before: Timestamp) -> Result<bool, EraseError> {
        let (bucket, pool) = (self.buckets.of(tenant), self.store.pool());
        let until = assets::day_of(before.unix_ms())?;
        for day in bucket.record_days(pool, tenant, RecordKind::Kept).await? {
            if day < until
                && !bucket.records_of_day(pool, tenant, RecordKind::Kept, &day, 1).await?.is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Gives every wish whose turn has come one; tells how many. One that breaks off keeps no other from
    /// its turn: it has its next one a little later.
    ///
    /// # Errors
    ///
    /// [`EraseError`]: Redis is away.
    pub async fn work_due(&self) -> Result<usize, EraseError> {
        const DUE_MAX: usize = 32;
        let due: Vec<ErasureId> = self.store.due_erasures(DUE_MAX).await?;
        for id in &due {
            if let Err(error) = self.work(id).await {
                tracing::warn!(erasure = %id, %error, "an erasure broke off; it goes on later");
                let later = self.store.now().await? + BROKEN_OFF;
                self.store.put_erasure_off(id, later).await?;
            }
        }
        Ok(due.len())
    }

    /// The jobs a wish is about, for a count before anybody says yes; at most one page.
    ///
    /// # Errors
    ///
    /// [`EraseError`].
    pub async fn first_jobs(&self, tenant: &str, hash: &str) -> Result<Vec<JobId>, EraseError> {
        let index = self.store.keys().ix_user_of(tenant, hash);
        let members = self.store.members(&index, None, None).await?;
        let mut ids: Vec<JobId> = members.into_iter().map(|member| member.id).collect();
        let bucket = self.buckets.of(tenant);
        let mark = RecordMark::User(hash.to_owned());
        let left = bucket.records_marked(self.store.pool(), tenant, &mark, MEMBERS_MAX).await?;
        ids.extend(left.iter().filter_map(|name| JobId::parse(&name.job).ok()));
        // One that has come back is still among those that left.
        ids.sort();
        ids.dedup();
        ids.truncate(MEMBERS_MAX);
        Ok(ids)
    }
}
