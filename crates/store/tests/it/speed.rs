//! How long the questions of a dashboard take when there are very many jobs. The ordinary run asks a few
//! thousand, to keep this honest; `SEEDFLEET_TEST_LIST_JOBS=1000000` asks a million and prints the figures.

use crate::ground::{self, Ground};
use futures::StreamExt as _;
use futures::stream;
use job::filter::Filter;
use job::{
    Cause, End, Filing, Fingerprint, JobId, Life, Record, State, StateWord, StoredOutput, Timestamp,
};
use sandbox::Options;
use seedance::{Class, Route};
use std::time::{Duration, Instant};
use store::{ListQuery, Scope, Store};

const JOBS_ENV: &str = "SEEDFLEET_TEST_LIST_JOBS";
const JOBS: usize = 3_000;
/// Pages asked for of each kind.
const PAGES: usize = 100;
const PAGE: usize = 50;
const TENANTS: usize = 20;
const CODES: [&str; 4] =
    ["InternalServiceError", "OutputVideoSensitive", "InputTextSensitive", "Rare"];

/// Half of a fleet's jobs are done, a tenth failed, the others wait.
fn state(n: usize, at: Timestamp) -> State {
    let finished = |end| State::Finished { end, task: None, filing: Filing::Nothing, at };
    match n % 10 {
        0..5 => {
            let output = StoredOutput {
                manifest: format!("t/{n}/manifest.json"),
                video: format!("t/{n}/output.mp4"),
                video_sha256: "11".repeat(32),
                video_bytes: 8_283_750,
                last_frame: None,
                tokens: Some(108_900),
            };
            finished(End::Stored { output })
        }
        5 => {
            let code = if n % 10_000 == 5 { CODES[3] } else { CODES[n / 10 % 3] };
            let class = if n / 10 % 3 == 2 { Class::Content } else { Class::Output };
            let message = "The provider's words about it, of a usual length.".to_owned();
            let cause = Cause { code: code.to_owned(), class, message, task_existed: true };
            finished(End::Failed { cause })
        }
        _ => State::Queued { tries: 0 },
    }
}

fn record(sample: &Record, n: usize, now: Timestamp) -> Record {
    let mut record = sample.clone();
    // A day's jobs, a thousand in each instant, as imports make them.
    let at = now - Duration::from_millis(86_400_000 - (n as u64 / 1_000) % 86_400 * 1_000);
    record.id = JobId::from_ulid(ulid::Ulid::from_parts(at.unix_ms().unsigned_abs(), n as u128));
    record.created_at = at;
    let spec = &mut record.spec;
    spec.tenant = format!("tenant-{}", n / 10 % TENANTS);
    spec.batch = Some(format!("batch-{}", n / 10_000));
    spec.custom_id = Some(format!("row-{n}"));
    spec.take = u32::try_from(n + 1).expect("fits");
    spec.fingerprint = Fingerprint::of(Route::Byteplus, &spec.request, None, spec.take);
    record.life = Life::begin(state(n, at), at);
    record
}

async fn fill(store: &Store, jobs: usize) {
    let (sample, now) = (ground::record(), store.now().await.expect("answers"));
    let calls = (0..jobs).step_by(200).map(|first| {
        let (store, sample) = (store.clone(), sample.clone());
        tokio::spawn(async move {
            let records: Vec<Record> =
                (first..jobs.min(first + 200)).map(|n| record(&sample, n, now)).collect();
            let back = store.restore(&records).await.expect("answers");
            assert!(back.iter().all(|back| *back));
        })
    });
    let mut calls = stream::iter(calls).buffer_unordered(8);
    while let Some(done) = calls.next().await {
        done.expect("filled");
    }
}

/// Half of the questions took no longer, and all but five of a hundred.
fn told(what: &str, mut took: Vec<Duration>) -> String {
    took.sort();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let ms = |d: Duration| d.as_secs_f64() * 1_000.0;
    format!("{what}: p50 {:.1} ms, p95 {:.1} ms\n", ms(at(50)), ms(at(95)))
}

/// Asks for page after page, and begins anew at the end.
async fn pages(store: &Store, text: &str) -> (Vec<Duration>, usize) {
    let filter = Filter::parse(text).expect("a filter");
    let first = ListQuery { limit: PAGE, ..ListQuery::of(filter) };
    let (mut query, mut took, mut seen) = (first.clone(), Vec::new(), 0);
    for _ in 0..PAGES {
        let clock = Instant::now();
        let page = store.list(&query).await.expect("answers");
        took.push(clock.elapsed());
        seen += page.items.len();
        query = ListQuery { cursor: page.next, ..first.clone() };
    }
    (took, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_very_many_jobs_are_answered() {
    let jobs = std::env::var(JOBS_ENV).map_or(JOBS, |n| n.parse().expect("a number of jobs"));
    // Reads are measured: the log would only slow the filling down.
    let extra_args = ["--appendonly", "no"].map(str::to_owned).to_vec();
    let ground = Ground::on(Options { extra_args, ..Options::default() }).await;
    let (store, clock) = (&ground.store, Instant::now());
    fill(store, jobs).await;
    let mut report = format!("{jobs} jobs filled in {:?}\n", clock.elapsed());
    for text in [
        "",
        "state=succeeded",
        "state=failed",
        "tenant=tenant-3",
        "tenant=tenant-3 state=failed",
        "tenant=tenant-3 state!=succeeded",
        "batch=batch-0",
        "batch=batch-0 state=failed",
        "code=InternalServiceError",
        "code=Rare",
        "code=InternalServiceError tenant=tenant-5",
        "custom_id=row-17",
        "age>12h",
        "state=queued age<6h",
        "class=content",
        "model=seedance-2.0-fast",
    ] {
        let (took, seen) = pages(store, text).await;
        report += &told(&format!("list {text:?}, {} jobs a page", seen / PAGES), took);
    }
    let mut took = [const { Vec::new() }; 3];
    for _ in 0..PAGES {
        let clock = Instant::now();
        let groups = store.failures(Scope::Pool).await.expect("answers");
        took[0].push(clock.elapsed());
        assert!(groups.len() >= 3, "{groups:?}");
        let (clock, now) = (Instant::now(), store.now().await.expect("answers"));
        let from = now - Duration::from_secs(30 * 86_400);
        assert!(!store.spent(from, now, None).await.expect("answers").is_empty());
        took[1].push(clock.elapsed());
        let clock = Instant::now();
        let counts = store.tenant_counts("tenant-3").await.expect("answers");
        took[2].push(clock.elapsed());
        assert!(counts.contains_key(&StateWord::Queued), "{counts:?}");
    }
    let [failures, usage, counts] = took;
    report += &told("failures", failures);
    report += &told("usage of 30 days", usage);
    report += &told("counts of a tenant", counts);
    let memory = ground.redis.command(&["INFO", "memory"]).expect("answers");
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory_human:"));
    report += &format!("memory {}\n", used.expect("a figure"));
    // The test runner shows it when asked.
    #[allow(clippy::print_stderr, reason = "figures of a measurement")]
    {
        eprintln!("{report}");
    }
}
