//! Late evidence: what a callback proves after everybody has stopped looking is still taken home.

use e2e::kit::{Fleet, Options, text};
use job::settle::quiet_horizon;
use job::{
    AttemptId, AttemptOutcome, By, Event, Facts, Intent, JobId, OpenAttempt, ParkWhy, Record,
    State, StateWord,
};
use serde_json::{Value, json};
use std::time::Duration;
use worker::fault;

/// Strict, and after parking nobody looks by himself for the length of the test.
const STRICT: &str = "[pools.sim]\npolicy = \"strict\"\n[settle]\nparked_look = \"90s\"\n";

fn body(task: &str) -> Value {
    json!({"id": task, "status": "succeeded", "model": "dreamina-seedance-2-0-260128"})
}

/// A job whose task nobody has seen: the answer was lost, so were the callbacks, and no list shows it
/// in time.
fn unseen(fleet: &Fleet, words: &str) -> (JobId, Record, String) {
    fleet.faults(&json!({
        "create": [{"kind": "accept_then_drop", "times": 1}],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "lag", "ms": 3_600_000}],
    }));
    let id = fleet.admit(text(words));
    let record = fleet.wait(&id, "parked");
    let task = fleet.ledger().tasks_of(&record).remove(0);
    (id, record, task)
}

fn give_up(fleet: &Fleet, id: &JobId) {
    let by = By::named("tester");
    fleet.report(id, &Event::GaveUp { by, reason: "nobody has seen it".to_owned() });
    fleet.wait(id, "given_up");
}

/// An ended job that ends anew, and well.
fn brought_home(fleet: &Fleet, id: &JobId) -> Record {
    fleet.until("it to come home", || {
        let record = fleet.record(id);
        (record.life.state.word() == StateWord::Succeeded).then_some(record)
    })
}

// covers: M6, M9, M26
#[test]
fn a_late_callback_brings_a_parked_job_home() {
    let fleet = Fleet::start(Options::with_gateway().config(STRICT));
    let (id, record, task) = unseen(&fleet, "parked, and paid for");
    let path = fleet.ledger().callback_path(&record).expect("an address was given");
    assert_eq!(fleet.call_back(&path, &body(&task)).status, 200);
    let record = fleet.wait(&id, "succeeded");
    assert_eq!(fleet.ledger().creates_of(&record), 1);
    let way = fleet.timeline(&id);
    assert!(way.iter().any(|line| line.contains("named by its callback")), "{way:#?}");
    fleet.audit(&[id]);
}

// covers: M6, M9, M26
#[test]
fn a_late_callback_brings_home_what_was_given_up_and_only_that() {
    let fleet = Fleet::start(Options::with_gateway().config(STRICT));
    let (id, record, task) = unseen(&fleet, "given up, and paid for");
    give_up(&fleet, &id);
    let path = fleet.ledger().callback_path(&record).expect("an address was given");

    // Another job's task is named: one read, and nothing moves.
    fleet.faults(&json!({"callback": [{"kind": "lose"}]}));
    let other = fleet.admit(text("somebody else's"));
    let others = fleet.wait(&other, "succeeded");
    let foreign = fleet.ledger().tasks_of(&others).remove(0);
    let before = fleet.ledger().calls("retrieve", &foreign).len();
    assert_eq!(fleet.call_back(&path, &body(&foreign)).status, 200);
    fleet.until("one look", || {
        (fleet.ledger().calls("retrieve", &foreign).len() > before).then_some(())
    });
    assert_eq!(fleet.record(&id).life.state.word().as_str(), "given_up");

    assert_eq!(fleet.call_back(&path, &body(&task)).status, 200);
    let record = brought_home(&fleet, &id);
    assert_eq!(fleet.ledger().creates_of(&record), 1);
    let manifest = fleet.verified_manifest(&record);
    assert_eq!(manifest.task_id, task);
    fleet.audit(&[id, other]);
}

// covers: M9
#[test]
fn a_task_that_turns_up_beside_the_jobs_own_is_shown_to_a_person() {
    let fleet = Fleet::start(Options::with_gateway().config(STRICT));
    let (id, record, late) = unseen(&fleet, "sent again by hand");
    let path = fleet.ledger().callback_path(&record).expect("an address was given");
    let by = By::named("tester");
    fleet.report(&id, &Event::ResendOrdered { by, reason: "looked everywhere".to_owned() });
    let record = fleet.wait(&id, "succeeded");
    assert_eq!(fleet.ledger().tasks_of(&record).len(), 2, "the risk that the person took");
    assert_eq!(fleet.call_back(&path, &body(&late)).status, 200);
    let strays = fleet.until("the second task to be written down", || {
        let strays = fleet.record(&id).life.strays;
        (!strays.is_empty()).then_some(strays)
    });
    assert_eq!(strays[0].as_str(), late);
    let alarms = fleet.run(fleet.store().audit(10)).expect("Redis answers");
    assert!(alarms.iter().any(|line| line.alarm == "stray_task"), "{alarms:?}");
}

/// An attempt that was begun and gave up before anything left.
fn unsent(fleet: &Fleet, record: &Record) -> OpenAttempt {
    let url = format!("http://{}/api/v3/contents/generations/tasks", fleet.api_address());
    let begun_at = fleet.run(fleet.store().now()).expect("Redis answers");
    let attempt = OpenAttempt {
        id: AttemptId::from_ulid(ulid::Ulid::generate()),
        number: 1,
        nonce_s: 100_000,
        begun_at,
        send_by: begun_at + Duration::from_secs(2),
        renderer: 1,
        body_sha256: "00".repeat(32),
        safety_identifier: None,
        intent: Some(1),
        facts: Facts {
            route: seedance::Route::Byteplus,
            create_url: url.clone(),
            retrieve_url: url,
            model_id: record.spec.request.model_id.clone(),
            account: "a".to_owned(),
            class: record.spec.request.slot_class(),
            price_version: "unknown".to_owned(),
        },
    };
    fleet.report(&record.id, &Event::SubmitBegan { attempt: attempt.clone() });
    let reason = "the second fence did not answer in time".to_owned();
    let (id, unreachable) = (attempt.id.clone(), false);
    let event = Event::AttemptNotSent { attempt: id, reason, unreachable, stops_in_row: 0 };
    fleet.report(&record.id, &event);
    attempt
}

// covers: M24/create-no-id
#[test]
fn an_intent_that_lands_late_costs_one_more_attempt_and_brings_nobody_into_doubt() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options);
    let id = fleet.admit(text("an intent in the post"));
    let record = fleet.record(&id);
    let late = unsent(&fleet, &record);
    // Long enough for the intent to land in it on a busy machine.
    let pause = format!("{}:1:6000", fault::SUBMIT_BEGUN.name());
    fleet.start_as("submitter", "submitter", &[(fault::PAUSE_ENV, &pause)]);
    fleet.wait(&id, "submitting");
    let folder = format!("bucket/intents/sim/default/{}", record.spec.fingerprint);
    std::fs::create_dir_all(fleet.path(&folder)).unwrap();
    let intent = serde_json::to_vec(&Intent::of(&record, &late, 1)).unwrap();
    std::fs::write(fleet.path(&folder).join("00000001"), intent).unwrap();

    let record = fleet.wait(&id, "succeeded");
    let outcomes: Vec<&AttemptOutcome> = record.life.attempts.iter().map(|a| &a.outcome).collect();
    let [AttemptOutcome::NotSent { .. }, AttemptOutcome::NotSent { reason }, .., last] =
        outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert!(matches!(last, AttemptOutcome::Accepted { .. }), "{outcomes:?}");
    assert!(reason.contains(late.id.as_str()), "{reason}");
    let way = fleet.timeline(&id);
    assert!(!way.iter().any(|line| line.starts_with("InDoubt")), "{way:#?}");
    assert_eq!(fleet.ledger().creates_of(&record), 1);
    fleet.audit(&[id]);
}

/// A provider that ignores our mark shows its default for every task. Under a policy that sends again
/// by itself, such rows must prove nothing until the account has echoed a mark.
#[test]
fn a_mark_that_is_ignored_lets_nobody_send_again() {
    let fleet = Fleet::start(Options::default());
    fleet.doubts(&json!({"nonce": "clamped"}));
    fleet.faults(&json!({"create": [{"kind": "accept_then_drop", "times": 3}]}));
    let ids = fleet.admit_many((0..3).map(|n| text(&format!("a hidden boat {n}")).into()));
    // Looked for well past the quiet horizon: more often than the two whole scans that would prove it.
    for id in &ids {
        fleet.until("looks past the horizon", || {
            let record = fleet.record(id);
            let (State::InDoubt { attempt, looks, .. } | State::Parked { attempt, looks, .. }) =
                &record.life.state
            else {
                return None;
            };
            let horizon = quiet_horizon(attempt, fleet.policy());
            let now = fleet.run(fleet.store().now()).expect("Redis answers");
            (now > horizon + Duration::from_secs(3) && looks.count >= 3).then_some(())
        });
        let record = fleet.record(id);
        // What was begun and kept back by a busy machine is no send.
        assert_eq!(record.life.resends, 0, "{record:?}");
        assert_eq!(fleet.ledger().creates_of(&record), 1);
    }
}

/// A key with custom permissions may list nothing without naming a model: the scan then names the one
/// that the doubt is about.
// covers: M6, M9
#[test]
fn a_key_that_lists_one_model_at_a_time_finds_what_it_bought() {
    let fleet = Fleet::start(Options::default());
    let mut all = Vec::new();
    for answer in ["missing_parameter", "denied"] {
        fleet.doubts(&json!({"list_model": answer}));
        fleet.faults(&json!({
            "create": [{"kind": "accept_then_drop", "times": 2}, {"kind": "drop_after_read", "times": 1}],
        }));
        let models = ["seedance-2.0", "seedance-2.0-mini", "seedance-2.0"];
        let rows = models.iter().enumerate().map(|(n, model)| {
            let mut row = Value::from(text(&format!("{answer}, one model at a time, {n}")));
            row["model"] = json!(model);
            row
        });
        let ids = fleet.admit_many(rows);
        for id in &ids {
            let record = fleet.wait(id, "succeeded");
            assert_eq!(fleet.ledger().tasks_of(&record).len(), 1, "{answer}");
        }
        let found = ids
            .iter()
            .filter(|id| fleet.timeline(id).iter().any(|line| line.contains("found in the list")));
        assert_eq!(found.count(), 2, "{answer}");
        all.extend(ids);
    }
    fleet.audit(&all);
}

/// Nothing can be looked up: a person is told in the end, and the slot is free again.
// covers: M6
#[test]
fn a_doubt_that_nobody_can_look_up_is_parked_in_the_end() {
    let fleet = Fleet::start(Options::default().config("[settle]\nblind_max = \"1s\"\n"));
    fleet.faults(&json!({
        "create": [{"kind": "accept_then_drop", "times": 1}],
        "callback": [{"kind": "lose"}],
        "list": [{"kind": "500"}],
    }));
    let id = fleet.admit(text("nobody can look"));
    let record = fleet.wait(&id, "parked");
    let State::Parked { attempt, why, .. } = &record.life.state else { panic!("{record:?}") };
    assert_eq!(*why, ParkWhy::ListUnreadable);
    let earliest = quiet_horizon(attempt, fleet.policy()) + Duration::from_secs(1);
    assert!(record.life.updated_at >= earliest, "not before it is due");
    assert_eq!(fleet.ledger().creates_of(&record), 1);

    // The list can be read again: what was paid for comes home without a person.
    fleet.faults(&json!({}));
    let record = fleet.wait(&id, "succeeded");
    assert_eq!((record.life.resends, fleet.ledger().creates_of(&record)), (0, 1));
    fleet.audit(&[id]);
}
