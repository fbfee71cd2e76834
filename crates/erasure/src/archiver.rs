//! Ended jobs leave Redis: into the bucket first, read back, and then out of Redis in one step.
//!
//! Where a record is about to be written is written down before, so that whoever dies on the way leaves no
//! object that nobody knows: the next one to come by puts the place in order. A repeat at any point writes
//! the same object again.

use crate::archived::marks;
use crate::shelf::place;
use crate::{EraseError, Eraser};
use assets::Swept;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream};
use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;
use store::{ArchivePlace, Left, Packed, TombCursor};

/// The lock of the one process that archives a pool. Two that both do harm nothing.
const LOCK: &str = "archive";
/// How long it outlives a process that died.
const LOCK_TTL: Duration = Duration::from_secs(300);
/// The lock of the one process that looks for old tombstones.
const LAPSE_LOCK: &str = "lapse";
/// Records written at once.
const WRITES_AT_ONCE: usize = 16;
/// A place that was written to longer ago than any write takes.
const LEFT_BEHIND: Duration = Duration::from_secs(1_800);

/// Where a process may die while it archives, for tests that let it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The places are written down, no record is.
    Noted,
    /// The records lie in the bucket, and are in Redis as well.
    Written,
    /// The records are out of Redis, the places are still written down.
    Left,
}

/// What is called at each [`Moment`].
pub type Pass = fn(Moment) -> Pin<Box<dyn Future<Output = ()> + Send>>;

impl Eraser {
    /// Archives what ended long enough ago; tells how many jobs left. Another process may be at it: then none.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; the next sweep goes on.
    pub async fn archive(&self, after: Duration, pass: Pass) -> Result<u64, EraseError> {
        if !self.store.lock(LOCK, LOCK_TTL).await? {
            return Ok(0);
        }
        let archived = self.archive_all(after, pass).await;
        self.store.unlock(LOCK).await?;
        archived
    }

    async fn archive_all(&self, after: Duration, pass: Pass) -> Result<u64, EraseError> {
        self.tidy_up().await?;
        let index = self.store.keys().ix_all();
        let (mut jobs, mut last, mut broken) = (0, None, BTreeSet::new());
        loop {
            let now = self.store.now().await?;
            let page = self.store.members(&index, last.as_ref(), Some(now - after)).await?;
            let Some(end) = page.last().cloned() else { return Ok(jobs) };
            let ids: Vec<_> = page.into_iter().map(|member| member.id).collect();
            let mut leaving = self.store.load_here(&ids).await?;
            leaving.retain(|stored| {
                let tenant = &stored.record.spec.tenant;
                let takes = self.buckets.of(tenant).is_lasting() && !broken.contains(tenant);
                takes && stored.record.may_leave_at(after).is_some_and(|at| at <= now)
            });
            // Looked at after they were read: a change that comes in between changes their revision as well.
            let under_way = self.store.under_way().await?;
            leaving.retain(|stored| !under_way.holds(&stored.record, now));
            let packed = self.store.pack(leaving).await?;
            if !packed.is_empty() {
                jobs += self.archive_page(&packed, pass, &mut broken).await?;
            }
            last = Some(end);
            if !self.store.lock(LOCK, LOCK_TTL).await? {
                return Ok(jobs);
            }
        }
    }

    /// A tenant whose bucket does not take its records waits for the next sweep, and costs the others nothing.
    async fn archive_page(
        &self,
        packed: &[Packed],
        pass: Pass,
        broken: &mut BTreeSet<String>,
    ) -> Result<u64, EraseError> {
        let now = self.store.now().await?;
        let places: Vec<&ArchivePlace> = packed.iter().map(|packed| &packed.place).collect();
        self.store.note_leaving(&places, now).await?;
        pass(Moment::Noted).await;
        let mut writes = Vec::with_capacity(packed.len());
        for packed in packed {
            writes.push(async move { (packed, self.write(packed).await) }.boxed());
        }
        let writes: Vec<_> = stream::iter(writes).buffered(WRITES_AT_ONCE).collect().await;
        let mut written = Vec::with_capacity(packed.len());
        for (packed, result) in writes {
            match result {
                Ok(()) => written.push(packed.clone()),
                Err(error) => {
                    let tenant = &packed.place.tenant;
                    if broken.insert(tenant.clone()) {
                        tracing::warn!(job.id = %packed.place.job, tenant, %error, "records of a tenant wait to leave Redis");
                    }
                }
            }
        }
        pass(Moment::Written).await;
        let (mut jobs, mut settled, mut failure) = (0, Vec::new(), None);
        for (packed, left) in written.iter().zip(self.store.leave(&written, now).await?) {
            let in_order = match left {
                Ok(Left::Now) => {
                    jobs += 1;
                    Ok(true)
                }
                Ok(Left::Before | Left::NotNow | Left::NoJob) => self.settle(&packed.place).await,
                Err(error) => Err(error.into()),
            };
            match in_order {
                Ok(true) => settled.push(&packed.place),
                // Its turn comes with those of the dead.
                Ok(false) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        pass(Moment::Left).await;
        self.store.note_left(&settled).await?;
        failure.map_or(Ok(jobs), Err)
    }

    async fn write(&self, packed: &Packed) -> Result<(), EraseError> {
        let record = &packed.archived.record;
        let text = serde_json::to_vec(&packed.archived).map_err(|error| EraseError::Record {
            job: record.id.clone(),
            why: error.to_string(),
        })?;
        let bucket = self.buckets.of(&record.spec.tenant);
        let lies = place(self.store.pool(), &packed.place);
        Ok(bucket.put_record(&lies, Bytes::from(text), &marks(&record.spec)).await?)
    }

    /// Puts places in order that somebody wrote to and never came back from, or that records came back from. One
    /// that cannot be now has its next turn as late as it had this one.
    async fn tidy_up(&self) -> Result<(), EraseError> {
        loop {
            let now = self.store.now().await?;
            let places = self.store.left_behind(now - LEFT_BEHIND).await?;
            if places.is_empty() {
                return Ok(());
            }
            for place in places {
                match self.settle(&place).await {
                    Ok(true) => self.store.note_left(&[&place]).await?,
                    Ok(false) => self.store.note_leaving(&[&place], now).await?,
                    Err(error) => {
                        tracing::warn!(job.id = %place.job, %error, "a place in the bucket is not in order yet");
                        self.store.note_leaving(&[&place], now).await?;
                    }
                }
            }
        }
    }

    /// What lies in the bucket stays where a tombstone names it, or where nobody knows the job any more. It goes
    /// only where a younger revision is known: no archiver, however late, can let a tombstone name it then. Tells
    /// whether that was decided.
    async fn settle(&self, at: &ArchivePlace) -> Result<bool, EraseError> {
        let known = match self.tombstone(at).await? {
            Some(tomb) if tomb == *at => return Ok(true),
            Some(tomb) => tomb.revision,
            None => {
                let ids = std::slice::from_ref(&at.job);
                match self.store.revisions_here(ids).await?.pop().flatten() {
                    Some(revision) => revision,
                    // Neither; unless it left between the two looks.
                    None => match self.tombstone(at).await? {
                        Some(tomb) => return Ok(tomb == *at),
                        None => return Ok(true),
                    },
                }
            }
        };
        if known > at.revision {
            self.drop_record(at, &mut Swept::default()).await?;
        }
        Ok(known > at.revision)
    }

    async fn tombstone(&self, at: &ArchivePlace) -> Result<Option<ArchivePlace>, EraseError> {
        let ids = std::slice::from_ref(&at.job);
        Ok(self.store.tombstones(ids).await?.pop().flatten().map(|tomb| tomb.place))
    }

    /// Takes tombstones away that have stood for long enough; tells how many. Another process may have done so
    /// within the day: then none.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; the next walk goes on.
    pub async fn lapse(&self, kept: Duration, every: Duration) -> Result<u64, EraseError> {
        if !self.store.lock(LAPSE_LOCK, every).await? {
            return Ok(0);
        }
        let (mut lapsed, mut at) = (0, Some(TombCursor::default()));
        while let Some(cursor) = at {
            let before = self.store.now().await? - kept;
            let (old, next) = self.store.old_tombstones(cursor, before).await?;
            for tomb in old {
                match self.lapse_one(&tomb.place).await {
                    Ok(true) => lapsed += 1,
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(job.id = %tomb.place.job, %error, "a tombstone stays");
                    }
                }
            }
            at = next;
        }
        Ok(lapsed)
    }

    async fn lapse_one(&self, at: &ArchivePlace) -> Result<bool, EraseError> {
        let Some((tomb, archived)) = self.store.archived(&at.job).await? else { return Ok(false) };
        // An equal request is a new job from here on; what the fence holds of this one would stop it.
        if let Some(intents) = &self.intents {
            intents.retire(&archived.record.spec, &at.job).await?;
        }
        Ok(self.store.lapse(&tomb, &archived).await?)
    }
}
