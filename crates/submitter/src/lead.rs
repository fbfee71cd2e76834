//! How long before its instant an attempt has to begin, so that its intent stands in time.
//!
//! A slot's instant is thrown away when the intent is later than that, and so is the attempt. A bucket that
//! takes half a second for every write would then let nobody send, for ever: so the time is the longest
//! that a write took lately, and never less than `fence.lead`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Of what a write took, for the next one that takes a little longer: in percent.
const MARGIN_PERCENT: u32 = 150;
/// Of what is left after a write that took less: in percent.
const FADES_TO_PERCENT: u32 = 90;

/// The time Begin leaves for the intent.
#[derive(Debug)]
pub(crate) struct Lead {
    least: Duration,
    most: Duration,
    now_us: Arc<AtomicU64>,
}

impl Lead {
    /// `least` is `fence.lead`; `most` what is left of an attempt's time at the worst.
    pub(crate) fn new(least: Duration, most: Duration) -> Self {
        Self { least, most: most.max(least), now_us: Arc::new(AtomicU64::new(micros(least))) }
    }

    /// No fence, no time for it.
    pub(crate) fn none() -> Self {
        Self::new(Duration::ZERO, Duration::ZERO)
    }

    /// What Begin leaves now.
    pub(crate) fn now(&self) -> Duration {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }

    /// The same, µs, for whoever follows it.
    pub(crate) fn shared(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.now_us)
    }

    /// A write took so long, whatever came of it. Rises at once, and falls slowly.
    pub(crate) fn took(&self, time: Duration) {
        let wanted = time * MARGIN_PERCENT / 100;
        let faded = self.now() * FADES_TO_PERCENT / 100;
        let next = wanted.max(faded).clamp(self.least, self.most);
        // Two writes at once: either is as good.
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
    fn it_rises_with_a_slow_bucket_and_falls_back_with_a_quick_one() {
        let lead = Lead::new(ms(250), ms(4_000));
        lead.took(ms(30));
        assert_eq!(lead.now(), ms(250));
        lead.took(ms(600));
        assert_eq!(lead.now(), ms(900));
        lead.took(ms(500));
        assert!(lead.now() >= ms(750) && lead.now() < ms(900), "{:?}", lead.now());
        lead.took(ms(60_000));
        assert_eq!(lead.now(), ms(4_000));
        for _ in 0..40 {
            lead.took(ms(30));
        }
        assert_eq!(lead.now(), ms(250));
    }

    #[test]
    fn without_a_fence_nothing_is_left_for_it() {
        let none = Lead::none();
        none.took(ms(900));
        assert_eq!(none.now(), Duration::ZERO);
    }
}
