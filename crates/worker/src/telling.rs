//! From the engines' counters to the metrics of the process.

use std::time::{Duration, SystemTime};

use store::engine::{Engine, Snapshot};

/// How fresh the metrics are.
const EVERY: Duration = Duration::from_secs(2);

/// Tells until the process ends.
pub(crate) fn spawn(role: &'static str, engines: Vec<Engine>) {
    tokio::spawn(async move {
        let mut told = Told::default();
        let mut turn = tokio::time::interval(EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            turn.tick().await;
            told.tell(role, &engines);
        }
    });
}

/// The totals told last: the handles of metrics take differences.
#[derive(Default)]
struct Told {
    in_flight: u64,
    reclaimed: u64,
    unreadable: u64,
    fenced: u64,
}

impl Told {
    fn tell(&mut self, role: &'static str, engines: &[Engine]) {
        let metrics = telemetry::metrics();
        let looks: Vec<Snapshot> = engines.iter().map(Engine::snapshot).collect();
        let sum = |of: fn(&Snapshot) -> u64| looks.iter().map(of).sum::<u64>();
        let (in_flight, reclaimed) = (sum(|look| look.in_flight), sum(|look| look.reclaimed));
        let (unreadable, fenced) = (sum(|look| look.unreadable), sum(|look| look.fenced));
        let step = i64::try_from(in_flight).unwrap_or(i64::MAX)
            - i64::try_from(self.in_flight).unwrap_or(i64::MAX);
        metrics.worker_inflight.add(step, [role]);
        metrics.lease_expired.add(reclaimed - self.reclaimed, [role]);
        metrics.records_unreadable.add(unreadable - self.unreadable, [role]);
        metrics.fenced_writes.add(fenced - self.fenced, [role]);
        if let Some(since) = looks.iter().map(|look| look.since_commit).min() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            metrics.worker_last_progress.set(now.saturating_sub(since).as_secs_f64(), [role]);
        }
        *self = Self { in_flight, reclaimed, unreadable, fenced };
    }
}
