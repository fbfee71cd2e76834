//! Walks over records that have left Redis, with bounded memory.

use crate::eraser::EraseError;
use crate::shelf::read;
use assets::{Buckets, RecordKind, RecordMark, RecordPlace};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use job::JobId;
use std::collections::VecDeque;
use store::{Archived, Store};

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
        let jobs = marked.into_iter().filter_map(|(day, job)| {
            let (tenant, job) = (tenant.to_owned(), JobId::parse(&job).ok()?);
            Some(Listed { tenant, day, job, kinds: &[RecordKind::Kept, RecordKind::Bare] })
        });
        let mut jobs: Vec<Listed> = jobs.collect();
        jobs.sort_by(|a, b| b.job.cmp(&a.job));
        Ok(Self { store, buckets, days: VecDeque::new(), jobs })
    }

    /// The next few records; none at the end. One of a job that is back in Redis is left out: what lies in the
    /// bucket of it is old.
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
        let here = self.store.are_here(&ids).await?;
        let mut reads = Vec::with_capacity(page.len());
        for (listed, here) in page.into_iter().zip(here).rev() {
            if !here {
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
        let listed = jobs.iter().filter_map(|job| {
            let (tenant, day) = (at.tenant.clone(), at.day.clone());
            Some(Listed { tenant, day, job: JobId::parse(job).ok()?, kinds })
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|a, b| b.job.cmp(&a.job));
        Ok(listed)
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
                kind: *kind,
            };
            if let Some(text) = bucket.read_record(&place).await? {
                return Ok(Some(read(listed.job.as_str(), &text)?));
            }
        }
        Ok(None)
    }
}
