//! Batches that stop by themselves: their conditions, and the look that finds one met.
//!
//! Whoever looks only compares counters that commits have written, so it does not matter who looks, how late, or after
//! whose death; the script that pauses the batch checks that it stands as it was seen.

use crate::batches::{Batch, Paused};
use crate::failures::Scope;
use crate::keys::{AUDIT_LINES_MAX, Keys};
use crate::operations::AuditedLine;
use crate::turn::{Turn, Write, seen_pause};
use crate::{Store, StoreError, facts};
use job::{By, StateWord, StopOn, StopTally, Timestamp};
use redis::Pipeline;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who stops batches that have conditions, in timelines and the audit.
pub const STOP_BY: &str = "stop_on";
/// Batches looked at together.
pub const STOP_LOOKS_MAX: usize = 64;
/// Between two looks at a batch that runs.
const LOOK: Duration = Duration::from_secs(1);
/// Between two looks at one that is paused, or has no open job: more may come.
const LOOK_IDLE: Duration = Duration::from_secs(5);
/// Nobody looks at a batch any more whose last job ended so long ago.
const LOOKED_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);
/// Ends that a job came to by itself and without a video.
const FAILED: [StateWord; 4] =
    [StateWord::Failed, StateWord::Expired, StateWord::OutputLost, StateWord::TimedOut];
const IN_DOUBT: [StateWord; 2] = [StateWord::InDoubt, StateWord::Parked];

/// What had happened when the batch was last resumed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StopFrom {
    #[serde(flatten)]
    tally: StopTally,
    /// Jobs in doubt at the last look, while some are taken off.
    #[serde(default)]
    doubts_seen: u64,
}

impl StopFrom {
    pub(crate) const fn of(tally: StopTally) -> Self {
        let doubts_seen = tally.in_doubt;
        Self { tally, doubts_seen }
    }

    /// Doubts are a level: those that are settled are taken for older ones first, so that new ones count in full.
    fn looked(mut self, now: &StopTally) -> Self {
        if self.tally.in_doubt > 0 {
            let settled = self.doubts_seen.saturating_sub(now.in_doubt);
            self.tally.in_doubt = self.tally.in_doubt.saturating_sub(settled);
            self.doubts_seen = now.in_doubt;
        }
        self
    }
}

impl Store {
    /// Sets the conditions on which a tenant's batch stops by itself, or takes them away, with a line in the audit where
    /// that is news.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn set_stop_on(
        &self,
        tenant: &str,
        name: &str,
        stop_on: Option<&StopOn>,
        by: &By,
        reason: &str,
    ) -> Result<(), StoreError> {
        let (keys, at) = (self.keys(), self.now().await?);
        let (key, member) = (keys.batch(tenant, name), Keys::batch_member(tenant, name));
        let text = stop_on.map(StopOn::to_string);
        let mut command = redis::cmd("HGET");
        let was: Option<String> = self.connection().ask(command.arg(&key).arg("stop_on")).await?;
        let mut pipe = Pipeline::new();
        match &text {
            Some(text) => {
                pipe.cmd("HSET").arg(&key).arg("stop_on").arg(text);
                pipe.cmd("ZADD").arg(keys.stop_looks()).arg("NX").arg(at.unix_ms()).arg(&member);
            }
            None => {
                pipe.cmd("HDEL").arg(&key).arg("stop_on").arg("stop_from");
                pipe.cmd("ZREM").arg(keys.stop_looks()).arg(&member);
            }
        }
        if was != text {
            let on = text.as_deref().unwrap_or("nothing any more");
            let reason = format!("{name} of {tenant} stops on {on}: {reason}");
            for (command, key, args) in self.audited(at, "stop_on", by.as_str(), &reason) {
                pipe.cmd(command).arg(key).arg(args);
            }
        }
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// Batches that are to be looked at now, those that wait longest first; at most [`STOP_LOOKS_MAX`].
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn due_stop_looks(&self) -> Result<Vec<(String, String)>, StoreError> {
        let (key, now) = (self.keys().stop_looks(), self.now().await?);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg("-inf").arg(now.unix_ms()).arg("BYSCORE");
        command.arg("LIMIT").arg(0).arg(STOP_LOOKS_MAX);
        let members: Vec<String> = self.connection().ask(&command).await?;
        let read = |member: &String| {
            Keys::batch_of_member(member).ok_or_else(|| StoreError::corrupt(&key, member))
        };
        members.iter().map(read).collect()
    }

    /// Looks at a batch, and pauses it where one of its conditions is met: the mark, the operation that clears the queue,
    /// a line in the audit and the news for webhooks, all or nothing. Tells the pause.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn look_for_stop(
        &self,
        tenant: &str,
        name: &str,
    ) -> Result<Option<Paused>, StoreError> {
        let (found, now) = (self.batch(tenant, name).await?, self.now().await?);
        let member = Keys::batch_member(tenant, name);
        let Some(batch) = found.filter(|batch| worth_looking(batch, now)) else {
            let mut command = redis::cmd("ZREM");
            let _: i64 =
                self.connection().ask(command.arg(self.keys().stop_looks()).arg(&member)).await?;
            return Ok(None);
        };
        // One that waits for its pilot buys that.
        let running =
            batch.word() == "running" || (batch.word() == "paused" && batch.pilot.is_some());
        let paused = if running { self.stop_if_met(&batch, now).await? } else { None };
        let next = now + if running { LOOK } else { LOOK_IDLE };
        let mut command = redis::cmd("ZADD");
        command.arg(self.keys().stop_looks()).arg("XX").arg(next.unix_ms()).arg(&member);
        let _: i64 = self.connection().ask(&command).await?;
        Ok(paused)
    }

    async fn stop_if_met(
        &self,
        batch: &Batch,
        now: Timestamp,
    ) -> Result<Option<Paused>, StoreError> {
        let text = batch.stop_on.as_deref().unwrap_or_default();
        let Ok(stop_on) = StopOn::parse(text) else {
            // A newer version wrote it, and one of its kind has to look.
            tracing::warn!(batch = batch.name, text, "conditions that this version cannot read");
            return Ok(None);
        };
        let from_text = batch.stop_from.clone().unwrap_or_default();
        let key = || self.keys().batch(&batch.tenant, &batch.name);
        let from: StopFrom = match from_text.as_str() {
            "" => StopFrom::default(),
            text => serde_json::from_str(text).map_err(|why| StoreError::corrupt(key(), why))?,
        };
        let tally = self.stop_tally(batch).await?;
        let mut seen = seen_pause(batch)?;
        seen.extend([("stop_on", text.to_owned()), ("stop_from", from_text)]);
        let now_from = from.clone().looked(&tally);
        let Some(met) = stop_on.met(&tally, &now_from.tally) else {
            if now_from != from {
                let text = StoreError::json("a tally that is", &now_from)?;
                let writes = vec![("HSET", key(), vec!["stop_from".to_owned(), text])];
                self.turn(Turn { batch, seen, writes, news: None }).await?;
            }
            return Ok(None);
        };
        let paused = Paused { by: By::named(STOP_BY), at: now, reason: met };
        let mut writes = self.mark(batch, &paused)?;
        let said = format!("{} of {}: {}", batch.name, batch.tenant, paused.reason);
        writes.extend(self.audited(now, "batch_stopped", STOP_BY, &said));
        let clearing = self.clearing(batch, None, (&paused.by, &paused.reason), now).await?;
        writes.extend(clearing.unwrap_or_default());
        let written = self.turn(Turn { batch, seen, writes, news: Some(&paused) }).await?;
        Ok(written.then_some(paused))
    }

    /// What became of a batch's jobs, as conditions count it.
    pub(crate) async fn stop_tally(&self, batch: &Batch) -> Result<StopTally, StoreError> {
        let scope = Scope::Batch(&batch.tenant, &batch.name);
        let groups = self.failures(scope).await?;
        let sum = |words: &[StateWord]| {
            words.iter().filter_map(|word| batch.counts.get(word)).sum::<u64>()
        };
        let failed = sum(&FAILED);
        Ok(StopTally {
            ended: failed + sum(&[StateWord::Succeeded]),
            failed,
            in_doubt: sum(&IN_DOUBT),
            codes: groups.into_iter().map(|group| (group.code, group.jobs)).collect(),
        })
    }

    /// A line in the audit.
    pub(crate) fn audited(&self, at: Timestamp, alarm: &str, by: &str, reason: &str) -> Vec<Write> {
        let line = facts::written(&AuditedLine { at, alarm, by, reason });
        let last = (AUDIT_LINES_MAX - 1).to_string();
        vec![
            ("LPUSH", self.keys().audit(), vec![line]),
            ("LTRIM", self.keys().audit(), vec!["0".to_owned(), last]),
        ]
    }
}

/// Whether it has conditions, and jobs that are open or ended not long ago.
fn worth_looking(batch: &Batch, now: Timestamp) -> bool {
    let last = batch.ended.map_or(batch.created_at, |(_, last)| last);
    let over = matches!(batch.word(), "completed" | "completed_with_failures");
    // Conditions stand before the first job does.
    let new = batch.jobs() == 0 && batch.created_at == Timestamp::default();
    batch.stop_on.is_some() && (!over || new || now.since(last) < LOOKED_FOR)
}
