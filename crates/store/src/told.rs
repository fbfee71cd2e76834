//! Which ends of tasks were told by callbacks, and tickets that are due sooner because none comes.

use crate::lease::instant;
use crate::queue::Queue;
use crate::{Store, StoreError};
use job::rounds::{ENDS_KEPT, Ended};
use job::{JobId, TaskId, Timestamp};
use redis::{Pipeline, Value};

/// Told ends that are kept: more than may be told before we have seen the first of them end.
const TOLD_KEPT: usize = 5_000;
/// One end in so many, by its instant, also takes away what is too much.
const TRIM_ONE_IN: i64 = 16;
/// Tickets changed by one command.
const HASTEN_MAX: usize = 500;

impl Store {
    /// A task of this account has ended at `at`, as far as we know.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn note_end(
        &self,
        account: &str,
        task: &TaskId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.note_at(self.keys().ends(account), task, at, ENDS_KEPT).await
    }

    /// A callback said at `at` that this task has ended.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat: the first word counts.
    pub async fn note_told(
        &self,
        account: &str,
        task: &TaskId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.note_at(self.keys().told(account), task, at, TOLD_KEPT).await
    }

    async fn note_at(
        &self,
        key: String,
        task: &TaskId,
        at: Timestamp,
        kept: usize,
    ) -> Result<(), StoreError> {
        let mut pipe = Pipeline::new();
        pipe.cmd("ZADD").arg(&key).arg("NX").arg(at.unix_ms()).arg(task.as_str());
        if at.unix_ms() % TRIM_ONE_IN == 0 {
            let oldest = -i64::try_from(kept).unwrap_or(i64::MAX) - 1;
            pipe.cmd("ZREMRANGEBYRANK").arg(&key).arg(0).arg(oldest);
        }
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// The last ends of an account's tasks, and when a callback last told any.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn ends(&self, account: &str) -> Result<(Vec<Ended>, Option<Timestamp>), StoreError> {
        let (ends, told) = (self.keys().ends(account), self.keys().told(account));
        let mut pipe = Pipeline::new();
        let first = -i64::try_from(ENDS_KEPT).unwrap_or(i64::MAX);
        pipe.cmd("ZRANGE").arg(&ends).arg(first).arg(-1).arg("WITHSCORES");
        pipe.cmd("ZRANGE").arg(&told).arg(-1).arg(-1).arg("WITHSCORES");
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let ended = scored(answers.next())?;
        let last = scored(answers.next())?.first().map(|(_, at)| *at);
        if ended.is_empty() {
            return Ok((Vec::new(), last));
        }
        let tasks: Vec<&str> = ended.iter().map(|(task, _)| task.as_str()).collect();
        let scores: Vec<Option<f64>> =
            self.connection().ask(redis::cmd("ZMSCORE").arg(&told).arg(tasks)).await?;
        let ends = ended.iter().zip(scores);
        let ends = ends.map(|((_, at), told)| Ended { at: *at, told_at: told.map(instant) });
        Ok((ends.collect(), last))
    }

    /// Jobs whose next look lies behind `after`, at most `n`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn looks_after(&self, after: Timestamp, n: usize) -> Result<Vec<JobId>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().due(Queue::Poll)).arg(after.unix_ms()).arg("+inf");
        command.arg(&["BYSCORE", "LIMIT", "0"]).arg(n);
        let ids: Vec<String> = self.connection().ask(&command).await?;
        Ok(ids.iter().filter_map(|id| JobId::parse(id).ok()).collect())
    }

    /// Makes the next look at each of these jobs due then, where it waits and would come later. A ticket that is
    /// lent or gone stays as it is.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn hasten_looks(&self, dues: &[(JobId, Timestamp)]) -> Result<(), StoreError> {
        for dues in dues.chunks(HASTEN_MAX) {
            let mut command = redis::cmd("ZADD");
            command.arg(self.keys().due(Queue::Poll)).arg(&["XX", "LT"]);
            for (id, due) in dues {
                command.arg(due.unix_ms()).arg(id.as_str());
            }
            let _: i64 = self.connection().ask(&command).await?;
        }
        Ok(())
    }
}

/// Members with their scores.
fn scored(answer: Option<Value>) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let answer = answer.unwrap_or(Value::Nil);
    let pairs: Vec<(String, f64)> = redis::from_redis_value(answer.clone())
        .map_err(|_| StoreError::reply("ZRANGE", &answer))?;
    Ok(pairs.into_iter().map(|(member, score)| (member, instant(score))).collect())
}
