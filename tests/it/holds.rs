//! What the provider tells one process about its rate holds for the whole fleet, and ends by itself.

use e2e::kit::{ALICE, Fleet, Options, text};
use job::JobId;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// What was granted before a hold may still go out: `limits.grant_horizon` and `limits.use_within`.
const GRANTED_BEFORE_MS: i64 = 500 + 500;
/// What a busy machine may keep a call on its way, or the provider from stamping it.
const STALL_MS: i64 = 2_000;
/// The wait that is asked for: longer than both together.
const WAIT_S: u64 = 6;

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
fn told_off() -> Value {
    json!([{"kind": "answer", "code": "AccountRateLimitExceeded", "retry_after_s": WAIT_S, "times": 1}])
}

/// Waits until the refusal holds for everybody, and tells since when it does at the latest.
fn until_held(fleet: &Fleet) -> i64 {
    fleet.until("a hold", || {
        let holds = fleet.run(fleet.store().holds(&["a".to_owned()])).ok()?;
        (!holds.is_empty()).then_some(())
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    i64::try_from(now).unwrap()
}

/// Waits for the refusal and tells when it was.
fn until_told_off(fleet: &Fleet, kind: &str) -> i64 {
    fleet.until("a refusal", || {
        calls(fleet, kind).into_iter().find(|(_, status)| *status == 429).map(|(at, _)| at)
    })
}

/// No call of the kind from when the hold counts until the wait is over; some before and some after.
fn kept_to(fleet: &Fleet, kind: &str, told_at: i64, held_at: i64) {
    let at: Vec<i64> = calls(fleet, kind).into_iter().map(|(at, _)| at).collect();
    let over = told_at + 1_000 * i64::try_from(WAIT_S).unwrap();
    let early = at.iter().filter(|at| (held_at + GRANTED_BEFORE_MS + STALL_MS..over).contains(*at));
    assert_eq!(early.count(), 0, "{kind} after {told_at}, held from {held_at} on: {at:?}");
    assert!(at.iter().any(|at| *at >= over), "{kind} goes on: {at:?}");
}

// covers: M28
#[test]
fn a_refusal_of_one_read_quiets_every_poller_until_the_provider_wants_to_hear_again() {
    // Without callbacks: they would spare the reads.
    let roles = vec!["gateway", "submitter", "poller", "downloader"];
    let options = Options { roles, ..Options::default() }.config(EAGER);
    // Tasks that outlast whatever it takes until both read them.
    let fleet = Fleet::start(options.simulator(&["--run-s", "3000-3000"]));
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
    fleet.faults(&json!({"retrieve": told_off()}));
    let (told_at, held_at) = (until_told_off(&fleet, "retrieve"), until_held(&fleet));

    let held = fleet.until("a hold that is shown", || {
        let limits = fleet.get("/v1/limits", ALICE).body;
        limits["accounts"][0]["held"].get(0).cloned()
    });
    assert_eq!(held["call"], "retrieve");
    assert_eq!(held["code"], "AccountRateLimitExceeded");
    let shown = fleet.cli(&["limits", "show"]);
    assert!(shown.stdout.contains("No retrieve on account a until "), "{}", shown.stdout);

    fleet.until("its end", || {
        let limits = fleet.get("/v1/limits", ALICE).body;
        (limits["accounts"][0]["held"] == json!([])).then_some(())
    });
    fleet.clock(&json!({"advance_s": 3_100}));
    fleet.wait_stored(&ids);
    kept_to(&fleet, "retrieve", told_at, held_at);
    fleet.audit(&ids);
}

// covers: M28
#[test]
fn a_refusal_of_one_list_call_quiets_every_scanner_and_doubts_are_settled_after_it() {
    let fleet = Fleet::start(Options::default());
    fleet.start_as("poller-2", "poller", &[]);
    let drops = json!([{"kind": "accept_then_drop", "times": 6}]);
    fleet.faults(&json!({"create": drops, "list": told_off()}));
    let ids = films(&fleet, 6);
    let (told_at, held_at) = (until_told_off(&fleet, "list"), until_held(&fleet));
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().tasks_of(&record).len(), 1);
    }
    kept_to(&fleet, "list", told_at, held_at);
    fleet.audit(&ids);
}
