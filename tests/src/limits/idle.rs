//! How long a job waits where nothing else does: from the call that takes it in to the last byte of its create.

use crate::kit::{BOUND, Fleet, LedgerTail, Options, text};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::trouble::pass;

/// What to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// How many jobs.
    pub jobs: usize,
    /// With the second fence.
    pub fence: bool,
    /// Between the end of one look and the next job.
    pub gap: Duration,
}

/// The first jobs show the fleet how long things take.
const WARM_UP_JOBS: usize = 3;

/// Jobs one by one, each after the one before has been bought; tells the times in ms, sorted.
pub(super) fn measure(order: &Order) -> Value {
    let fence = format!("[fence]\nenabled = {}\n", order.fence);
    let fleet = Fleet::start(Options::default().config(&fence));
    let mut tail = LedgerTail::default();
    let mut took_ms: Vec<i64> = Vec::new();
    for n in 0..order.jobs + WARM_UP_JOBS {
        let mark = format!("mark-idle-{n}");
        let asked_ms = unix_ms();
        fleet.admit(text(&format!("{mark} all alone")));
        let seen_ms = until(&mut tail, &fleet, &mark);
        if n >= WARM_UP_JOBS {
            took_ms.push(seen_ms - asked_ms);
        }
        pass(order.gap);
    }
    took_ms.sort_unstable();
    let at = |per_mille: usize| took_ms[(took_ms.len() - 1) * per_mille / 1_000];
    json!({
        "suite": "limits", "measured": "enqueue_to_create", "jobs": took_ms.len(), "fence": order.fence,
        "p50_ms": at(500), "p90_ms": at(900), "p99_ms": at(990), "max_ms": at(1_000),
    })
}

/// When the create of this mark arrived, Unix ms.
fn until(tail: &mut LedgerTail, fleet: &Fleet, mark: &str) -> i64 {
    let waits = Instant::now();
    loop {
        let lines = tail.more(fleet);
        let mut seen = lines.iter().filter(|line| line["event"] == "create_seen");
        if let Some(line) = seen.find(|line| line["mark"] == mark) {
            return line["at_ms"].as_i64().expect("a time");
        }
        assert!(waits.elapsed() < BOUND, "{mark} was not bought");
        pass(Duration::from_millis(1));
    }
}

/// The simulator and this program read one clock.
pub(crate) fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
