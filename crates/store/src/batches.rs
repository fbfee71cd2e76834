//! Batches: what is known of each beside its jobs, and whether it is paused.

use crate::budget::{Purse, PurseUse};
use crate::keys::Keys;
use crate::spent::Spent;
use crate::{Store, StoreError};
use job::{By, StateWord, Timestamp};
use redis::Pipeline;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Batches on one page.
pub const BATCHES_MAX: usize = 200;
/// Tenants told of those with a batch of one name.
pub const OWNERS_MAX: usize = 64;

/// Why a batch submits nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// By whom.
    pub by: By,
    /// Since when.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// One batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub name: String,
    /// Whose.
    pub tenant: String,
    /// When its first upload began, or its first job was taken in.
    pub created_at: Timestamp,
    /// Jobs by state.
    pub counts: BTreeMap<StateWord, u64>,
    /// Refused rows that are kept: they made no job.
    pub rejects: u64,
    /// What its finished jobs cost.
    pub spent: Spent,
    /// When the first and the last of its jobs ended.
    pub ended: Option<(Timestamp, Timestamp)>,
    /// None of its queued jobs is submitted.
    pub paused: Option<Paused>,
    /// It is paused for all but so many rows of its pilot.
    pub pilot: Option<u32>,
    /// So many rows were its pilot, and the others were let go on.
    pub piloted: Option<u32>,
    /// Conditions on which it stops by itself, as [`job::StopOn`] reads them.
    pub stop_on: Option<String>,
    /// What had happened when it was last resumed, as it is stored.
    pub stop_from: Option<String>,
    /// More rows are on their way.
    pub uploading: bool,
    /// What may be bought for it, and what was.
    pub purse: PurseUse,
}

impl Batch {
    /// All its jobs.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Its jobs that have ended.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.counts.iter().filter(|(word, _)| word.is_finished()).map(|(_, n)| n).sum()
    }

    /// The batch in one word: `paused`, `running`, `completed`, or `completed_with_failures`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let succeeded = self.counts.get(&StateWord::Succeeded).copied().unwrap_or(0);
        let over = self.finished() == self.jobs() && !self.uploading;
        // Rows that were refused beside good ones are for their sender to mend; where there is nothing else, all failed.
        let made_none = self.jobs() == 0 && self.rejects > 0;
        match (over, self.paused.is_some()) {
            (true, _) if succeeded == self.jobs() && !made_none => "completed",
            (true, _) => "completed_with_failures",
            (false, true) => "paused",
            (false, false) => "running",
        }
    }
}

/// What says that there is a batch: command, key and arguments. Its first upload writes it, or else its first
/// job; what comes later changes nothing.
pub(crate) fn begun(
    keys: &Keys,
    tenant: &str,
    batch: &str,
    at: Timestamp,
) -> [(&'static str, String, Vec<String>); 4] {
    let at = at.unix_ms().to_string();
    let listed = |name: &str| vec!["NX".to_owned(), at.clone(), name.to_owned()];
    [
        ("HSETNX", keys.batch(tenant, batch), vec!["created_at".to_owned(), at.clone()]),
        ("ZADD", keys.batches(None), listed(&Keys::batch_member(tenant, batch))),
        ("ZADD", keys.batches(Some(tenant)), listed(batch)),
        ("ZADD", keys.batch_owners(batch), listed(tenant)),
    ]
}

impl Store {
    /// A tenant's batch; none where neither an upload nor a job of it ever named it.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn batch(&self, tenant: &str, name: &str) -> Result<Option<Batch>, StoreError> {
        Ok(self.batches_named(&[(tenant.to_owned(), name.to_owned())]).await?.pop())
    }

    /// Tenants with a batch of this name, in the order of their first job in it; at most [`OWNERS_MAX`].
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn batch_owners(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().batch_owners(name)).arg(0).arg(OWNERS_MAX - 1);
        self.connection().ask(&command).await
    }

    /// Batches, newest first: a tenant's, or all. `skip` of them are passed over.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn batches(
        &self,
        tenant: Option<&str>,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<Batch>, StoreError> {
        let limit = limit.clamp(1, BATCHES_MAX);
        let key = self.keys().batches(tenant);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(skip).arg(skip + limit - 1).arg("REV");
        let members: Vec<String> = self.connection().ask(&command).await?;
        let named = members.into_iter().map(|member| match tenant {
            Some(tenant) => Ok((tenant.to_owned(), member)),
            None => {
                let strange = || StoreError::corrupt(&key, &member);
                Keys::batch_of_member(&member).ok_or_else(strange)
            }
        });
        self.batches_named(&named.collect::<Result<Vec<_>, _>>()?).await
    }

    pub(crate) async fn batches_named(
        &self,
        named: &[(String, String)],
    ) -> Result<Vec<Batch>, StoreError> {
        let mut pipe = Pipeline::new();
        for (tenant, name) in named {
            pipe.cmd("HGETALL").arg(self.keys().batch(tenant, name));
            pipe.cmd("HGETALL").arg(self.keys().batch_counts(tenant, name));
            let uploads = self.keys().uploads_to(tenant, name);
            pipe.cmd("ZRANGE").arg(uploads).arg(0).arg(0).arg("REV").arg("WITHSCORES");
            pipe.cmd("HLEN").arg(self.keys().rejects(tenant, name));
        }
        let now = self.now().await?;
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let mut batches = Vec::with_capacity(named.len());
        for (tenant, name) in named {
            let key = self.keys().batch(tenant, name);
            let corrupt = |error: &dyn std::fmt::Display| StoreError::corrupt(&key, error);
            let nil = || redis::Value::Nil;
            let fields: BTreeMap<String, String> =
                redis::from_redis_value(answers.next().unwrap_or_else(nil))
                    .map_err(|error| corrupt(&error))?;
            let counts: BTreeMap<String, i64> =
                redis::from_redis_value(answers.next().unwrap_or_else(nil))
                    .map_err(|error| corrupt(&error))?;
            let uploads: Vec<(String, i64)> =
                redis::from_redis_value(answers.next().unwrap_or_else(nil))
                    .map_err(|error| corrupt(&error))?;
            let rejects: u64 = redis::from_redis_value(answers.next().unwrap_or_else(nil))
                .map_err(|error| corrupt(&error))?;
            if !fields.is_empty() {
                let uploading = uploads.iter().any(|(_, until)| *until > now.unix_ms());
                let batch = read(tenant, name, &fields, &counts);
                batches.push(Batch { rejects, uploading, ..batch });
            }
        }
        let of = |batch: &Batch| Purse::Batch(batch.tenant.clone(), batch.name.clone());
        let purses: Vec<Purse> = batches.iter().map(of).collect();
        for (batch, purse) in batches.iter_mut().zip(self.purses(&purses).await?) {
            batch.purse = purse;
        }
        Ok(batches)
    }
}

fn read(
    tenant: &str,
    name: &str,
    fields: &BTreeMap<String, String>,
    counts: &BTreeMap<String, i64>,
) -> Batch {
    let at = |field: &str| {
        let ms = fields.get(field).and_then(|ms| ms.parse().ok());
        ms.map(Timestamp::from_unix_ms)
    };
    let mut spent = Spent::default();
    for (field, n) in fields {
        // Everything else stands beside these sums.
        spent.add(field, n.parse().unwrap_or(0));
    }
    let count = |(word, n): (&String, &i64)| {
        let n = u64::try_from(*n).ok().filter(|n| *n > 0)?;
        Some((StateWord::parse(word)?, n))
    };
    Batch {
        name: name.to_owned(),
        tenant: tenant.to_owned(),
        created_at: at("created_at").unwrap_or_default(),
        counts: counts.iter().filter_map(count).collect(),
        rejects: 0,
        spent,
        ended: at("first_end").zip(at("last_end")),
        paused: fields.get("paused").and_then(|text| serde_json::from_str(text).ok()),
        pilot: fields.get("pilot").and_then(|rows| rows.parse().ok()),
        piloted: fields.get("piloted").and_then(|rows| rows.parse().ok()),
        stop_on: fields.get("stop_on").cloned(),
        stop_from: fields.get("stop_from").cloned(),
        uploading: false,
        purse: PurseUse::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_a_word() {
        let fields = |paused: bool| {
            let text = r#"{"by":"ann","at":1,"reason":"look"}"#;
            let paused = paused.then(|| ("paused".to_owned(), text.to_owned()));
            let fields = [("created_at", "5"), ("tokens", "7")];
            let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned()));
            fields.into_iter().chain(paused).collect::<BTreeMap<_, _>>()
        };
        let word = |counts: &[(&str, i64)], paused| {
            let counts = counts.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
            read("a", "b", &fields(paused), &counts).word()
        };
        assert_eq!(word(&[("queued", 1), ("succeeded", 1)], false), "running");
        assert_eq!(word(&[("held", 1), ("succeeded", 1)], true), "paused");
        assert_eq!(word(&[("queued", 0), ("succeeded", 2)], false), "completed");
        assert_eq!(word(&[("failed", 1), ("succeeded", 2)], true), "completed_with_failures");
        let whole = BTreeMap::from([("succeeded".to_owned(), 2)]);
        let batch = Batch { uploading: true, ..read("a", "b", &fields(false), &whole) };
        assert_eq!(batch.word(), "running", "more rows are on their way");
        let refused = |counts: &[(&str, i64)]| {
            let counts = counts.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect();
            Batch { rejects: 2, ..read("a", "b", &fields(false), &counts) }.word()
        };
        assert_eq!(refused(&[]), "completed_with_failures", "no row made a job");
        assert_eq!(refused(&[("succeeded", 2)]), "completed", "two rows wait to be mended");
        assert_eq!(word(&[], false), "completed", "an empty stream");
        let batch = read("a", "b", &fields(true), &BTreeMap::new());
        assert_eq!((batch.spent.tokens, batch.paused.map(|p| p.reason)), (7, Some("look".into())));
    }
}
