//! Walks over records that have left Redis, with bounded memory.

use crate::eraser::EraseError;
use crate::shelf::read;
use assets::{Buckets, RecordKind, RecordMark, RecordName, RecordPlace};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use job::JobId;
use std::collections::VecDeque;
use store::{ArchivePlace, Archived, Store};

/// Jobs of one day and tenant, or of one batch, that are walked over.
const JOBS_MAX: usize = 1_000_000;
/// Records read for one page.
const PAGE: usize = 200;
/// Records read at once.
const READS_AT_ONCE: usize = 16;

/// A walk over archived records of a pool.
#[derive(Debug)]
pub struct ArchiveWalk {
    store: Store,
    buckets: Buckets,
    days: VecDeque<Day>,
    /// Still to be read, the next one last.
    jobs: Vec<Listed>,
}

/// A day of a tenant.
#[derive(Debug, Clone)]
struct Day {
    tenant: String,
    kind: RecordKind,
    day: String,
}

/// A record by its names.
#[derive(Debug, Clone)]
struct Listed {
    tenant: String,
    day: String,
    job: JobId,
    revision: u64,
    kinds: &'static [RecordKind],
}

impl ArchiveWalk {
    /// Over the days that are wanted, by their names (2026-11-27): oldest day first, tenant by tenant.
    ///
    /// # Errors
    ///
    /// [`EraseError::Bucket`].
    pub async fn of_days(
        store: Store,
        buckets: Buckets,
        tenant: Option<&str>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Self, EraseError> {
        let pool = store.pool().to_owned();
        let mut tenants: Vec<String> = tenant.map(str::to_owned).into_iter().collect();
        if tenant.is_none() {
            for (_, bucket) in buckets.iter() {
                tenants.extend(bucket.record_tenants(&pool).await?);
            }
        }
        tenants.sort_unstable();
        tenants.dedup();
        let mut days = Vec::new();
        for tenant in tenants {
            for kind in [RecordKind::Kept, RecordKind::Bare] {
                let named = buckets.of(&tenant).record_days(&pool, &tenant, kind).await?;
                let wanted = named.into_iter().filter(|day| wanted(day));
                days.extend(wanted.map(|day| Day { tenant: tenant.clone(), kind, day }));
            }
        }
        days.sort_by(|a, b| (&a.day, &a.tenant).cmp(&(&b.day, &b.tenant)));
        Ok(Self { store, buckets, days: days.into(), jobs: Vec::new() })
    }

    /// Over the records of a tenant's batch, oldest job first.
    ///
    /// # Errors
    ///
    /// [`EraseError::Bucket`].
    pub async fn of_batch(
        store: Store,
        buckets: Buckets,
        tenant: &str,
        batch: &str,
    ) -> Result<Self, EraseError> {
        let mark = RecordMark::Batch(batch.to_owned());
        let bucket = buckets.of(tenant);
        let marked = bucket.records_marked(store.pool(), tenant, &mark, JOBS_MAX).await?;
        let jobs = listed(marked, tenant, &[RecordKind::Kept, RecordKind::Bare], batch)?;
        Ok(Self { store, buckets, days: VecDeque::new(), jobs })
    }

    /// The next few records; none at the end. What has a younger text, in Redis or beside it, is left out.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; the walk cannot go on.
    pub async fn next(&mut self) -> Result<Option<Vec<Archived>>, EraseError> {
        while self.jobs.is_empty() {
            let Some(day) = self.days.pop_front() else { return Ok(None) };
            self.jobs = self.list(&day).await?;
        }
        let page = self.jobs.split_off(self.jobs.len().saturating_sub(PAGE));
        let ids: Vec<JobId> = page.iter().map(|listed| listed.job.clone()).collect();
        let tombs = self.store.tombstones(&ids).await?;
        let here = self.store.revisions_here(&ids).await?;
        let mut reads = Vec::with_capacity(page.len());
        for ((listed, tomb), here) in page.into_iter().zip(tombs).zip(here).rev() {
            let current = match tomb {
                Some(tomb) => listed.lies_at(&tomb.place)?,
                // Without both, it is told of a job that only the bucket knows.
                None => here.is_none(),
            };
            if current {
                reads.push(self.read(listed).boxed());
            }
        }
        let read: Vec<Option<Archived>> =
            stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        Ok(Some(read.into_iter().flatten().collect()))
    }

    /// The jobs of a day, the oldest last.
    async fn list(&self, at: &Day) -> Result<Vec<Listed>, EraseError> {
        let (bucket, pool) = (self.buckets.of(&at.tenant), self.store.pool());
        let jobs = bucket.records_of_day(pool, &at.tenant, at.kind, &at.day, JOBS_MAX).await?;
        let kinds: &'static [RecordKind] = match at.kind {
            RecordKind::Kept => &[RecordKind::Kept],
            RecordKind::Bare => &[RecordKind::Bare],
        };
        listed(jobs, &at.tenant, kinds, &at.day)
    }

    async fn read(&self, listed: Listed) -> Result<Option<Archived>, EraseError> {
        let Some(ended_ms) = assets::day_begin(&listed.day) else { return Ok(None) };
        let bucket = self.buckets.of(&listed.tenant);
        for kind in listed.kinds {
            let place = RecordPlace {
                pool: self.store.pool(),
                tenant: &listed.tenant,
                job: listed.job.as_str(),
                ended_ms,
                revision: listed.revision,
                kind: *kind,
            };
            if let Some(text) = bucket.read_record(&place).await? {
                return Ok(Some(read(listed.job.as_str(), &text)?));
            }
        }
        Ok(None)
    }
}

impl Listed {
    /// Whether this is the text that a tombstone names.
    fn lies_at(&self, place: &ArchivePlace) -> Result<bool, EraseError> {
        let kind = if place.bare { RecordKind::Bare } else { RecordKind::Kept };
        let day = assets::day_of(place.ended_at.unix_ms())?;
        Ok(self.revision == place.revision && self.day == day && self.kinds.contains(&kind))
    }
}

/// Records by their names, the oldest job last.
fn listed(
    names: Vec<RecordName>,
    tenant: &str,
    kinds: &'static [RecordKind],
    what: &str,
) -> Result<Vec<Listed>, EraseError> {
    if names.len() >= JOBS_MAX {
        return Err(EraseError::TooMany { what: format!("{what} of {tenant}"), max: JOBS_MAX });
    }
    let read = names.into_iter().filter_map(|RecordName { day, job, revision }| {
        let job = JobId::parse(&job).ok()?;
        Some(Listed { tenant: tenant.to_owned(), day, job, revision, kinds })
    });
    let mut listed: Vec<Listed> = read.collect();
    listed.sort_by(|a, b| b.job.cmp(&a.job));
    Ok(listed)
}
