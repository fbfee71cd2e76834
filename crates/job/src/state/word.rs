//! The words that states are told by.

use serde::{Deserialize, Serialize};

/// The state as one public word: API, CLI, filters, metrics, webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateWord {
    /// See [`State::Held`](super::State::Held).
    Held,
    /// See [`State::Queued`](super::State::Queued).
    Queued,
    /// See [`State::Submitting`](super::State::Submitting).
    Submitting,
    /// See [`State::InDoubt`](super::State::InDoubt).
    InDoubt,
    /// See [`State::Parked`](super::State::Parked).
    Parked,
    /// See [`State::Generating`](super::State::Generating).
    Running,
    /// See [`State::Overdue`](super::State::Overdue).
    Overdue,
    /// See [`State::Downloading`](super::State::Downloading).
    Downloading,
    /// See [`End::Stored`](super::End::Stored).
    Succeeded,
    /// See [`End::Failed`](super::End::Failed).
    Failed,
    /// See [`End::Expired`](super::End::Expired).
    Expired,
    /// See [`End::Cancelled`](super::End::Cancelled).
    Cancelled,
    /// See [`End::Rejected`](super::End::Rejected).
    Rejected,
    /// See [`End::NotUseful`](super::End::NotUseful).
    NotUseful,
    /// See [`End::GivenUp`](super::End::GivenUp).
    GivenUp,
    /// See [`End::OutputLost`](super::End::OutputLost).
    OutputLost,
    /// See [`End::TimedOut`](super::End::TimedOut).
    TimedOut,
}

impl StateWord {
    /// All words, in the order of a job's life.
    pub const ALL: [Self; 17] = [
        Self::Held,
        Self::Queued,
        Self::Submitting,
        Self::InDoubt,
        Self::Parked,
        Self::Running,
        Self::Overdue,
        Self::Downloading,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
        Self::Rejected,
        Self::NotUseful,
        Self::GivenUp,
        Self::OutputLost,
        Self::TimedOut,
    ];

    /// The word itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Queued => "queued",
            Self::Submitting => "submitting",
            Self::InDoubt => "in_doubt",
            Self::Parked => "parked",
            Self::Running => "running",
            Self::Overdue => "overdue",
            Self::Downloading => "downloading",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::NotUseful => "not_useful",
            Self::GivenUp => "given_up",
            Self::OutputLost => "output_lost",
            Self::TimedOut => "timed_out",
        }
    }

    /// Reads a word from outside.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|w| w.as_str() == text)
    }

    /// Nobody knows how its create ended.
    #[must_use]
    pub const fn is_in_doubt(self) -> bool {
        matches!(self, Self::InDoubt | Self::Parked)
    }

    /// The job has nowhere to go by itself.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        match self {
            Self::Held
            | Self::Queued
            | Self::Submitting
            | Self::InDoubt
            | Self::Parked
            | Self::Running
            | Self::Overdue
            | Self::Downloading => false,
            Self::Succeeded
            | Self::Failed
            | Self::Expired
            | Self::Cancelled
            | Self::Rejected
            | Self::NotUseful
            | Self::GivenUp
            | Self::OutputLost
            | Self::TimedOut => true,
        }
    }
}
