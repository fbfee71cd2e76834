//! What can go wrong with Redis, sorted by what the caller does next.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A call to the store failed.
///
/// After any of them the call may or may not have run: every script is safe to repeat.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No answer. Repeat with backoff; nothing is lost, and the call may have run.
    #[error("Redis is unreachable: {0}")]
    Unreachable(String),
    /// The server answered and will not do it now: out of memory, read-only, loading, refusing
    /// writes after a failed save, wrong password. Repeat later and tell a person the cause.
    #[error("Redis refuses: {cause}")]
    Refused {
        /// The server's words, with what to do about it.
        cause: String,
    },
    /// A record cannot be read. Repeating does not help.
    #[error("{what} cannot be read: {why}")]
    Corrupt {
        /// Which key.
        what: String,
        /// In words.
        why: String,
    },
    /// We sent what the server cannot do, or it answered what we cannot read. Repeating does not
    /// help; nothing was written by a call that failed so.
    #[error("the store misbehaved: {0}")]
    Bug(String),
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Refused { .. } => true,
            Self::Corrupt { .. } | Self::Bug(_) => false,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>, why: impl ToString) -> Self {
        Self::Corrupt { what: what.into(), why: why.to_string() }
    }

    /// `value` as JSON, for a script or a key. `what` it is, in words: "facts that are", "a line that is".
    pub(crate) fn json(what: &str, value: &impl serde::Serialize) -> Result<String, Self> {
        serde_json::to_string(value).map_err(|error| Self::Bug(format!("{what} no JSON: {error}")))
    }

    pub(crate) fn reply(script: &str, got: &redis::Value) -> Self {
        Self::Bug(format!("{script} answered {got:?}"))
    }
}

/// Advice by the error code the server answers with.
fn advice(code: &str) -> Option<&'static str> {
    Some(match code {
        "OOM" => "raise maxmemory or finish jobs; nothing was evicted",
        "READONLY" => {
            "this is a replica: point redis.url at the primary, or at Sentinels that know it"
        }
        "MISCONF" => "the server cannot save to disk: free disk space and look at its log",
        "LOADING" => "it is loading its data set and will answer soon",
        "BUSY" => "a script runs too long; look at its slow log",
        "NOREPLICAS" => "too few replicas are connected for min-replicas-to-write",
        "NOAUTH" | "WRONGPASS" => "put the user and password into redis.url",
        "NOPERM" => "give the user what deploy/redis/users.acl gives it",
        "MASTERDOWN" | "CLUSTERDOWN" | "UNBLOCKED" => {
            "the servers are changing places; it comes back by itself"
        }
        "TRYAGAIN" | "ASK" => {
            "the pool is being moved to another node of the cluster; it goes on when it has arrived"
        }
        "MOVED" => {
            "the pool lies on another node: with a Redis Cluster set redis.topology = \"cluster\"; it comes back by itself"
        }
        _ => return None,
    })
}

/// The code of an answer. A script's error carries that of its cause in its detail: "OOM command not
/// allowed … script: …".
fn word_of(error: &RedisError) -> &str {
    match error.code().unwrap_or_default() {
        "ERR" => error.detail().unwrap_or_default().split(' ').next().unwrap_or_default(),
        code => code,
    }
}

/// Whether a server refused because it is not, or no more, the one to ask: the call had no effect.
pub(crate) fn is_misplaced(error: &RedisError) -> bool {
    matches!(word_of(error), "MOVED" | "READONLY" | "CLUSTERDOWN" | "MASTERDOWN" | "UNBLOCKED")
}

/// Whether the key is not here while its slot is on its way to another node: it is there, or nowhere.
pub(crate) fn is_on_its_way(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Ask)
}

/// Whether nobody answered.
pub(crate) fn is_silence(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let code = error.code().unwrap_or_default().to_owned();
        let detail = error.detail().unwrap_or_default().to_owned();
        if let Some(advice) = advice(word_of(&error)) {
            let said = if detail.is_empty() { error.to_string() } else { detail };
            return Self::Refused { cause: format!("{code} {said} ({advice})") };
        }
        match error.kind() {
            ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => {
                Self::Unreachable(error.to_string())
            }
            ErrorKind::AuthenticationFailed => Self::Refused {
                cause: "authentication failed (put the user and password into redis.url)".into(),
            },
            ErrorKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::ReadOnly | ServerErrorKind::NoPerm,
            ) => Self::Refused { cause: error.to_string() },
            ErrorKind::Parse if error.is_connection_dropped() => {
                Self::Unreachable(error.to_string())
            }
            // `ErrorKind` grows with the crate; what it does not name yet is nothing we may retry.
            _ => Self::Bug(error.to_string()),
        }
    }
}

/// A report could not be written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReportError {
    /// No allowed history leads here: page, write nothing.
    #[error(transparent)]
    Contradiction(#[from] job::Contradiction),
    /// Redis.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_covers_the_codes_of_an_unsafe_server() {
        for code in ["OOM", "READONLY", "MISCONF", "LOADING", "NOAUTH"] {
            assert!(advice(code).is_some(), "{code}");
        }
        assert!(advice("WRONGTYPE").is_none());
    }

    #[test]
    fn a_pool_on_its_way_is_waited_for() {
        for code in ["TRYAGAIN", "ASK", "MOVED", "CLUSTERDOWN"] {
            assert!(advice(code).is_some(), "{code}");
        }
        let error = redis::make_extension_error("TRYAGAIN".into(), Some("it moves".into()));
        assert!(StoreError::from(error).is_passing());
    }

    #[test]
    fn an_io_error_may_be_repeated() {
        let io = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset");
        assert!(StoreError::from(RedisError::from(io)).is_passing());
    }
}
