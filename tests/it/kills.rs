//! SIGKILL at every named moment: each job ends, each task has its owner, nothing is bought twice.

use e2e::kit::{BOUND, Fleet, Options, text};
use job::JobId;
use serde_json::json;
use worker::fault::{self, KILL_ENV, Point};

fn jobs(fleet: &Fleet, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("a boat, number {n}")).into()))
}

/// Starts a program that dies at its first pass of `point`.
fn doomed(fleet: &Fleet, role: &str, point: Point) -> String {
    let name = format!("{role}-{}", point.name());
    fleet.start_as(&name, role, &[(KILL_ENV, &format!("{}:1", point.name()))]);
    name
}

/// One run at a time, so that each death takes one job with it.
const SINGLE_FILE: &str = "[submit]\nconcurrency = 1\n[poll]\nconcurrency = 1\n\
                           [settle]\nconcurrency = 1\n[download]\nconcurrency = 1\n";

// covers: M6, M23, M24/create-no-id, M24/create-stored, M26
#[test]
fn eight_submitters_die_at_eight_moments_and_every_job_is_bought_once() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options.config(SINGLE_FILE));
    let points = [
        fault::WORKER_CLAIMED,
        fault::SUBMIT_BEFORE_BEGIN,
        fault::SUBMIT_BEGUN,
        fault::SUBMIT_BEFORE_LAST_BYTE,
        fault::SUBMIT_SENT,
        fault::SUBMIT_ACCEPTED,
        fault::WORKER_BEFORE_COMMIT,
        fault::WORKER_COMMITTED,
    ];
    let names = points.map(|point| doomed(&fleet, "submitter", point));
    let ids = jobs(&fleet, 10);
    for name in &names {
        fleet.wait_killed(name, BOUND);
    }
    fleet.start_role("submitter");
    fleet.wait_stored(&ids);
    let ways: Vec<String> = ids.iter().flat_map(|id| fleet.timeline(id)).collect();
    let count = |what: &str| ways.iter().filter(|line| line.contains(what)).count();
    assert!(count("unclear: lease-passed") >= 4, "{ways:#?}");
    assert!(count("adopted") >= 2, "the accepted ones: {ways:#?}");
    assert!(count("proven absent") >= 2, "the ones that were never sent: {ways:#?}");
    fleet.audit(&ids);
}

// covers: M6, M26
#[test]
fn a_submitter_that_dies_waiting_for_its_answer_leaves_a_job_that_finds_its_task() {
    let fleet = Fleet::start(Options::default());
    fleet.faults(&json!({"create": [{"kind": "delay_reply", "ms": 4000, "times": 1}]}));
    let ids = jobs(&fleet, 1);
    fleet.until("the task", || fleet.ledger().events("task_made").next().map(drop));
    fleet.kill9("submitter");
    fleet.start_role("submitter");
    let records = fleet.wait_stored(&ids);
    assert_eq!(fleet.ledger().creates_of(&records[0]), 1);
    fleet.audit(&ids);
}

// covers: M4, M7, M9
#[test]
fn a_poller_may_die_at_any_moment() {
    let options = Options { roles: vec!["submitter", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options.config(SINGLE_FILE));
    fleet.faults(&json!({"create": [{"kind": "accept_then_drop", "times": 2}]}));
    let ids = jobs(&fleet, 6);
    let points = [
        fault::SETTLE_FOUND,
        fault::POLL_READ,
        fault::WORKER_CLAIMED,
        fault::WORKER_BEFORE_COMMIT,
        fault::WORKER_COMMITTED,
    ];
    for point in points {
        let name = doomed(&fleet, "poller", point);
        fleet.wait_killed(&name, BOUND);
    }
    fleet.start_role("poller");
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
}

// covers: M11, M24/download
#[test]
fn a_downloader_may_die_at_any_moment_and_the_manifest_still_holds() {
    let options = Options { roles: vec!["submitter", "poller"], ..Options::default() };
    let fleet = Fleet::start(options.config(SINGLE_FILE));
    let ids = jobs(&fleet, 6);
    let points = [
        fault::DOWNLOAD_PART,
        fault::DOWNLOAD_BEFORE_MANIFEST,
        fault::DOWNLOAD_STORED,
        fault::WORKER_CLAIMED,
        fault::WORKER_BEFORE_COMMIT,
    ];
    for point in points {
        let name = doomed(&fleet, "downloader", point);
        fleet.wait_killed(&name, BOUND);
    }
    fleet.start_role("downloader");
    for record in fleet.wait_stored(&ids) {
        let manifest = fleet.verified_manifest(&record);
        let billed = fleet.ledger().billed_to(&record);
        assert_eq!(manifest.output().unwrap().sha256, billed[0].video_sha256);
    }
    fleet.audit(&ids);
}

// covers: M22, M27
#[test]
fn a_redis_that_dies_and_comes_back_costs_time_and_nothing_else() {
    let fleet = Fleet::start(Options::default());
    let ids = jobs(&fleet, 12);
    for creates in [2, 6] {
        fleet.until("creates", || {
            (fleet.ledger().events("create_seen").count() >= creates).then_some(())
        });
        fleet.redis().kill9();
        fleet.redis().restart().expect("it starts again on its data");
    }
    fleet.wait_stored(&ids);
    for role in ["submitter", "poller", "downloader"] {
        assert!(fleet.role(role).is_running(), "{role} ended because Redis did");
    }
    fleet.audit(&ids);
}

#[test]
fn a_fleet_that_starts_before_its_redis_says_so_and_waits() {
    let fleet = Fleet::start(Options::empty());
    let ids = jobs(&fleet, 2);
    fleet.redis().kill9();
    for role in ["submitter", "poller", "downloader"] {
        let process = fleet.start_role(role);
        process.wait_for_line("no Redis yet", BOUND).unwrap_or_else(|missed| panic!("{missed}"));
    }
    fleet.redis().restart().expect("it starts again on its data");
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
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
    // One death of the submitter: a second could park what it was sending again (`resend_max`).
    let victims = ["submitter", "poller", "downloader", "gateway", "poller"];
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
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
}
