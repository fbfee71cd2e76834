//! Whole recounts of the pool while everything around it breaks: whoever waits has a deadline.

use super::Order;
use super::tally::{self, Tally};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::{DriftKind, Store};

/// Between two recounts of a run in real time.
const EVERY: Duration = Duration::from_secs(60);

/// Recounts until all is over. A recount that the weather interrupts proves nothing and is repeated.
pub(super) async fn keep(store: &Store, tally: &Tally, shorten: u32) {
    let every = EVERY / shorten.max(1);
    let mut next = Instant::now() + every;
    while !tally.is_over() {
        tally::wait_a_turn(Duration::from_millis(50)).await;
        if Instant::now() < next {
            continue;
        }
        next = Instant::now() + every;
        let Ok(recount) = store.recount().await else { continue };
        tally.recounts.fetch_add(1, Ordering::Relaxed);
        // What a server that was put back still lacks is brought back by the quarantine.
        if tally.frozen.load(Ordering::Relaxed) {
            continue;
        }
        for drift in recount.drifts.iter().filter(|drift| drift.kind == DriftKind::Ticket) {
            tally.broke(format!("6: under way: {drift:?}"));
        }
    }
}

/// Recounts a run must have had at least, or it proves nothing about tickets.
pub(super) fn expected(order: &Order, seconds: f64) -> u64 {
    let every = (EVERY / order.shorten.max(1)).as_secs_f64();
    if seconds < 4.0 * every { 0 } else { 1 }
}
