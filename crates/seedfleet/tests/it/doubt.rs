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

const ATTEMPT: &str = "att_01ARZ3NDEKTSV4RRFFQ69G5FA0";

fn attempt_id(n: usize) -> AttemptId {
    let mut text = ATTEMPT.to_owned();
    text.pop();
    AttemptId::parse(&format!("{text}{n}")).expect("an id")
}

/// Takes a job in and lets its create end so that two tasks fit: a person has to decide.
fn parked(bench: &Bench) -> String {
    parked_since(bench, Duration::from_secs(600))
}

fn parked_since(bench: &Bench, age: Duration) -> String {
    let tasks = ["cgt-1", "cgt-2"].map(|id| TaskId::parse(id).expect("an id")).to_vec();
    parked_by(bench, 1, age, &Look::Several { tasks }).remove(0)
}

/// So many jobs whose creates ended two days ago, and no list has proved anything since.
fn parked_many(bench: &Bench, count: u32) -> Vec<String> {
    parked_by(bench, count, Duration::from_secs(2 * 86_400), &Look::Inconclusive)
}

fn parked_by(bench: &Bench, count: u32, age: Duration, look: &Look) -> Vec<String> {
    let rows: Vec<String> = (1..=count).map(row).collect();
    bench.write("b.jsonl", &rows.join("\n"));
    assert_eq!(bench.run(&["import", "b.jsonl"]).code, 0);
    let rows = bench.run(&["jobs", "list", "-o", "ndjson", "-q"]).lines();
    let ids: Vec<String> =
        rows.iter().map(|row| row["job"].as_str().expect("an id").to_owned()).collect();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    for (n, id) in ids.iter().enumerate() {
        let id = JobId::parse(id).expect("an id");
        runtime.block_on(park(bench, &id, n, age, look.clone()));
    }
    ids
}

async fn park(bench: &Bench, id: &JobId, n: usize, age: Duration, look: Look) {
    let loaded = Sources::default().file(bench.path("config.toml")).load().expect("sound");
    let pools: std::collections::BTreeMap<String, PoolSettings> =
        loaded.section("pools").expect("sound");
    let policy: Policy = worker::policy(&loaded, &pools["sim"]).expect("sound");
    let redis: store::Settings = loaded.section("redis").expect("sound");
    let store = Store::connect(&redis, "sim").await.expect("it runs");
    let begun_at = store.now().await.expect("it runs") - age;
    let tasks_url = format!("{}/contents/generations/tasks", pools["sim"].base_url());
    let attempt = OpenAttempt {
        id: attempt_id(n),
        number: 1,
        nonce_s: 171_717 - u32::try_from(n).expect("few"),
        begun_at,
        send_by: begun_at + Duration::from_secs(20),
        renderer: 1,
        body_sha256: "ab".repeat(32),
        safety_identifier: None,
        intent: None,
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
    for event in [
        Event::SubmitBegan { attempt },
        Event::AttemptUnclear { attempt: of.clone(), cause },
        Event::Looked { attempt: of, look },
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
    let next = shown["next"].to_string();
    for step in [format!("adopt {id} cgt-1"), format!("resend {id}"), format!("give-up {id}")] {
        assert!(next.contains(&format!("seedfleet doubt {step}")), "{next}");
    }
}

#[test]
fn both_facts_and_the_next_commands_are_told_in_words() {
    let bench = Bench::new();
    let id = parked_many(&bench, 1).remove(0);
    let shown = bench.run(&["doubt", "show", &id]);
    let minutes = 2 * 24 * 60;
    let fact = format!("no task seen in 1 scans over {minutes} min");
    assert!(shown.stdout.contains(&fact), "{shown:?}");
    assert!(shown.stdout.contains(&format!("seedfleet doubt resend {id} --reason WHY --yes")));
    assert!(shown.stdout.contains("USD"), "what one more costs: {shown:?}");
    let listed = bench.run(&["doubt", "list"]);
    assert!(listed.stdout.contains(&fact), "{listed:?}");
    assert!(listed.stderr.contains("doubt resend --all --preview FILE"), "{listed:?}");
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

/// The state of each job.
fn states(bench: &Bench, ids: &[String]) -> Vec<String> {
    let state = |id: &String| {
        let shown = bench.run(&["jobs", "show", id, "-o", "json"]).json();
        shown["state"].as_str().expect("a state").to_owned()
    };
    ids.iter().map(state).collect()
}

const APPLY: [&str; 9] = [
    "doubt",
    "apply",
    "plan.jsonl",
    "--reason",
    "the provider's report of Monday",
    "--by",
    "ann",
    "-o",
    "ndjson",
];

#[test]
fn many_are_decided_by_way_of_a_preview_that_a_person_has_read() {
    let bench = Bench::new();
    let ids = parked_many(&bench, 5);
    let plan = bench.path("plan.jsonl").display().to_string();
    let preview = ["doubt", "resend", "--all", "--preview", &plan];
    let strict = bench.run(&[&preview[..], &["--reason-kind", "no_task_strict"]].concat());
    assert_eq!(strict.code, 5, "nobody is parked for that: {strict:?}");
    let written = bench.run(&[&preview[..], &["--reason-kind", "list_unreadable"]].concat());
    assert_eq!(written.code, 0, "{written:?}");
    assert!(written.stderr.contains("5 jobs, about USD"), "{written:?}");
    assert_eq!(states(&bench, &ids), ["parked"; 5], "a preview changes nothing");
    assert_eq!(bench.run(&preview).code, 6, "what somebody may have read is not written over");

    // The person deletes one line; one is given up by hand; of one a callback names a task.
    let text = bench.read("plan.jsonl");
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains(&ids[0])).collect();
    bench.write("plan.jsonl", &lines.join("\n"));
    let by_hand = ["doubt", "give-up", &ids[1], "--reason", "not wanted", "--by", "bob", "--yes"];
    assert_eq!(bench.run(&by_hand).code, 0);
    let job =
        store::keys::Keys::new("seedfleet", "sim").job(&JobId::parse(&ids[2]).expect("an id"));
    bench.redis.command(&["HSET", &job, "hint", "cgt-late"]).expect("it runs");

    let asked = bench.run(&APPLY);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stderr.contains("4 jobs would be sent again (about USD"), "{asked:?}");
    let done = bench.run(&[&APPLY[..], &["--yes"]].concat());
    assert_eq!(done.code, 7, "some were not done: {done:?}");
    let answers = done.lines();
    let answer = |id: &String| {
        let line = answers.iter().find(|line| line["job"] == id.as_str()).expect("told");
        line["answer"].as_str().expect("words").to_owned()
    };
    assert_eq!(answer(&ids[1]), "was decided before");
    assert!(answer(&ids[2]).contains("changed since"), "{done:?}");
    assert_eq!((answer(&ids[3]), answer(&ids[4])), ("sent again".into(), "sent again".into()));
    let expected = ["parked", "given_up", "parked", "queued", "queued"];
    assert_eq!(states(&bench, &ids), expected);

    let again = bench.run(&[&APPLY[..], &["--yes"]].concat());
    assert_eq!(again.code, 7, "{again:?}");
    assert_eq!(again.stdout.matches("was decided before").count(), 3, "{again:?}");
    assert_eq!(states(&bench, &ids), expected, "and nothing happens twice");

    let audit = bench.run(&["audit", "--since", "1h", "-o", "ndjson", "-q"]).lines();
    let of = |id: &String| -> Vec<_> {
        audit.iter().filter(|line| line["job"] == id.as_str()).collect()
    };
    assert!(of(&ids[0]).is_empty(), "nobody decided about it");
    let [line] = of(&ids[3])[..] else { panic!("one decision, one line: {audit:#?}") };
    assert_eq!((&line["by"], &line["what"]), (&"ann".into(), &"doubt apply: resend".into()));
    assert_eq!(line["reason"], "the provider's report of Monday");
    assert!(line["result"].as_str().is_some_and(|told| told.starts_with("parked to queued")));
    assert!(line["evidence"]["seen"].as_str().is_some_and(|seen| seen.contains("scans over")));
    assert!(line["at"].is_string(), "{line}");
    assert_eq!(of(&ids[1])[0]["by"], "bob");
    let refused = of(&ids[2]);
    assert!(refused.iter().all(|line| line["result"].to_string().contains("nothing: changed")));
    assert_eq!(refused.len(), 2, "each try is written down");
}

#[test]
fn a_line_that_was_written_by_hand_decides_nothing() {
    let bench = Bench::new();
    let ids = parked_many(&bench, 1);
    let plan = bench.path("plan.jsonl").display().to_string();
    assert_eq!(bench.run(&["doubt", "resend", "--all", "--preview", &plan]).code, 0);
    let text = bench.read("plan.jsonl");
    bench.write("plan.jsonl", &text.replace(r#""action":"resend""#, r#""action":"give_up""#));
    let turned = bench.run(&[&APPLY[..], &["--yes"]].concat());
    assert_eq!(turned.code, 6, "{turned:?}");
    bench.write("plan.jsonl", &text.replace(r#""pool":"sim""#, r#""pool":"other""#));
    assert_eq!(bench.run(&[&APPLY[..], &["--yes"]].concat()).code, 3);
    bench.write("plan.jsonl", &format!("{text}nonsense\n"));
    let broken = bench.run(&[&APPLY[..], &["--yes"]].concat());
    assert_eq!(broken.code, 3, "a file that is half understood is not half applied: {broken:?}");
    assert_eq!(states(&bench, &ids), ["parked"]);
    let missing = bench.run(&["doubt", "apply", "plan.jsonl", "--yes"]);
    assert_eq!(missing.code, 2, "a reason is needed: {missing:?}");
}

#[test]
fn several_tasks_are_not_sent_again_by_the_way() {
    let bench = Bench::new();
    let id = parked(&bench);
    let plan = bench.path("plan.jsonl").display().to_string();
    let all = ["doubt", "resend", "--all", "--preview", &plan];
    assert_eq!(bench.run(&all).code, 5, "a task is there to be adopted");
    assert_eq!(bench.run(&[&all[..], &["--reason-kind", "several_tasks"]].concat()).code, 0);
    assert!(bench.read("plan.jsonl").contains(&id));
}
