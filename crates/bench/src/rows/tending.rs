//! Very many tasks in flight, none of which ends: claims, looks and commits of one process on one Redis.

use crate::figure::{Figure, percentile};
use crate::house::{House, facts, normal, watched};
use crate::order::Order;
use crate::server::Counters;
use crate::stage::{columns, cpu_us, rss_mib};
use job::{Event, Record, TaskReport, Timestamp, rounds};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{Held, Queue};
use worker::{Crew, Outcome, Step, Turn};

const JOBS: usize = 300_000;
/// Tasks of one account share their rounds: many accounts, as a fleet of this size has.
const ACCOUNT_TASKS: usize = 100;
/// So that two rounds lie 15 s apart.
const STEADY: Duration = Duration::from_millis(16_071);
const SETTINGS: [(&str, &str); 6] = [
    ("poll.concurrency", "4096"),
    ("poll.first", "16s"),
    ("poll.steady", "16071ms"),
    ("poll.max", "17s"),
    ("poll.lease", "60s"),
    ("poll.renew", "20s"),
];
const MEASURED: Duration = Duration::from_secs(45);
const SETTLED_MAX: Duration = Duration::from_secs(120);
/// How late the looks are, and what they cost.
///
/// # Panics
///
/// Redis does not serve.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("an event loop");
    let jobs = order.sized(JOBS);
    let runs: Vec<[f64; 6]> = (0..order.runs).map(|_| runtime.block_on(once(jobs))).collect();
    let [share, late, redis, own, rss, redis_mib] = columns(&runs);
    vec![
        Figure::new(format!("looks made of those due, {jobs} tasks"), "%", share)
            .at_least(99.0)
            .noting("one look at each task every 15 s; 45 s measured a run"),
        Figure::new("how late, p99", "ms", late).at_most(1_000.0),
        Figure::new("Redis, share of a core", "%", redis).at_most(60.0),
        Figure::new("the poller, share of a core", "%", own),
        Figure::new("resident memory of the poller", "MiB", rss)
            .noting("this process, which also made the jobs"),
        Figure::new("Redis, data", "MiB", redis_mib),
    ]
}

async fn once(jobs: usize) -> [f64; 6] {
    let house = House::new(&SETTINGS).await;
    let now = house.store.now().await.expect("the clock");
    let seen = Arc::new(Seen::default());
    let step = Look(Arc::clone(&seen));
    let work = house
        .work(|pool, fleet| vec![Crew::new(pool, step, fleet.section("poll").expect("a section"))])
        .await;
    let request = normal("one of very many");
    for first in (0..jobs).step_by(20_000) {
        let records: Vec<Record> = (first..jobs.min(first + 20_000))
            .map(|n| {
                let account = format!("a{}", n / ACCOUNT_TASKS);
                let facts = facts(&account, "http://127.0.0.1:1/tasks");
                watched(request.clone(), &format!("cgt-bench-{n}"), facts, "main", now)
            })
            .collect();
        house.restore(records).await;
    }
    settled(&house, jobs).await;
    let (before, own_before) = (Counters::of(&house.redis), cpu_us(std::process::id()));
    seen.begin();
    let begun = Instant::now();
    tokio::time::sleep(MEASURED).await;
    let late_ms = seen.end();
    let took = begun.elapsed().as_secs_f64();
    let after = Counters::of(&house.redis);
    let own = cpu_us(std::process::id()) - own_before;
    let rss = rss_mib(std::process::id());
    work.stop().await;
    let due = jobs as f64 * took / rounds::between(STEADY).as_secs_f64();
    let core = |us: f64| us / (took * 1e6) * 100.0;
    [
        late_ms.len() as f64 / due * 100.0,
        percentile(&late_ms, 99.0),
        core(after.since(&before).cpu_us),
        core(own),
        rss,
        after.bytes / 1_048_576.0,
    ]
}

/// Until the first looks, all due at once, are behind us, and a round after that. A server that cannot keep up
/// is measured as well.
async fn settled(house: &House, jobs: usize) {
    let few = (jobs / 50) as u64;
    let deadline = Instant::now() + SETTLED_MAX;
    let mut beat = tokio::time::interval(Duration::from_millis(500));
    loop {
        beat.tick().await;
        let depths = house.store.depths().await.expect("Redis answers");
        let due = depths.iter().find(|depth| depth.queue == Queue::Poll).map_or(0, |d| d.due);
        if due <= few || Instant::now() >= deadline {
            break;
        }
    }
    tokio::time::sleep(rounds::between(STEADY)).await;
}

/// How late each look was.
#[derive(Default)]
struct Seen {
    on: AtomicBool,
    late_ms: Mutex<Vec<f64>>,
}

impl Seen {
    fn begin(&self) {
        self.on.store(true, Ordering::Relaxed);
    }

    fn end(&self) -> Vec<f64> {
        self.on.store(false, Ordering::Relaxed);
        std::mem::take(&mut *self.late_ms.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[allow(clippy::cast_precision_loss, reason = "at most one round, in milliseconds")]
    fn look(&self, account: &str, now: Timestamp) {
        if self.on.load(Ordering::Relaxed) {
            let late = late_ms(account, now) as f64;
            self.late_ms.lock().unwrap_or_else(PoisonError::into_inner).push(late);
        }
    }
}

/// Since the account's last round: that is when the ticket fell due, unless it is a whole round late, which the
/// number of looks would show.
fn late_ms(account: &str, now: Timestamp) -> i64 {
    let between = rounds::between(STEADY);
    let between_ms = i64::try_from(between.as_millis()).unwrap_or(i64::MAX);
    // A quarter of a round before an instant lies whatever is brought to that instant.
    let next =
        rounds::next(account, STEADY, Timestamp::from_unix_ms(now.unix_ms() + 1 - between_ms / 4));
    (now.unix_ms() - (next.unix_ms() - between_ms)).rem_euclid(between_ms)
}

/// Always finds the task at work.
struct Look(Arc<Seen>);

#[worker::async_trait]
impl Step for Look {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, held: &Held, _: &Turn) -> Outcome {
        let task = held.stored.record.life.state.task().expect("a watched job");
        self.0.look(&task.facts.account, held.stored.now);
        let report = TaskReport::InProgress {
            word: "running".into(),
            unknown: false,
            outlook: job::Outlook::default(),
        };
        Outcome::Report(Event::TaskSeen { task: task.id.clone(), report })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_knows_how_late_it_is() {
        let now = Timestamp::from_unix_ms(1_790_000_000_000);
        let due = rounds::next("a7", STEADY, now);
        for late in [0, 1, 40, 9_000] {
            let at = Timestamp::from_unix_ms(due.unix_ms() + late);
            assert_eq!(late_ms("a7", at), late);
        }
    }
}
