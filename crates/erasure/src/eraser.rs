//! Wishes: written down, worked off in pages, looked at.

use crate::Settings;
use crate::one::One;
use crate::receipt::{Counts, Erasure, Progress, Subject};
use assets::{Buckets, IntentError, Intents};
use futures::{StreamExt, stream};
use job::{By, ErasureId, JobId, Policy, Timestamp};
use std::time::Duration;
use store::{Member, ReportError, Store, StoreError};

/// Jobs erased at once.
const AT_ONCE: usize = 8;
/// How long the lock of an erasure outlives a process that died; a living one renews it page by page.
const LOCK_TTL: Duration = Duration::from_secs(120);
/// Pause before the first new look at jobs that are waited for; it doubles.
const WAIT_FIRST: Duration = Duration::from_secs(2);
/// The longest such pause.
const WAIT_MAX: Duration = Duration::from_secs(300);

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

    /// Writes a wish down. From here on it is fulfilled, whatever becomes of this process.
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
            counts: Counts::default(),
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
        let Some(text) = self.store.erasure(id).await? else { return Ok(None) };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| EraseError::Unreadable { id: id.clone(), why: error.to_string() })
    }

    /// Works a wish off as far as it goes now, unless another process does; tells how it stands.
    ///
    /// Safe to repeat at any point.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; what is gone by then is gone, and the next turn goes on.
    pub async fn work(&self, id: &ErasureId) -> Result<Option<Erasure>, EraseError> {
        if !self.store.lock_erasure(id, LOCK_TTL).await? {
            return self.look(id).await;
        }
        let worked = self.work_locked(id).await;
        self.store.unlock(id.as_str()).await?;
        worked
    }

    async fn work_locked(&self, id: &ErasureId) -> Result<Option<Erasure>, EraseError> {
        let Some(mut erasure) = self.look(id).await? else {
            self.store.drop_erasure(id).await?;
            return Ok(None);
        };
        if erasure.progress == Progress::Done {
            self.store.drop_erasure(id).await?;
            return Ok(Some(erasure));
        }
        if erasure.after.is_none() {
            // A new pass looks at everybody again who was waited for.
            erasure.counts.waiting = 0;
            erasure.waits_for = None;
        }
        loop {
            let page = self.page(&erasure).await?;
            let Some(last) = page.last().cloned() else { break };
            self.erase_page(&page, &mut erasure).await;
            let single = matches!(erasure.subject, Subject::Job { .. });
            if single {
                break;
            }
            erasure.after = Some((last.at, last.id));
            self.save(&erasure, Some(self.store.now().await?)).await?;
            if !self.store.lock_erasure(id, LOCK_TTL).await? {
                return Ok(Some(erasure));
            }
        }
        self.end_pass(&mut erasure).await?;
        Ok(Some(erasure))
    }

    async fn end_pass(&self, erasure: &mut Erasure) -> Result<(), EraseError> {
        let now = self.store.now().await?;
        erasure.after = None;
        let due = if erasure.counts.waiting > 0 {
            let pause = WAIT_FIRST.saturating_mul(1 << erasure.passes.min(10)).min(WAIT_MAX);
            erasure.passes = erasure.passes.saturating_add(1);
            erasure.progress = Progress::Waiting;
            Some(now + pause)
        } else {
            erasure.progress = Progress::Done;
            erasure.done_at = Some(now);
            None
        };
        self.save(erasure, due).await
    }

    /// The next jobs of a wish.
    async fn page(&self, erasure: &Erasure) -> Result<Vec<Member>, EraseError> {
        let (keys, tenant) = (self.store.keys(), &erasure.tenant);
        let after = erasure.after.as_ref().map(|(at, id)| Member { id: id.clone(), at: *at });
        let (index, until) = match &erasure.subject {
            Subject::Job { job } => {
                return Ok(vec![Member { id: job.clone(), at: Timestamp::default() }]);
            }
            Subject::EndUser { hash } => (keys.ix_user_of(tenant, hash), None),
            Subject::Tenant => (keys.ix_tenant(tenant), None),
            Subject::Retention { ended_before } => (keys.ix_kept(tenant), Some(*ended_before)),
        };
        Ok(self.store.members(&index, after.as_ref(), until).await?)
    }

    /// What fails for one job is told, waited for, and costs the others nothing.
    async fn erase_page(&self, page: &[Member], erasure: &mut Erasure) {
        let wish = erasure.clone();
        let mut ones = Vec::with_capacity(page.len());
        for member in page {
            let (eraser, wish, id) = (self.clone(), wish.clone(), member.id.clone());
            ones.push(async move {
                let told = eraser.erase_one(&id, &wish).await;
                (id, told)
            });
        }
        let mut told = stream::iter(ones).buffer_unordered(AT_ONCE);
        while let Some((id, told)) = told.next().await {
            let waits_for = match told {
                Ok(One::Gone(gone)) => {
                    erasure.counts.add(&gone);
                    continue;
                }
                Ok(One::NoJob) => continue,
                Ok(One::Waits(why)) => why,
                Err(error) => {
                    tracing::warn!(job.id = %id, erasure = %erasure.id, %error, "a job cannot be erased yet");
                    "Redis or the bucket did not answer".to_owned()
                }
            };
            erasure.counts.waiting += 1;
            erasure.waits_for = Some(format!("{id}: {waits_for}"));
        }
    }

    async fn save(&self, erasure: &Erasure, due: Option<Timestamp>) -> Result<(), EraseError> {
        let text = serde_json::to_string(erasure).map_err(|error| EraseError::Unreadable {
            id: erasure.id.clone(),
            why: error.to_string(),
        })?;
        Ok(self.store.save_erasure(&erasure.id, &text, due).await?)
    }

    /// Erases what has been kept for long enough, tenant by tenant; tells how many jobs.
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
                let Some(kept_for) = settings.kept_for(&tenant) else { continue };
                let ended_before = self.store.now().await? - kept_for;
                let index = self.store.keys().ix_kept(&tenant);
                if self.store.members(&index, None, Some(ended_before)).await?.is_empty() {
                    continue;
                }
                let wish = Wish {
                    tenant,
                    subject: Subject::Retention { ended_before },
                    by: By::named("retention"),
                    reason: format!("kept for {} days", kept_for.as_secs() / 86_400),
                    cancel: false,
                };
                let asked = self.ask(Self::draw(), wish).await?;
                let worked = self.work(&asked.id).await?;
                jobs += worked.map_or(0, |worked| worked.counts.jobs);
            }
            after = Some(last);
        }
    }

    /// Works off every wish whose turn has come; tells how many.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; the rest waits for the next turn.
    pub async fn work_due(&self) -> Result<usize, EraseError> {
        const DUE_MAX: usize = 32;
        let due: Vec<ErasureId> = self.store.due_erasures(DUE_MAX).await?;
        for id in &due {
            self.work(id).await?;
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
        Ok(members.into_iter().map(|member| member.id).collect())
    }
}
