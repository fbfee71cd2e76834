//! Why there is no job, sorted by what the caller does next.

use crate::codes;
use job::JobId;
use seedance::{Fault, UnknownPrice};

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
        }
    }

    /// Whether the same request may be accepted later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Paused { .. } | Self::Unavailable { .. } => true,
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
            | Self::Unavailable { .. } => &[],
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
