//! Far more queued jobs than the account can take for hours: the submitter starts on them at once,
//! keeps to the limits, and its memory does not know how long the queue is.
//!
//! `cargo xtask test` queues 50,000; `tests/verify/backlog.sh` queues the whole 200,000. Queueing takes
//! a debug build 0.2 ms a job on an idle machine and three times that beside other tests.

use e2e::kit::{Fleet, Options};
use futures::StreamExt as _;
use job::{Fingerprint, JobId, Record, Source, Spec, State, StateWord};
use sandbox::wait;
use seedance::{Checked, Request, Route};
use std::time::{Duration, Instant};
use store::{ADMIT_MAX, Admitted, NewJob, Store};

/// How many jobs are queued, where the environment says.
const JOBS_ENV: &str = "SEEDFLEET_TEST_BACKLOG_JOBS";
const JOBS: usize = 50_000;
/// Calls of `Store::admit` on their way at once.
const CALLS_AT_ONCE: usize = 8;

/// Tasks that the account runs at once.
const RUNNING: u64 = 10;
/// Tasks that have to be bought for the test to end; many times what the account runs at once.
const CREATES: usize = 150;
/// Tasks that wait at the provider beside them, so that no slot stands empty.
const AHEAD: u64 = 2;
/// Creates that may go before the one job of another tenant: as many as the account holds were begun before it came,
/// and as many may be taken with it in one claim; a few came while this test looked.
const FAIR_MAX: usize = 2 * (RUNNING + AHEAD) as usize + 4;
/// The longest time from the start of the process to its first create. It takes a fraction of it.
const FIRST_CREATE_MAX: Duration = Duration::from_secs(15);
/// The longest time for all of [`CREATES`]: the account's slots turn over about once a second.
const CREATES_MAX: Duration = Duration::from_secs(60);
/// Memory of one process, and what it may grow by while it works.
const RSS_MAX_KIB: u64 = 120 << 10;
const RSS_GROWTH_MAX_KIB: u64 = 30 << 10;

fn jobs() -> usize {
    std::env::var(JOBS_ENV).map_or(JOBS, |n| n.parse().expect("a number of jobs"))
}

fn request() -> Request {
    let body = serde_json::json!({
        "model": "seedance-2.0", "duration": 4, "resolution": "480p",
        "content": [{"type": "text", "text": "one of very many"}],
    });
    let rules = seedance::Rules::default();
    let Checked { request, .. } =
        seedance::validate(Route::Byteplus, &body, &rules).expect("a valid request");
    request
}

/// The job of one take of a request, as the door would write it down.
fn new_job(request: &Request, take: u32, now: job::Timestamp) -> NewJob {
    new_job_of("default", request, take, now)
}

fn new_job_of(tenant: &str, request: &Request, take: u32, now: job::Timestamp) -> NewJob {
    let fingerprint = Fingerprint::of(Route::Byteplus, request, None, take);
    let spec = Spec {
        take,
        estimate_tokens: seedance::estimate_tokens(request),
        ..Spec::plain(tenant, "sim", Source::Import, fingerprint, request.clone())
    };
    let id = JobId::from_ulid(ulid::Ulid::generate());
    let record = Record::begin(id, spec, State::Queued { tries: 0 }, now);
    NewJob { record, idempotency: None }
}

/// Takes in `n` jobs, in pipelines of as many as one call may carry; on all cores, because most of
/// the time goes into writing records down.
async fn queue_up(store: &Store, n: usize) {
    let request = request();
    let now = store.now().await.expect("Redis answers");
    let calls = (0..n).step_by(ADMIT_MAX).map(|first| {
        let (store, request) = (store.clone(), request.clone());
        tokio::spawn(async move {
            let takes = first + 1..=n.min(first + ADMIT_MAX);
            let take = |take| u32::try_from(take).expect("fits");
            let jobs: Vec<NewJob> = takes.map(|n| new_job(&request, take(n), now)).collect();
            for admitted in store.admit(&jobs).await.expect("a call of allowed size") {
                assert_eq!(admitted.expect("Redis answers"), Admitted::Created);
            }
        })
    });
    let mut calls = futures::stream::iter(calls).buffer_unordered(CALLS_AT_ONCE);
    while let Some(done) = calls.next().await {
        done.expect("admits");
    }
}

/// One job of a tenant that has no other.
async fn queue_one(store: &Store, tenant: &str) -> JobId {
    let now = store.now().await.expect("Redis answers");
    let job = new_job_of(tenant, &request(), 1_000_000, now);
    let id = job.record.id.clone();
    for admitted in store.admit(&[job]).await.expect("a call of allowed size") {
        assert_eq!(admitted.expect("Redis answers"), Admitted::Created);
    }
    id
}

/// Resident memory of a process.
fn rss_kib(pid: u32) -> u64 {
    sandbox::machine::resident_bytes(pid).expect("it runs") >> 10
}

/// A test's bound in `wait::until`, with the children's words.
fn within<T>(fleet: &Fleet, bound: Duration, what: &str, look: impl FnMut() -> Option<T>) -> T {
    let tail = || fleet.role("submitter").log_tail(20);
    wait::until(what, bound, look).unwrap_or_else(|missed| panic!("{missed}:\n{}", tail()))
}

fn creates(fleet: &Fleet) -> usize {
    fleet.ledger().events("create_seen").count()
}

// covers: M28
#[test]
fn a_submitter_starts_on_a_huge_backlog_at_once_and_stays_small() {
    let n = jobs();
    let limits = "[pools.sim.accounts.a.limits.classes]\n\
                  \"2.0\" = { create_rpm = 1800, running = 10 }\n";
    // The provider really has these limits, and a minute of a task takes it a tenth of a second.
    let mut flags = vec!["--clock-scale", "600", "--run-s", "30-120", "--queue-s", "2-6"];
    for limit in ["running=10", "create_rpm=1800", "retrieve_qps=200", "queued=120"] {
        flags.extend(["--limits", limit]);
    }
    let fleet = Fleet::start(Options::empty().config(limits).simulator(&flags));
    let clock = Instant::now();
    fleet.run(queue_up(fleet.store(), n));
    let queued_in = clock.elapsed();

    fleet.start_role("poller");
    let clock = Instant::now();
    let submitter = fleet.start_role("submitter");
    let first = |fleet: &Fleet| (creates(fleet) > 0).then(|| clock.elapsed());
    let first_in = within(&fleet, FIRST_CREATE_MAX, "the first create", || first(&fleet));
    let rss_first_kib = rss_kib(submitter.pid());
    // Behind all of them stands one job of somebody else: what was begun goes first, and what the claim took that
    // takes it too, in any order; then two take turns.
    let small = fleet.run(queue_one(fleet.store(), "bob"));
    let before = creates(&fleet);
    let its_turn = || fleet.ledger().creates_before(&fleet.record(&small));
    let until = within(&fleet, FIRST_CREATE_MAX, "the one job", its_turn);
    let behind = until.saturating_sub(before);
    assert!(behind <= FAIR_MAX, "{behind} creates went before the one job");
    // A second one joins: the limits hold for both together.
    fleet.start_as("submitter-2", "submitter", &[]);
    let mut rss_max_kib = rss_first_kib;
    within(&fleet, CREATES_MAX, "creates that go on", || {
        rss_max_kib = rss_max_kib.max(rss_kib(submitter.pid()));
        (creates(&fleet) >= CREATES).then_some(())
    });
    let all_in = clock.elapsed();

    assert!(rss_max_kib < RSS_MAX_KIB, "{rss_max_kib} KiB");
    let grown_kib = rss_max_kib - rss_first_kib;
    assert!(grown_kib < RSS_GROWTH_MAX_KIB, "{rss_first_kib} KiB grew by {grown_kib}");
    let stats = fleet.stats();
    for (name, scopes) in stats["windows"].as_object().expect("windows") {
        for (scope, window) in scopes.as_object().expect("scopes") {
            assert_eq!(window["over_limit"], 0, "{name} of {scope}: {window}");
        }
    }
    for (group, lane) in stats["running"].as_object().expect("lanes") {
        assert!(lane["max"].as_u64() <= Some(RUNNING), "{group}: {lane}");
    }
    let counts = fleet.run(fleet.store().counts()).expect("Redis answers");
    let failed = counts.get(&StateWord::Failed).copied().unwrap_or(0);
    assert_eq!(failed, 0, "{counts:?}");
    assert_eq!(counts.values().sum::<u64>(), n as u64 + 1, "{counts:?}");
    // The test runner shows it when asked; the figures are what an operator would want to know.
    #[allow(clippy::print_stderr, reason = "figures of a measurement")]
    {
        eprintln!(
            "{n} jobs queued in {queued_in:?}; first create after {first_in:?}, {CREATES} after \
             {all_in:?}; submitter {rss_first_kib} KiB, at most {rss_max_kib} KiB"
        );
    }
}
