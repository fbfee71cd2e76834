//! The load a fleet really has: every job in flight is checked again and again, and none ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use job::{Event, TaskReport};
use store::{Held, Queue};
use worker::{Outcome, Step, Turn};

use crate::house::{House, WATCHED_REVISION, until};

const JOBS: usize = 500;
const CHECKS: u64 = 5_000;
/// Looks of which something is written down: 100 ms, 150 ms, then steady.
const NEWS_MAX: u64 = 3;
/// Scripts a check may cost: the ticket's way back, and its share of claims and renewals.
const SCRIPTS_PER_CHECK_MAX: f64 = 1.5;
/// Redis's own CPU time for one check, everything included. Processor time and not the clock on the
/// wall, so that a busy machine changes little; a release-built server spends a fraction of it.
const REDIS_CPU_US_PER_CHECK_MAX: f64 = 600.0;

/// Always finds the task at work, and counts.
struct StillRunning(Arc<AtomicU64>);

#[worker::async_trait]
impl Step for StillRunning {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, held: &Held, _: &Turn) -> Outcome {
        let task = held.stored.record.life.state.task().expect("a watched job").id.clone();
        let report = TaskReport::InProgress {
            word: "running".into(),
            unknown: false,
            outlook: job::Outlook::default(),
        };
        self.0.fetch_add(1, Ordering::Relaxed);
        Outcome::Report(Event::TaskSeen { task, report })
    }
}

/// Scripts run and processor seconds spent, as the server counts them.
fn spent(house: &House) -> (f64, f64) {
    let info = house.redis.command(&["INFO", "all"]).expect("answers");
    let number = |name: &str, until: char| -> f64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.split(until).next().and_then(|n| n.trim().parse().ok()).expect("a number")
    };
    let cpu_s = number("used_cpu_user:", '\r') + number("used_cpu_sys:", '\r');
    (number("cmdstat_evalsha:calls=", ','), cpu_s)
}

// covers: M8
#[tokio::test(flavor = "multi_thread")]
async fn checking_at_a_steady_state_stays_within_its_budget() {
    let house = House::new()
        .await
        .with("poll.concurrency", "200")
        .with("poll.lease", "30s")
        .with("poll.first", "100ms")
        .with("poll.steady", "200ms");
    let ids = house.watched(JOBS).await;
    let checks = Arc::new(AtomicU64::new(0));
    let made = || checks.load(Ordering::Relaxed);
    let (scripts_before, cpu_before_s) = spent(&house);
    let fleet = house.work(StillRunning(Arc::clone(&checks)), Duration::from_secs(20)).await;
    until("every job checked again and again", async || made() >= CHECKS).await;
    fleet.stop().await;
    let (scripts, cpu_s) = spent(&house);
    let done = made() as f64;

    let scripts_each = (scripts - scripts_before) / done;
    let cpu_us_each = (cpu_s - cpu_before_s) / done * 1e6;
    println!("{done} checks: {scripts_each:.2} scripts and {cpu_us_each:.0} µs of Redis each");
    assert!(scripts_each <= SCRIPTS_PER_CHECK_MAX, "{scripts_each:.2} scripts a check");
    assert!(cpu_us_each <= REDIS_CPU_US_PER_CHECK_MAX, "{cpu_us_each:.0} µs of Redis a check");
    // The provider's first word is news, and so are looks on the way to the steady pace; then there is none.
    for stored in house.records_of(&ids).await {
        assert!(stored.revision <= WATCHED_REVISION + NEWS_MAX, "{}", stored.revision);
    }
    let depth = house.depth(Queue::Poll).await;
    assert_eq!(depth.waiting + depth.leased, JOBS as u64, "a ticket each, no more and no fewer");
}
