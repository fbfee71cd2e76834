//! Uploads to batches: while one is under way, more jobs are to come, and the batch is not completed
//! however many of its jobs have ended.
//!
//! An upload holds a lease, so that a process that dies in the middle does not keep its batch open for ever.

use crate::batches;
use crate::keys::Keys;
use crate::lease::millis;
use crate::{Store, StoreError};
use job::Timestamp;
use redis::Pipeline;
use std::time::{Duration, Instant};

/// How long an upload is under way without a sign of life.
pub const UPLOAD_LEASE: Duration = Duration::from_secs(60);
/// Between two such signs.
const RENEW: Duration = Duration::from_secs(15);
/// Batches looked after at once.
pub const UPLOADS_MAX: usize = 64;

/// An upload that is under way.
#[derive(Debug)]
pub struct Upload {
    tenant: String,
    batch: String,
    id: String,
    renewed: Instant,
}

/// A batch whose uploads are to be looked after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub batch: String,
    /// Since when it is due.
    pub due: Timestamp,
}

impl Store {
    /// Says that rows of a batch are about to come. Before the first of them is admitted: from now on there is a
    /// batch of this name, whatever becomes of them.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn begin_upload(&self, tenant: &str, batch: &str) -> Result<Upload, StoreError> {
        let id = ulid::Ulid::generate().to_string();
        let (tenant, batch) = (tenant.to_owned(), batch.to_owned());
        let mut upload = Upload { tenant, batch, id, renewed: Instant::now() };
        // The lease first: a batch that was seen before it would be an empty one that is completed.
        let now = self.renew_upload(&mut upload).await?;
        let mut pipe = Pipeline::new();
        for (command, key, args) in batches::begun(self.keys(), &upload.tenant, &upload.batch, now)
        {
            pipe.cmd(command).arg(key).arg(args);
        }
        pipe.cmd("HEXISTS").arg(self.keys().batch(&upload.tenant, &upload.batch)).arg("stop_on");
        let answers = self.connection().pipe(&mut pipe).await?;
        if answers.last().and_then(crate::commit::integer) == Some(1) {
            // Jobs are about to come: its conditions are looked after, however long it was at rest.
            let member = Keys::batch_member(&upload.tenant, &upload.batch);
            let mut command = redis::cmd("ZADD");
            command.arg(self.keys().stop_looks()).arg(now.unix_ms()).arg(&member);
            let _: i64 = self.connection().ask(&command).await?;
        }
        Ok(upload)
    }

    /// A sign of life, where it is time for one.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn keep_upload(&self, upload: &mut Upload) -> Result<(), StoreError> {
        if upload.renewed.elapsed() < RENEW {
            return Ok(());
        }
        self.renew_upload(upload).await.map(drop)
    }

    /// Tells the instant of it.
    async fn renew_upload(&self, upload: &mut Upload) -> Result<Timestamp, StoreError> {
        let Upload { tenant, batch, id, renewed } = upload;
        let (key, member) =
            (self.keys().uploads_to(tenant, batch), Keys::batch_member(tenant, batch));
        let now = self.now().await?;
        let until = (now + UPLOAD_LEASE).unix_ms();
        let mut pipe = Pipeline::new();
        pipe.cmd("ZADD").arg(&key).arg(until).arg(&*id);
        pipe.cmd("PEXPIRE").arg(&key).arg(2 * millis(UPLOAD_LEASE));
        pipe.cmd("ZADD").arg(self.keys().uploads()).arg("GT").arg(until).arg(&member);
        self.connection().pipe(&mut pipe).await?;
        *renewed = Instant::now();
        Ok(now)
    }

    /// The upload is over: whoever tells of completed batches looks at this one at once, since its last job
    /// may have ended before.
    ///
    /// # Errors
    ///
    /// As every call; then it is over when its lease is.
    pub async fn end_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        let Upload { tenant, batch, id, .. } = upload;
        let (keys, member) = (self.keys(), Keys::batch_member(tenant, batch));
        let mut pipe = Pipeline::new();
        pipe.cmd("ZREM").arg(keys.uploads_to(tenant, batch)).arg(id);
        pipe.cmd("EXISTS").arg(keys.hooks_read());
        let answers = self.connection().pipe(&mut pipe).await?;
        let heard = answers.last().and_then(crate::commit::integer) == Some(1);
        let mut command = if heard { redis::cmd("ZADD") } else { redis::cmd("ZREM") };
        command.arg(keys.uploads());
        if heard {
            command.arg(self.now().await?.unix_ms());
        }
        let _: i64 = self.connection().ask(command.arg(&member)).await?;
        Ok(())
    }

    /// Batches whose uploads have ended, or have given no sign of life; at most [`UPLOADS_MAX`]. They stay
    /// due until [`Store::share_out`] has looked after them.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn due_uploads(&self) -> Result<Vec<Uploaded>, StoreError> {
        let (key, now) = (self.keys().uploads(), self.now().await?);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg("-inf").arg(now.unix_ms()).arg("BYSCORE");
        command.arg("LIMIT").arg(0).arg(UPLOADS_MAX).arg("WITHSCORES");
        let due: Vec<(String, i64)> = self.connection().ask(&command).await?;
        let read = |(member, ms): &(String, i64)| {
            let (tenant, batch) =
                Keys::batch_of_member(member).ok_or_else(|| StoreError::corrupt(&key, member))?;
            Ok(Uploaded { tenant, batch, due: Timestamp::from_unix_ms(*ms) })
        };
        due.iter().map(read).collect()
    }
}
