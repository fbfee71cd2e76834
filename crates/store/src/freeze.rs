//! The rollback alarm: a server that counts fewer commits than it has acknowledged lost data, and with it
//! attempts that may have bought tasks. Creates stop until somebody has looked; all else goes on.

use crate::connection::{Call, Piped};
use crate::facts::KeyTable;
use crate::{Store, StoreError, commit, script};
use job::Timestamp;
use redis::{Pipeline, Value};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Why no attempt may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Since when, by the server's clock: attempts forgotten were begun before it. A second loss moves it.
    pub since: Timestamp,
    /// Who may end it.
    pub kind: FreezeKind,
    /// In words.
    pub why: String,
    /// The process or person that set it.
    pub by: String,
    /// The highest `lsn` that was acknowledged before.
    pub seen: u64,
}

/// What a freeze came of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreezeKind {
    /// The server lost data: ended by the quarantine, once every forgotten attempt is known again.
    Rollback,
    /// A person asked for it: ended by a person only, whatever happened meanwhile.
    Asked,
}

/// What a look at a pool's count showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// What the server counted.
    pub lsn: u64,
    /// What this process had been told before; more than `lsn`: this look found a loss.
    pub seen: u64,
    /// The freeze, this look's own included.
    pub frozen: Option<Freeze>,
}

/// What every write tells its script about the past.
#[derive(Serialize)]
pub(crate) struct Known<'a> {
    lsn: usize,
    run: usize,
    freeze: usize,
    audit: usize,
    floor: u64,
    stamp: i64,
    by: &'a str,
}

/// The highest count this process was ever told, and the run of the server in which it was told last.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<(u64, i64)>);

impl Told {
    /// An answer to a question that had compared `floor`. In a new run it counts only if nothing more had
    /// been told by then: the rest has not been compared with this run yet.
    pub(crate) fn hear(&self, lsn: u64, stamp: i64, floor: u64) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.1 == stamp || told.0 <= floor {
            *told = (told.0.max(lsn), stamp);
        }
    }

    /// What a question asked from now on compares at least.
    pub(crate) fn floor(&self) -> u64 {
        self.now().0
    }

    fn now(&self) -> (u64, i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One look at a pool's count.
struct Look {
    lsn: u64,
    stamp: i64,
    /// What a floor of an earlier run is compared with.
    base: u64,
    /// One server told all of this. While the pool moves, the count may be of a node and the stamp of another: told so,
    /// the count would be compared with a run it is not of.
    by_one: bool,
    frozen: Option<Freeze>,
}

impl Store {
    pub(crate) fn known(&self, table: &mut KeyTable) -> Known<'_> {
        let (floor, stamp) = self.inner.told.now();
        Known {
            lsn: table.at(self.keys().lsn()),
            run: table.at(self.keys().run()),
            freeze: table.at(self.keys().freeze()),
            audit: table.at(self.keys().audit()),
            floor,
            stamp,
            by: &self.inner.me,
        }
    }

    /// The highest `lsn` this process was ever told.
    #[must_use]
    pub fn lsn_seen(&self) -> u64 {
        self.inner.told.floor()
    }

    /// Compares the server's count with the highest this process was ever told, and freezes the pool when
    /// it is lower. One round trip, three when it finds a loss; cheap enough for every second.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn watch(&self) -> Result<Watch, StoreError> {
        // Before the question: what other calls are told meanwhile is newer than the answer.
        let (seen, stamp) = self.inner.told.now();
        let mut look = self.look().await?;
        let lsn = look.lsn;
        if !look.by_one {
            return Ok(Watch { lsn, seen, frozen: look.frozen });
        }
        let known = if stamp == look.stamp { lsn } else { look.base };
        if known < seen {
            self.freeze_call(&seen.to_string(), &self.inner.me, "", stamp).await?;
            look = self.look().await?;
        }
        if look.by_one {
            self.inner.told.hear(look.lsn, look.stamp, seen);
        }
        Ok(Watch { lsn, seen, frozen: look.frozen })
    }

    async fn look(&self) -> Result<Look, StoreError> {
        let keys = self.keys();
        // The stamp last: of a save in between it is better to know than not.
        let mut pipe = Pipeline::with_capacity(4);
        pipe.cmd("GET").arg(keys.lsn()).cmd("HGETALL").arg(keys.freeze());
        pipe.cmd("HMGET").arg(keys.run()).arg(&["stamp", "lsn"]);
        let many = self.connection().moves();
        if many {
            pipe.cmd("INFO").arg("replication");
        }
        pipe.cmd("LASTSAVE");
        let Piped { each: mut answers, by_one } = self.connection().pipe_each(&mut pipe).await?;
        // A server that does not tell runs for ever, as in the scripts.
        let saved = answers.pop().and_then(Result::ok).unwrap_or(Value::Int(0));
        let line = if many { answers.pop().and_then(Result::ok) } else { None };
        let answers: Vec<Value> = answers.into_iter().collect::<Result<_, _>>()?;
        let bug = || StoreError::Bug(format!("watch was answered {answers:?}"));
        let of = |i: usize| answers.get(i).cloned().unwrap_or(Value::Nil);
        let lsn: Option<u64> = redis::from_redis_value(of(0)).map_err(|_| bug())?;
        let run: (Option<i64>, Option<u64>) = redis::from_redis_value(of(2)).map_err(|_| bug())?;
        let stamp = stamp(redis::from_redis_value(saved).map_err(|_| bug())?, line);
        let lsn = lsn.unwrap_or(0);
        let base = match run {
            (Some(known), Some(base)) if known == stamp => base,
            // Nobody has written in this run.
            _ => lsn,
        };
        Ok(Look { lsn, stamp, base, by_one, frozen: self.read_freeze(of(1))? })
    }

    fn read_freeze(&self, fields: Value) -> Result<Option<Freeze>, StoreError> {
        let fields: BTreeMap<String, String> = redis::from_redis_value(fields.clone())
            .map_err(|_| StoreError::reply("freeze", &fields))?;
        if fields.is_empty() {
            return Ok(None);
        }
        let of = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let kind = match of("kind").as_str() {
            "rollback" => FreezeKind::Rollback,
            // What a newer version calls by another name is no machine's to end.
            _ => FreezeKind::Asked,
        };
        Ok(Some(Freeze {
            since: Timestamp::from_unix_ms(of("since_ms").parse().unwrap_or(0)),
            kind,
            why: of("why"),
            by: of("by"),
            seen: of("seen").parse().unwrap_or(0),
        }))
    }

    /// A person's wish: no attempt begins in this pool until a person thaws it.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn freeze(&self, why: &str, by: &str) -> Result<(), StoreError> {
        self.freeze_call("", by, why, 0).await.map(drop)
    }

    async fn freeze_call(
        &self,
        floor: &str,
        by: &str,
        why: &str,
        stamp: i64,
    ) -> Result<bool, StoreError> {
        let keys = self.keys();
        let keys = vec![keys.lsn(), keys.freeze(), keys.audit(), keys.run()];
        let args = vec![floor.to_owned(), by.to_owned(), why.to_owned(), stamp.to_string()];
        let reply = self.connection().call(Call::new(&script::FREEZE, keys, args)).await?;
        commit::integer(&reply).map(|n| n == 1).ok_or_else(|| StoreError::reply("freeze", &reply))
    }

    /// Lets attempts begin again, whatever the freeze came of, with a line in the audit list. Returns the
    /// freeze that ended.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn thaw(&self, by: &str, reason: &str) -> Result<Option<Freeze>, StoreError> {
        self.thaw_call("", by, reason).await
    }

    /// As [`Store::thaw`], for the freeze that was looked into only: a newer one stays. Returns whether it
    /// ended.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn thaw_only(
        &self,
        freeze: &Freeze,
        by: &str,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let since = freeze.since.unix_ms().to_string();
        self.thaw_call(&since, by, reason).await.map(|ended| ended.is_some())
    }

    async fn thaw_call(
        &self,
        since: &str,
        by: &str,
        reason: &str,
    ) -> Result<Option<Freeze>, StoreError> {
        let keys = vec![self.keys().freeze(), self.keys().audit()];
        let args = vec![since.to_owned(), by.to_owned(), reason.to_owned()];
        let reply = self.connection().call(Call::new(&script::THAW, keys, args)).await?;
        self.read_freeze(reply)
    }
}

/// The run of a server, as `snippet/run.lua` reckons it: its last save and, where others may take over, the
/// beginning of the name of its line of replication.
fn stamp(saved: i64, info: Option<Value>) -> i64 {
    let info: String = info.and_then(|info| redis::from_redis_value(info).ok()).unwrap_or_default();
    let line = info.split("master_replid:").nth(1).and_then(|id| id.get(..5));
    let line = line.and_then(|id| i64::from_str_radix(id, 16).ok());
    if saved == 0 { 0 } else { (line.unwrap_or(0) << 32) + saved }
}
