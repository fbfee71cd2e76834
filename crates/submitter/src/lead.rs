//! How long before its instant an attempt has to begin, so that all but its last byte is out in time.
//!
//! Between Begin and the last byte lie the intent outside Redis and a new connection to the provider. What
//! takes longer than the slot lasts loses it, and the attempt goes again: with a bucket or a provider far
//! away that would be every attempt, for ever. So Begin asks for an instant that lies ahead by what both
//! took lately; and by nothing where both fit into the slot itself, so that an idle fleet sends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Of what it took, for the next one that takes a little longer: in percent.
const MARGIN_PERCENT: u32 = 150;
/// Of what is left after one that took less: in percent.
const FADES_TO_PERCENT: u32 = 90;

/// The time Begin leaves for what comes before the last byte.
#[derive(Debug)]
pub(crate) struct Lead {
    most: Duration,
    /// Part of the slot that may be used up before it counts.
    slack: Duration,
    now_us: Arc<AtomicU64>,
    /// The longest lately, margin included; 0 before the first.
    took_us: AtomicU64,
}

impl Lead {
    /// `first` until the first attempt has shown how long it takes, at most `most`; a slot can be used for
    /// `use_within` after its instant.
    pub(crate) fn new(first: Duration, most: Duration, use_within: Duration) -> Self {
        let now_us = Arc::new(AtomicU64::new(micros(first.min(most))));
        Self { most, slack: use_within / 2, now_us, took_us: AtomicU64::new(0) }
    }

    /// What Begin leaves now.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }

    /// The same, µs, for whoever follows it.
    pub(crate) fn shared(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.now_us)
    }

    /// How long before its instant a connection is opened: soon enough, and not long before.
    pub(crate) fn head_start(&self) -> Duration {
        self.now() + self.slack
    }

    /// An attempt took so long until its last byte could leave. Rises at once, and falls slowly.
    pub(crate) fn took(&self, time: Duration) {
        let faded =
            Duration::from_micros(self.took_us.load(Ordering::Relaxed)) * FADES_TO_PERCENT / 100;
        let wanted = (time * MARGIN_PERCENT / 100).max(faded);
        // Two at once: either is as good.
        self.took_us.store(micros(wanted), Ordering::Relaxed);
        let next = wanted.saturating_sub(self.slack).min(self.most);
        self.now_us.store(micros(next), Ordering::Relaxed);
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn it_rises_with_what_is_slow_and_falls_back_with_what_is_quick() {
        let lead = Lead::new(ms(250), ms(4_000), ms(100));
        assert_eq!(lead.now(), ms(250));
        lead.took(ms(600));
        assert_eq!(lead.now(), ms(850), "half again, less what the slot itself allows");
        lead.took(ms(500));
        assert!(lead.now() >= ms(700) && lead.now() < ms(850), "{:?}", lead.now());
        lead.took(ms(60_000));
        assert_eq!(lead.now(), ms(4_000));
    }

    #[test]
    fn where_all_fits_into_the_slot_nothing_is_waited_for() {
        let lead = Lead::new(ms(250), ms(4_000), ms(100));
        lead.took(ms(20));
        assert_eq!(lead.now(), Duration::ZERO, "the first one shows it");
        lead.took(ms(900));
        for _ in 0..40 {
            lead.took(ms(20));
        }
        assert_eq!(lead.now(), Duration::ZERO, "and what was slow once is forgotten");
        assert_eq!(lead.head_start(), ms(50));
    }
}
