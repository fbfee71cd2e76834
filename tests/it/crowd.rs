//! Many jobs at once, and much going wrong at once.

use e2e::kit::{Fleet, Options, StopWatch, text};
use futures::future::join_all;
use job::{Fingerprint, JobId, Record};
use sandbox::Process;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use store::{ADMIT_MAX, NewJob};

/// What a process holds in memory, in KiB.
fn resident_kib(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a running process");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The same job over and over, each as its own take.
fn takes(record: &Record, count: u32) -> Vec<NewJob> {
    let take = |n: u32| {
        let mut record = record.clone();
        record.id = JobId::parse(&format!("job_{n:026}")).expect("digits make an id");
        let spec = &mut record.spec;
        spec.take = n + 2;
        spec.fingerprint =
            Fingerprint::of(seedance::Route::Byteplus, &spec.request, None, spec.take);
        NewJob { record, idempotency: None }
    };
    (0..count).map(take).collect()
}

// covers: M27
#[test]
fn a_submitter_starts_on_a_huge_backlog_at_once_and_with_flat_memory() {
    const JOBS: u32 = 20_000;
    let wide = "[pools.sim.accounts.a.limits.classes]\n\
                \"2.0\" = { create_rpm = 60000, running = 100000 }\n";
    let fleet = Fleet::start(Options::empty().config(wide));
    let first = fleet.admit(text("one of very many"));
    let crowd = takes(&fleet.record(&first), JOBS);
    let admitted = fleet.run(join_all(crowd.chunks(ADMIT_MAX).map(|jobs| fleet.store().admit(jobs))));
    assert!(admitted.iter().flatten().flatten().all(Result::is_ok), "Redis takes them in");
    let created = || fleet.ledger().events("create_seen").count();
    let watch = StopWatch::start();
    let submitter = fleet.start_role("submitter");
    fleet.until("the first create", || (created() > 0).then_some(()));
    let first_after = watch.elapsed();
    assert!(first_after < Duration::from_secs(10), "the first create took {first_after:?}");
    fleet.until("some creates", || (created() >= 100).then_some(()));
    let early_kib = resident_kib(&submitter);
    fleet.until("many creates", || (created() >= 400).then_some(()));
    let late_kib = resident_kib(&submitter);
    assert!(late_kib < early_kib + 16 * 1024, "grew from {early_kib} to {late_kib} KiB");
    fleet.kill9("submitter");

    let ledger = fleet.ledger();
    let attempts: BTreeSet<&str> =
        ledger.events("create_seen").filter_map(|line| line["client_request_id"].as_str()).collect();
    assert_eq!(attempts.len(), created(), "no attempt is sent twice");
    let depths = fleet.run(fleet.store().depths()).expect("Redis answers");
    let waiting: u64 = depths.iter().map(|depth| depth.waiting + depth.leased).sum();
    assert_eq!(waiting, u64::from(JOBS) + 1, "every job has exactly one ticket: {depths:?}");
}

// covers: M6, M22, M24, M27
#[test]
fn a_storm_of_kills_and_faults_costs_nobody_a_job_or_a_second_video() {
    let fleet = Fleet::start(Options::with_gateway());
    let maybe = |kind: &str, probability: f64| json!({"kind": kind, "probability": probability});
    fleet.faults(&json!({
        "create": [
            maybe("accept_then_drop", 0.1),
            maybe("500_after_create", 0.05),
            {"kind": "answer", "code": "ServerOverloaded", "probability": 0.1},
        ],
        "retrieve": [maybe("drop", 0.1), maybe("500", 0.1)],
        "list": [{"kind": "lag", "ms": 300}, maybe("shifted_page", 0.1)],
        "callback": [maybe("lose", 0.3), maybe("duplicate", 0.2)],
        "media": [maybe("truncated", 0.1), maybe("reset", 0.1)],
    }));
    let ids = fleet.admit_many((0..24).map(|n| text(&format!("in the storm {n}")).into()));
    let victims = ["submitter", "poller", "downloader", "submitter", "gateway", "poller"];
    for (round, victim) in victims.into_iter().enumerate() {
        fleet.until("progress", || {
            let made = fleet.ledger().events("task_made").count();
            (made >= (round + 1) * 3).then_some(())
        });
        fleet.kill9(victim);
        match victim {
            "gateway" => fleet.start_gateway(),
            role => drop(fleet.start_role(role)),
        }
    }
    let records = fleet.wait_settled(&ids);
    let stored = records.iter().filter(|record| record.life.state.word().as_str() == "succeeded");
    assert!(stored.count() >= 20, "a storm is no reason to give up");
    fleet.audit(&ids);
}
