//! Failures in groups by their code, kept as jobs fail: of the pool, of a tenant, of a batch.

use crate::{Store, StoreError};
use job::{JobId, StateWord, Timestamp};
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

/// Jobs that failed with one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// The code.
    pub code: String,
    /// The class it came with last, as `seedance::Class` is written; none for a code of ours.
    pub class: Option<String>,
    /// Jobs that stand as failed with it now.
    pub jobs: u64,
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
        let (counts, last) = (self.keys().failures(scope), self.keys().failures_last(scope));
        let mut pipe = Pipeline::new();
        pipe.cmd("HGETALL").arg(&counts);
        pipe.cmd("HGETALL").arg(&last);
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let mut hash = || -> Result<BTreeMap<String, String>, StoreError> {
            redis::from_redis_value(answers.next().unwrap_or(redis::Value::Nil))
                .map_err(|error| StoreError::corrupt(&counts, error))
        };
        let (counted, told) = (hash()?, hash()?);
        let mut groups = Vec::new();
        for (code, n) in counted {
            let jobs = n.parse::<i64>().map_err(|error| StoreError::corrupt(&counts, error))?;
            let Some(jobs) = u64::try_from(jobs).ok().filter(|jobs| *jobs > 0) else { continue };
            let of = |what: &str| told.get(&format!("{code}|{what}"));
            let at = |what| {
                let ms = of(what).and_then(|ms| ms.parse().ok()).unwrap_or(0);
                Timestamp::from_unix_ms(ms)
            };
            groups.push(FailureGroup {
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
