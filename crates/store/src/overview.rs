//! Looks at a whole pool: counts, depths, slots, stops, timelines.

use crate::queue::{Lane, Queue};
use crate::{Store, StoreError, caps, commit};
use job::{AttemptId, JobId, Priority, Slot, StateWord, Timestamp};
use redis::{Pipeline, Value};
use seedance::SlotClass;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Tenants whose lanes are added up.
const TENANTS_MAX: usize = 2_000;

/// How full a queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Which.
    pub queue: Queue,
    /// Tickets that wait, due or not.
    pub waiting: u64,
    /// Tickets due by now.
    pub due: u64,
    /// Tickets in work.
    pub leased: u64,
}

/// A stopped account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StopRow {
    /// Which.
    pub account: String,
    /// Its slot class that is stopped; none: all of it.
    pub only: Option<SlotClass>,
    /// No create before this; it may have passed.
    pub until: Timestamp,
    /// The class of the answer that stopped it, as `seedance::Class` is written.
    pub class: String,
    /// The provider's code.
    pub code: String,
    /// Stops without a success between them; above 0 only a probe goes when `until` has passed.
    pub in_row: u32,
    /// The attempt that finds out, if one is under way.
    pub probe: Option<AttemptId>,
}

/// What the fields of a stop begin with: the account, or its slot class.
pub(crate) fn stop_name(account: &str, class: Option<SlotClass>) -> String {
    match class {
        Some(class) => format!("{account}|{}", class.word()),
        None => account.to_owned(),
    }
}

/// One line of a job's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineLine {
    /// When, by the server's clock.
    pub at: Timestamp,
    /// The revision it made.
    pub rev: u64,
    /// `outside`, or the queue and fence of the worker.
    pub by: String,
    /// What happened.
    pub what: String,
    /// The state before.
    pub from: StateWord,
    /// The state after.
    pub to: StateWord,
}

/// An alarm that a commit raised, or what a person or the quarantine did to the whole pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditLine {
    /// When.
    pub at: Timestamp,
    /// Which job; none for what concerns the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// What: as `job::Alarm` is written, or `frozen`, `thawed`, `repaired`, `operation`,
    /// `clock_set_back`, `limits_set`, `limits_reset`, `stop_on`, `batch_stopped`, `pilot`, `edited`, `schema_finalized`.
    pub alarm: String,
    /// Who; told for the pool.
    #[serde(default)]
    pub by: Option<String>,
    /// Why; told for the pool.
    #[serde(default)]
    pub reason: Option<String>,
}

impl Store {
    /// Jobs per state.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn counts(&self) -> Result<BTreeMap<StateWord, u64>, StoreError> {
        self.word_counts(self.keys().counts()).await
    }

    /// Jobs of a tenant's batch per state; empty for a batch that does not exist.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn batch_counts(
        &self,
        tenant: &str,
        batch: &str,
    ) -> Result<BTreeMap<StateWord, u64>, StoreError> {
        self.word_counts(self.keys().batch_counts(tenant, batch)).await
    }

    /// When the oldest job in this state was accepted.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn oldest_of(&self, word: StateWord) -> Result<Option<Timestamp>, StoreError> {
        let key = self.keys().ix_state(word);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg(0).arg(0).arg("WITHSCORES");
        let first: Vec<(String, i64)> = self.connection().ask(&command).await?;
        Ok(first.first().map(|(_, created)| Timestamp::from_unix_ms(*created)))
    }

    pub(crate) async fn word_counts(
        &self,
        key: String,
    ) -> Result<BTreeMap<StateWord, u64>, StoreError> {
        let fields: BTreeMap<String, i64> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        let mut counts = BTreeMap::new();
        for (word, n) in fields {
            let word = StateWord::parse(&word)
                .ok_or_else(|| StoreError::corrupt(&key, format!("no state is called {word}")))?;
            if n != 0 {
                counts.insert(word, u64::try_from(n).unwrap_or(0));
            }
        }
        Ok(counts)
    }

    /// Slots in use, those above zero.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn slots(&self) -> Result<BTreeMap<Slot, i64>, StoreError> {
        let key = self.keys().slots();
        let fields: BTreeMap<String, i64> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        let mut slots = BTreeMap::new();
        for (field, n) in fields {
            let slot = field.rsplit_once('|').and_then(|(account, class)| {
                Some(Slot { account: account.to_owned(), class: SlotClass::from_word(class)? })
            });
            let slot = slot.ok_or_else(|| StoreError::corrupt(&key, format!("field {field}")))?;
            if n != 0 {
                slots.insert(slot, n);
            }
        }
        Ok(slots)
    }

    /// Accounts, and slot classes of accounts, that were stopped and have not answered well since.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn stops(&self) -> Result<Vec<StopRow>, StoreError> {
        let key = self.keys().stops();
        let fields: BTreeMap<String, String> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        let mut rows: BTreeMap<String, StopRow> = BTreeMap::new();
        for (field, value) in fields {
            let Some((name, what)) = field.rsplit_once('|') else {
                return Err(StoreError::corrupt(&key, format!("field {field}")));
            };
            let of_class = name
                .rsplit_once('|')
                .and_then(|(account, class)| Some((account, Some(SlotClass::from_word(class)?))));
            let (account, only) = of_class.unwrap_or((name, None));
            let fresh = || StopRow { account: account.to_owned(), only, ..StopRow::default() };
            let row = rows.entry(name.to_owned()).or_insert_with(fresh);
            match what {
                "until" => row.until = Timestamp::from_unix_ms(value.parse().unwrap_or(0)),
                "class" => row.class = value,
                "code" => row.code = value,
                "in_row" => row.in_row = value.parse().unwrap_or(0),
                "probe" => row.probe = AttemptId::parse(&value).ok(),
                _ => return Err(StoreError::corrupt(&key, format!("field {field}"))),
            }
        }
        Ok(rows.into_values().collect())
    }

    /// A job's timeline, newest first; empty for a job that does not exist.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn timeline(&self, id: &JobId) -> Result<Vec<TimelineLine>, StoreError> {
        let lines = self.lines(self.keys().timeline(id), crate::keys::TIMELINE_LINES_MAX).await?;
        if !lines.is_empty() {
            return Ok(lines);
        }
        Ok(self.archived(id).await?.map(|(_, archived)| archived.timeline).unwrap_or_default())
    }

    /// The newest `n` alarms that commits raised, newest first.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn audit(&self, n: usize) -> Result<Vec<AuditLine>, StoreError> {
        self.lines(self.keys().audit(), n.min(crate::keys::AUDIT_LINES_MAX)).await
    }

    async fn lines<T: serde::de::DeserializeOwned>(
        &self,
        key: String,
        n: usize,
    ) -> Result<Vec<T>, StoreError> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let lines: Vec<String> =
            self.connection().ask(redis::cmd("LRANGE").arg(&key).arg(0).arg(n - 1)).await?;
        let read = |line: &String| serde_json::from_str(line);
        lines.iter().map(read).collect::<Result<_, _>>().map_err(|e| StoreError::corrupt(&key, e))
    }

    /// The earliest instant at which an output that is not in the bucket yet loses its link, and the
    /// server's clock; `None` when no download waits or runs.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn tightest_deadline(&self) -> Result<Option<(Timestamp, Timestamp)>, StoreError> {
        let key = self.keys().ix_deadline();
        let first: Vec<(String, i64)> = self
            .connection()
            .ask(redis::cmd("ZRANGE").arg(&key).arg(0).arg(0).arg("WITHSCORES"))
            .await?;
        let Some((_, deadline)) = first.first() else { return Ok(None) };
        Ok(Some((Timestamp::from_unix_ms(*deadline), self.now().await?)))
    }

    /// How full every queue is.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn depths(&self) -> Result<Vec<Depth>, StoreError> {
        let now = self.now().await?;
        let mut depths = Vec::with_capacity(Queue::ALL.len());
        for queue in Queue::ALL {
            let lanes = self.due_keys(queue).await?;
            let mut pipe = Pipeline::new();
            pipe.cmd("ZCARD").arg(self.keys().lease(queue));
            for lane in &lanes {
                pipe.cmd("ZCARD").arg(lane);
                pipe.cmd("ZCOUNT").arg(lane).arg("-inf").arg(now.unix_ms());
            }
            let answers = self.connection().pipe(&mut pipe).await?;
            let numbers: Vec<u64> = answers.iter().map(number).collect::<Result<_, _>>()?;
            let (leased, lanes) = numbers.split_first().unwrap_or((&0, &[]));
            let waiting = lanes.iter().step_by(2).sum();
            let due = lanes.iter().skip(1).step_by(2).sum();
            depths.push(Depth { queue, waiting, due, leased: *leased });
        }
        Ok(depths)
    }

    /// The sets in which a queue's waiting tickets lie.
    pub(crate) async fn due_keys(&self, queue: Queue) -> Result<Vec<String>, StoreError> {
        let Some(class) = queue.class() else {
            return Ok(vec![self.keys().due(queue)]);
        };
        let tenants = self.tenants_in_line(class).await?;
        Ok(tenants.iter().flat_map(|tenant| self.lanes_of(class, tenant)).collect())
    }

    /// So many due jobs no claim hands out, whoever asks: their tenant is among `paused`, or has in flight what it may
    /// have. What was handed out and has not begun is not seen here, so a tenant may be at its cap a little earlier.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn due_at_rest(&self, paused: &BTreeSet<String>) -> Result<u64, StoreError> {
        let (now, mut pipe) = (self.now().await?, Pipeline::new());
        for class in SlotClass::ALL {
            let tenants = self.tenants_in_line(class).await?;
            let (mut resting, others): (Vec<_>, Vec<_>) =
                tenants.into_iter().partition(|tenant| paused.contains(tenant));
            resting.extend(self.at_their_caps(others).await?);
            for lane in resting.iter().flat_map(|tenant| self.lanes_of(class, tenant)) {
                pipe.cmd("ZCOUNT").arg(lane).arg("-inf").arg(now.unix_ms());
            }
        }
        if pipe.is_empty() {
            return Ok(0);
        }
        self.connection().pipe(&mut pipe).await?.iter().map(number).sum()
    }

    /// Those of the tenants that have in flight what they may have.
    async fn at_their_caps(&self, mut tenants: Vec<String>) -> Result<Vec<String>, StoreError> {
        let cap = |tenant: &str| i64::from(self.caps_of(tenant).in_flight_max);
        tenants.retain(|tenant| cap(tenant) > 0);
        if tenants.is_empty() {
            return Ok(tenants);
        }
        let mut pipe = Pipeline::with_capacity(tenants.len());
        for tenant in &tenants {
            let key = self.keys().tenant_counts(tenant);
            pipe.cmd("HMGET").arg(key).arg(caps::words(&caps::IN_FLIGHT));
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let mut full = Vec::with_capacity(tenants.len());
        for (tenant, answer) in tenants.into_iter().zip(answers) {
            let counts: Vec<Option<i64>> = redis::from_redis_value(answer)
                .map_err(|error| StoreError::Bug(format!("counts of {tenant}: {error}")))?;
            if counts.into_iter().flatten().map(|n| n.max(0)).sum::<i64>() >= cap(&tenant) {
                full.push(tenant);
            }
        }
        Ok(full)
    }

    async fn tenants_in_line(&self, class: SlotClass) -> Result<Vec<String>, StoreError> {
        let mut ask = redis::cmd("ZRANGE");
        ask.arg(self.keys().lanes(class)).arg(0).arg(TENANTS_MAX - 1);
        self.connection().ask(&ask).await
    }

    fn lanes_of(&self, class: SlotClass, tenant: &str) -> [String; 3] {
        let lane = |priority| Lane { tenant: tenant.to_owned(), priority };
        [Priority::High, Priority::Normal, Priority::Low]
            .map(|priority| self.keys().lane(class, &lane(priority)))
    }
}

fn number(value: &Value) -> Result<u64, StoreError> {
    let n = commit::integer(value).and_then(|n| u64::try_from(n).ok());
    n.ok_or_else(|| StoreError::reply("a count", value))
}
