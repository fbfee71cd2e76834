//! What the provider tells one process about its rate holds for the whole fleet, and ends by itself.

use e2e::kit::{ALICE, Fleet, Options, text};
use job::JobId;
use serde_json::{Value, json};

/// What was granted before a hold may still go out: `limits.grant_horizon` and `limits.use_within`.
const GRANTED_BEFORE_MS: i64 = 500 + 500;

const EAGER: &str = "[poll]\nfirst = \"50ms\"\nsteady = \"100ms\"\n";

fn films(fleet: &Fleet, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("held back {n}")).into()))
}

/// When calls of a kind arrived, and with what they were answered.
fn calls(fleet: &Fleet, kind: &str) -> Vec<(i64, u64)> {
    let ledger = fleet.ledger();
    let of_kind = ledger.events("call").filter(|line| line["call"] == kind);
    of_kind
        .map(|line| (line["at_ms"].as_i64().unwrap(), line["http_status"].as_u64().unwrap_or(0)))
        .collect()
}

/// A refusal that asks for a wait, once.
fn told_off(wait_s: u64) -> Value {
    json!([{"kind": "answer", "code": "AccountRateLimitExceeded", "retry_after_s": wait_s, "times": 1}])
}

/// Waits for the refusal and tells when it was.
fn until_told_off(fleet: &Fleet, kind: &str) -> i64 {
    fleet.until("a refusal", || {
        calls(fleet, kind).into_iter().find(|(_, status)| *status == 429).map(|(at, _)| at)
    })
}

/// No call of the kind until the wait is over; some before and some after.
fn kept_to(fleet: &Fleet, kind: &str, told_at: i64, wait_ms: i64) {
    let at: Vec<i64> = calls(fleet, kind).into_iter().map(|(at, _)| at).collect();
    let early =
        at.iter().filter(|at| (told_at + GRANTED_BEFORE_MS..told_at + wait_ms).contains(*at));
    assert_eq!(early.count(), 0, "{kind} after {told_at}: {at:?}");
    assert!(at.iter().any(|at| *at >= told_at + wait_ms), "{kind} goes on: {at:?}");
}

// covers: M28
#[test]
fn a_refusal_of_one_read_quiets_every_poller_until_the_provider_wants_to_hear_again() {
    // Without callbacks: they would spare the reads.
    let roles = vec!["gateway", "submitter", "poller", "downloader"];
    let options = Options { roles, ..Options::default() }.config(EAGER);
    let fleet = Fleet::start(options.simulator(&["--run-s", "5-6"]));
    fleet.start_as("poller-2", "poller", &[]);
    // No more than are read singly.
    let ids = films(&fleet, 2);
    for poller in ["poller", "poller-2"] {
        fleet.until("reads by both", || {
            let log = fleet.role(poller).log();
            let told = log.contains("admin listener");
            (told && fleet.metrics(poller).contains("seedfleet_polls_total")).then_some(())
        });
    }
    fleet.faults(&json!({"retrieve": told_off(4)}));
    let told_at = until_told_off(&fleet, "retrieve");

    let held = fleet.until("a hold that is shown", || {
        let limits = fleet.get("/v1/limits", ALICE).body;
        limits["accounts"][0]["held"].get(0).cloned()
    });
    assert_eq!(held["call"], "retrieve");
    assert_eq!(held["code"], "AccountRateLimitExceeded");
    let shown = fleet.cli(&["limits", "show"]);
    assert!(shown.stdout.contains("No retrieve on account a until "), "{}", shown.stdout);

    fleet.wait_stored(&ids);
    kept_to(&fleet, "retrieve", told_at, 4_000);
    let limits = fleet.get("/v1/limits", ALICE).body;
    assert_eq!(limits["accounts"][0]["held"], json!([]), "it ended by itself");
    fleet.audit(&ids);
}

// covers: M28
#[test]
fn a_refusal_of_one_list_call_quiets_every_scanner_and_doubts_are_settled_after_it() {
    let fleet = Fleet::start(Options::default());
    fleet.start_as("poller-2", "poller", &[]);
    let drops = json!([{"kind": "accept_then_drop", "times": 6}]);
    fleet.faults(&json!({"create": drops, "list": told_off(3)}));
    let ids = films(&fleet, 6);
    let told_at = until_told_off(&fleet, "list");
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().tasks_of(&record).len(), 1);
    }
    kept_to(&fleet, "list", told_at, 3_000);
    fleet.audit(&ids);
}
