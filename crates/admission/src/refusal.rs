//! Why there is no job, sorted by what the caller does next.

use crate::codes;
use job::{JobId, Timestamp};
use seedance::{Cost, Fault, UnknownPrice};
use std::fmt;

/// The door stays shut. Nothing was bought, and nothing of this request is queued.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// Mend the document and send it again. Never empty; nothing was stored anywhere.
    #[error("{} in the request: {}", counted(.0), listed(.0))]
    Faults(Vec<Fault>),
    /// The idempotency key belongs to another request: use a fresh key, or ask for that job.
    #[error("the idempotency key was used for another request, job {id}")]
    KeyReused {
        /// The job of the first request.
        id: JobId,
    },
    /// Send it again later: jobs already accepted come first.
    #[error("new jobs are not taken in for now: {why}")]
    Paused {
        /// In words.
        why: String,
    },
    /// The tenant has as many jobs waiting as it may. Send it again when some have been bought.
    #[error(
        "{waiting} jobs of this tenant wait, and {max} may; send the request again when some have gone"
    )]
    BacklogFull {
        /// How many wait.
        waiting: u64,
        /// How many may.
        max: u32,
    },
    /// What this may cost does not fit into the tenant's day.
    #[error(
        "this may cost {cost}, and the tenant's jobs of today take {spent} of {max} {}; the next day \
         begins {}",
        .cost.currency, .resets_at.rfc3339()
    )]
    BudgetExhausted {
        /// What this may cost.
        cost: Cost,
        /// What the day has taken, in whole and millionths.
        spent: Money,
        /// What it may take, in whole units.
        max: u32,
        /// When the next day begins.
        resets_at: Timestamp,
    },
    /// The tenant's inline media of today leave no room for these.
    #[error("the tenant's inline media of today leave no room for {bytes} bytes of {max}; pass them by URL or asset id, or send the request after {}", .resets_at.rfc3339())]
    MediaExhausted {
        /// Bytes of this request.
        bytes: u64,
        /// Bytes the tenant may bring in a day.
        max: u64,
        /// When the next day begins.
        resets_at: Timestamp,
    },
    /// The route publishes no price for these settings: choose others, or tell the operator.
    #[error(transparent)]
    NoPrice(UnknownPrice),
    /// Redis or the bucket did not do its part. Send the same request again: should it have been
    /// accepted after all, the same job answers.
    #[error("the request could not be stored: {cause}")]
    Unavailable {
        /// In words, for the operator.
        cause: String,
    },
}

/// An amount in millionths, shown whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money(pub u64);

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl Refusal {
    /// Kebab-case, stable; advice stands in `config/error-codes.toml`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Faults(_) => codes::INVALID_REQUEST,
            Self::KeyReused { .. } => codes::KEY_REUSED,
            Self::Paused { .. } => codes::INTAKE_PAUSED,
            Self::NoPrice(_) => codes::PRICE_UNKNOWN,
            Self::Unavailable { .. } => codes::INTAKE_UNAVAILABLE,
            Self::BacklogFull { .. } => codes::BACKLOG_FULL,
            Self::BudgetExhausted { .. } => codes::BUDGET_EXHAUSTED,
            Self::MediaExhausted { .. } => codes::MEDIA_EXHAUSTED,
        }
    }

    /// Whether the same request may be accepted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Paused { .. }
            | Self::Unavailable { .. }
            | Self::BacklogFull { .. }
            | Self::BudgetExhausted { .. }
            | Self::MediaExhausted { .. } => true,
            Self::Faults(_) | Self::KeyReused { .. } | Self::NoPrice(_) => false,
        }
    }

    /// What is wrong with the document; empty where nothing is.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        match self {
            Self::Faults(faults) => faults,
            Self::KeyReused { .. }
            | Self::Paused { .. }
            | Self::NoPrice(_)
            | Self::BacklogFull { .. }
            | Self::BudgetExhausted { .. }
            | Self::MediaExhausted { .. }
            | Self::Unavailable { .. } => &[],
        }
    }

    /// When a day's share is there again, where that is what is missing.
    #[must_use]
    pub const fn resets_at(&self) -> Option<Timestamp> {
        match self {
            Self::BudgetExhausted { resets_at, .. } | Self::MediaExhausted { resets_at, .. } => {
                Some(*resets_at)
            }
            Self::Faults(_)
            | Self::KeyReused { .. }
            | Self::Paused { .. }
            | Self::NoPrice(_)
            | Self::BacklogFull { .. }
            | Self::Unavailable { .. } => None,
        }
    }

    /// The reason by which refusals are counted.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Faults(faults) if faults.iter().any(|f| f.code == codes::CONSENT_MISSING) => {
                "consent"
            }
            Self::Faults(_) => "invalid",
            Self::KeyReused { .. } => "duplicate",
            Self::Paused { .. } => "redis_full",
            Self::NoPrice(_) => "no_price",
            Self::Unavailable { .. } => "unavailable",
            Self::BacklogFull { .. } => "backlog_full",
            Self::BudgetExhausted { .. } => "budget",
            Self::MediaExhausted { .. } => "media",
        }
    }
}

fn counted(faults: &[Fault]) -> String {
    match faults.len() {
        1 => "1 fault".to_owned(),
        n => format!("{n} faults"),
    }
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ")
}
