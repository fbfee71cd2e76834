//! Limits that an operator lowers while the fleet runs: in force at once for every process, told with who and
//! why, and over by themselves or when they are taken back.

use e2e::kit::{ALICE, Fleet, Options, text};
use job::JobId;
use reqwest::Method;
use serde_json::{Value, json};

/// The operator's configured key; its SHA-256 stands in it.
const ROOT: &str = "canary-root-key-5a5a5a5a";
const ADMIN: &str = r#"
[gateway.keys.root]
tenant = "*"
key_sha256 = "6b983e42b147f042ee1d7795d206774db129ba06ae001c20d3daf819f346d90d"
scopes = ["admin"]
"#;
/// Four tasks at once and two ahead.
const FEW: &str = "[pools.sim.accounts.a.limits.classes]\n\
                   \"2.0\" = { create_rpm = 6000, running = 4 }\n";

fn admit(fleet: &Fleet, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("held short {n}")).into()))
}

fn creates(fleet: &Fleet) -> usize {
    fleet.ledger().events("create_seen").count()
}

fn post(fleet: &Fleet, path: &str, key: &str, body: Value) -> (u16, Value) {
    let request = fleet.ask(fleet.gateway_port(), Method::POST, path, key);
    let reply = fleet.send(request.json(&body));
    (reply.status, reply.body)
}

/// What holds the fleet up, as soon as it says so.
fn until_limited(fleet: &Fleet, words: &str) {
    fleet.until(words, || {
        let told = fleet.get("/v1/limits", ALICE).body["limited_by"].to_string();
        told.contains(words).then_some(())
    });
}

// covers: M28
#[test]
fn a_lower_limit_holds_for_all_submitters_at_once_and_running_tasks_go_on() {
    let options = Options { roles: vec!["gateway", "poller"], ..Options::default() };
    // Tasks that outlast the test.
    let options = options.config(ADMIN).config(FEW).simulator(&["--run-s", "90000-90000"]);
    let fleet = Fleet::start(options);
    let set = fleet.cli(&[
        "limits",
        "set",
        "--class",
        "2.0",
        "--running",
        "1",
        "--lookahead",
        "0",
        "--for",
        "2h",
        "--reason",
        "others use the account",
        "--by",
        "ann",
    ]);
    assert_eq!(set.code, 0, "{set:?}");
    assert!(set.stdout.contains("a 2.0: running 1, set by ann at "), "{}", set.stdout);
    fleet.start_role("submitter");
    fleet.start_as("submitter-2", "submitter", &[]);
    admit(&fleet, 9);
    until_limited(&fleet, "1 of 1 slots of 2.0 are taken, and 4 are configured");
    fleet.until("its create", || (creates(&fleet) == 1).then_some(()));

    let raised = json!({"class": "2.0", "running": 2, "reason": "they need less"});
    let (status, limits) = post(&fleet, "/v1/limits/a:set", ROOT, raised);
    assert_eq!(status, 200, "{limits}");
    let class = &limits["accounts"][0]["classes"][0];
    assert_eq!((&class["slots"], &class["configured"]["slots"]), (&json!(2), &json!(4)), "{class}");
    assert_eq!(class["set"][0]["by"], "root");
    assert_eq!(class["set"][1]["limit"], "lookahead");
    assert!(class["set"][1]["until"].is_string() && class["set"][0]["until"].is_null(), "{class}");
    fleet.until("one more", || (creates(&fleet) == 2).then_some(()));

    // Nothing at all may run: what runs is left alone.
    let none = json!({"class": "2.0", "running": 0, "reason": "an audit of the account"});
    assert_eq!(post(&fleet, "/v1/limits/a:set", ROOT, none).0, 200);
    let shown = fleet.get("/v1/limits", ALICE).body;
    assert_eq!(shown["accounts"][0]["classes"][0]["slots_used"], 2, "{shown}");
    assert_eq!(creates(&fleet), 2);

    let reset = fleet.cli(&["limits", "reset", "--reason", "it is ours again", "-o", "json"]);
    assert_eq!(reset.code, 0, "{reset:?}");
    assert_eq!(reset.json()["accounts"][0]["classes"][0]["set"], json!([]));
    fleet.until("four slots and two ahead", || (creates(&fleet) == 6).then_some(()));
    let audit = fleet.run(fleet.store().audit(9)).expect("Redis answers");
    let told: Vec<_> = audit.iter().rev().map(|line| line.alarm.as_str()).collect();
    assert_eq!(told, ["limits_set", "limits_set", "limits_set", "limits_reset"]);
    let first = audit.last().and_then(|line| line.reason.as_deref()).unwrap_or_default();
    assert_eq!(first, "a 2.0 running 1, a 2.0 lookahead 0: others use the account");
}

fn refused(fleet: &Fleet) -> usize {
    let ledger = fleet.ledger();
    ledger.events("create_answered").filter(|line| line["http_status"] == 429).count()
}

fn class(fleet: &Fleet) -> Value {
    fleet.get("/v1/limits", ALICE).body["accounts"][0]["classes"][0].clone()
}

// covers: M28
#[test]
fn creates_refused_for_their_rate_slow_the_fleet_down_and_the_rate_comes_back_by_itself() {
    // Whole again after nine seconds and a half at the latest.
    let options = Options::with_gateway().config("[limits]\nrecover_every = \"100ms\"\n");
    let fleet = Fleet::start(options.simulator(&["--limits", "create_rpm=5"]));
    fleet.start_as("submitter-2", "submitter", &[]);
    let ids = admit(&fleet, 12);
    let slowed = fleet.until("a slower row", || class(&fleet)["slowed"].get(0).cloned());
    assert_eq!((&slowed["what"], &slowed["away"]), (&json!("rate"), &Value::Null), "{slowed}");
    assert!(
        slowed["left_percent"].as_u64().is_some_and(|left| (5..100).contains(&left)),
        "{slowed}"
    );
    assert!(slowed["code"].as_str().is_some_and(|code| code.contains("Rate")), "{slowed}");
    let shown = fleet.cli(&["limits", "show"]);
    assert!(shown.stdout.contains("a 2.0: create at "), "{}", shown.stdout);
    let brakes =
        |role: &str| fleet.metrics(role).contains("seedfleet_create_brakes_total{brake=\"rate\"");
    fleet.until("a brake counted", || (brakes("submitter") || brakes("submitter-2")).then_some(()));

    fleet.provider_limits(&json!({"default": {"create_rpm": 6000}}));
    fleet.wait_stored(&ids);
    fleet.until("the whole rate", || (class(&fleet)["slowed"] == json!([])).then_some(()));
    assert_eq!(class(&fleet)["create_rpm"], json!(6000.0));
    fleet.audit(&ids);
}

// covers: M28
#[test]
fn a_full_queue_at_the_provider_is_fed_less_and_refuses_no_more() {
    let few = "[pools.sim.accounts.a.limits.classes]\n\
               \"2.0\" = { create_rpm = 6000, running = 1 }\n";
    let deepen = "[limits]\ndeepen_every = \"1h\"\n";
    let flags = ["--limits", "running=1", "--limits", "queued=1"];
    let fleet = Fleet::start(Options::with_gateway().config(few).config(deepen).simulator(&flags));
    let ids = admit(&fleet, 16);
    fleet.wait_stored(&ids);
    // Those that were on their way together, and one for each task less. With the look-ahead as configured it
    // would be one or more each time a task ends.
    assert!((1..=4).contains(&refused(&fleet)), "{} creates refused", refused(&fleet));
    let class = class(&fleet);
    let (slowed, left) = (&class["slowed"][0], class["lookahead"].as_u64().unwrap_or(9));
    assert_eq!((&slowed["what"], slowed["away"].as_u64()), (&json!("depth"), Some(2 - left)));
    assert!(left < 2 && class["configured"]["lookahead"] == json!(2), "{class}");
    fleet.audit(&ids);
}

#[test]
fn what_is_not_allowed_is_refused_with_the_range_and_only_operators_may() {
    let options = Options { roles: vec!["gateway"], ..Options::default() };
    let fleet = Fleet::start(options.config(ADMIN).config(FEW));
    let above =
        fleet.cli(&["limits", "set", "--class", "2.0", "--running", "5", "--reason", "more"]);
    assert_eq!(above.code, 2, "{above:?}");
    for words in ["running: 5 is more than the 4", "whole, 0 to 4", "raise accounts.a.limits"] {
        assert!(above.stderr.contains(words), "{}", above.stderr);
    }
    let wish = json!({"class": "2.0", "running": 5, "lookahead": 3, "reason": "more"});
    let (status, body) = post(&fleet, "/v1/limits/a:set", ROOT, wish.clone());
    assert_eq!(status, 422, "{body}");
    assert_eq!(body["errors"].as_array().map(Vec::len), Some(2), "{body}");
    assert_eq!(post(&fleet, "/v1/limits/a:set", ALICE, wish).0, 403);
    let reads = json!({"retrieve_qps": 2.5, "reason": "less"});
    assert_eq!(post(&fleet, "/v1/limits/b:set", ROOT, reads.clone()).0, 422, "no such account");
    let (status, limits) = post(&fleet, "/v1/limits/a:set", ROOT, reads);
    assert_eq!((status, &limits["accounts"][0]["calls"][0]["per_second"]), (200, &json!(2.5)));
    let page = fleet.logged_in(ROOT).get("/ui/limits").text;
    assert!(page.contains("a: retrieve_qps 2.5, set by root at "), "{page}");
    let (status, limits) = post(&fleet, "/v1/limits/a:reset", ROOT, json!({"reason": "over"}));
    assert_eq!((status, &limits["accounts"][0]["calls"][0]["set"]), (200, &json!([])));
    // A time that has passed is no limit any more, and nobody had to take it back.
    let short = json!({"list_qps": 0.5, "for_s": 1, "reason": "for a second"});
    assert_eq!(post(&fleet, "/v1/limits/a:set", ROOT, short).0, 200);
    fleet.until("its end", || {
        let calls = fleet.get("/v1/limits", ALICE).body["accounts"][0]["calls"].clone();
        (calls[1]["set"] == json!([]) && calls[1]["per_second"] == json!(20.0)).then_some(())
    });
}
