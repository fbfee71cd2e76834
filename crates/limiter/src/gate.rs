//! The local gate: spaces what one process sends.

use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::Duration;

/// One `governor` cell with no burst: two calls of this process are never closer than the spacing.
pub(crate) struct Gate {
    cell: Option<RateLimiter<NotKeyed, InMemoryState, DefaultClock>>,
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
