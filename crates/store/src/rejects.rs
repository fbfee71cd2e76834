//! Rows of a batch that were refused, until they come again mended or nobody wants them any more.

use crate::{Store, StoreError};
use redis::Pipeline;

/// Refused rows kept for one batch. Further ones are counted where they were refused, and told when those
/// before them are mended and the batch comes again.
pub const REJECTS_MAX: usize = 10_000;
/// How long they are kept after the last one, seconds.
const KEPT_S: u64 = 30 * 86_400;
/// Rows read together, about.
const READ_ROWS: usize = 200;

/// A place in the rows of a batch.
pub type RejectsCursor = u64;

impl Store {
    /// Writes down refused rows by their identity, and forgets those that were mended. A row refused again
    /// replaces what was told of it before.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn note_rejects(
        &self,
        tenant: &str,
        batch: &str,
        refused: &[(String, String)],
        mended: &[String],
    ) -> Result<(), StoreError> {
        let key = self.keys().rejects(tenant, batch);
        let kept: usize = self.connection().ask(redis::cmd("HLEN").arg(&key)).await?;
        if kept == 0 && refused.is_empty() {
            return Ok(());
        }
        let mut pipe = Pipeline::new();
        if !mended.is_empty() {
            pipe.cmd("HDEL").arg(&key).arg(mended);
        }
        let room = REJECTS_MAX.saturating_sub(kept);
        for (row, told) in refused.iter().take(room) {
            pipe.cmd("HSET").arg(&key).arg(row).arg(told);
        }
        pipe.cmd("EXPIRE").arg(&key).arg(KEPT_S);
        let (index, now) = (self.keys().rejects_of(tenant), self.now().await?.unix_ms());
        let lapsed = now - 1_000 * i64::try_from(KEPT_S).unwrap_or(0);
        pipe.cmd("ZADD").arg(&index).arg(now).arg(batch);
        pipe.cmd("ZREMRANGEBYSCORE").arg(&index).arg("-inf").arg(lapsed);
        self.connection().pipe(&mut pipe).await?;
        Ok(())
    }

    /// Some refused rows of a batch, and where the others begin; 0 stands for begin and end. A row that stays
    /// is told at least once.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn rejects(
        &self,
        tenant: &str,
        batch: &str,
        cursor: RejectsCursor,
    ) -> Result<(RejectsCursor, Vec<String>), StoreError> {
        let key = self.keys().rejects(tenant, batch);
        let mut scan = redis::cmd("HSCAN");
        scan.arg(&key).arg(cursor).arg("COUNT").arg(READ_ROWS);
        let (next, pairs): (RejectsCursor, Vec<(String, String)>) =
            self.connection().ask(&scan).await?;
        Ok((next, pairs.into_iter().map(|(_, told)| told).collect()))
    }
}
