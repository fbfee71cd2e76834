//! Queues, lanes and claims: who may work on which ticket.

use job::{JobId, Priority, Record, Step, Timestamp};
use seedance::SlotClass;
use std::time::Duration;

use crate::Stored;

/// One queue of tickets. Submit has one for each slot class, so that a full class never stands in
/// front of a free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Look-ups for jobs in doubt.
    Settle,
    /// Reads of tasks.
    Poll,
    /// Copies into the bucket.
    Download,
    /// News for the caller.
    Notify,
    /// Creates of one slot class.
    Submit(SlotClass),
}

impl Queue {
    /// Every queue of a pool.
    pub const ALL: [Self; 8] = [
        Self::Settle,
        Self::Poll,
        Self::Download,
        Self::Notify,
        Self::Submit(SlotClass::V20),
        Self::Submit(SlotClass::V20At4k),
        Self::Submit(SlotClass::V20Fast),
        Self::Submit(SlotClass::V20Mini),
    ];

    /// The queue of a step; `class` matters to Submit only.
    #[must_use]
    pub const fn of(step: Step, class: SlotClass) -> Self {
        match step {
            Step::Submit => Self::Submit(class),
            Step::Settle => Self::Settle,
            Step::Poll => Self::Poll,
            Step::Download => Self::Download,
            Step::Notify => Self::Notify,
        }
    }

    /// The step that works on it.
    #[must_use]
    pub const fn step(self) -> Step {
        match self {
            Self::Settle => Step::Settle,
            Self::Poll => Step::Poll,
            Self::Download => Step::Download,
            Self::Notify => Step::Notify,
            Self::Submit(_) => Step::Submit,
        }
    }

    /// The slot class, for a submit queue.
    #[must_use]
    pub const fn class(self) -> Option<SlotClass> {
        match self {
            Self::Submit(class) => Some(class),
            Self::Settle | Self::Poll | Self::Download | Self::Notify => None,
        }
    }

    /// The word in keys, metrics and output: `poll`, `submit:2.0-fast`.
    #[must_use]
    pub fn word(self) -> String {
        match self {
            Self::Settle => "settle".to_owned(),
            Self::Poll => "poll".to_owned(),
            Self::Download => "download".to_owned(),
            Self::Notify => "notify".to_owned(),
            Self::Submit(class) => format!("submit:{}", class.word()),
        }
    }
}

impl std::fmt::Display for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.word())
    }
}

/// Where a job waits for its create: tenants share fairly, priorities are strict inside a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    /// Whose.
    pub tenant: String,
    /// Order inside the tenant.
    pub priority: Priority,
}

impl Lane {
    /// The lane of a job.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        Self { tenant: record.spec.tenant.clone(), priority: record.spec.priority }
    }
}

/// The right to one ticket until its lease ends, on the server's clock.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Of which queue.
    pub queue: Queue,
    /// Which job.
    pub id: JobId,
    /// Grows at every claim and is checked by commit, renew and release.
    pub fence: u64,
}

/// A claimed ticket with the record it reminds of.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The record as it was just after the claim.
    pub stored: Stored,
    /// The right to work on it.
    pub claim: Claim,
    /// Somebody held it before and let the lease pass: that worker is dead or late.
    pub reclaimed: bool,
    /// The account with most room for it; none: any. Submit only.
    pub account: Option<String>,
}

/// What a claim brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The server's clock.
    pub now: Timestamp,
    /// When the next ticket falls due; [`None`]: no ticket waits, or none may be taken before a
    /// slot frees (which leaves a wake token).
    pub next_due: Option<Duration>,
    /// At most as many as asked for.
    pub items: Vec<Held>,
    /// Tickets put aside for a minute, because this program cannot read their records.
    pub unreadable: usize,
}
