//! The pool's stream of events: one entry for every change of a job's public state, written by the commit
//! that makes the change, and by nobody else.
//!
//! Whoever follows it keeps the [`Mark`] of the last entry it has seen and asks for what comes after. A
//! mark holds for one pool.

use crate::connection::Connection;
use crate::{Store, StoreError, stored};
use job::{JobId, StateWord, Timestamp};
use redis::{Pipeline, Value};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Entries read at once.
pub const CHANGES_MAX: usize = 1_000;
/// Longest wait of one read; an answer later than [`ANSWER_MAX`] means a dead connection.
const WAIT_MAX: Duration = Duration::from_secs(1);
const ANSWER_MAX: Duration = Duration::from_secs(4);
/// Entries one trim takes away at most, so that no command holds the server up.
const TRIM_STEP: usize = 10_000;
/// Steps of one call.
const TRIM_STEPS_MAX: usize = 50;

/// What the stream itself asks of section `events`; the rest is for those who serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct EventSettings {
    /// How far back a follower may resume.
    #[serde(with = "humantime_serde")]
    pub kept: Duration,
    /// Entries kept at most, beside those that still have to be shared out.
    pub kept_max: u64,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self { kept: Duration::from_secs(24 * 3_600), kept_max: 1_000_000 }
    }
}

impl EventSettings {
    /// Entries at which no new job is let in: so many are kept only if nobody shares them out.
    #[must_use]
    pub const fn stop_at(&self) -> u64 {
        self.kept_max.saturating_mul(2)
    }
}

/// A place in the stream of one pool: the instant of the commit and a count within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mark {
    ms: u64,
    n: u64,
}

impl Mark {
    /// Before the first entry there can be.
    pub const START: Self = Self { ms: 0, n: 0 };

    /// When its entry was committed, by the server's clock.
    #[must_use]
    pub fn at(self) -> Timestamp {
        Timestamp::from_unix_ms(i64::try_from(self.ms).unwrap_or(i64::MAX))
    }

    /// Before every entry of this instant.
    #[must_use]
    pub fn before(at: Timestamp) -> Self {
        let ms = u64::try_from(at.unix_ms()).unwrap_or(0);
        ms.checked_sub(1).map_or(Self::START, |ms| Self { ms, n: u64::MAX })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse());
        let parts = text.split_once('-').and_then(|(ms, n)| Some((number(ms)?, number(n)?)));
        match parts {
            Some((Ok(ms), Ok(n))) => Ok(Self { ms, n }),
            Some(_) | None => Err(format!(
                "`{}` is no event id: expected two numbers, such as 1790000000000-0",
                text.chars().take(48).collect::<String>()
            )),
        }
    }
}

/// One entry: a job's public state is another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where it stands in the stream.
    pub mark: Mark,
    /// Whose state.
    pub job: JobId,
    /// The job's tenant.
    pub tenant: String,
    /// Its batch.
    pub batch: Option<String>,
    /// The state before; [`None`]: the job is new.
    pub from: Option<StateWord>,
    /// The state from here on.
    pub to: StateWord,
    /// The record's revision: of two entries of one job the higher one is the later.
    pub seq: u64,
    /// The job names a webhook of its own.
    pub hook: bool,
}

impl Change {
    /// Its name in answers, filters and webhooks: `job.submitted` for a new job, else `job.` and the word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.from {
            None => "job.submitted",
            Some(_) => Self::kind_of(self.to),
        }
    }

    /// The name of coming into a state.
    #[must_use]
    pub const fn kind_of(word: StateWord) -> &'static str {
        match word {
            StateWord::Held => "job.held",
            StateWord::Queued => "job.queued",
            StateWord::Submitting => "job.submitting",
            StateWord::InDoubt => "job.in_doubt",
            StateWord::Parked => "job.parked",
            StateWord::Running => "job.running",
            StateWord::Overdue => "job.overdue",
            StateWord::Downloading => "job.downloading",
            StateWord::Succeeded => "job.succeeded",
            StateWord::Failed => "job.failed",
            StateWord::Expired => "job.expired",
            StateWord::Cancelled => "job.cancelled",
            StateWord::Rejected => "job.rejected",
            StateWord::NotUseful => "job.not_useful",
            StateWord::GivenUp => "job.given_up",
            StateWord::OutputLost => "job.output_lost",
            StateWord::TimedOut => "job.timed_out",
        }
    }

    fn read(key: &str, entry: &Value) -> Result<Self, StoreError> {
        let bad = |why: &str| StoreError::corrupt(key, why);
        // Whoever follows reads one for each step of each job: nothing is copied that is not kept.
        let parts = if let Value::Array(parts) = entry { parts.as_slice() } else { &[] };
        let [id, Value::Array(fields)] = parts else {
            return Err(bad("an entry that is no id with fields"));
        };
        let id = plain(id).ok_or_else(|| bad("an id that is no text"))?;
        let field = |name: &str| {
            let pair = fields.chunks_exact(2).find(|pair| plain(&pair[0]) == Some(name));
            pair.and_then(|pair| plain(&pair[1])).filter(|text| !text.is_empty())
        };
        let word = |name: &str| match field(name) {
            None => Ok(None),
            Some(text) => StateWord::parse(text).map(Some).ok_or_else(|| bad(text)),
        };
        Ok(Self {
            mark: id.parse().map_err(|why: String| bad(&why))?,
            job: JobId::parse(field("job").unwrap_or_default()).map_err(|e| bad(&e.to_string()))?,
            tenant: field("tenant").unwrap_or_default().to_owned(),
            batch: field("batch").map(str::to_owned),
            from: word("from")?,
            to: word("to")?.ok_or_else(|| bad("an entry without a state"))?,
            seq: field("seq").and_then(|n| n.parse().ok()).ok_or_else(|| bad("no revision"))?,
            hook: field("hook").is_some(),
        })
    }
}

fn plain(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

impl Store {
    /// Up to `n` entries after `mark`, oldest first. What was trimmed meanwhile is skipped: compare with
    /// [`Store::first_change`] where that matters.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn changes_after(&self, mark: Mark, n: usize) -> Result<Vec<Change>, StoreError> {
        let key = self.keys().events();
        let mut command = redis::cmd("XRANGE");
        command.arg(&key).arg(format!("({mark}")).arg("+");
        command.arg("COUNT").arg(n.clamp(1, CHANGES_MAX));
        let entries: Vec<Value> = self.connection().ask(&command).await?;
        entries.iter().map(|entry| Change::read(&key, entry)).collect()
    }

    /// The `n` newest entries, oldest first; at most as many as one page holds.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn last_changes(&self, n: usize) -> Result<Vec<Change>, StoreError> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let key = self.keys().events();
        let mut command = redis::cmd("XREVRANGE");
        command.arg(&key).arg("+").arg("-").arg("COUNT").arg(n.min(CHANGES_MAX));
        let entries: Vec<Value> = self.connection().ask(&command).await?;
        entries.iter().rev().map(|entry| Change::read(&key, entry)).collect()
    }

    /// The oldest entry that is kept.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn first_change(&self) -> Result<Option<Mark>, StoreError> {
        first(self.connection(), "XRANGE", "-", "+", &self.keys().events(), 1).await
    }

    /// The newest entry; [`Mark::START`] where there is none.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn last_change(&self) -> Result<Mark, StoreError> {
        let key = self.keys().events();
        let found = first(self.connection(), "XREVRANGE", "+", "-", &key, 1).await?;
        Ok(found.unwrap_or_default())
    }

    /// Takes away what is older than `settings.kept` and what is too much, but nothing that has not been
    /// shared out among the outboxes yet. Returns how many entries went.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn trim_changes(&self, settings: &EventSettings) -> Result<u64, StoreError> {
        let (events, read) = (self.keys().events(), self.keys().hooks_read());
        let mut gone = 0;
        for _ in 0..TRIM_STEPS_MAX {
            let mut pipe = Pipeline::with_capacity(3);
            pipe.cmd("TIME").cmd("GET").arg(&read).cmd("XLEN").arg(&events);
            let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
            let now = stored::time(answers.next())?;
            let text = |value: Option<Value>| {
                value
                    .and_then(|value| redis::from_redis_value::<Option<String>>(value).ok())
                    .flatten()
            };
            let read = match text(answers.next()) {
                Some(text) => {
                    Some(text.parse::<Mark>().map_err(|why| StoreError::corrupt(&read, why))?)
                }
                None => None,
            };
            let length = answers.next().as_ref().and_then(crate::commit::integer).unwrap_or(0);
            let excess = u64::try_from(length).unwrap_or(0).saturating_sub(settings.kept_max);
            let mut end = Mark::before(now - settings.kept);
            if excess > 0 {
                let step = usize::try_from(excess).unwrap_or(usize::MAX).min(CHANGES_MAX);
                let last = self.mark_at(&events, step).await?;
                end = end.max(last.unwrap_or_default());
            }
            if let Some(read) = read {
                end = end.min(read);
            }
            // With `~` the server takes whole nodes only, which costs it next to nothing.
            let mut trim = redis::cmd("XTRIM");
            trim.arg(&events).arg("MINID").arg("~").arg(end.to_string());
            trim.arg("LIMIT").arg(TRIM_STEP);
            let went: u64 = self.connection().ask(&trim).await?;
            gone += went;
            if went == 0 {
                break;
            }
        }
        Ok(gone)
    }

    /// The last of the `n` oldest entries.
    async fn mark_at(&self, key: &str, n: usize) -> Result<Option<Mark>, StoreError> {
        first(self.connection(), "XRANGE", "-", "+", key, n).await
    }
}

/// The id of the last entry of one page.
async fn first(
    connection: &Connection,
    command: &str,
    from: &str,
    to: &str,
    key: &str,
    n: usize,
) -> Result<Option<Mark>, StoreError> {
    let mut command = redis::cmd(command);
    command.arg(key).arg(from).arg(to).arg("COUNT").arg(n);
    let entries: Vec<(String, Value)> = connection.ask(&command).await?;
    let id = entries.last().map(|(id, _)| id.parse().map_err(|why| StoreError::corrupt(key, why)));
    id.transpose()
}

/// Follows the stream, on a connection of its own: a blocking read would hold up everything else on a
/// shared one.
pub struct ChangeReader {
    connection: Connection,
    key: String,
    after: Mark,
}

impl ChangeReader {
    /// Begins after `after`, or with what is committed from now on.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn connect(store: &Store, after: Option<Mark>) -> Result<Self, StoreError> {
        let after = match after {
            Some(after) => after,
            None => store.last_change().await?,
        };
        let connection = store.connection().apart(ANSWER_MAX).await?;
        Ok(Self { connection, key: store.keys().events(), after })
    }

    /// The last entry handed out, or where it began.
    #[must_use]
    pub const fn mark(&self) -> Mark {
        self.after
    }

    /// Goes on after another place.
    pub const fn seek(&mut self, after: Mark) {
        self.after = after;
    }

    /// What came, in order; empty after a second without any. After an error the next call goes on where
    /// this one stood.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        self.read(CHANGES_MAX).await
    }

    /// As [`ChangeReader::next`], up to `n` entries.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn read(&mut self, n: usize) -> Result<Vec<Change>, StoreError> {
        let mut command = redis::cmd("XREAD");
        command
            .arg("COUNT")
            .arg(n.clamp(1, CHANGES_MAX))
            .arg("BLOCK")
            .arg(WAIT_MAX.as_millis().to_string());
        command.arg("STREAMS").arg(&self.key).arg(self.after.to_string());
        let told: Option<Vec<(String, Vec<Value>)>> = self.connection.ask(&command).await?;
        let entries = told.into_iter().flatten().flat_map(|(_, entries)| entries);
        let changes: Vec<Change> =
            entries.map(|entry| Change::read(&self.key, &entry)).collect::<Result<_, _>>()?;
        if let Some(last) = changes.last() {
            self.after = last.mark;
        }
        Ok(changes)
    }
}

impl fmt::Debug for ChangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChangeReader").field("after", &self.after).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_as_they_are_written_and_in_order() {
        let mark: Mark = "1790000000000-12".parse().unwrap();
        assert_eq!(mark.to_string(), "1790000000000-12");
        assert!(mark > "1790000000000-9".parse().unwrap());
        assert!(Mark::before(mark.at()) < "1790000000000-0".parse().unwrap());
        assert_eq!(Mark::before(Timestamp::from_unix_ms(0)), Mark::START);
        for bad in ["", "-", "1", "1-", "a-b", "+1-2", "1-2-3", "99999999999999999999999-0"] {
            assert!(bad.parse::<Mark>().is_err(), "{bad}");
        }
    }
}
