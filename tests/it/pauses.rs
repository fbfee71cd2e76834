//! Pauses by people: what is paused begins nothing, what runs goes on, and an end needs nobody.

use e2e::kit::{ALICE, BOB, Fleet, Options, text};
use job::{JobId, Step};
use serde_json::{Value, json};
use std::time::Duration;
use store::Queue;

fn film(fleet: &Fleet, key: &str, name: &str) -> JobId {
    let request = fleet.ask(fleet.gateway_port(), reqwest::Method::POST, "/v1/jobs", key);
    let reply = fleet.send(request.json(&Value::from(text(name))));
    assert_eq!(reply.status, 202, "{}", reply.body);
    JobId::parse(reply.body["id"].as_str().unwrap()).unwrap()
}

fn queue(fleet: &Fleet, words: &[&str]) -> Value {
    let said = ["-o", "json", "queue"].into_iter().chain(words.iter().copied());
    let decided = said.chain(["--reason", "a look", "--by", "ann", "--yes"]);
    let ended = fleet.cli(&decided.collect::<Vec<_>>());
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.json()
}

#[test]
fn a_paused_tenant_buys_nothing_while_another_goes_on_and_a_pause_ends_by_itself() {
    let fleet = Fleet::start(Options::with_gateway());
    let asked = fleet.cli(&["queue", "pause", "--tenant", "default"]);
    assert_eq!(asked.code, 9, "without --yes nothing is paused: {asked:?}");
    let paused = queue(&fleet, &["pause", "--tenant", "default", "--until-resumed"]);
    assert_eq!((&paused["paused"], &paused["until"]), (&json!(true), &Value::Null));
    let waits = film(&fleet, ALICE, "waits");
    let goes = film(&fleet, BOB, "goes");
    fleet.wait_stored(std::slice::from_ref(&goes));
    assert_eq!(fleet.record(&waits).life.attempts_begun, 0, "it was in front of the other");

    // It is seen wherever somebody looks.
    let status = fleet.cli(&["queue", "status"]);
    let said = "creates of tenant default by ann until it is resumed (a look)";
    assert!(status.stdout.contains(said), "{}", status.stdout);
    let limits = fleet.get("/v1/limits", ALICE).body;
    assert_eq!(limits["pauses"][0]["scope"], json!("tenant"), "{limits}");
    assert_eq!(fleet.get("/v1/limits", BOB).body["pauses"], json!([]), "not his");
    let shown = fleet.cli(&["limits", "show"]);
    assert!(shown.stdout.contains(said), "{}", shown.stdout);
    fleet.until("the submitter tells of it", || {
        let line = "seedfleet_pauses{pool=\"sim\",scope=\"tenant\"} 1";
        fleet.metrics("submitter").contains(line).then_some(())
    });
    queue(&fleet, &["resume", "--tenant", "default"]);
    fleet.wait_stored(std::slice::from_ref(&waits));
    let again = ["queue", "resume", "--tenant", "default", "--reason", "x", "--yes"];
    assert_eq!(fleet.cli(&again).code, 6, "nobody paused that");

    // Everything for a moment: nothing clears it, and it ends.
    let paused = queue(&fleet, &["pause", "--tenant", "nobody", "--for", "30m"]);
    assert!(paused["until"].is_string(), "{paused}");
    queue(&fleet, &["pause", "--for", "2s"]);
    let later = film(&fleet, ALICE, "later");
    fleet.wait_stored(std::slice::from_ref(&later));
    let audit = fleet.cli(&["audit", "--alarms"]).stdout;
    assert!(audit.contains("paused") && audit.contains("resumed"), "{audit}");
    fleet.audit(&[waits, goes, later]);
}

#[test]
fn pauses_of_polls_and_downloads_keep_what_they_hold_back() {
    let fleet = Fleet::start(Options::default());
    for wrong in [&["--stage", "poll", "--until-resumed"][..], &["--stage", "poll", "--for", "13h"]]
    {
        let asked = [&["queue", "pause"], wrong, &["--reason", "x", "--yes"]].concat();
        let ended = fleet.cli(&asked);
        assert_eq!(ended.code, 2, "{ended:?}");
        assert!(ended.stderr.contains("at most 12h"), "{ended:?}");
    }
    queue(&fleet, &["pause", "--stage", "download"]);
    queue(&fleet, &["pause", "--stage", "poll", "--for", "10m"]);
    let id = fleet.admit(text("held back"));
    fleet.wait(&id, "running");
    let drops = json!([{"kind": "accept_then_drop", "times": 1}]);
    fleet.faults(&json!({"create": drops}));
    // A doubt is settled while nobody polls.
    let doubtful = fleet.admit(text("in doubt"));
    fleet.wait(&doubtful, "running");
    queue(&fleet, &["resume", "--stage", "poll"]);
    fleet.wait(&id, "downloading");
    fleet.wait(&doubtful, "downloading");
    queue(&fleet, &["resume", "--stage", "download"]);
    let ids = [id, doubtful];
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
}

#[test]
fn a_drain_waits_for_what_is_in_hand_and_stays_paused() {
    let fleet = Fleet::start(Options { roles: vec![], ..Options::default() });
    let id = fleet.admit(text("in hand"));
    let class = fleet.record(&id).spec.request.slot_class();
    let lease = Duration::from_secs(600);
    let claim = || fleet.run(fleet.store().claim(&Queue::of(Step::Submit, class), 1, lease));
    let held = claim().unwrap().items.remove(0);
    let drain = ["queue", "drain", "--reason", "a look", "--yes", "--timeout", "1s"];
    let ended = fleet.cli(&drain);
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.stderr.contains("1 still in hand"), "{ended:?}");
    fleet.run(fleet.store().release(&held.claim, Duration::ZERO)).unwrap();
    assert_eq!(claim().unwrap().items, [], "it is paused");
    let drained = queue(&fleet, &["drain", "--model", class.word(), "--for", "10m"]);
    assert_eq!(drained["paused"], json!(true), "{drained}");
    queue(&fleet, &["drain", "--tenant", "default"]);
}
