//! A job's whole life in Redis alone: the steps answer at once, everything else is what the fleet runs.

use crate::figure::Figure;
use crate::heap::Taken;
use crate::house::{AtWork, House, facts, normal, queued};
use crate::order::Order;
use crate::server::Counters;
use crate::stage::{columns, cpu_us};
use job::{
    AttemptId, Event, Links, OpenAttempt, Record, StateWord, StoredOutput, TaskId, TaskReport,
    Timestamp,
};
use seedance::SlotClass;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use store::{BeginGuard, Begun, Held, Pace, Queue};
use worker::{Crew, CrewSettings, Fleet, Outcome, Pool, Step, Turn};

const JOBS: usize = 5_000;
const MILLION: usize = 1_000_000;
/// Records of one call of intake, so that a million of them need not be in this process at once.
const IN_MEMORY: usize = 50_000;
const SETTINGS: [(&str, &str); 6] = [
    ("submit.concurrency", "256"),
    ("poll.concurrency", "256"),
    ("poll.first", "0s"),
    ("poll.lease", "30s"),
    ("download.concurrency", "256"),
    ("download.lease", "30s"),
];
/// Nobody waits for a slot or an instant.
const FREE: BeginGuard = BeginGuard {
    running: 1_000_000,
    lookahead: 0,
    pace: Pace::NONE,
    probe: Duration::from_secs(30),
};
const NONCE_BASE_S: u32 = 86_400;

/// Jobs a second from intake to the last commit, and what each costs Redis and this process.
///
/// # Panics
///
/// Redis does not serve.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("an event loop");
    let jobs = order.sized(JOBS);
    let runs: Vec<[f64; 7]> = (0..order.runs).map(|_| runtime.block_on(once(jobs))).collect();
    let [rate, scripts, commands, redis_us, own_us, blocks, bytes] = columns(&runs);
    vec![
        Figure::new("whole life, every transition durable", "jobs/s", rate)
            .at_least(1_000.0)
            .noting(format!(
                "{jobs} jobs from the first admit to the last commit: admit, begin, accepted, one look, stored; \
                 one process, the steps answer at once"
            )),
        Figure::new("scripts called, per job", "", scripts),
        Figure::new("commands at Redis, inside scripts as well, per job", "", commands),
        Figure::new("Redis processor time, per job", "µs", redis_us).at_most(300.0),
        Figure::new("processor time of the worker, per job", "µs", own_us),
        Figure::new("allocations of the worker, per job", "", blocks)
            .noting("engine, decisions and Redis client, intake included; the steps take hardly any"),
        Figure::new("allocated by the worker, per job", "bytes", bytes),
    ]
}

async fn once(jobs: usize) -> [f64; 7] {
    let house = House::new(&SETTINGS).await;
    let now = house.store.now().await.expect("the clock");
    let records: Vec<Record> =
        (0..jobs).map(|n| queued(normal(&format!("instant {n}")), "main", now)).collect();
    let work = crew(&house).await;
    let (before, own_before_us) = (Counters::of(&house.redis), cpu_us(std::process::id()));
    let heap_before = Taken::now();
    let begun = Instant::now();
    house.admit(records).await;
    house.until_count(StateWord::Succeeded, jobs).await;
    let took = begun.elapsed().as_secs_f64();
    let heap = Taken::now().since(heap_before);
    let spent = Counters::of(&house.redis).since(&before);
    let own_us = cpu_us(std::process::id()) - own_before_us;
    work.stop().await;
    let each = |value: f64| value / jobs as f64;
    let scripts = spent.calls.get("evalsha").copied().unwrap_or(0.0);
    [
        jobs as f64 / took,
        each(scripts),
        each(spent.commands()),
        each(spent.cpu_us),
        each(own_us),
        each(heap.times),
        each(heap.bytes),
    ]
}

/// A million whole lives, from a backlog of all of them: what stays the same when there are many, and what does not.
///
/// # Panics
///
/// Redis does not serve.
#[must_use]
pub fn million(order: &Order) -> Vec<Figure> {
    let runtime = tokio::runtime::Runtime::new().expect("an event loop");
    let jobs = order.sized(MILLION);
    let run = runtime.block_on(backlog(jobs));
    let one = |value: f64| vec![value];
    vec![
        Figure::new("a backlog taken in, without HTTP", "jobs/s", run.intake).noting(format!(
            "{jobs} jobs, all of them there before the first begins; one run, in five equal parts"
        )),
        Figure::new("Redis, per waiting job", "bytes", one(run.waiting_bytes)),
        Figure::new("whole life, every transition durable, over all", "jobs/s", run.rate)
            .noting("one run, in five equal parts"),
        Figure::new("Redis processor time, per job", "µs", run.redis_us)
            .noting("without intake, and without the child that rewrites the append-only file"),
        Figure::new("Redis, per finished job", "bytes", one(run.finished_bytes))
            .noting("nothing left for the bucket meanwhile"),
    ]
}

/// Equal parts of a run that is too long to be made several times.
const PARTS: usize = 5;

/// What one run over a backlog gave.
struct Run {
    /// In the order of its parts, as the other two are.
    intake: Vec<f64>,
    waiting_bytes: f64,
    rate: Vec<f64>,
    redis_us: Vec<f64>,
    finished_bytes: f64,
}

async fn backlog(jobs: usize) -> Run {
    let house = House::new(&SETTINGS).await;
    let empty = Counters::of(&house.redis);
    let now = house.store.now().await.expect("the clock");
    let part = jobs.div_ceil(PARTS);
    let ends = || (1..=PARTS).map(|n| jobs.min(n * part));
    let (mut intake, mut first) = (Vec::new(), 0);
    for end in ends() {
        let begun = Instant::now();
        for first in (first..end).step_by(IN_MEMORY) {
            let some = first..end.min(first + IN_MEMORY);
            let records = some.map(|n| queued(normal(&format!("backlog {n}")), "main", now));
            house.admit(records.collect()).await;
        }
        intake.push((end - first) as f64 / begun.elapsed().as_secs_f64());
        first = end;
    }
    let waiting = Counters::of(&house.redis);
    let work = crew(&house).await;
    let (mut rate, mut redis_us, mut first) = (Vec::new(), Vec::new(), 0);
    for end in ends() {
        let (begun, before) = (Instant::now(), Counters::of(&house.redis));
        house.until_count(StateWord::Succeeded, end).await;
        let (spent, done) = (Counters::of(&house.redis).since(&before), (end - first) as f64);
        rate.push(done / begun.elapsed().as_secs_f64());
        redis_us.push(spent.cpu_us / done);
        first = end;
    }
    work.stop().await;
    let bytes = |later: Counters| later.since(&empty).bytes / jobs as f64;
    let finished_bytes = bytes(Counters::of(&house.redis));
    Run { intake, waiting_bytes: bytes(waiting), rate, redis_us, finished_bytes }
}

/// Submitter, poller and downloader in this process, whose steps answer at once.
async fn crew(house: &House) -> AtWork {
    let crews = |pool: &Pool, fleet: &Fleet| {
        let settings = |section| -> CrewSettings { fleet.section(section).expect("a section") };
        vec![
            Crew::new(pool, Submit(AtomicU32::new(0)), settings("submit")),
            Crew::new(pool, Poll, settings("poll")),
            Crew::new(pool, Download, settings("download")),
        ]
    };
    house.work(crews).await
}

/// Begins, and was accepted.
struct Submit(AtomicU32);

impl Submit {
    /// Marks of attempts that are open at once differ.
    fn attempt(&self, held: &Held) -> OpenAttempt {
        let (record, now) = (&held.stored.record, held.stored.now);
        let drawn = self.0.fetch_add(1, Ordering::Relaxed);
        OpenAttempt {
            id: AttemptId::from_ulid(ulid::Ulid::generate()),
            number: record.life.attempts_begun + 1,
            nonce_s: NONCE_BASE_S + drawn % NONCE_BASE_S,
            begun_at: now,
            send_by: now + Duration::from_secs(20),
            renderer: 1,
            body_sha256: "00".repeat(32),
            safety_identifier: None,
            intent: None,
            facts: facts("a", "http://127.0.0.1:1/tasks"),
        }
    }
}

#[worker::async_trait]
impl Step for Submit {
    fn queue(&self) -> Queue {
        Queue::Submit(SlotClass::V20)
    }

    async fn run(&self, held: &Held, turn: &Turn) -> Outcome {
        let attempt = self.attempt(held);
        let begun = turn.begin(&Event::SubmitBegan { attempt: attempt.clone() }, &FREE).await;
        match begun {
            Begun::Granted { .. } => {
                let task = TaskId::parse(&format!("cgt-{}", attempt.id)).expect("a task id");
                Outcome::Report(Event::AttemptAccepted { attempt: attempt.id, task })
            }
            other => Outcome::hand_back(Duration::from_millis(5), format!("{other:?}")),
        }
    }
}

fn task_of(held: &Held) -> TaskId {
    held.stored.record.life.state.task().expect("a job with a task").id.clone()
}

/// The first look finds the end.
struct Poll;

#[worker::async_trait]
impl Step for Poll {
    fn queue(&self) -> Queue {
        Queue::Poll
    }

    async fn run(&self, held: &Held, _: &Turn) -> Outcome {
        let links = Links {
            video: "https://x.example/v.mp4".into(),
            last_frame: None,
            die_at: Timestamp::from_unix_ms(4_000_000_000_000),
        };
        let report = TaskReport::Succeeded { links, payload: "{}".into() };
        Outcome::Report(Event::TaskSeen { task: task_of(held), report })
    }
}

/// The copy is there.
struct Download;

#[worker::async_trait]
impl Step for Download {
    fn queue(&self) -> Queue {
        Queue::Download
    }

    async fn run(&self, held: &Held, _: &Turn) -> Outcome {
        let output = StoredOutput {
            manifest: "m/manifest.json".into(),
            video: "m/output.mp4".into(),
            video_sha256: "11".repeat(32),
            video_bytes: 9,
            last_frame: None,
            tokens: Some(108_900),
        };
        Outcome::Report(Event::OutputStored { task: task_of(held), output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one row that needs no built program: it starts, counts and ends.
    #[test]
    fn a_small_run_measures_everything() {
        let order = Order { runs: 1, percent: 1, ..Order::default() };
        let figures = run(&order);
        assert_eq!(figures.len(), 7);
        for figure in &figures {
            assert!(figure.median() > 0.0 && figure.samples.len() == 1, "{figure:?}");
        }
        // Admit is shared by many jobs; begin, accepted, look and stored are not.
        assert!((3.0..12.0).contains(&figures[1].median()), "{:?}", figures[1]);
    }
}
