//! Which processes live, what each reads and writes, and which version of the record is in force.

use super::{Around, FleetStore, Ill};
use crate::connection::Call;
use crate::lease::millis;
use crate::{StoreError, commit, script};
use job::{Misfit, Timestamp, Versions};
use redis::{Pipeline, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a process tells that it lives.
pub const BEAT_EVERY: Duration = Duration::from_secs(5);
/// For how long one that has fallen silent counts as alive where a version of the record is raised: it may come
/// back and must read what it finds.
pub const ALIVE_FOR: Duration = Duration::from_secs(60);
/// From when on one that is silent is not at work: two beats are missing, and the third is due.
pub const SILENT_AFTER: Duration = BEAT_EVERY.saturating_mul(3);

/// What a process tells of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its role, as its program is called.
    pub role: String,
    /// The version of the program.
    pub program: String,
    /// The oldest form of the record that it writes.
    pub oldest: u32,
    /// The newest form that it reads and writes.
    pub newest: u32,
    /// What it finds ill around itself: pool and [`Around`], and why. Older programs do not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ill: BTreeMap<String, BTreeMap<String, String>>,
}

impl About {
    /// A process of this program.
    #[must_use]
    pub fn own(role: &str, program: &str) -> Self {
        let Versions { oldest_written: oldest, newest } = Versions::own();
        let (role, program) = (role.to_owned(), program.to_owned());
        Self { role, program, oldest, newest, ill: BTreeMap::new() }
    }

    const fn versions(&self) -> Versions {
        Versions { oldest_written: self.oldest, newest: self.newest }
    }
}

/// A process that told lately that it lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveProcess {
    /// Its name since its start.
    pub name: String,
    /// What it is; none where that cannot be read.
    pub about: Option<About>,
    /// How long ago it told so.
    pub silent_for: Duration,
}

impl LiveProcess {
    /// Whether it has told nothing for so long that it is not at work: dead, held up, or cut off from Redis.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent_for >= SILENT_AFTER
    }

    /// Whether it reads this form of the record.
    #[must_use]
    pub fn reads(&self, version: u32) -> bool {
        self.about.as_ref().is_some_and(|about| about.newest >= version)
    }

    /// What it finds ill around itself; words of newer programs are left out.
    pub fn ill(&self) -> impl Iterator<Item = Ill> + '_ {
        let pools = self.about.iter().flat_map(|about| about.ill.iter().map(move |of| (about, of)));
        pools.flat_map(|(about, (pool, parts))| {
            parts.iter().filter_map(move |(word, why)| {
                let (role, pool) = (about.role.clone(), pool.clone());
                Some(Ill { role, pool, part: Around::parse(word)?, why: why.clone() })
            })
        })
    }
}

/// The version in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InForce {
    /// Which; none before the first process of the fleet.
    pub version: Option<u32>,
    /// When a person raised it, who, and why; none where nobody ever did.
    pub raised: Option<(Timestamp, String, String)>,
}

/// What became of a wish to raise the version in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raised {
    /// It is in force.
    Done {
        /// The version before; none: nothing was in force.
        from: Option<u32>,
    },
    /// It was in force before, or a newer one is: this one.
    Already(u32),
    /// These live processes do not read it: nothing was written.
    Held(Vec<String>),
}

impl FleetStore {
    /// Tells that a process lives, and hears the version in force. One that cannot work with it is not entered.
    ///
    /// # Errors
    ///
    /// Outer: as every call; safe to repeat. Inner: the process must not work in this fleet.
    pub async fn beat(&self, name: &str, about: &About) -> Result<Result<u32, Misfit>, StoreError> {
        let text = StoreError::json("a word of a process that is", about)?;
        let args = vec![
            name.to_owned(),
            text,
            about.oldest.to_string(),
            about.newest.to_string(),
            millis(ALIVE_FOR).to_string(),
        ];
        let reply =
            self.connection().call(Call::new(&script::BEAT, self.schema_keys(), args)).await?;
        let bug = || StoreError::reply("beat", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let version = parts.get(1).and_then(commit::integer).and_then(|n| u32::try_from(n).ok());
        let version = version.ok_or_else(bug)?;
        match parts.first().and_then(commit::word).as_deref() {
            Some("ok") => Ok(Ok(version)),
            Some("misfit") => Ok(about.versions().fits(version).map(|()| version)),
            Some(_) | None => Err(bug()),
        }
    }

    /// Takes a process out that ends of its own accord, so that nobody waits for its silence.
    ///
    /// # Errors
    ///
    /// As every call; then it is forgotten after [`ALIVE_FOR`].
    pub async fn sign_off(&self, name: &str) -> Result<(), StoreError> {
        let mut pipe = Pipeline::with_capacity(2);
        pipe.cmd("ZREM").arg(self.keys().workers()).arg(name);
        pipe.cmd("HDEL").arg(self.keys().workers_about()).arg(name);
        self.connection().pipe(&mut pipe).await.map(drop)
    }

    /// The processes that live, by name.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn live_processes(&self) -> Result<Vec<LiveProcess>, StoreError> {
        let mut pipe = Pipeline::with_capacity(3);
        pipe.cmd("TIME");
        pipe.cmd("ZRANGE").arg(self.keys().workers()).arg(0).arg(-1).arg("WITHSCORES");
        pipe.cmd("HGETALL").arg(self.keys().workers_about());
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let now = crate::stored::time(answers.next())?;
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let beats: Vec<(String, i64)> = redis::from_redis_value(next())
            .map_err(|error| StoreError::Bug(format!("beats: {error}")))?;
        let mut about: BTreeMap<String, String> = redis::from_redis_value(next())
            .map_err(|error| StoreError::Bug(format!("words of processes: {error}")))?;
        let mut live = Vec::with_capacity(beats.len());
        for (name, at) in beats {
            let silent_ms = u64::try_from(now.unix_ms().saturating_sub(at)).unwrap_or(0);
            let silent_for = Duration::from_millis(silent_ms);
            if silent_for < ALIVE_FOR {
                let about = about.remove(&name).and_then(|text| serde_json::from_str(&text).ok());
                live.push(LiveProcess { name, about, silent_for });
            }
        }
        live.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(live)
    }

    /// The version in force, and who put it there.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn schema_in_force(&self) -> Result<InForce, StoreError> {
        let key = self.keys().schema();
        let mut ask = redis::cmd("HMGET");
        ask.arg(&key).arg(&["floor", "at", "by", "reason"]);
        type Row = (Option<u32>, Option<i64>, Option<String>, Option<String>);
        let (version, at, by, reason): Row = self.connection().ask(&ask).await?;
        let raised = at.map(|at| {
            let at = Timestamp::from_unix_ms(at);
            (at, by.unwrap_or_default(), reason.unwrap_or_default())
        });
        Ok(InForce { version, raised })
    }

    /// Puts a version in force if every live process reads it. There is no way back.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn raise_schema(
        &self,
        to: u32,
        by: &str,
        reason: &str,
    ) -> Result<Raised, StoreError> {
        let kept = millis(ALIVE_FOR).to_string();
        let args = vec![to.to_string(), kept, by.to_owned(), reason.to_owned()];
        let reply =
            self.connection().call(Call::new(&script::RAISE, self.schema_keys(), args)).await?;
        let bug = || StoreError::reply("raise", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let number = || {
            let number = parts.get(1).and_then(commit::integer);
            number.and_then(|n| u32::try_from(n).ok()).ok_or_else(bug)
        };
        Ok(match parts.first().and_then(commit::word).as_deref() {
            Some("ok") => Raised::Done { from: Some(number()?).filter(|from| *from > 0) },
            Some("already") => Raised::Already(number()?),
            Some("held") => {
                let names = parts[1..].iter().map(|part| commit::word(part).ok_or_else(bug));
                Raised::Held(names.collect::<Result<_, _>>()?)
            }
            Some(_) | None => return Err(bug()),
        })
    }

    /// In the order of both scripts' heads.
    fn schema_keys(&self) -> Vec<String> {
        vec![self.keys().schema(), self.keys().workers(), self.keys().workers_about()]
    }
}
