//! Doubts over the gateway: the same evidence as from Redis, and each decision taken once, by whoever may.

use super::{CHIEF, chief, key, of, said, told};
use e2e::kit::{ALICE, Fleet, Options, Reply, text};
use job::{JobId, StateWord};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::Output;

/// A key of the fleet's operators, and one that may only look at jobs.
const ROOT: &str = "canary-doubts-operator-key-81c0";
const LOOKER: &str = "canary-doubts-looker-key-4d7e";
/// Strict, and after parking nobody looks by himself for the length of the test.
const STRICT: &str = "[pools.sim]\npolicy = \"strict\"\n[settle]\nparked_look = \"90s\"\n";

/// A fleet in which the creates of so many jobs were lost on the way back, and each waits for a person.
fn parked(jobs: usize) -> (Fleet, Vec<JobId>) {
    let root = key("root", "*", ROOT, r#"["admin"]"#);
    let looker = key("looker", "*", LOOKER, r#"["jobs:read", "jobs:write", "review"]"#);
    let config = [STRICT, &chief(), &root, &looker].concat();
    let fleet = Fleet::start(Options::with_gateway().config(&config));
    fleet.faults(&json!({
        "create": [{"kind": "accept_then_drop", "times": jobs}],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "lag", "ms": 3_600_000}],
    }));
    let ids = fleet.admit_many((0..jobs).map(|n| text(&format!("lost boat {n}")).into()));
    for id in &ids {
        let record = fleet.wait(id, "parked");
        assert_eq!(fleet.ledger().creates_of(&record), 1);
    }
    (fleet, ids)
}

/// As the operator, with this exit code.
fn root(fleet: &Fleet, args: &[&str], exit: i32) -> Output {
    let ended = of(fleet, ROOT, args);
    assert_eq!(ended.status.code(), Some(exit), "{args:?}: {ended:?}");
    ended
}

fn post(fleet: &Fleet, id: &JobId, verb: &str, body: &Value) -> Reply {
    let path = format!("/v1/doubts/{id}:{verb}");
    fleet.send(fleet.ask(fleet.gateway_port(), Method::POST, &path, ROOT).json(body))
}

fn grounds(fleet: &Fleet, id: &JobId) -> Value {
    let shown = fleet.get(&format!("/v1/doubts/{id}"), ROOT);
    assert_eq!(shown.status, 200, "{}", shown.body);
    shown.body["grounds"].clone()
}

fn word(fleet: &Fleet, id: &JobId) -> StateWord {
    fleet.record(id).life.state.word()
}

#[test]
fn an_operator_settles_doubts_with_the_gateways_address_alone() {
    let (fleet, ids) = parked(3);
    let [again, found, over] = &ids[..] else { panic!("three jobs: {ids:?}") };
    same_evidence(&fleet, again);
    resent(&fleet, again);
    adopted(&fleet, found, again);
    given_up(&fleet, over);

    let audit = told(&root(&fleet, &["-o", "json", "audit"], 0));
    let lines = audit.as_array().expect("lines");
    for (id, verb) in [(again, "doubt resend"), (found, "doubt adopt"), (over, "doubt give-up")] {
        let of_it: Vec<_> = lines.iter().filter(|line| line["job"] == id.as_str()).collect();
        let [line] = of_it[..] else { panic!("one decision, one line: {audit:#}") };
        assert_eq!((&line["by"], &line["what"]), (&json!("root"), &json!(verb)), "{line}");
        assert!(line["evidence"]["seen"].is_string(), "what was known is kept: {line}");
    }
    // What a person ordered was bought beside the lost ones, and nothing else.
    for (id, creates) in [(again, 2), (found, 1), (over, 1)] {
        assert_eq!(fleet.ledger().creates_of(&fleet.record(id)), creates, "{id}");
    }
}

/// Numbers of looks and minutes go on, so that two looks are the same only when nothing happened between them.
fn same_evidence(fleet: &Fleet, id: &JobId) {
    for args in
        [&["-o", "json", "doubt", "list"][..], &["-o", "json", "doubt", "show", id.as_str()]]
    {
        fleet.until("the same by either way", || {
            let over = told(&root(fleet, args, 0));
            (over == fleet.cli(args).json()).then_some(())
        });
    }
    let listed = told(&root(fleet, &["-o", "json", "doubt", "list"], 0));
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    let page = root(fleet, &["doubt", "show", id.as_str()], 0);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains(&format!("seedfleet doubt resend {id} --reason WHY --yes")), "{page}");
    let first = fleet.get("/v1/doubts?limit=2", ROOT);
    let next = first.body["next"].as_str().expect("a third one follows");
    let second = fleet.get(&format!("/v1/doubts?limit=2&cursor={next}"), ROOT);
    assert_eq!(second.body["items"].as_array().map(Vec::len), Some(1), "{}", second.body);
}

fn resent(fleet: &Fleet, id: &JobId) {
    let verb = ["-o", "json", "doubt", "resend", id.as_str(), "--reason", "it never arrived"];
    let asked = root(fleet, &verb, 9);
    assert!(said(&asked).contains("two are paid"), "{asked:?}");
    let shown = grounds(fleet, id);
    let silent = post(fleet, id, "resend", &json!({"reason": "r", "grounds": shown}));
    assert_eq!(
        (silent.status, &silent.body["errors"][0]["code"]),
        (422, &json!("charge-not-accepted")),
        "{}",
        silent.body
    );
    let stale = json!({"reason": "r", "grounds": "other", "accept_charge": true});
    let stale = post(fleet, id, "resend", &stale);
    assert_eq!((stale.status, &stale.body["code"]), (409, &json!("evidence-changed")));
    assert_eq!(word(fleet, id), StateWord::Parked, "nothing was decided");
    assert_eq!(fleet.ledger().creates_of(&fleet.record(id)), 1);

    let done = told(&root(fleet, &[&verb[..], &["--yes"]].concat(), 0));
    assert_eq!((&done["job"], &done["tenant"]), (&json!(id), &json!("default")), "{done}");
    assert!(done["did"].is_string(), "{done}");
    // The same call once more, as after a lost answer: it is refused, and nothing is sent a third time.
    let twice = json!({"reason": "it never arrived", "grounds": shown, "accept_charge": true});
    let twice = post(fleet, id, "resend", &twice);
    assert_eq!(twice.status, 409, "{}", twice.body);
    root(fleet, &[&verb[..], &["--yes"]].concat(), 6);
    let record = fleet.wait(id, "succeeded");
    assert_eq!(fleet.ledger().creates_of(&record), 2, "the one that a person ordered, no more");
    let shown = root(fleet, &["doubt", "show", id.as_str()], 0);
    assert!(said(&shown).contains("not in doubt"), "{shown:?}");
}

fn adopted(fleet: &Fleet, id: &JobId, other: &JobId) {
    let task = fleet.ledger().tasks_of(&fleet.record(id)).remove(0);
    let adopt = |task: &str, more: &[&str], exit: i32| {
        let verb = ["-o", "json", "doubt", "adopt", id.as_str(), task, "--reason", "it is there"];
        root(fleet, &[&verb[..], more].concat(), exit)
    };
    let unknown = adopt("cgt-20200101000000-abcde", &["--yes"], 5);
    assert!(said(&unknown).contains("--unverified"), "{unknown:?}");
    // Of the other job's two tasks one has an owner, and the lost one shows the mark of another attempt.
    let record = fleet.record(other);
    let owned = fleet.verified_manifest(&record).task_id;
    for foreign in fleet.ledger().tasks_of(&record) {
        let (exit, word) = if foreign == owned { (6, "task-owned") } else { (9, "other-mark") };
        let refused = adopt(&foreign, &["--yes"], exit);
        assert!(said(&refused).contains(word), "{refused:?}");
    }
    adopt(&task, &[], 9);
    assert_eq!(word(fleet, id), StateWord::Parked, "it was only looked at");
    let done = told(&adopt(&task, &["--yes"], 0));
    assert_eq!(done["task"], json!(task), "{done}");
    let record = fleet.wait(id, "succeeded");
    assert_eq!(fleet.verified_manifest(&record).task_id, task);
}

fn given_up(fleet: &Fleet, id: &JobId) {
    let verb = ["-o", "json", "doubt", "give-up", id.as_str(), "--reason", "no longer wanted"];
    root(fleet, &verb, 9);
    assert_eq!(word(fleet, id), StateWord::Parked);
    let done = told(&root(fleet, &[&verb[..], &["--yes"]].concat(), 0));
    assert_eq!(done["state"], "given_up", "{done}");
    let twice = root(fleet, &[&verb[..], &["--yes"]].concat(), 6);
    assert!(said(&twice).contains("not-in-doubt"), "{twice:?}");
}

#[test]
fn doubts_are_decided_by_operators_and_with_a_reason() {
    let (fleet, ids) = parked(1);
    let id = ids[0].as_str();
    for secret in [ALICE, CHIEF, LOOKER] {
        for path in ["/v1/doubts".to_owned(), format!("/v1/doubts/{id}")] {
            let refused = fleet.get(&path, secret);
            assert_eq!((refused.status, &refused.body["code"]), (403, &json!("forbidden")));
        }
        let body = json!({"reason": "r", "grounds": "g", "accept_charge": true});
        let path = format!("/v1/doubts/{id}:resend");
        let request = fleet.ask(fleet.gateway_port(), Method::POST, &path, secret);
        assert_eq!(fleet.send(request.json(&body)).status, 403);
        let ended = of(&fleet, secret, &["doubt", "list"]);
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        assert!(said(&ended).contains("tenant *"), "{ended:?}");
    }
    root(&fleet, &["doubt", "show", "job_01JB2000000000000000000000"], 5);
    let shown = grounds(&fleet, &ids[0]);
    for verb in ["adopt", "resend", "give-up"] {
        let mut body = json!({"grounds": shown});
        if verb == "adopt" {
            body["task"] = json!("cgt-20200101000000-abcde");
        }
        if verb == "resend" {
            body["accept_charge"] = json!(true);
        }
        let mute = post(&fleet, &ids[0], verb, &body);
        assert_eq!((mute.status, &mute.body["code"]), (422, &json!("invalid-request")), "{verb}");
        body["reason"] = json!("  ");
        assert_eq!(post(&fleet, &ids[0], verb, &body).status, 422, "{verb}");
    }
    for (args, word) in [
        (&["doubt", "give-up", id, "--yes"][..], "--reason"),
        (&["doubt", "give-up", id, "--reason", "x", "--by", "ann", "--yes"], "--by"),
        (&["doubt", "resend", "--all", "--preview", "plan.jsonl"], "--direct"),
    ] {
        let refused = root(&fleet, args, 2);
        assert!(said(&refused).contains(word), "{refused:?}");
    }
    assert_eq!(word(&fleet, &ids[0]), StateWord::Parked);
    assert_eq!(fleet.ledger().creates_of(&fleet.record(&ids[0])), 1, "nothing was bought");
}
