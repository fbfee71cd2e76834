//! The retry matrix (M24), row by row: the provider misbehaves, its ledger counts the calls.

use e2e::kit::{Fleet, Ledger, Options, text};
use job::{Attempt, AttemptOutcome, By, End, Event, JobId, ParkWhy, Record, State};
use serde_json::{Value, json};
use std::time::Duration;

/// A create fault for the job whose prompt holds `word`.
fn create(kind: &str, word: &str) -> Value {
    json!({"kind": kind, "times": 1, "match": {"text": word}})
}

fn answer(code: &str, message: &str) -> Value {
    json!({"kind": "answer", "code": code, "message": message, "times": 1, "match": {"text": code}})
}

/// The first object with the fields of the second.
fn merged(mut object: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}

fn film(word: &str) -> Value {
    text(&format!("a film about {word}")).into()
}

fn cause(record: &Record) -> &job::Cause {
    match &record.life.state {
        State::Finished { end: End::Failed { cause }, .. } => cause,
        other => panic!("not failed: {other:?}"),
    }
}

/// How the attempts ended whose request went out: one that a busy machine kept back until its instant had passed has
/// no part in what a test is about.
fn sent(record: &Record) -> Vec<&Attempt> {
    let attempts = record.life.attempts.iter();
    attempts.filter(|a| !matches!(a.outcome, AttemptOutcome::NotSent { .. })).collect()
}

// covers: M22, M24/create-no-id, M26
#[test]
fn a_create_that_was_not_sent_goes_again_with_the_same_record() {
    let fleet = Fleet::start(Options::empty());
    // As long as three programs may take to start on a busy machine, and to try.
    fleet.faults(&json!({"connect": [{"kind": "refuse", "ms": 8_000}]}));
    let id = fleet.admit(film("patience"));
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    let record = fleet.wait(&id, "succeeded");
    let first = &record.life.attempts[0];
    assert!(matches!(first.outcome, AttemptOutcome::NotSent { .. }), "{:?}", first.outcome);
    assert_eq!(fleet.ledger().creates_of(&record), 1, "only one request ever left");
    fleet.audit(&[id]);
}

/// Words of jobs whose task was made although the answer was not clear, each with its fault.
const TAKEN: [(&str, &str); 6] = [
    ("taken", "accept_then_drop"),
    ("reset", "accept_then_reset"),
    ("halved", "reset_after_half_head"),
    ("cut", "200_cut_body"),
    ("anonymous", "200_without_id"),
    ("overloaded", "502_html_after_create"),
];

/// Words of jobs whose request vanished after it was sent, or was answered by what is no refusal.
const LOST: [(&str, &str); 4] = [
    ("lost", "drop_after_read"),
    ("broken", "500_without_create"),
    ("gateway", "502_html_without_create"),
    ("elsewhere", "redirect"),
];

/// Codes that leave it open whether a task was made.
const OPEN: [&str; 3] = ["InternalServiceError", "UpstreamUnavailable", "RequestCanceled"];

// covers: M6, M24/create-no-id, M24/create-stored, M26
#[test]
fn an_unclear_create_is_looked_up_and_bought_again_only_when_proven_absent() {
    let fleet =
        Fleet::start(Options::default().config("[provider]\ncreate_timeout = \"2500ms\"\n"));
    let mut plan: Vec<Value> =
        TAKEN.iter().chain(&LOST).map(|(word, kind)| create(kind, word)).collect();
    for code in OPEN {
        let told = json!({"kind": "answer_after_create", "code": code, "times": 1});
        plan.push(merged(told, json!({"match": {"text": code}})));
    }
    plan.push(json!({"kind": "delay_reply", "ms": 9000, "times": 1, "match": {"text": "slow"}}));
    plan.push(json!({"kind": "drop_after_read", "match": {"text": "doomed"}}));
    fleet.faults(&json!({"create": plan}));
    let words = TAKEN.iter().map(|(word, _)| *word).chain(OPEN).chain(["slow"]);
    let taken: Vec<JobId> = words.map(|word| fleet.admit(film(word))).collect();
    let lost: Vec<JobId> = LOST.iter().map(|(word, _)| fleet.admit(film(word))).collect();
    let doomed = fleet.admit(film("doomed"));

    for record in fleet.wait_stored(&taken) {
        let way = fleet.timeline(&record.id);
        assert!(way.iter().any(|line| line.contains("adopted")), "{way:#?}");
        assert_eq!(fleet.ledger().creates_of(&record), 1, "{way:#?}");
        assert_eq!(record.life.resends, 0);
    }
    for record in fleet.wait_stored(&lost) {
        let outcome = &sent(&record)[0].outcome;
        assert_eq!(*outcome, AttemptOutcome::Absent, "proven, not guessed");
        assert_eq!(record.life.resends, 1);
        assert_eq!(fleet.ledger().creates_of(&record), 2, "exactly one re-send");
    }
    let record = fleet.wait(&doomed, "parked");
    let State::Parked { why, looks, .. } = &record.life.state else { panic!() };
    assert_eq!(*why, ParkWhy::ResendSpent);
    assert!(looks.empty_after_horizon >= 2, "{looks:?}");
    assert_eq!(fleet.ledger().creates_of(&record), 2);

    let all: Vec<JobId> = taken.into_iter().chain(lost).chain([doomed]).collect();
    fleet.audit(&all);
}

// covers: M6, M24/create-no-id
#[test]
fn a_strict_pool_parks_what_no_scan_finds_and_a_person_decides() {
    let options = Options::default().config("[pools.sim]\npolicy = \"strict\"\n");
    let fleet = Fleet::start(options);
    let plan = [create("drop_after_read", "lost"), create("accept_then_drop", "taken")];
    fleet.faults(&json!({"create": plan, "list": [{"kind": "lag", "ms": 400}]}));
    let (lost, taken) = (fleet.admit(film("lost")), fleet.admit(film("taken")));
    let given_up = fleet.admit(film("nothing"));
    fleet.wait(&given_up, "succeeded");

    let record = fleet.wait(&lost, "parked");
    let State::Parked { why, .. } = &record.life.state else { panic!() };
    assert_eq!(*why, ParkWhy::NoTaskStrict);
    assert_eq!(fleet.ledger().creates_of(&record), 1, "strict never sends again by itself");
    let record = fleet.wait(&taken, "succeeded");
    assert_eq!(fleet.ledger().creates_of(&record), 1);

    let by = By::named("tester");
    fleet.report(&lost, &Event::ResendOrdered { by, reason: "seen the evidence".to_owned() });
    let record = fleet.wait(&lost, "succeeded");
    assert_eq!(fleet.ledger().creates_of(&record), 2);
    fleet.audit(&[lost, taken, given_up]);
}

// covers: M24, M25
#[test]
fn a_refusal_waits_unspent_or_fails_by_its_class() {
    // With one try only, a refusal that cost a try would fail its job.
    let fleet = Fleet::start(Options::default().config("[submit]\ntries_max = 1\n"));
    let waits = [
        "RateLimitExceeded.EndpointRPMExceeded",
        "ServerOverloaded",
        "RequestBurstTooFast",
        "AuthenticationError",
        "AccountOverdueError",
    ];
    let fails = ["InvalidParameter", "InputTextSensitiveContentDetected"];
    let mut plan: Vec<Value> =
        waits.iter().chain(&fails).map(|code| answer(code, "so says the provider")).collect();
    let now = fleet.run(fleet.store().now()).expect("Redis answers");
    let reset = now + Duration::from_secs(3);
    let told = format!("reset at {} +0000 UTC", reset.rfc3339()[..19].replace('T', " "));
    plan.push(answer("AccountQuotaExceeded", &format!("used up; the quota will {told}")));
    fleet.faults(&json!({"create": plan}));
    let waiting: Vec<JobId> = waits.iter().map(|code| fleet.admit(film(code))).collect();
    let failing: Vec<JobId> = fails.iter().map(|code| fleet.admit(film(code))).collect();
    let paused = fleet.admit(film("AccountQuotaExceeded"));

    for (code, record) in waits.iter().zip(fleet.wait_stored(&waiting)) {
        let AttemptOutcome::Refused { code: told } = &sent(&record)[0].outcome else {
            panic!("{code}: {:#?}", fleet.timeline(&record.id))
        };
        assert_eq!(told, code);
        assert_eq!(fleet.ledger().creates_of(&record), 2, "{code}");
    }
    for (code, id) in fails.iter().zip(&failing) {
        let record = fleet.wait(id, "failed");
        assert_eq!(cause(&record).code, *code);
        assert!(cause(&record).message.contains("so says the provider"));
        assert_eq!(fleet.ledger().creates_of(&record), 1, "{code}");
    }
    let record = fleet.wait(&paused, "succeeded");
    let second = sent(&record)[1].open.begun_at;
    assert!(second.unix_ms() / 1000 >= reset.unix_ms() / 1000, "it waited for the time told");
    fleet.audit(&[waiting, failing, vec![paused]].concat());
}

// covers: M7/queued, M7/running, M24/poll
#[test]
fn a_poll_goes_again_after_every_kind_of_trouble() {
    let fleet = Fleet::start(Options::default());
    let answered = |code| json!({"kind": "answer", "code": code, "times": 2});
    // Tasks that are due together would be read by page: here the list serves nobody.
    fleet.faults(&json!({"list": [{"kind": "500", "times": 1000}], "retrieve": [
        {"kind": "not_found_at_first", "ms": 300, "times": 2},
        {"kind": "500", "times": 4},
        {"kind": "502_html", "times": 4},
        {"kind": "drop", "times": 4},
        {"kind": "cut_body", "times": 2},
        answered("ServerOverloaded"),
        answered("AuthenticationError"),
        {"kind": "unknown_status", "word": "paused", "times": 2},
        {"kind": "slow", "ms": 3500, "times": 1},
    ]}));
    let ids = ["one", "two", "three"].map(|word| fleet.admit(film(word)));
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().creates_of(&record), 1);
    }
    let calls = &fleet.stats()["calls"]["retrieve"];
    assert!(calls["500"].as_u64() >= Some(4), "the trouble was there: {calls}");
    let left = fleet.fault_plan()["retrieve"].clone();
    let met = |rule: &Value| rule["kind"] == "not_found_at_first" || rule["times"] == 0;
    assert!(left.as_array().unwrap().iter().all(met), "each kind was met: {left}");
    fleet.audit(&ids);
}

// covers: M24/poll
#[test]
fn a_status_word_that_nobody_knows_is_told_once_and_polled_on() {
    let fleet = Fleet::start(Options::default().simulator(&["--run-s", "2-3"]));
    let word = json!({"kind": "unknown_status", "word": "paused", "times": 4});
    fleet.faults(&json!({"retrieve": [word]}));
    let id = fleet.admit(film("a word that is new"));
    let record = fleet.wait(&id, "succeeded");
    let left = fleet.fault_plan()["retrieve"][0]["times"].clone();
    assert_eq!(left, 0, "the word was read four times");
    let told = fleet.run(fleet.store().audit(50)).expect("Redis answers");
    let told = told.iter().filter(|line| line.alarm == "unknown_status");
    assert_eq!(told.filter(|line| line.job.as_ref() == Some(&id)).count(), 1);
    let heard =
        fleet.timeline(&id).into_iter().filter(|line| line.contains("provider says paused"));
    assert_eq!(heard.count(), 1, "{:#?}", fleet.timeline(&id));
    assert_eq!(fleet.ledger().tasks_of(&record).len(), 1);
    fleet.audit(&[id]);
}

/// The task's calls that matter to a download, in order: `(call, status)`.
fn after_success(ledger: &Ledger, task: &str) -> Vec<(String, Option<u64>)> {
    let of_task = |line: &&Value| line["task"] == task && line["call"] != "list";
    let calls: Vec<_> = ledger
        .events("call")
        .filter(of_task)
        .map(|line| (line["call"].as_str().unwrap().to_owned(), line["http_status"].as_u64()))
        .collect();
    let first = calls.iter().position(|(call, _)| call == "media").expect("a download");
    calls[first..].to_vec()
}

// covers: M11, M24/download
#[test]
fn a_download_goes_again_after_every_kind_of_trouble() {
    let fleet = Fleet::start(Options::default());
    let kinds = [
        ("truncated", json!({})),
        ("answer", json!({"status": 503})),
        ("wrong_length", json!({})),
        ("reset", json!({})),
        ("short_file", json!({})),
        ("stall", json!({"ms": 3000})),
        ("ignore_range", json!({})),
        ("expired", json!({})),
        ("etag_changes", json!({})),
        ("redirect", json!({})),
    ];
    let rule = |(kind, more): &(&str, Value)| {
        merged(json!({"kind": kind, "times": 2, "match": {"file": "mp4"}}), more.clone())
    };
    fleet.faults(&json!({"media": kinds.iter().map(rule).collect::<Vec<_>>()}));
    let ids: Vec<JobId> = (0..8).map(|n| fleet.admit(film(&format!("rough ride {n}")))).collect();
    for record in fleet.wait_stored(&ids) {
        let manifest = fleet.verified_manifest(&record);
        let billed = &fleet.ledger().billed_to(&record)[0];
        assert_eq!(manifest.output().unwrap().sha256, billed.video_sha256);
    }
    let fired = |kind: &str| {
        let ledger = fleet.ledger();
        ledger.events("call").filter(|line| line["fault"] == kind).count()
    };
    for (kind, _) in &kinds {
        // A call is written down when it is over, for the provider too.
        fleet.until(&format!("{kind}, twice"), || (fired(kind) >= 2).then_some(()));
        assert_eq!(fired(kind), 2, "{kind} was there");
    }
    fleet.audit(&ids);
}

// covers: M12, M24/download
#[test]
fn a_link_is_renewed_while_the_provider_gives_any_and_only_its_word_loses_a_video() {
    let short = ["--doubt", "link_life_s=2"];
    let fleet = Fleet::start(Options::default().simulator(&short));
    // Signed once, and the host is ill for as long as the link lives.
    let ill = json!({"kind": "answer", "status": 503, "match": {"file": "mp4"}});
    fleet.faults(&json!({"media": [ill]}));
    let lost = fleet.admit(film("a dead link"));
    let record = fleet.wait(&lost, "output_lost");
    let ledger = fleet.ledger();
    let task = &ledger.tasks_of(&record)[0];
    let asked = after_success(&ledger, task);
    let reads = asked.iter().filter(|(call, _)| call == "retrieve").count();
    assert!(reads >= 3, "the provider was asked until it was sure: {asked:?}");
    assert_eq!(ledger.creates_of(&record), 1, "paid, lost, and not bought again");

    // Signed anew for each read: refused and dead as often as may be, it comes home in the end.
    fleet.doubts(&json!({"links": "each_read", "link_life_s": 2}));
    let refused = json!({"kind": "expired", "times": 4, "match": {"file": "mp4"}});
    let ill = json!({"kind": "answer", "status": 503, "times": 30, "match": {"file": "mp4"}});
    fleet.faults(&json!({"media": [refused, ill]}));
    let renewed = fleet.admit(film("a link that comes back"));
    let record = fleet.wait(&renewed, "succeeded");
    let ledger = fleet.ledger();
    let manifest = fleet.verified_manifest(&record);
    let output = manifest.output().unwrap();
    assert_eq!(output.sha256, ledger.billed_to(&record)[0].video_sha256);
    let way = fleet.timeline(&renewed);
    let fresh = way.iter().filter(|line| line.contains("a fresh one was given")).count();
    assert!(fresh >= 2, "renewed more than once: {way:#?}");
    fleet.audit(&[lost, renewed]);
}
