//! `doubt` on a job whose create call ended unclear: evidence first, a decision only with `--yes`.

use crate::bench::{Bench, row};
use crate::doctor::Far;
use job::{
    AttemptId, DoubtCause, Event, Facts, JobId, Look, OpenAttempt, Policy, PoolSettings, TaskId,
};
use seedance::{Route, SlotClass};
use settings::Sources;
use std::time::Duration;
use store::{Reported, Store, Writer};

const ATTEMPT: &str = "att_01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// Takes a job in and lets its create end so that two tasks fit: a person has to decide.
fn parked(bench: &Bench) -> String {
    parked_since(bench, Duration::from_secs(600))
}

fn parked_since(bench: &Bench, age: Duration) -> String {
    bench.write("b.jsonl", &row(1));
    assert_eq!(bench.run(&["import", "b.jsonl"]).code, 0);
    let rows = bench.run(&["jobs", "list", "-o", "ndjson", "-q"]).lines();
    let id = rows[0]["job"].as_str().expect("an id").to_owned();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    runtime.block_on(park(bench, &JobId::parse(&id).expect("an id"), age));
    id
}

async fn park(bench: &Bench, id: &JobId, age: Duration) {
    let loaded = Sources::default().file(bench.path("config.toml")).load().expect("sound");
    let pools: std::collections::BTreeMap<String, PoolSettings> =
        loaded.section("pools").expect("sound");
    let policy: Policy = worker::policy(&loaded, &pools["sim"]).expect("sound");
    let redis: store::Settings = loaded.section("redis").expect("sound");
    let store = Store::connect(&redis, "sim").await.expect("it runs");
    let begun_at = store.now().await.expect("it runs") - age;
    let tasks_url = format!("{}/contents/generations/tasks", pools["sim"].base_url());
    let attempt = OpenAttempt {
        id: AttemptId::parse(ATTEMPT).expect("an id"),
        number: 1,
        nonce_s: 171_717,
        begun_at,
        send_by: begun_at + Duration::from_secs(20),
        renderer: 1,
        body_sha256: "ab".repeat(32),
        safety_identifier: None,
        facts: Facts {
            route: Route::Byteplus,
            create_url: tasks_url.clone(),
            retrieve_url: tasks_url,
            model_id: "dreamina-seedance-2-0-mini-260615".to_owned(),
            account: "a".to_owned(),
            class: SlotClass::V20Mini,
            price_version: "2026-10-01".to_owned(),
        },
    };
    let of = attempt.id.clone();
    let cause = DoubtCause { kind: "timeout".to_owned(), detail: "no answer in 30 s".to_owned() };
    let tasks = ["cgt-1", "cgt-2"].map(|id| TaskId::parse(id).expect("an id")).to_vec();
    for event in [
        Event::SubmitBegan { attempt },
        Event::AttemptUnclear { attempt: of.clone(), cause },
        Event::Looked { attempt: of, look: Look::Several { tasks } },
    ] {
        let told = store.report(id, Writer::Outside, &event, &policy).await.expect("it runs");
        assert!(matches!(told, Reported::Written { .. }), "{}: {told:?}", event.name());
    }
}

#[test]
fn the_evidence_is_shown() {
    let bench = Bench::new();
    let id = parked(&bench);
    let listed = bench.run(&["doubt", "list", "-o", "json"]).json();
    assert_eq!((&listed[0]["job"], &listed[0]["state"]), (&id.clone().into(), &"parked".into()));
    let shown = bench.run(&["doubt", "show", &id, "-o", "json"]).json();
    assert_eq!(shown["attempt"], ATTEMPT);
    assert_eq!(shown["execution_expires_after"], 171_717);
    assert!(shown["reason"].as_str().is_some_and(|why| why.contains("cgt-1, cgt-2")), "{shown}");
    assert!(shown["nothing_shows_up_after"].is_string(), "{shown}");
}

#[test]
fn a_person_sends_again_only_with_yes() {
    let bench = Bench::new();
    let id = parked(&bench);
    let asked = bench.run(&["doubt", "resend", &id, "--reason", "seen in the console"]);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stdout.contains(ATTEMPT) && asked.stderr.contains("two are paid"), "{asked:?}");
    let done = bench.run(&[
        "doubt",
        "resend",
        &id,
        "--reason",
        "seen in the console",
        "--by",
        "ann",
        "--yes",
    ]);
    assert_eq!(done.code, 0, "{done:?}");
    let shown = bench.run(&["jobs", "show", &id, "-o", "json"]).json();
    assert_eq!(shown["state"], "queued");
    let timeline = shown["timeline"].to_string();
    assert!(timeline.contains("ann") && timeline.contains("seen in the console"), "{timeline}");
}

#[test]
fn a_person_gives_up() {
    let bench = Bench::new();
    let id = parked(&bench);
    let args = ["doubt", "give-up", &id, "--reason", "not wanted", "--by", "ann"];
    assert_eq!(bench.run(&args).code, 9);
    assert_eq!(bench.run(&[&args[..], &["--yes"]].concat()).code, 0);
    let shown = bench.run(&["jobs", "show", &id, "-o", "json"]).json();
    assert_eq!(
        (&shown["state"], &shown["reason"]),
        (&"given_up".into(), &"by ann: not wanted".into())
    );
    assert_eq!(bench.run(&[&args[..], &["--yes"]].concat()).code, 6, "decided once");
}

#[test]
fn a_task_is_adopted_only_if_a_read_shows_the_mark() {
    let far = Far::start();
    let bench = Bench::over(&far.base_url(), "sim-key");
    let id = parked(&bench);
    let args = ["doubt", "adopt", &id, "cgt-1", "--reason", "seen in the console", "--yes"];
    let unknown = bench.run(&args);
    assert_eq!(unknown.code, 5, "the provider knows no such task: {unknown:?}");
    assert!(unknown.stderr.contains("--unverified"), "{unknown:?}");
    let forced = bench.run(&[&args[..], &["--unverified"]].concat());
    assert_eq!(forced.code, 0, "{forced:?}");
    let shown = bench.run(&["jobs", "show", &id, "-o", "json"]).json();
    assert_eq!((&shown["state"], &shown["task"]), (&"running".into(), &"cgt-1".into()));
}

#[test]
fn nothing_is_given_up_while_its_task_may_still_appear() {
    let bench = Bench::new();
    let id = parked_since(&bench, Duration::ZERO);
    let early = bench.run(&["doubt", "give-up", &id, "--reason", "not wanted", "--yes"]);
    assert_eq!(early.code, 6, "{early:?}");
    assert!(early.stderr.contains("possible from "), "{early:?}");
}
