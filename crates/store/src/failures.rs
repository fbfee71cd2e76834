//! Failures in groups by their code, kept as jobs fail: of the pool, of a tenant, of a batch.

use crate::{Store, StoreError};
use job::{JobId, Spec, StateWord, Timestamp};
use redis::Pipeline;
use std::collections::BTreeMap;

/// The states of jobs that have a code.
pub(crate) const FAILED: [StateWord; 2] = [StateWord::Failed, StateWord::OutputLost];

/// Whose failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'a> {
    /// Everybody's.
    Pool,
    /// A tenant's.
    Tenant(&'a str),
    /// Those of a tenant's batch: tenant, name.
    Batch(&'a str, &'a str),
}

impl<'a> Scope<'a> {
    /// Every scope that a job's failure counts in.
    pub(crate) fn all_of(spec: &'a Spec) -> impl Iterator<Item = Self> {
        let tenant = spec.tenant.as_str();
        let batch = spec.batch.as_deref().map(|batch| Self::Batch(tenant, batch));
        [Self::Pool, Self::Tenant(tenant)].into_iter().chain(batch)
    }
}

/// Jobs that failed with one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// The code.
    pub code: String,
    /// The class it came with last, as `seedance::Class` is written; none for a code of ours.
    pub class: Option<String>,
    /// Jobs that stand as failed with it now.
    pub jobs: u64,
    /// Those of them that are in Redis and that nobody has dismissed.
    pub open: u64,
    /// Those of them that somebody has dismissed.
    pub dismissed: u64,
    /// Those of them whose records have left Redis for the bucket.
    pub archived: u64,
    /// When the first one failed.
    pub first: Timestamp,
    /// When the last one failed.
    pub last: Timestamp,
    /// The job that failed last.
    pub sample: Option<JobId>,
}

impl Store {
    /// The failures of a scope, most frequent first.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn failures(&self, scope: Scope<'_>) -> Result<Vec<FailureGroup>, StoreError> {
        let keys = self.keys();
        let (counts, dismissed) = (keys.failures(scope), keys.failures_dismissed(scope));
        let mut pipe = Pipeline::new();
        for sum in [&counts, &dismissed] {
            pipe.cmd("HGETALL").arg(sum);
            pipe.cmd("HGETALL").arg(keys.archived_of(sum));
        }
        pipe.cmd("HGETALL").arg(keys.failures_last(scope));
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let mut hash = || -> Result<BTreeMap<String, String>, StoreError> {
            redis::from_redis_value(answers.next().unwrap_or(redis::Value::Nil))
                .map_err(|error| StoreError::corrupt(&counts, error))
        };
        let (counted, archived) = (hash()?, hash()?);
        let (aside, aside_archived, told) = (hash()?, hash()?, hash()?);
        // A batch's jobs that left before those were counted are missed when they return: less than nothing is none.
        let of_code = |sums: &BTreeMap<String, String>, code: &str| {
            sums.get(code).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0)
        };
        let mut groups = Vec::new();
        for (code, n) in counted {
            let jobs = n.parse::<i64>().map_err(|error| StoreError::corrupt(&counts, error))?;
            let Some(jobs) = u64::try_from(jobs).ok().filter(|jobs| *jobs > 0) else { continue };
            let of = |what: &str| told.get(&format!("{code}|{what}"));
            let at = |what| {
                let ms = of(what).and_then(|ms| ms.parse().ok()).unwrap_or(0);
                Timestamp::from_unix_ms(ms)
            };
            let [dismissed, archived, both] =
                [&aside, &archived, &aside_archived].map(|sums| of_code(sums, &code));
            groups.push(FailureGroup {
                open: (jobs + both).saturating_sub(dismissed + archived),
                dismissed,
                archived,
                class: of("class").filter(|class| !class.is_empty()).cloned(),
                jobs,
                first: at("first"),
                last: at("last"),
                sample: of("job").and_then(|id| JobId::parse(id).ok()),
                code,
            });
        }
        groups.sort_by(|a, b| b.jobs.cmp(&a.jobs).then_with(|| a.code.cmp(&b.code)));
        Ok(groups)
    }
}
