//! Names of things, and instants, as types that cannot be mixed up.

use crate::mutant::{self, Mutant};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Why a text is not one of our ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a {kind}: expected {expected}")]
pub struct IdError {
    kind: &'static str,
    expected: &'static str,
    given: String,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Reads an id from outside.
            ///
            /// # Errors
            ///
            /// [`IdError`] names the form that is expected.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let given = text.chars().take(80).collect();
                    Err(IdError { kind: $kind, expected: $expected, given })
                }
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && ulid::Ulid::from_string(text).is_ok_and(|u| u.to_string() == text)
}

text_id!(
    /// Our name for one job: `job_` and a ULID, so ids sort by the moment of acceptance.
    JobId, "job id", "`job_` followed by 26 upper-case Crockford characters",
    |t| t.strip_prefix("job_").is_some_and(is_ulid)
);
text_id!(
    /// One try to submit. Never reused, and therefore a fence: a report for another attempt is
    /// told from a report for this one even after Redis lost its counters.
    AttemptId, "attempt id", "`att_` followed by 26 upper-case Crockford characters",
    |t| t.strip_prefix("att_").is_some_and(is_ulid)
);
text_id!(
    /// The provider's name for a generation. Opaque; its alphabet is checked because it becomes
    /// part of URLs (`docs/provider.md` §1.4).
    TaskId, "task id", "1 to 128 of A-Z a-z 0-9 _ -",
    |t| (1..=128).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

text_id!(
    /// One wish to erase, and its receipt: `era_` and a ULID.
    ErasureId, "erasure id", "`era_` followed by 26 upper-case Crockford characters",
    |t| t.strip_prefix("era_").is_some_and(is_ulid)
);

impl ErasureId {
    /// Wraps a fresh ULID.
    #[must_use]
    pub fn from_ulid(ulid: ulid::Ulid) -> Self {
        Self(format!("era_{ulid}"))
    }
}

impl JobId {
    /// Wraps a fresh ULID.
    #[must_use]
    pub fn from_ulid(ulid: ulid::Ulid) -> Self {
        Self(format!("job_{ulid}"))
    }
}

impl AttemptId {
    /// The id of attempt `number` of a job: `drawn`, a fresh ULID, and nothing that is counted. A
    /// counter would come back with the Redis it lives in, and one id would then name two attempts.
    #[must_use]
    pub fn draw(job: &JobId, number: u32, drawn: ulid::Ulid) -> Self {
        if mutant::on(Mutant::CounterFence) {
            let counted = job.0.bytes().fold(u128::from(number), |sum, byte| {
                sum.wrapping_mul(0x0100_0193).wrapping_add(u128::from(byte))
            });
            return Self::from_ulid(ulid::Ulid(counted));
        }
        Self::from_ulid(drawn)
    }

    /// Wraps a fresh ULID.
    #[must_use]
    pub fn from_ulid(ulid: ulid::Ulid) -> Self {
        Self(format!("att_{ulid}"))
    }
}

/// An instant: milliseconds since the Unix epoch, on the Redis server's clock wherever the fleet
/// compares instants of different processes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From Unix milliseconds.
    #[must_use]
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// From Unix seconds, the provider's unit.
    #[must_use]
    pub const fn from_unix_s(s: i64) -> Self {
        Self(s.saturating_mul(1_000))
    }

    /// Unix milliseconds.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// How long from `earlier` until this instant; zero when it is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 in UTC with milliseconds, for people and manifests.
    #[must_use]
    pub fn rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0)
            .map_or_else(|_| format!("@{}ms", self.0), |t| format!("{t:.3}"))
    }

    /// Reads RFC 3339, for instants that callers write.
    ///
    /// # Errors
    ///
    /// The text of what is wrong, with an example of the form.
    pub fn parse_rfc3339(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_millisecond())).map_err(|e| {
            format!("`{text}` is not an RFC 3339 instant such as 2026-11-23T06:00:00Z: {e}")
        })
    }

    /// Reads RFC 3339, or a date such as 2026-11-23, which means its first moment in UTC.
    ///
    /// # Errors
    ///
    /// As [`Timestamp::parse_rfc3339`].
    pub fn parse_instant(text: &str) -> Result<Self, String> {
        const DATE_BYTES: usize = "2026-11-23".len();
        let day = (text.len() == DATE_BYTES).then(|| format!("{text}T00:00:00Z"));
        Self::parse_rfc3339(day.as_deref().unwrap_or(text))
    }
}

fn ms(d: Duration) -> i64 {
    i64::try_from(d.as_millis()).unwrap_or(i64::MAX)
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, d: Duration) -> Self {
        Self(self.0.saturating_add(ms(d)))
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, d: Duration) -> Self {
        Self(self.0.saturating_sub(ms(d)))
    }
}
