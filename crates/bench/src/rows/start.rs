//! A fleet that starts on a backlog of a million due jobs.

use crate::figure::Figure;
use crate::house::{normal, queued};
use crate::order::Order;
use crate::server::Counters;
use crate::stage::rss_mib;
use e2e::kit::{BOUND, Fleet, Options};
use futures::StreamExt;
use job::Record;
use sandbox::wait;
use std::time::{Duration, Instant};
use store::{ADMIT_MAX, NewJob};

const JOBS: usize = 1_000_000;
const CALLS_AT_ONCE: usize = 8;
/// How long a submitter works before its memory is looked at again.
const WORKS: Duration = Duration::from_secs(5);

/// First create after the start of a submitter, and its memory.
///
/// # Panics
///
/// Redis does not take the jobs, or nothing is created.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let jobs = order.sized(JOBS);
    let fleet = Fleet::start(Options::empty().simulator(&["--run-s", "1-2"]));
    let begun = Instant::now();
    fleet.run(fill(&fleet, jobs));
    let filled = begun.elapsed().as_secs_f64();
    drop(fleet.start_role("poller"));
    drop(fleet.start_role("downloader"));
    let (mut first_ms, mut rss, mut grown) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..order.runs {
        let before = creates(&fleet);
        let begun = Instant::now();
        let name = format!("submitter-{run}");
        let submitter = fleet.start_as(&name, "submitter", &[]);
        let look = || (creates(&fleet) > before).then(|| begun.elapsed());
        let took = wait::until("a create", BOUND, look);
        let took = took.unwrap_or_else(|missed| panic!("{missed}\n{}", submitter.log_tail(20)));
        first_ms.push(took.as_secs_f64() * 1_000.0);
        rss.push(rss_mib(submitter.pid()));
        std::thread::sleep(WORKS);
        grown.push(rss_mib(submitter.pid()) - rss[run]);
        let _ = submitter.stop();
    }
    let data = Counters::of(fleet.redis()).bytes;
    vec![
        Figure::new(format!("first create after the start, {jobs} jobs due"), "ms", first_ms)
            .at_most(1_000.0)
            .noting("from the start of the process; `fence.lead` (250 ms) and the look at the server are in it"),
        Figure::new("resident memory of the submitter then", "MiB", rss),
        Figure::new("and what it grew by in 5 s of work", "MiB", grown).at_most(10.0),
        Figure::new("jobs put into Redis by one process, without HTTP", "jobs/s", vec![jobs as f64 / filled]),
        Figure::new("Redis, per waiting job", "bytes", vec![data / jobs as f64]).at_most(1_200.0),
    ]
}

async fn fill(fleet: &Fleet, jobs: usize) {
    let now = fleet.store().now().await.expect("the clock");
    let calls = (0..jobs).step_by(ADMIT_MAX).map(|first| {
        let store = fleet.store().clone();
        tokio::spawn(async move {
            let record = |n| -> Record { queued(normal(&format!("due {n}")), "sim", now) };
            let some: Vec<NewJob> = (first..jobs.min(first + ADMIT_MAX))
                .map(|n| NewJob { record: record(n), idempotency: None })
                .collect();
            for admitted in store.admit(&some).await.expect("a call of allowed size") {
                admitted.expect("Redis answers");
            }
        })
    });
    let mut calls = futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
    while let Some(done) = calls.next().await {
        done.expect("admits");
    }
}

fn creates(fleet: &Fleet) -> usize {
    fleet.ledger().events("create_seen").count()
}
