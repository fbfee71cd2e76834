//! Commands that follow something while Redis or the gateway goes away and comes back: they wait, and say so once.

use e2e::kit::{ALICE, BOUND, Fleet, Options, text};
use sandbox::{Process, bins};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

/// A slow machine is no outage: what is not there refuses at once.
const OWN: &str = "[redis]\nresponse_timeout = \"60s\"\n";
/// Longer than any test.
const LONG: &str = "20m";
/// A wait that was over before anything went away proves nothing, so a longer one follows.
const TIMEOUTS: [&str; 5] = ["4s", "8s", "16s", "32s", "64s"];

/// A fleet in which nobody submits, with a batch of jobs that wait for that.
fn waiting(options: Options) -> (Fleet, Vec<String>) {
    let fleet = Fleet::start(options.config(OWN));
    let rows = (0..3).map(|n| format!("{}\n", Value::from(text(&format!("in time {n}")))));
    let file = fleet.path("spring.jsonl");
    std::fs::write(&file, rows.collect::<String>()).unwrap();
    let taken = fleet.cli(&["import", &file.display().to_string(), "--batch", "spring"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    let listed = fleet.cli(&["-o", "id", "jobs", "list", "--batch", "spring"]);
    let ids: Vec<String> = listed.stdout.lines().map(str::to_owned).collect();
    assert_eq!(ids.len(), 3, "{listed:?}");
    (fleet, ids)
}

/// Those who make videos of them.
fn work(fleet: &Fleet) {
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
}

/// A batch is followed, and each look that is due is shown at once.
fn watch(timeout: &str) -> [&str; 7] {
    ["-o", "ndjson", "batch", "watch", "spring", "--timeout", timeout]
}

/// The command line over the gateway.
fn remote(fleet: &Fleet, name: &str, args: &[&str]) -> Process {
    let mut command = Command::new(bins::path("seedfleet"));
    command.env_clear().env("SEEDFLEET_ETC", "/nonexistent").stdin(Stdio::null());
    command.env("SEEDFLEET_CONTEXTS", fleet.path("contexts.toml")).current_dir(fleet.path(""));
    command.env("SEEDFLEET_SERVER", format!("http://127.0.0.1:{}", fleet.gateway_port()));
    command.env("SEEDFLEET_API_KEY", ALICE).args(args);
    Process::spawn(name, command).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn line(child: &Process, text: &str) -> String {
    child.wait_for_line(text, 2 * BOUND).unwrap_or_else(|error| panic!("{error}"))
}

/// The exit code once it has ended by itself.
fn code(child: &Process) -> Option<i32> {
    let status = child.wait_bounded(2 * BOUND);
    let status = status.unwrap_or_else(|| panic!("{child:?} goes on:\n{}", child.log()));
    status.code()
}

/// It told an outage once, and once that it was over.
fn told_once(child: &Process) {
    let log = child.log();
    let count = |text: &str| log.lines().filter(|line| line.starts_with(text)).count();
    let counts = ["outage: ", "the outage is over", "error: "].map(count);
    assert_eq!(counts, [1, 1, 0], "{child:?}:\n{log}");
}

#[test]
fn who_follows_something_outlasts_a_redis_that_is_killed_and_started_again() {
    let (fleet, ids) = waiting(Options::empty());
    let wait = ["jobs", "wait", &ids[0], &ids[1], "--timeout", LONG];
    let whole = ["jobs", "wait", "--batch", "spring", "--timeout", LONG];
    let waits = [
        fleet.cli_child("batch-watch", &watch(LONG)),
        fleet.cli_child("jobs-wait", &wait),
        fleet.cli_child("jobs-wait-batch", &whole),
        fleet.cli_child("jobs-watch", &["jobs", "watch", &ids[0], "--timeout", LONG]),
    ];
    let events = fleet.cli_child("events-tail", &["events", "tail", "--since", "1h"]);
    let left = fleet.cli_child("left", &watch(LONG));
    // Each of them has looked, and shown it.
    for child in waits.iter().chain([&events, &left]) {
        line(child, "queued");
    }

    fleet.redis().kill9();
    for child in &waits {
        let told = line(child, "outage: ");
        assert!(told.contains("Redis is unreachable"), "{told}");
        assert!(told.contains("waited out, until 20"), "{told}");
        assert!(child.is_running(), "{child:?}");
    }
    let told = line(&events, "outage: ");
    assert!(told.ends_with("it is waited out"), "it has no end: {told}");
    line(&left, "outage: ");
    left.signal("INT").unwrap();
    let status = left.wait_bounded(BOUND).expect("Ctrl-C is heard while Redis is away");
    assert!(status.signal() == Some(2) || status.code() == Some(130), "{status:?}");

    fleet.redis().restart().unwrap_or_else(|error| panic!("{error}"));
    work(&fleet);
    for child in &waits {
        assert_eq!(code(child), Some(0), "{child:?}:\n{}", child.log());
        told_once(child);
    }
    line(&events, "job.succeeded");
    told_once(&events);
    events.signal("INT").unwrap();
    assert_eq!(code(&events), Some(130));
}

#[test]
fn who_follows_something_outlasts_a_gateway_that_is_away_and_one_without_redis() {
    let (fleet, ids) = waiting(Options { roles: vec!["gateway"], ..Options::default() });
    let waits = [
        remote(&fleet, "watch", &watch(LONG)),
        remote(&fleet, "wait", &["jobs", "wait", &ids[0], &ids[1], "--timeout", LONG]),
        remote(&fleet, "steps", &["jobs", "watch", &ids[0], "--timeout", LONG]),
    ];
    let events = remote(&fleet, "events", &["events", "tail", "--since", "1h"]);
    let all = || waits.iter().chain([&events]);
    for child in all() {
        line(child, "queued");
    }

    fleet.kill9("gateway");
    for child in all() {
        let told = line(child, "outage: ");
        assert!(told.contains("did not answer"), "{told}");
    }
    fleet.start_gateway();
    for child in all() {
        line(child, "the outage is over");
        told_once(child);
    }

    fleet.redis().kill9();
    for child in &waits {
        let told = line(child, "HTTP 503");
        assert!(told.starts_with("outage: "), "{told}");
    }
    fleet.redis().restart().unwrap_or_else(|error| panic!("{error}"));
    work(&fleet);
    for child in &waits {
        assert_eq!(code(child), Some(0), "{child:?}:\n{}", child.log());
    }
    line(&events, "job.succeeded");
    events.signal("INT").unwrap();
    assert_eq!(code(&events), Some(130));
}

/// A `batch watch` whose time ends while what it asks is away.
fn in_vain(start: impl Fn(&str) -> Process, away: impl Fn(), back: impl Fn()) {
    for timeout in TIMEOUTS {
        let child = start(timeout);
        line(&child, "\"eta\"");
        away();
        let ended = code(&child);
        back();
        let log = child.log();
        assert_eq!(ended, Some(8), "{log}");
        if log.contains("outage: ") {
            assert!(log.contains("error: not ended within"), "{log}");
            assert!(log.contains("an outage of "), "{log}");
            return;
        }
    }
    panic!("nothing was away in time");
}

#[test]
fn a_wait_whose_time_ends_in_an_outage_says_so_and_ends_as_ever() {
    let (fleet, _) = waiting(Options { roles: vec!["gateway"], ..Options::default() });
    in_vain(
        |timeout| remote(&fleet, &format!("remote-{timeout}"), &watch(timeout)),
        || fleet.kill9("gateway"),
        || fleet.start_gateway(),
    );
    in_vain(
        |timeout| fleet.cli_child(&format!("direct-{timeout}"), &watch(timeout)),
        || fleet.redis().kill9(),
        || fleet.redis().restart().unwrap_or_else(|error| panic!("{error}")),
    );
}

#[test]
fn who_never_got_an_answer_is_told_at_once() {
    let (fleet, ids) = waiting(Options::empty());
    // Nobody listens at the gateway's address.
    let remote = remote(&fleet, "wait", &["jobs", "wait", &ids[0], "--timeout", LONG]);
    assert_eq!(code(&remote), Some(75), "{}", remote.log());
    fleet.redis().kill9();
    let direct = fleet.cli(&["batch", "watch", "spring", "--timeout", LONG]);
    assert_eq!(direct.code, 75, "{direct:?}");
    assert!(!direct.stderr.contains("outage: "), "{direct:?}");
}
