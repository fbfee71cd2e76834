//! Walks over records that have left Redis, with bounded memory.

use crate::eraser::EraseError;
use crate::shelf::read;
use assets::{Buckets, RecordKind, RecordMark, RecordName, RecordPlace};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use job::{JobId, Record, State};
use std::collections::{HashSet, VecDeque};
use store::{Store, Stored};
use ulid::Ulid;

/// Jobs of one day and tenant, or of one batch, that are walked over.
const JOBS_MAX: usize = 1_000_000;
/// Records read for one page.
const PAGE: usize = 200;
/// Records read at once.
const READS_AT_ONCE: usize = 16;

/// Jobs that a reader was told of: 16 bytes each. While a list is read, jobs leave Redis and come back; so that each
/// is told once, what the list in Redis showed is remembered.
#[derive(Debug, Default)]
pub struct Told(HashSet<Ulid>);

impl Told {
    /// Writes down that a job is told; answers whether it was not before.
    pub fn tell(&mut self, id: &JobId) -> bool {
        name(id).is_none_or(|name| self.0.insert(name))
    }

    fn knows(&self, id: &JobId) -> bool {
        name(id).is_some_and(|name| self.0.contains(&name))
    }
}

/// Every job's id holds one.
fn name(id: &JobId) -> Option<Ulid> {
    Ulid::from_string(id.as_str().strip_prefix("job_")?).ok()
}

/// A walk over archived records of a pool.
#[derive(Debug)]
pub struct ArchiveWalk {
    store: Store,
    buckets: Buckets,
    days: VecDeque<Day>,
    /// Still to be read, the next one last.
    jobs: Vec<Listed>,
    told: Told,
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
        told: Told,
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
        Ok(Self { store, buckets, days: days.into(), jobs: Vec::new(), told })
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
        told: Told,
    ) -> Result<Self, EraseError> {
        let mark = RecordMark::Batch(batch.to_owned());
        let bucket = buckets.of(tenant);
        let marked = bucket.records_marked(store.pool(), tenant, &mark, JOBS_MAX).await?;
        let jobs = listed(marked, tenant, &[RecordKind::Kept, RecordKind::Bare], batch)?;
        Ok(Self { store, buckets, days: VecDeque::new(), jobs, told })
    }

    /// The next few records as they stand now, wherever they are; none at the end. Each job comes once, and none
    /// that was told before.
    ///
    /// # Errors
    ///
    /// [`EraseError`]; the walk cannot go on.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, EraseError> {
        while self.jobs.is_empty() {
            let Some(day) = self.days.pop_front() else { return Ok(None) };
            self.jobs = self.list(&day).await?;
        }
        let mut page = self.jobs.split_off(self.jobs.len().saturating_sub(PAGE));
        page.reverse();
        page.retain(|listed| !self.told.knows(&listed.job));
        let ids: Vec<JobId> = page.iter().map(|listed| listed.job.clone()).collect();
        let found = self.store.load_many(&ids).await?;
        let mut reads = Vec::with_capacity(page.len());
        for (listed, found) in page.into_iter().zip(found) {
            let found = found?;
            reads.push(self.as_it_stands(listed, found).boxed());
        }
        let read: Vec<Option<Record>> =
            stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        let mut records: Vec<Record> = read.into_iter().flatten().collect();
        records.retain(|record| self.told.tell(&record.id));
        Ok(Some(records))
    }

    async fn as_it_stands(
        &self,
        listed: Listed,
        found: Option<Stored>,
    ) -> Result<Option<Record>, EraseError> {
        match found {
            // What was listed is old: the job ended again, on a day that has it as well.
            Some(stored) if stored.archived && listed.is_of_another_day(&stored.record)? => {
                Ok(None)
            }
            Some(stored) => Ok(Some(stored.record)),
            // Only the bucket knows it.
            None => self.read(listed).await,
        }
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

    async fn read(&self, listed: Listed) -> Result<Option<Record>, EraseError> {
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
                return Ok(Some(read(listed.job.as_str(), &text)?.record));
            }
        }
        Ok(None)
    }
}

impl Listed {
    /// Of a list by days.
    fn is_of_another_day(&self, record: &Record) -> Result<bool, EraseError> {
        let State::Finished { at, .. } = &record.life.state else { return Ok(false) };
        Ok(self.kinds.len() == 1 && assets::day_of(at.unix_ms())? != self.day)
    }
}

/// Jobs by the names of their records, each by its youngest one, the oldest job last.
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
    listed.sort_by(|a, b| (&b.job, b.revision).cmp(&(&a.job, a.revision)));
    listed.dedup_by(|next, kept| next.job == kept.job);
    Ok(listed)
}
