//! Wishes to erase: written down before they are worked off, counted while they are, kept as receipts.

use crate::keys::AUDIT_LINES_MAX;
use crate::lease::millis;
use crate::{Store, StoreError};
use job::{ErasureId, Timestamp};
use redis::Pipeline;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a receipt is kept.
const RECEIPT_KEPT: Duration = Duration::from_secs(400 * 24 * 3_600);

impl Store {
    /// Writes an erasure down and when its next turn is; `None`: it is fulfilled.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn save_erasure(
        &self,
        id: &ErasureId,
        text: &str,
        due: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let (key, open) = (self.keys().erasure(id), self.keys().erasures());
        let mut pipe = Pipeline::new();
        // The turn before the wish, and the receipt before its end: a crash in between leaves a turn too
        // many, which costs a look, and never a promise that nobody comes to.
        if let Some(at) = due {
            pipe.cmd("ZADD").arg(&open).arg(at.unix_ms()).arg(id.as_str());
        }
        pipe.cmd("SET").arg(&key).arg(text);
        if due.is_none() {
            let kept_ms = millis(RECEIPT_KEPT);
            pipe.cmd("PEXPIRE").arg(&key).arg(kept_ms);
            pipe.cmd("PEXPIRE").arg(self.keys().erased(id)).arg(kept_ms);
            pipe.cmd("ZREM").arg(&open).arg(id.as_str());
        }
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// Takes a turn away that no wish belongs to.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn drop_erasure(&self, id: &ErasureId) -> Result<(), StoreError> {
        let mut command = redis::cmd("ZREM");
        command.arg(self.keys().erasures()).arg(id.as_str());
        let _: i64 = self.connection().ask(&command).await?;
        Ok(())
    }

    /// An erasure as it was written down, with what it has removed.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn erasure(
        &self,
        id: &ErasureId,
    ) -> Result<Option<(String, BTreeMap<String, u64>)>, StoreError> {
        let (key, counts) = (self.keys().erasure(id), self.keys().erased(id));
        let mut pipe = Pipeline::new();
        pipe.cmd("GET").arg(&key);
        pipe.cmd("HGETALL").arg(&counts);
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let mut next = || answers.next().unwrap_or(redis::Value::Nil);
        let text: Option<String> =
            redis::from_redis_value(next()).map_err(|error| StoreError::corrupt(&key, error))?;
        let counts: BTreeMap<String, u64> =
            redis::from_redis_value(next()).map_err(|error| StoreError::corrupt(&counts, error))?;
        Ok(text.map(|text| (text, counts)))
    }

    /// Counts what an erasure has removed, beside the jobs that [`Store::forget`] counts.
    ///
    /// # Errors
    ///
    /// As every call; a repeat counts again.
    pub async fn count_erased(
        &self,
        id: &ErasureId,
        removed: &[(&str, u64)],
    ) -> Result<(), StoreError> {
        let mut pipe = Pipeline::new();
        for (name, n) in removed.iter().filter(|(_, n)| *n > 0) {
            pipe.cmd("HINCRBY").arg(self.keys().erased(id)).arg(name).arg(n);
        }
        if pipe.is_empty() {
            return Ok(());
        }
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// Puts the next turn of an open erasure off.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn put_erasure_off(
        &self,
        id: &ErasureId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut command = redis::cmd("ZADD");
        command.arg(self.keys().erasures()).arg("XX").arg(until.unix_ms()).arg(id.as_str());
        let _: i64 = self.connection().ask(&command).await?;
        Ok(())
    }

    /// A tenant's last erasure by age.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn aged(&self, tenant: &str) -> Result<Option<ErasureId>, StoreError> {
        let key = self.keys().aged();
        let id: Option<String> =
            self.connection().ask(redis::cmd("HGET").arg(&key).arg(tenant)).await?;
        id.map(|id| ErasureId::parse(&id).map_err(|error| StoreError::corrupt(&key, error)))
            .transpose()
    }

    /// Notes the last one.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn note_aged(&self, tenant: &str, id: &ErasureId) -> Result<(), StoreError> {
        let mut command = redis::cmd("HSET");
        command.arg(self.keys().aged()).arg(tenant).arg(id.as_str());
        let _: i64 = self.connection().ask(&command).await?;
        Ok(())
    }

    /// Erasures whose turn has come, longest waiting first; at most `n`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn due_erasures(&self, n: usize) -> Result<Vec<ErasureId>, StoreError> {
        let key = self.keys().erasures();
        let now = self.now().await?;
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg("-inf").arg(now.unix_ms()).arg("BYSCORE");
        let ids: Vec<String> = self.connection().ask(command.arg("LIMIT").arg(0).arg(n)).await?;
        let read = |id: &String| ErasureId::parse(id).map_err(|e| StoreError::corrupt(&key, e));
        ids.iter().map(read).collect()
    }

    /// One line of the audit about the pool as a whole.
    ///
    /// # Errors
    ///
    /// As every call; a repeat leaves a second line.
    pub async fn note_pool(&self, what: &str, by: &str, reason: &str) -> Result<(), StoreError> {
        #[derive(Serialize)]
        struct Line<'a> {
            at: Timestamp,
            alarm: &'a str,
            by: &'a str,
            reason: &'a str,
        }
        let line = Line { at: self.now().await?, alarm: what, by, reason };
        let text = StoreError::json("a line that is", &line)?;
        let key = self.keys().audit();
        let mut pipe = Pipeline::new();
        pipe.cmd("LPUSH").arg(&key).arg(text);
        pipe.cmd("LTRIM").arg(&key).arg(0).arg(AUDIT_LINES_MAX - 1);
        self.connection().pipe(&mut pipe).await.map(drop)
    }
}
