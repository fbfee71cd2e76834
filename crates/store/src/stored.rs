//! A record as it lies in Redis, and how it is read.

use crate::{Store, StoreError};
use job::{JobId, Record, TaskId, Timestamp};
use redis::{Pipeline, Value};
use std::collections::BTreeMap;

/// Records read in one pipeline.
pub const LOAD_MAX: usize = 500;

/// A record with what the store knows about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The record.
    pub record: Record,
    /// Grows by one with every commit.
    pub revision: u64,
    /// The task a callback named for the open attempt; to be confirmed by an authenticated read.
    pub hint: Option<TaskId>,
    /// It has left Redis, and was read from the bucket: to change it, [`Store::recall`] comes first.
    pub archived: bool,
    /// The server's clock when it was read.
    pub now: Timestamp,
}

/// What a look at one key found.
pub(crate) enum Found {
    Stored(Box<Stored>),
    Missing,
    /// Written by a newer binary, or not ours.
    Unreadable(StoreError),
}

impl Store {
    /// Reads one record.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] when a newer binary wrote it; else as every call.
    pub async fn load(&self, id: &JobId) -> Result<Option<Stored>, StoreError> {
        let mut found = self.load_many(std::slice::from_ref(id)).await?;
        found.pop().unwrap_or(Ok(None))
    }

    /// Reads many records, in the order asked for; at most [`LOAD_MAX`] in one round trip. Those that have left
    /// Redis come from the bucket.
    ///
    /// # Errors
    ///
    /// Outer: as every call. Inner: that one record cannot be read.
    #[allow(clippy::type_complexity)]
    pub async fn load_many(
        &self,
        ids: &[JobId],
    ) -> Result<Vec<Result<Option<Stored>, StoreError>>, StoreError> {
        let mut records = Vec::with_capacity(ids.len());
        for ids in ids.chunks(LOAD_MAX) {
            let (now, found) = self.find_many(ids).await?;
            let missing =
                ids.iter().zip(&found).filter(|(_, found)| matches!(found, Found::Missing));
            let missing: Vec<JobId> = missing.map(|(id, _)| id.clone()).collect();
            let mut archived = match missing.as_slice() {
                [] => BTreeMap::new(),
                missing => self.load_archived(missing, now).await?,
            };
            for (id, found) in ids.iter().zip(found) {
                records.push(match found {
                    Found::Stored(stored) => Ok(Some(*stored)),
                    Found::Missing => archived.remove(id).transpose(),
                    Found::Unreadable(error) => Err(error),
                });
            }
        }
        Ok(records)
    }

    /// The server's clock and what lies under each id.
    pub(crate) async fn find_many(
        &self,
        ids: &[JobId],
    ) -> Result<(Timestamp, Vec<Found>), StoreError> {
        let mut pipe = Pipeline::with_capacity(ids.len() + 1);
        pipe.cmd("TIME");
        for id in ids {
            pipe.cmd("HMGET").arg(self.keys().job(id)).arg(&["spec", "life", "rev", "hint"]);
        }
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let now = time(answers.next())?;
        self.inner.clock.hear(now);
        let written = self.writes_version();
        let found = ids.iter().zip(answers).map(|(id, answer)| read(id, answer, now, written));
        Ok((now, found.collect()))
    }
}

pub(crate) fn time(answer: Option<Value>) -> Result<Timestamp, StoreError> {
    let answer = answer.unwrap_or(Value::Nil);
    let (s, us): (i64, i64) = redis::from_redis_value(answer.clone())
        .map_err(|_| StoreError::Bug(format!("TIME answered {answer:?}")))?;
    Ok(Timestamp::from_unix_ms(s * 1_000 + us / 1_000))
}

fn read(id: &JobId, answer: Value, now: Timestamp, written: u32) -> Found {
    type Row = (Option<String>, Option<String>, Option<u64>, Option<String>);
    let row: Row = match redis::from_redis_value(answer) {
        Ok(row) => row,
        Err(error) => return Found::Unreadable(StoreError::corrupt(id.as_str(), error)),
    };
    let (Some(spec), Some(life), Some(revision), hint) = row else {
        return Found::Missing;
    };
    match Record::from_parts(id.clone(), &spec, &life) {
        Ok(mut record) => {
            // Whatever is written of it from here on is in the form in force.
            record.schema = record.schema.max(written);
            let hint = hint.and_then(|text| TaskId::parse(&text).ok());
            Found::Stored(Box::new(Stored { record, revision, hint, archived: false, now }))
        }
        Err(error) => Found::Unreadable(StoreError::corrupt(id.as_str(), error)),
    }
}
