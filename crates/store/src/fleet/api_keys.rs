//! API keys: what is kept of them, when they end, when they were last used.

use super::FleetStore;
use crate::connection::Call;
use crate::lease::millis;
use crate::{StoreError, commit, script};
use access::{ApiKey, KeyId};
use job::Timestamp;
use redis::{Pipeline, Value};
use std::time::Duration;

/// Keys there may be in a fleet.
pub const API_KEYS_MAX: usize = 10_000;
/// How long a key is remembered after its end, so that people can ask what it was.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// Keys read at once.
const PAGE: usize = 500;

/// Why a key ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndWhy {
    /// It was made so.
    Expires,
    /// Another one took over.
    Rotated,
    /// A person ended it.
    Revoked,
}

impl EndWhy {
    /// The word in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expires => "expires",
            Self::Rotated => "rotated",
            Self::Revoked => "revoked",
        }
    }

    fn parse(word: &str) -> Self {
        match word {
            "expires" => Self::Expires,
            "rotated" => Self::Rotated,
            // What a newer version calls by another name was no wish for a longer life.
            _ => Self::Revoked,
        }
    }
}

/// A key as the fleet knows it.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// What it is.
    pub key: ApiKey,
    /// When it was made; unknown where one key alone was asked for.
    pub created_at: Option<Timestamp>,
    /// When it ends, or ended, and why.
    pub end: Option<(Timestamp, EndWhy)>,
    /// Its last use, to the minute; unknown where one key alone was asked for.
    pub used_at: Option<Timestamp>,
    /// The server's clock at this look.
    pub now: Timestamp,
}

impl KnownKey {
    /// Whether it may still be used.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.end.is_none_or(|(at, _)| at > self.now)
    }
}

/// What became of a wish for a new key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Minted {
    /// It lives.
    Done {
        /// When.
        at: Timestamp,
        /// When the key it took over from ends, if there is one.
        old_ends: Option<Timestamp>,
    },
    /// There is no such key to take over from.
    Gone,
    /// The key to take over from has an end by rotation or revocation: nothing was written.
    Ended,
    /// [`API_KEYS_MAX`] keys exist.
    Full,
}

/// What became of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// It ends now.
    Now,
    /// It had ended before.
    Before,
    /// There is no such key.
    Gone,
}

impl FleetStore {
    /// Writes down a new key, which ends at `ends` if that is given. With `overlap`, `key.rotated_from`
    /// gets its end: both live for so long.
    ///
    /// Safe to repeat with the same key.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn mint(
        &self,
        key: &ApiKey,
        ends: Option<Timestamp>,
        overlap: Duration,
    ) -> Result<Minted, StoreError> {
        let spec = StoreError::json("a key that is", key)?;
        let mut keys = vec![self.keys().api_key(key.id.as_str()), self.keys().ix_api_keys()];
        keys.extend(key.rotated_from.iter().map(|old| self.keys().api_key(old.as_str())));
        let args = vec![
            key.id.to_string(),
            spec,
            ends.map_or_else(String::new, |at| at.unix_ms().to_string()),
            millis(overlap).to_string(),
            millis(KEPT).to_string(),
            API_KEYS_MAX.to_string(),
        ];
        let reply = self.connection().call(Call::new(&script::MINT, keys, args)).await?;
        let bug = || StoreError::reply("mint", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let at = |i: usize| parts.get(i).and_then(commit::integer).ok_or_else(bug);
        Ok(match parts.first().and_then(commit::word).as_deref() {
            Some("ok") => Minted::Done {
                at: Timestamp::from_unix_ms(at(1)?),
                old_ends: Some(at(2)?).filter(|ms| *ms > 0).map(Timestamp::from_unix_ms),
            },
            Some("gone") => Minted::Gone,
            Some("ended") => Minted::Ended,
            Some("full") => Minted::Full,
            Some(_) | None => return Err(bug()),
        })
    }

    /// Ends a key now.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn revoke(&self, id: &KeyId) -> Result<Revoked, StoreError> {
        let keys = vec![self.keys().api_key(id.as_str())];
        let args = vec![millis(KEPT).to_string()];
        let reply = self.connection().call(Call::new(&script::REVOKE, keys, args)).await?;
        match commit::integer(&reply) {
            Some(1) => Ok(Revoked::Now),
            Some(0) => Ok(Revoked::Before),
            Some(-1) => Ok(Revoked::Gone),
            Some(_) | None => Err(StoreError::reply("revoke", &reply)),
        }
    }

    /// One key, ended ones included; one round trip.
    ///
    /// # Errors
    ///
    /// As every call; [`StoreError::Corrupt`] when it cannot be read.
    pub async fn api_key(&self, id: &KeyId) -> Result<Option<KnownKey>, StoreError> {
        let name = self.keys().api_key(id.as_str());
        let mut pipe = Pipeline::with_capacity(2);
        pipe.cmd("TIME").cmd("HMGET").arg(&name).arg(&["spec", "ends", "why"]);
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let now = crate::stored::time(answers.next())?;
        read(&name, answers.next(), now)
    }

    /// Every key, newest first, ended ones included while they are remembered.
    ///
    /// # Errors
    ///
    /// As every call; [`StoreError::Corrupt`] when one cannot be read.
    pub async fn api_keys(&self) -> Result<Vec<KnownKey>, StoreError> {
        let index = self.keys().ix_api_keys();
        let mut ask = redis::cmd("ZREVRANGE");
        ask.arg(&index).arg(0).arg(API_KEYS_MAX * 2).arg("WITHSCORES");
        let ids: Vec<(String, i64)> = self.connection().ask(&ask).await?;
        let mut known = Vec::with_capacity(ids.len());
        let mut forgotten = Vec::new();
        for page in ids.chunks(PAGE) {
            let mut pipe = Pipeline::with_capacity(page.len() + 2);
            let names: Vec<&str> = page.iter().map(|(id, _)| id.as_str()).collect();
            pipe.cmd("TIME").cmd("HMGET").arg(self.keys().api_keys_used()).arg(&names);
            for id in &names {
                pipe.cmd("HMGET").arg(self.keys().api_key(id)).arg(&["spec", "ends", "why"]);
            }
            let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
            let now = crate::stored::time(answers.next())?;
            let used: Vec<Option<i64>> =
                redis::from_redis_value(answers.next().unwrap_or(Value::Nil))
                    .map_err(|error| StoreError::Bug(error.to_string()))?;
            for (((id, created), used), answer) in page.iter().zip(used).zip(answers) {
                match read(id, Some(answer), now)? {
                    Some(key) => known.push(KnownKey {
                        created_at: Some(Timestamp::from_unix_ms(*created)),
                        used_at: used.map(Timestamp::from_unix_ms),
                        ..key
                    }),
                    None => forgotten.push(id.as_str()),
                }
            }
        }
        self.forget(&forgotten).await?;
        Ok(known)
    }

    /// Notes that a key was used about now. Call it once a minute and key at most: it is for people who
    /// look for keys that nobody needs.
    ///
    /// # Errors
    ///
    /// As every call; losing one costs a minute of knowledge.
    pub async fn note_use(&self, id: &KeyId, at: Timestamp) -> Result<(), StoreError> {
        let mut note = redis::cmd("HSET");
        note.arg(self.keys().api_keys_used()).arg(id.as_str()).arg(at.unix_ms());
        self.connection().ask(&note).await
    }

    async fn forget(&self, ids: &[&str]) -> Result<(), StoreError> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut pipe = Pipeline::new();
        pipe.cmd("ZREM").arg(self.keys().ix_api_keys()).arg(ids);
        pipe.cmd("HDEL").arg(self.keys().api_keys_used()).arg(ids);
        self.connection().pipe(&mut pipe).await.map(drop)
    }
}

fn read(name: &str, answer: Option<Value>, now: Timestamp) -> Result<Option<KnownKey>, StoreError> {
    let answer = answer.unwrap_or(Value::Nil);
    let (spec, ends, why): (Option<String>, Option<i64>, Option<String>) =
        redis::from_redis_value(answer).map_err(|error| StoreError::Bug(error.to_string()))?;
    let Some(spec) = spec else { return Ok(None) };
    let key: ApiKey = serde_json::from_str(&spec).map_err(|e| StoreError::corrupt(name, e))?;
    let why = why.as_deref().map_or(EndWhy::Expires, EndWhy::parse);
    let end = ends.map(|ms| (Timestamp::from_unix_ms(ms), why));
    Ok(Some(KnownKey { key, created_at: None, end, used_at: None, now }))
}
