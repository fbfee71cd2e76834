//! How much of what the provider would run at once does run, while workers are killed.

use crate::figure::Figure;
use crate::order::Order;
use e2e::limits::{self, Fault};
use std::time::Duration;

/// Accounts of one pool.
const ACCOUNTS: [usize; 3] = [1, 10, 50];
const RUNNING: u32 = 10;
/// Times of tasks and waits of the fleet are a tenth of life's; what a process needs to start is not.
const SCALE: u32 = 10;
const LASTS: Duration = Duration::from_secs(140);
/// Until everything is filled up.
const WARM_UP: Duration = Duration::from_secs(20);
const KILL_EVERY: Duration = Duration::from_secs(60);

/// Slot-seconds used, by the simulator's ledger.
#[must_use]
pub fn run(_order: &Order) -> Vec<Figure> {
    ACCOUNTS.map(pool).into()
}

fn pool(accounts: usize) -> Figure {
    let verdict = limits::measure(&limits::Order {
        accounts,
        running: RUNNING,
        scale: SCALE,
        lasts: LASTS,
        warm_up: WARM_UP,
        faults: vec![Fault::Kill],
        every: KILL_EVERY,
        ..limits::Order::default()
    });
    let name = format!("slot-seconds used, {accounts} accounts of {RUNNING}");
    let parts = verdict.slots_ratio_in_turn.iter().map(|ratio| ratio * 100.0).collect();
    Figure::new(name, "%", parts).at_least(99.0).noting(
        "one run of two minutes, twenty of the provider's, in five equal parts. Eight submitters and two pollers, one \
         of them killed each minute of ours, which is one in ten of the provider's; callbacks off",
    )
}
