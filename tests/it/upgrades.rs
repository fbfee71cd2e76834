//! A fleet goes from one version of its records to the next: in any order, back again, and on, once a person says so.
//!
//! The processes of the version to come are our own programs with [`AHEAD_ENV`]: they write the next number.

use e2e::kit::{BOUND, Ended, Fleet, Options, text};
use job::{AHEAD_ENV, JobId, SCHEMA_VERSION, StateWord};
use sandbox::Process;
use serde_json::Value;
use std::sync::Arc;
use store::keys::FleetKeys;
use store::{ALIVE_FOR, LiveProcess};

const NEXT: u32 = SCHEMA_VERSION + 1;
const NEWER: (&str, &str) = (AHEAD_ENV, "1");
const ROLES: [&str; 3] = ["submitter", "poller", "downloader"];

fn films(fleet: &Fleet, of: &str) -> Vec<JobId> {
    fleet.admit_many((0..12).map(|n| text(&format!("a film of {of}, number {n}")).into()))
}

/// The command line of the version to come.
fn newer(fleet: &Fleet, args: &[&str]) -> Ended {
    let output = fleet.command(args).envs([NEWER]).output().expect("it can be started");
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: words(&output.stdout),
        stderr: words(&output.stderr),
    }
}

/// Waits until exactly so many processes live that read up to each version.
fn until_live(fleet: &Fleet, old: usize, new: usize) -> Vec<LiveProcess> {
    fleet.until(&format!("{old} old and {new} new processes"), || {
        let live = fleet.run(fleet.store().fleet().live_processes()).ok()?;
        let of = |version: u32| {
            let reads = |p: &&LiveProcess| p.about.as_ref().is_some_and(|a| a.newest == version);
            live.iter().filter(reads).count()
        };
        (of(SCHEMA_VERSION) == old && of(NEXT) == new).then_some(live)
    })
}

fn in_force(fleet: &Fleet) -> Option<u32> {
    fleet.run(fleet.store().fleet().schema_in_force()).expect("Redis answers").version
}

fn stop(fleet: &Fleet, name: &str) {
    let process = fleet.role(name);
    process.signal("TERM").expect("a signal");
    assert_eq!(ended(&process), Some(0), "{name}:\n{}", process.log_tail(20));
}

fn ended(process: &Arc<Process>) -> Option<i32> {
    let status = process.wait_bounded(BOUND);
    status.unwrap_or_else(|| panic!("still runs:\n{}", process.log_tail(20))).code()
}

fn stored(fleet: &Fleet, id: &JobId, part: &str) -> String {
    let key = fleet.store().keys().job(id);
    fleet.redis().command(&["HGET", &key, part]).expect("Redis answers")
}

/// All of a fleet is new, and the version to come is in force.
fn finalized(fleet: &Fleet) {
    let done =
        newer(fleet, &["schema", "finalize", "--reason", "all are new", "--by", "ann", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(in_force(fleet), Some(NEXT));
}

#[test]
fn a_fleet_is_upgraded_process_by_process_and_back_until_a_person_finalizes() {
    let fleet = Fleet::start(Options::default());
    let mut ids = films(&fleet, "the version before");
    until_live(&fleet, 3, 0);
    for role in ROLES {
        fleet.start_as(&format!("{role}-new"), role, &[NEWER]);
    }
    until_live(&fleet, 3, 3);
    ids.extend(films(&fleet, "both versions"));

    let early = newer(&fleet, &["schema", "finalize", "--reason", "too early", "--yes"]);
    assert_eq!(early.code, 9, "{early:?}");
    for words in
        ["submitter-", "poller-", "downloader-", "reads up to version 1", "upgrade or stop"]
    {
        assert!(early.stderr.contains(words), "{words}: {early:?}");
    }
    let blind = ["schema", "finalize", "--to", "2", "--reason", "it does not know it", "--yes"];
    assert_eq!(fleet.cli(&blind).code, 2, "a program finalizes nothing that it cannot read");
    let status = newer(&fleet, &["schema", "status", "-o", "json"]);
    assert_eq!(status.code, 0, "{status:?}");
    let status = status.json();
    assert_eq!((&status["in_force"], &status["all_read"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(status["processes"].as_array().expect("processes").len(), 6, "{status:#}");
    let pool = &status["pools"][0];
    assert_eq!(
        (&pool["older"], &pool["count"]),
        (&Value::from(0), &Value::from("exact")),
        "{pool}"
    );

    // What both kinds have worked on, the version before reads: it is taken back without a trace.
    fleet.wait_stored(&ids);
    ROLES.iter().for_each(|role| stop(&fleet, &format!("{role}-new")));
    until_live(&fleet, 3, 0);
    let back = films(&fleet, "the version before, once more");
    fleet.wait_stored(&back);
    ids.extend(back);
    fleet.audit(&ids);

    for role in ROLES {
        fleet.start_as(&format!("{role}-new"), role, &[NEWER]);
        stop(&fleet, role);
    }
    until_live(&fleet, 0, 3);
    assert_eq!(in_force(&fleet), Some(SCHEMA_VERSION), "nobody has said so");
    finalized(&fleet);
    let writes = format!("schema_write=\"{NEXT}\"");
    for role in ROLES {
        fleet.until("the news is heard", || {
            let page = fleet.metrics(&format!("{role}-new"));
            let line = page.lines().find(|line| line.contains(&writes))?;
            line.ends_with(" 1").then_some(())
        });
    }
    after_the_step(&fleet, &ids);
}

/// New jobs are of the next version, older ones are read, and programs of before stay out.
fn after_the_step(fleet: &Fleet, older: &[JobId]) {
    let taken =
        newer(fleet, &["submit", "--prompt", "a film of the version to come", "-o", "json"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let id = JobId::parse(taken.json()["job"].as_str().expect("an id")).expect("an id");
    let all = older.len() as u64 + 1;
    fleet.until("every video", || {
        let counts = fleet.run(fleet.store().counts()).ok()?;
        (counts.get(&StateWord::Succeeded).copied() == Some(all)).then_some(())
    });
    for part in ["spec", "life"] {
        let text = stored(fleet, &id, part);
        assert!(text.starts_with(&format!("{{\"schema\":{NEXT},")), "{part}: {text}");
    }
    let made = fleet.ledger().events("task_made").count();
    assert_eq!(made as u64, all, "one task for each job");
    for id in [&older[0], &id] {
        let shown = newer(fleet, &["jobs", "show", id.as_str(), "-o", "json"]);
        assert_eq!(shown.code, 0, "{shown:?}");
    }
    let status = newer(fleet, &["schema", "status", "-o", "json"]).json();
    // Those of which nothing was written since.
    let left = status["pools"][0]["older"].as_u64().expect("a number");
    assert!((1..=older.len() as u64).contains(&left), "{status:#}");
    let audit = newer(fleet, &["audit", "-o", "ndjson"]);
    assert!(audit.stdout.contains("schema_finalized") && audit.stdout.contains("ann"), "{audit:?}");

    let error = fleet.run(fleet.store().load(&id)).expect_err("this test is of the version before");
    assert!(error.to_string().contains(&format!("version {NEXT}")), "{error}");
    for role in ["submitter", "poller"] {
        let late = fleet.start_as(&format!("{role}-late"), role, &[]);
        assert_eq!(ended(&late), Some(9), "{role}:\n{}", late.log_tail(20));
        let log = late.log();
        let finalized = format!("finalized version {NEXT}");
        assert!(log.contains(&finalized) && log.contains("newer version"), "{log}");
    }
    let refused = fleet.cli(&["jobs", "list"]);
    assert_eq!(refused.code, 9, "{refused:?}");
    let told = fleet.cli(&["schema", "status", "-o", "json"]);
    assert_eq!(told.code, 0, "a look at versions is always allowed: {told:?}");
    assert_eq!(told.json()["pools"][0]["newer"], Value::from(0), "newer than what is in force");
}

#[test]
fn a_process_that_slept_through_the_step_stops_by_itself() {
    let fleet = Fleet::start(Options { roles: vec!["poller"], ..Options::default() });
    let live = until_live(&fleet, 1, 0);
    let sleeper = fleet.role("poller");
    sleeper.signal("STOP").expect("a signal");
    let early = newer(&fleet, &["schema", "finalize", "--reason", "it still counts", "--yes"]);
    assert_eq!(early.code, 9, "{early:?}");
    // As if it had slept for so long.
    let now = fleet.run(fleet.store().now()).expect("Redis answers");
    let long_ago = (now - ALIVE_FOR).unix_ms().to_string();
    let workers = FleetKeys::new("e2e").workers();
    let aged = ["ZADD", &workers, &long_ago, live[0].name.as_str()];
    fleet.redis().command(&aged).expect("Redis answers");
    finalized(&fleet);
    sleeper.signal("CONT").expect("a signal");
    assert_eq!(ended(&sleeper), Some(0), "{}", sleeper.log_tail(20));
    assert!(sleeper.log().contains("another version is in force"), "{}", sleeper.log_tail(20));
}
