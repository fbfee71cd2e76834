//! What people do by its forms, each with a reason.

use super::{CHIEF, ROOT, batch, options, still};
use e2e::kit::{ALICE, BOB, Fleet, Receiver, text};
use job::{JobId, StateWord};
use reqwest::Method;
use serde_json::json;

#[test]
fn who_rules_the_fleet_stops_all_creates_and_lets_them_go_on() {
    let fleet = Fleet::start(still());
    fleet.admit(text("waits meanwhile"));
    let chief = fleet.logged_in(CHIEF);
    assert_eq!(chief.send("/ui/limits/sim/freeze", &[("reason", "")]).status, 422);
    let done = chief.send("/ui/limits/sim/freeze", &[("reason", "the bill looks odd")]);
    assert_eq!(done.leads_to(), "/ui/limits?said=frozen");
    assert!(chief.get("/ui/fleet").text.contains("Nothing is bought: the pool is frozen"));
    let shown = chief.get("/ui/limits").text;
    assert!(shown.contains("the bill looks odd") && shown.contains("/thaw\""), "{shown}");
    let done = chief.send("/ui/limits/sim/thaw", &[("reason", "it was right")]);
    assert_eq!(done.leads_to(), "/ui/limits?said=thawed");
    assert!(chief.get("/ui/limits").text.contains("/freeze\""));
    let audit = chief.get("/ui/audit").text;
    for part in ["frozen", "the bill looks odd", "thawed", "it was right", "chief"] {
        assert!(audit.contains(part), "{part}: {audit}");
    }
}

#[test]
fn all_that_match_are_cancelled_after_a_count_and_a_reason() {
    let fleet = Fleet::start(still());
    let ids = batch(&fleet, "many", &["of many, one", "of many, two", "of many, three"]);
    let kept = fleet.admit(text("another batch"));
    let alice = fleet.logged_in(ALICE);
    let asked = alice.send("/ui/jobs/act", &[("verb", "cancel"), ("where", "batch=many")]);
    assert_eq!(asked.status, 200);
    assert!(asked.text.contains("3 jobs fit") && asked.text.contains("Cancel 3"), "{}", asked.text);
    assert_eq!(fleet.record(&ids[0]).life.state.word(), StateWord::Queued, "nothing happens yet");
    let fields = [("verb", "cancel"), ("where", "batch=many"), ("counted", "3")];
    assert_eq!(alice.send("/ui/jobs/act", &fields).status, 422, "a reason is needed");
    let everything = alice.send("/ui/jobs/act", &[("verb", "cancel"), ("where", "")]);
    assert_eq!(everything.status, 422, "a verb on all jobs is never meant");
    let with_reason = [&fields[..], &[("reason", "the campaign is off")]].concat();
    let done = alice.send("/ui/jobs/act", &with_reason);
    assert_eq!(done.leads_to(), "/ui/jobs?where=batch%3Dmany&said=begun&of=3");
    assert!(alice.get(done.leads_to()).text.contains("Begun for 3 jobs."));
    for id in &ids {
        fleet.wait(id, "cancelled");
    }
    assert_eq!(fleet.record(&kept).life.state.word(), StateWord::Queued);
    fleet.until("the operation's end in the audit", || {
        let audit = alice.get("/ui/audit").text;
        let told = audit.contains("the campaign is off") && audit.contains(">done<");
        (told && audit.contains("batch=many")).then_some(())
    });
    let bob = fleet.logged_in(BOB).get("/ui/audit").text;
    assert!(!bob.contains("the campaign is off"), "another tenant's: {bob}");
}

#[test]
fn a_batch_is_paused_resumed_and_cancelled_by_its_owner() {
    let fleet = Fleet::start(still());
    let ids = batch(&fleet, "spring.ads", &["to be paused, one", "to be paused, two"]);
    let alice = fleet.logged_in(ALICE);
    let path = "/ui/batches/spring.ads";
    assert!(
        alice.get("/ui/batches").text.contains("/ui/batches/spring.ads?tenant=default\""),
        "a link to it"
    );
    assert!(alice.get(path).text.contains("0 of 2 jobs"));
    let act = |verb: &str| alice.send(&format!("{path}/{verb}"), &[("reason", "look first")]);
    assert_eq!(act("pause").leads_to(), format!("{path}?tenant=default&said=paused"));
    for id in &ids {
        fleet.wait(id, "held");
    }
    let page = alice.get(path).text;
    for part in ["Paused by", "look first", "/resume?tenant", "Operations on many jobs"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // What is paused waits for no judgment.
    assert!(alice.get("/ui/review").text.contains("No job waits for a person."));
    assert_eq!(act("resume").leads_to(), format!("{path}?tenant=default&said=resumed"));
    for id in &ids {
        fleet.wait(id, "queued");
    }
    assert_eq!(fleet.logged_in(BOB).get(path).status, 404);
    assert_eq!(fleet.logged_in(BOB).send(&format!("{path}/cancel"), &[]).status, 404);
    assert_eq!(act("cancel").leads_to(), format!("{path}?tenant=default&said=stopping"));
    for id in &ids {
        fleet.wait(id, "cancelled");
    }
    assert!(!alice.get(path).text.contains("/cancel?tenant"), "nothing is left to stop");
}

#[test]
fn a_failure_is_counted_explained_and_run_again() {
    let fleet = Fleet::start(options());
    let code = "OutputVideoSensitiveContentDetected";
    let rule = json!({"kind": "failed", "code": code, "times": 2});
    fleet.faults(&json!({"task": [rule]}));
    let ids = batch(&fleet, "risky", &["too much, one", "too much, two"]);
    for id in &ids {
        fleet.wait(id, "failed");
    }
    let alice = fleet.logged_in(ALICE);
    let page = alice.get("/ui/failures").text;
    for part in ["2 jobs have", code, "not billed", "may succeed if made again", "too much, one"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = alice.get("/ui/batches/risky").text;
    assert!(page.contains(code) && page.contains("100.0 %"), "{page}");
    assert!(fleet.logged_in(BOB).get("/ui/failures").text.contains("Nothing has failed."));

    let path = format!("/ui/jobs/{}", ids[0]);
    assert!(alice.get(&path).text.contains("buys a task of its own"));
    let retry = format!("{path}/retry");
    assert_eq!(alice.send(&retry, &[("reason", "once more")]).status, 422, "the charge");
    let fields = [("reason", "once more"), ("accept_charge", "true")];
    let done = alice.send(&retry, &fields);
    let new = done.leads_to().strip_prefix("/ui/jobs/").and_then(|rest| rest.split('?').next());
    let new = JobId::parse(new.unwrap_or_default()).expect("a new job");
    assert!(done.leads_to().ends_with("?said=retried") && !ids.contains(&new), "{done:?}");
    assert!(alice.get(&format!("/ui/jobs/{new}")).text.contains("Repeats"));
    assert!(
        alice.send(&retry, &fields).leads_to().ends_with(&format!("{new}?said=retried-before"))
    );
    fleet.wait(&new, "succeeded");
    let audit = alice.get("/ui/audit").text;
    assert!(
        audit.contains("once more") && audit.contains(&format!("made again as {new}")),
        "{audit}"
    );
}

#[test]
fn all_that_failed_are_run_again_when_the_charge_is_accepted() {
    let fleet = Fleet::start(options());
    let rule = json!({"kind": "failed", "code": "InternalServiceError", "times": 2});
    fleet.faults(&json!({"task": [rule]}));
    for id in &batch(&fleet, "unlucky", &["no luck, one", "no luck, two"]) {
        fleet.wait(id, "failed");
    }
    let alice = fleet.logged_in(ALICE);
    let fields = [("verb", "retry"), ("where", "batch=unlucky")];
    let asked = alice.send("/ui/jobs/act", &fields).text;
    for part in ["Run again 2", "about USD", "accept_charge"] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    let fields = [&fields[..], &[("counted", "2"), ("reason", "the provider is well")]].concat();
    assert_eq!(alice.send("/ui/jobs/act", &fields).status, 422, "the charge");
    let fields = [&fields[..], &[("accept_charge", "true")]].concat();
    let done = alice.send("/ui/jobs/act", &fields);
    assert_eq!(done.leads_to(), "/ui/jobs?where=batch%3Dunlucky&said=begun&of=2");
    fleet.until("both again, with a video", || {
        let page = alice.get("/ui/jobs?where=state%3Dsucceeded").text;
        (page.contains("no luck, one") && page.contains("no luck, two")).then_some(())
    });
}

#[test]
fn an_endpoint_shows_its_deliveries_and_is_told_again() {
    let receiver = Receiver::start();
    let mut options = options();
    options.roles = vec!["gateway", "notifier"];
    let allowed = format!("[webhooks]\nallow_origins = [\"{}\"]\n", receiver.origin());
    let fleet = Fleet::start(options.config(&allowed));
    let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/webhook-endpoints", ALICE);
    let told = "/hook?token=only-its-owner-knows".to_owned();
    let hook = json!({"url": receiver.url(&told), "description": "the shop"});
    let made = fleet.send(request.json(&hook));
    let id = made.body["id"].as_str().unwrap_or_else(|| panic!("{made:?}"));
    let (alice, path) = (fleet.logged_in(ALICE), format!("/ui/webhooks/{id}"));
    let list = fleet.logged_in(ROOT).get("/ui/webhooks").text;
    assert!(list.contains(&path) && !list.contains("only-its-owner-knows"), "{list}");
    assert_eq!(fleet.logged_in(BOB).get(&path).status, 404);

    let sent = alice.send(&format!("{path}/test"), &[]);
    assert_eq!(sent.leads_to(), format!("{path}?said=telling"));
    let page = fleet.until("the delivery", || {
        let page = alice.get(&path);
        (page.text.contains("webhook.test") && page.text.contains("delivered 2")).then_some(page)
    });
    assert!(page.text.contains("the shop"), "{}", page.text);
    let again = alice.send(&format!("{path}/again"), &[("delivery", &page.hidden("delivery"))]);
    assert_eq!(again.leads_to(), format!("{path}?said=telling"), "{}", again.text);
    let hooks = fleet.until("both", || Some(receiver.at(&told)).filter(|hooks| hooks.len() == 2));
    assert_eq!(hooks[0].id, hooks[1].id, "it is the same event");
    assert_eq!(alice.send(&format!("{path}/again"), &[("delivery", "dlv_x_1-1")]).status, 404);

    let off = alice.send(&format!("{path}/disable"), &[]);
    assert_eq!(off.leads_to(), format!("{path}?said=disabled"));
    assert!(alice.get(&path).text.contains("switched off by a person"));
    let sent = alice.send(&format!("{path}/test"), &[]);
    assert_eq!(sent.leads_to(), format!("{path}?said=not-told"));
    let on = alice.send(&format!("{path}/enable"), &[]);
    assert_eq!(on.leads_to(), format!("{path}?said=enabled"));
}

#[test]
fn a_held_job_is_approved_or_rejected_with_a_reason() {
    let fleet = Fleet::start(options().config("[review]\nrequire = \"always\"\n"));
    let first = fleet.admit(text("to be approved").with("consent_ref", "consent-77"));
    let second = fleet.admit(text("to be rejected"));
    let alice = fleet.logged_in(ALICE);
    let page = alice.get("/ui/review").text;
    for part in ["to be approved", "consent-77", "to be rejected", "2 jobs are held"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let approve = format!("/ui/review/{first}");
    let refused = alice.send(&approve, &[("verb", "approve"), ("reason", "")]);
    assert_eq!(refused.status, 422, "{}", refused.text);
    let done = alice.send(&approve, &[("verb", "approve"), ("reason", "consent is on file")]);
    assert_eq!(done.leads_to(), "/ui/review?said=approved");
    let rejected = [("verb", "reject"), ("reason", "no consent")];
    let done = alice.send(&format!("/ui/review/{second}"), &rejected);
    assert_eq!(done.leads_to(), "/ui/review?said=rejected");
    assert_eq!(alice.send(&format!("/ui/review/{second}"), &rejected).status, 422, "it is over");
    fleet.wait(&first, "succeeded");
    fleet.wait(&second, "rejected");
    let audit = alice.get("/ui/audit").text;
    assert!(audit.contains("consent is on file") && audit.contains("no consent"), "{audit}");
}

#[test]
fn a_doubt_is_decided_on_the_evidence_that_was_shown() {
    let strict = "[pools.sim]\npolicy = \"strict\"\n[settle]\nparked_look = \"90s\"\n";
    let fleet = Fleet::start(options().config(strict));
    fleet.faults(&json!({
        "create": [{"kind": "accept_then_drop", "times": 1}],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "lag", "ms": 3_600_000}],
    }));
    let id = fleet.admit(text("nobody knows"));
    let record = fleet.wait(&id, "parked");
    let task = fleet.ledger().tasks_of(&record).remove(0);
    let alice = fleet.logged_in(ALICE);
    assert!(alice.get("/ui/doubt").text.contains("1 job waits for a person"));
    let path = format!("/ui/doubt/{id}");
    let page = alice.get(&path);
    assert!(page.text.contains("policy is strict"), "{}", page.text);
    let grounds = page.hidden("grounds");
    let adopt = format!("{path}/adopt");
    let fields = |task: &'static str, grounds: &'static str| {
        [("task", task), ("reason", "seen in the console"), ("grounds", grounds)]
    };
    let stale = alice.send(&adopt, &fields("cgt-20200101000000-abcde", "other"));
    assert_eq!(stale.status, 422);
    assert!(stale.text.contains("The evidence has changed"), "{}", stale.text);
    let right = [("task", task.as_str()), ("reason", "seen"), ("grounds", grounds.as_str())];
    let unknown = [("task", "cgt-20200101000000-abcde"), right[1], right[2]];
    let refused = alice.send(&adopt, &unknown);
    assert!(refused.text.contains("the provider knows no task"), "{}", refused.text);
    let done = alice.send(&adopt, &right);
    assert_eq!(done.leads_to(), format!("/ui/jobs/{id}?said=adopted"), "{}", done.text);
    let record = fleet.wait(&id, "succeeded");
    assert_eq!(fleet.ledger().creates_of(&record), 1);
}
