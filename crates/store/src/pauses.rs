//! Pauses by people: nothing new of a pool, a tenant, a model or a step, for a while.
//!
//! They lie in one hash of the pool, which the scripts that hand work out read with the server's clock: every process
//! heeds a pause from the next claim on, and one that has ended is heeded by nobody, whether or not it was cleared.
//! What was begun before goes on: a pause of creates harms nothing that runs.

use crate::connection::Call;
use crate::keys::Keys;
use crate::{Store, StoreError, commit, script};
use job::{By, Timestamp};
use redis::Value;
use seedance::SlotClass;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Pauses of a pool at a time.
pub const PAUSES_MAX: usize = 1_000;
/// How long a pause holds that does not say.
pub const PAUSE_FOR: Duration = Duration::from_secs(3_600);
/// Longest pause that ends by itself.
pub const PAUSE_FOR_MAX: Duration = Duration::from_secs(30 * 86_400);
/// Longest pause of polls: the link of a film that nobody looks for dies a day after its end.
pub const POLL_PAUSE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// A download whose link dies within this time is done whatever is paused.
pub const DOWNLOAD_MARGIN: Duration = Duration::from_secs(2 * 3_600);

/// What is paused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PauseScope {
    /// Every create of the pool.
    Submit,
    /// The creates of a tenant.
    Tenant(String),
    /// The creates of a slot class.
    Model(SlotClass),
    /// Looks at tasks. Doubts are settled all the same, and callbacks heard.
    Poll,
    /// Copies into the bucket, save of what would be lost: see [`DOWNLOAD_MARGIN`].
    Download,
}

impl PauseScope {
    /// The kind, as metrics and output tell it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Tenant(_) => "tenant",
            Self::Model(_) => "model",
            Self::Poll => "poll",
            Self::Download => "download",
        }
    }

    /// Every kind.
    pub const KINDS: [&'static str; 5] = ["submit", "tenant", "model", "poll", "download"];

    /// Why it cannot be paused for so long (none: until it is resumed), if it cannot.
    #[must_use]
    pub fn refuses(&self, lasts: Option<Duration>) -> Option<String> {
        let days = PAUSE_FOR_MAX.as_secs() / 86_400;
        match (self, lasts) {
            (_, Some(lasts)) if lasts.is_zero() => Some("a pause lasts at least a moment".into()),
            (Self::Poll, None) => Some(
                "a pause of polls needs an end, at most 12h from now: the link of a film that nobody looks for dies \
                 a day after its end"
                    .into(),
            ),
            (Self::Poll, Some(lasts)) if lasts > POLL_PAUSE_MAX => Some(
                "a pause of polls lasts at most 12h: the link of a film that nobody looks for dies a day after its end"
                    .into(),
            ),
            (_, Some(lasts)) if lasts > PAUSE_FOR_MAX => {
                Some(format!("a pause that ends by itself lasts at most {days}d"))
            }
            (
                Self::Submit | Self::Tenant(_) | Self::Model(_) | Self::Poll | Self::Download,
                _,
            ) => None,
        }
    }
}

impl fmt::Display for PauseScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Submit => f.write_str("all creates"),
            Self::Tenant(tenant) => write!(f, "creates of tenant {tenant}"),
            Self::Model(class) => write!(f, "creates of {}", class.word()),
            Self::Poll => f.write_str("polls"),
            Self::Download => f.write_str("downloads"),
        }
    }
}

/// A pause that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Of what.
    pub scope: PauseScope,
    /// By whom.
    pub by: By,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// When it ends by itself; none: it does not.
    pub until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Said {
    by: By,
    reason: String,
    at: Timestamp,
}

impl Pause {
    /// In words: what, by whom, until when, why.
    #[must_use]
    pub fn words(&self) -> String {
        let until = match self.until {
            Some(until) => format!("until {}", until.rfc3339()),
            None => "until it is resumed".to_owned(),
        };
        format!("{} by {} {until} ({})", self.scope, self.by.as_str(), self.reason)
    }
}

impl Store {
    /// Pauses a part of the pool for a time, or until it is resumed; a line in the audit. One that is paused already is
    /// paused anew. Tells whether it is: [`PAUSES_MAX`] are the most.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn pause(
        &self,
        scope: &PauseScope,
        lasts: Option<Duration>,
        by: &By,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let at = self.now().await?;
        let said = Said { by: by.clone(), reason: reason.to_owned(), at };
        let said = serde_json::to_string(&said)
            .map_err(|error| StoreError::Bug(format!("a pause that is no JSON: {error}")))?;
        // Zero stands for no end.
        let ms = lasts.map_or(0, |lasts| lasts.as_millis().max(1));
        self.pause_call(scope, &ms.to_string(), &said, by, reason).await
    }

    /// Lets a part of the pool go on, with a line in the audit. Tells whether it was paused.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn resume(
        &self,
        scope: &PauseScope,
        by: &By,
        reason: &str,
    ) -> Result<bool, StoreError> {
        self.pause_call(scope, "", "", by, reason).await
    }

    async fn pause_call(
        &self,
        scope: &PauseScope,
        lasts_ms: &str,
        said: &str,
        by: &By,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let keys = vec![self.keys().pauses(), self.keys().audit()];
        let most = PAUSES_MAX.to_string();
        let told = format!("{scope}: {reason}");
        let field = Keys::pause_field(scope);
        let args = [&field, lasts_ms, said, by.as_str(), &told, &most].map(str::to_owned);
        let reply = self.connection().call(Call::new(&script::PAUSE, keys, args.to_vec())).await?;
        let Value::Array(parts) = &reply else { return Err(StoreError::reply("pause", &reply)) };
        let done = parts.first().and_then(commit::integer);
        done.map(|n| n == 1).ok_or_else(|| StoreError::reply("pause", &reply))
    }

    /// The pauses that hold now.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn pauses(&self) -> Result<Vec<Pause>, StoreError> {
        let key = self.keys().pauses();
        let fields: BTreeMap<String, String> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        if fields.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.now().await?;
        let mut pauses = Vec::with_capacity(fields.len());
        for (field, text) in fields {
            // What a newer version pauses by another name is not ours to tell.
            let Some(scope) = Keys::pause_scope(&field) else { continue };
            let pause = read(scope, &text).ok_or_else(|| StoreError::corrupt(&key, &text))?;
            if pause.until.is_none_or(|until| until > now) {
                pauses.push(pause);
            }
        }
        pauses.sort_by(|one, other| one.scope.cmp(&other.scope));
        Ok(pauses)
    }
}

fn read(scope: PauseScope, text: &str) -> Option<Pause> {
    let (until, said) = text.split_once(' ')?;
    let until: i64 = until.parse().ok()?;
    let Said { by, reason, at } = serde_json::from_str(said).ok()?;
    let until = (until > 0).then(|| Timestamp::from_unix_ms(until));
    Some(Pause { scope, by, reason, at, until })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_pauses_what_would_be_lost_meanwhile() {
        let hours = |n: u64| Some(Duration::from_secs(n * 3_600));
        assert_eq!(PauseScope::Submit.refuses(None), None);
        assert_eq!(PauseScope::Download.refuses(None), None, "what would be lost is done");
        assert_eq!(PauseScope::Poll.refuses(hours(12)), None);
        assert!(PauseScope::Poll.refuses(hours(13)).is_some_and(|why| why.contains("at most 12h")));
        assert!(PauseScope::Poll.refuses(None).is_some());
        assert!(PauseScope::Submit.refuses(hours(31 * 24)).is_some());
        assert!(PauseScope::Tenant("a".into()).refuses(hours(0)).is_some());
    }

    #[test]
    fn a_pause_is_read_back_with_its_end() {
        let said = r#"{"by":"ann","reason":"a look","at":1790000000000}"#;
        let Some(pause) = read(PauseScope::Poll, &format!("0 {said}")) else {
            panic!("it is a pause");
        };
        assert_eq!(pause.until, None);
        assert_eq!(pause.words(), "polls by ann until it is resumed (a look)");
        let Some(pause) = read(PauseScope::Poll, &format!("1790000000000 {said}")) else {
            panic!("it is a pause");
        };
        assert_eq!(pause.until, Some(Timestamp::from_unix_ms(1_790_000_000_000)));
        assert_eq!(read(PauseScope::Poll, said), None);
    }
}
