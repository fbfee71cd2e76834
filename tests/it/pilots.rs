//! A file of which a few rows are bought first: whenever it is killed and repeated, nothing else is until a person says
//! so.

use e2e::kit::{BOUND, Fleet, Options, text};
use job::filter::Filter;
use sandbox::wait;
use serde_json::{Value, json};
use store::{ListQuery, UPLOAD_LEASE};

const ROWS: usize = 40;

/// Rows of three kinds, the second and third of them rare.
fn file(fleet: &Fleet) -> String {
    let row = |n: usize| {
        let body = text(&format!("mark-{n} a row")).with("ratio", "16:9");
        Value::from(match n {
            7 => body.with("resolution", "480p"),
            9 => body.with("ratio", "9:16"),
            _ => body,
        })
    };
    let rows: String = (0..ROWS).map(|n| format!("{}\n", row(n))).collect();
    std::fs::write(fleet.path("ads.jsonl"), rows).unwrap();
    fleet.path("ads.jsonl").display().to_string()
}

fn shown(fleet: &Fleet) -> Value {
    fleet.cli(&["-o", "json", "batch", "show", "ads"]).json()
}

fn bought(fleet: &Fleet) -> usize {
    fleet.ledger().events("task_made").count()
}

#[test]
fn a_killed_pilot_is_repeated_and_buys_no_other_row_before_a_person_says_so() {
    let fleet = Fleet::start(Options { roles: vec!["gateway"], ..Options::default() });
    let file = file(&fleet);
    let import = ["-o", "json", "import", &file, "--pilot", "4", "--timeout", "60s"];
    // Nobody works: the first one is killed while rows come in, the second while it waits.
    for (name, jobs) in [("first", 1), ("second", ROWS as u64)] {
        let child = fleet.cli_child(name, &import);
        fleet.until("rows are in", || {
            let batch = fleet.run(fleet.store().batch("default", "ads")).unwrap();
            (batch.map_or(0, |batch| batch.jobs()) >= jobs).then_some(())
        });
        child.kill9();
    }
    let waiting = fleet.cli(&["import", &file, "--pilot", "4", "--timeout", "1ms"]);
    assert_eq!(waiting.code, 8, "{waiting:?}");
    let batch = shown(&fleet);
    assert_eq!((&batch["state"], &batch["jobs"]), (&json!("paused"), &json!(ROWS)), "{batch}");
    assert_eq!(batch["paused"]["reason"], "pilot of 4", "{batch}");
    let other = fleet.cli(&["import", &file, "--pilot", "4", "--batch", "ads", "--dry-run"]);
    assert_eq!(other.code, 2, "there is nothing to try without buying: {other:?}");

    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    let ended = fleet.cli(&import);
    assert_eq!(ended.code, 0, "{ended:?}");
    let told = ended.json();
    let counts = ["rows", "created", "existing", "pilot", "pilot_succeeded"];
    let counts = counts.map(|field| told[field].as_u64());
    assert_eq!(counts, [Some(ROWS as u64), Some(0), Some(ROWS as u64), Some(4), Some(4)], "{told}");
    assert_eq!(told["pilot_cost"], told["pilot_estimated"], "texts are reckoned exactly: {told}");
    let jobs = told["pilot_jobs"].as_array().unwrap().clone();
    assert!(jobs.iter().all(|job| job["video"].as_str().is_some_and(|at| at.ends_with(".mp4"))));
    let kinds: std::collections::BTreeSet<_> =
        jobs.iter().filter_map(|job| job["settings"].as_str()).collect();
    assert_eq!(kinds.len(), 3, "one of each kind, and one more: {kinds:?}");
    assert!(ended.stderr.contains("seedfleet batch resume ads"), "{ended:?}");
    // What is not of the pilot waits, and has left the queue.
    fleet.until("the others are held", || {
        let counts = shown(&fleet)["counts"].clone();
        (counts == json!({"held": ROWS - 4, "succeeded": 4})).then_some(())
    });
    assert_eq!(bought(&fleet), 4);

    let go = ["batch", "resume", "ads", "--reason", "good", "--by", "ann", "--yes"];
    assert_eq!(fleet.cli(&go).code, 0);
    fleet.until("all are bought", || {
        (shown(&fleet)["counts"] == json!({"succeeded": ROWS})).then_some(())
    });
    // Once more is a plain import that finds all of it.
    let again = fleet.cli(&import);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!((&again.json()["existing"], &again.json()["created"]), (&json!(ROWS), &json!(0)));
    // The import that was killed holds the batch open until its lease is over.
    let completed = || (shown(&fleet)["state"] == "completed").then_some(());
    wait::until("the batch is completed", UPLOAD_LEASE + BOUND, completed)
        .unwrap_or_else(|missed| panic!("{missed}"));
    let filter = ListQuery::of(Filter::all().batch("ads"));
    let ids = fleet.run(fleet.store().list(&filter)).unwrap().items;
    let ids: Vec<_> = ids.into_iter().map(|stored| stored.record.id).collect();
    assert_eq!((ids.len(), bought(&fleet)), (ROWS, ROWS));
    fleet.audit(&ids);
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn a_pilot_tells_what_failed_and_is_refused_where_it_could_not_hold() {
    let fleet = Fleet::start(Options::with_gateway());
    let code = "InputTextSensitiveContentDetected";
    fleet.faults(
        &json!({"create": [{"kind": "answer", "code": code, "match": {"text": "mark-7 "}}]}),
    );
    let file = file(&fleet);
    let piped = fleet.cli(&["import", "-", "--pilot", "4"]);
    assert_eq!(piped.code, 2, "{piped:?}");
    let ended = fleet.cli(&["import", &file, "--pilot", "3", "--timeout", "60s"]);
    assert_eq!(ended.code, 7, "one of three failed: {ended:?}");
    for word in [code, "pilot_failures", "USD", ".mp4", "SETTINGS", "480p"] {
        assert!(ended.stdout.contains(word), "{word}: {ended:?}");
    }
    // Its batch has jobs now, and another one under its name would have to wait for nothing.
    let go = ["batch", "resume", "ads", "--reason", "good", "--by", "ann", "--yes"];
    assert_eq!(fleet.cli(&go).code, 0);
    let taken = fleet.cli(&["import", &file, "--batch", "plain"]);
    assert_eq!(taken.code, 0, "{taken:?}");
    std::fs::write(fleet.path("one.jsonl"), format!("{}\n", Value::from(text("one")))).unwrap();
    let one = fleet.path("one.jsonl").display().to_string();
    assert_eq!(fleet.cli(&["import", &one, "--batch", "one"]).code, 0);
    let late = fleet.cli(&["import", &one, "--batch", "one", "--pilot", "1"]);
    assert_eq!(late.code, 6, "{late:?}");
    assert!(late.stderr.contains("is not new"), "{late:?}");
}
