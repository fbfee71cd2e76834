//! Interesting moments, noted while worlds unfold: a model in which nothing happens proves nothing.

use std::sync::atomic::{AtomicU32, Ordering};

/// A moment that a variant must reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// A task was found in the list.
    FoundInList,
    /// A task was adopted by its callback.
    CalledBack,
    /// A job went back to the queue after a proven absence.
    SentAgain,
    /// A forgotten intent was met before Begin.
    MetBeforeBegin,
    /// A forgotten intent was met by one's own.
    MetByOwn,
    /// A job was parked.
    Parked,
    /// A late report found another attempt open.
    LateReport,
    /// A gate closed in time.
    GateClosed,
    /// A lost job was brought back from its intent.
    Restored,
    /// A job in doubt heard of an attempt that Redis has forgotten.
    Recalled,
    /// The job of a repeated request adopted what the lost one had bought.
    AdoptedForLost,
}

/// What was reached in a run.
#[derive(Debug, Default)]
pub(crate) struct Notes(AtomicU32);

impl Notes {
    pub(crate) fn note(&self, moment: Reached) {
        self.0.fetch_or(1 << moment as u32, Ordering::Relaxed);
    }

    pub(crate) fn has(&self, moment: Reached) -> bool {
        self.0.load(Ordering::Relaxed) & 1 << moment as u32 != 0
    }
}
