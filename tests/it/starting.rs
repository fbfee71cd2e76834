//! How programs start, refuse to start, and end.

use e2e::kit::{BOUND, Fleet, Options, text};
use sandbox::Process;
use serde_json::json;
use std::sync::Arc;

/// The code a program ends with by itself.
fn exit_code(process: &Arc<Process>) -> Option<i32> {
    let status = process.wait_bounded(BOUND);
    status.unwrap_or_else(|| panic!("still runs:\n{}", process.log_tail(20))).code()
}

#[test]
fn a_program_that_must_not_work_ends_with_a_sentence_that_says_how_to_mend_it() {
    let fleet = Fleet::start(Options::empty());
    let refused = |config: &str, role: &str, code: i32, words: &[&str]| {
        fleet.reconfigure(config);
        let process = fleet.start_as(&format!("{role}-{code}"), role, &[]);
        assert_eq!(exit_code(&process), Some(code), "{}", process.log_tail(20));
        let log = process.log();
        for word in words {
            assert!(log.contains(word), "{word:?} is not in:\n{log}");
        }
    };
    refused("[submit]\nlaese = \"3s\"\n", "submitter", 3, &["submit.laese", "lease"]);
    refused("[pools.sim]\nsimulated = false\n", "poller", 3, &["pools.sim.base_url"]);
    let id = fleet.admit(text("waits for a safe server"));
    fleet.redis().command(&["CONFIG", "SET", "appendfsync", "no"]).expect("it takes orders");
    refused("", "submitter", 9, &["appendfsync", "always"]);
    fleet.redis().command(&["CONFIG", "SET", "appendfsync", "always"]).expect("it takes orders");
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    fleet.wait(&id, "succeeded");
    fleet.audit(&[id]);
}

#[test]
fn a_bucket_that_takes_nothing_is_told_at_start_and_jobs_wait() {
    let fleet = Fleet::start(Options::empty());
    // Where the folder should be lies a file: nobody can write below it, whoever runs the test.
    let bucket = fleet.path("bucket");
    std::fs::remove_dir_all(&bucket).expect("the kit made it");
    std::fs::write(&bucket, "in the way").unwrap();
    let id = fleet.admit(text("has nowhere to go yet"));
    let place = bucket.display().to_string();
    for role in ["submitter", "downloader"] {
        let process = fleet.start_role(role);
        let told = || process.log().contains(&place).then_some(());
        fleet.until("a complaint that names the bucket", told);
    }
    assert_eq!(fleet.record(&id).life.state.word().as_str(), "queued");
    assert_eq!(fleet.ledger().events("create_seen").count(), 0, "bought with nowhere to put it");

    std::fs::remove_file(&bucket).unwrap();
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    let record = fleet.wait(&id, "succeeded");
    assert!(fleet.verified_manifest(&record).output().is_some());
    fleet.audit(&[id]);
}

// covers: M22, M26
#[test]
fn a_submitter_asked_to_stop_brings_its_running_create_home() {
    let fleet = Fleet::start(Options::default());
    fleet.faults(&json!({"create": [{"kind": "delay_reply", "ms": 1500, "times": 1}]}));
    let first = fleet.admit(text("under way"));
    fleet.until("the task", || fleet.ledger().events("task_made").next().map(drop));
    let submitter = fleet.role("submitter");
    submitter.signal("TERM").expect("a signal");
    // Between the signal and its being heard the submitter may claim one more.
    fleet.until("a process that is stopping", || {
        submitter.log().contains("stopping: running steps").then_some(())
    });
    let second = fleet.admit(text("not begun"));
    assert_eq!(exit_code(&submitter), Some(0), "{}", submitter.log_tail(20));
    fleet.wait(&first, "succeeded");
    let way = fleet.timeline(&first);
    assert!(!way.iter().any(|line| line.contains("unclear")), "{way:#?}");
    assert_eq!(fleet.record(&second).life.state.word().as_str(), "queued");

    fleet.start_role("submitter");
    fleet.wait(&second, "succeeded");
    fleet.audit(&[first, second]);
}
