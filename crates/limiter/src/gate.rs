//! The local gates: what one process sends, whatever anybody reserved.

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

type Cell = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;

/// One `governor` cell with no burst: two calls of this process are never closer than the spacing.
pub(crate) struct Gate {
    cell: Option<Cell>,
}

impl Gate {
    /// `spacing` is the fleet's; a process that is alone may use all of it.
    pub(crate) fn new(spacing: Duration) -> Self {
        let quota = Quota::with_period(spacing).map(|q| q.allow_burst(NonZeroU32::MIN));
        Self { cell: quota.map(RateLimiter::direct) }
    }

    /// Waits until this process may make its next call.
    pub(crate) async fn pass(&self) {
        if let Some(cell) = &self.cell {
            cell.until_ready().await;
        }
    }
}

/// The creates of one account and class, counted as their last bytes leave.
///
/// Their instants come from Redis and are at least a spacing apart. This refuses what no two such
/// instants can lead to: a send without one of its own, by a mistake of ours. It never waits, because
/// a slot that is waited for is lost.
pub(crate) struct Tally {
    use_within: Duration,
    /// Made anew when the spacing changes.
    cell: Mutex<Option<(Duration, Cell)>>,
}

impl Tally {
    /// For slots that may be used so long after their instant.
    pub(crate) const fn new(use_within: Duration) -> Self {
        Self { use_within, cell: Mutex::new(None) }
    }

    /// Counts a send, unless slots `spacing` apart cannot have led to it. Zero spacing is no limit.
    pub(crate) fn lets_through(&self, spacing: Duration) -> bool {
        let mut cell = self.cell.lock().unwrap_or_else(PoisonError::into_inner);
        if cell.as_ref().is_none_or(|(had, _)| *had != spacing) {
            let quota = Quota::with_period(spacing).map(|q| q.allow_burst(self.burst(spacing)));
            *cell = quota.map(|quota| (spacing, RateLimiter::direct(quota)));
        }
        cell.as_ref().is_none_or(|(_, cell)| cell.check().is_ok())
    }

    /// A send is late by `use_within` at most and the next one by nothing: so many may then stand
    /// close together. One more for clocks that are read in another order than they are compared.
    fn burst(&self, spacing: Duration) -> NonZeroU32 {
        let late = self.use_within.as_micros().div_ceil(spacing.as_micros().max(1));
        let late = u32::try_from(late).unwrap_or(u32::MAX);
        NonZeroU32::MIN.saturating_add(late).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn sends_that_no_slots_explain_are_refused() {
        let tally = Tally::new(ms(100));
        let passed = (0..50).filter(|_| tally.lets_through(ms(60_000))).count();
        assert_eq!(passed, 3, "one, one that was late, and one for the clocks");
        assert!(tally.lets_through(ms(30_000)), "another limit, another count");
        let free = (0..1_000).all(|_| tally.lets_through(Duration::ZERO));
        assert!(free, "no pacing, no limit");
    }

    #[test]
    fn late_sends_of_slots_in_order_all_pass() {
        for (spacing, within, burst) in
            [(100, 100, 3), (100, 500, 7), (4_000, 100, 3), (10, 100, 12)]
        {
            assert_eq!(
                Tally::new(ms(within)).burst(ms(spacing)).get(),
                burst,
                "{spacing} {within}"
            );
        }
    }
}
