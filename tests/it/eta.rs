//! When work will have ended: told for rows before they are taken in and for batches on their way, and plainly not told
//! where nobody can know.

use e2e::kit::{ALICE, BOUND, Fleet, Options, text};
use job::rounds;
use seedance::SlotClass;
use serde_json::{Value, json};
use std::time::Duration;

/// Four tasks at once, and creates in plenty.
const FEW: &str = "[pools.sim.accounts.a.limits.classes]\n\
                   \"2.0\" = { create_rpm = 6000, running = 4 }\n";

fn write_rows(fleet: &Fleet, name: &str, rows: usize) {
    let row = |n| format!("{}\n", Value::from(text(&format!("{name} {n}")).with("ratio", "16:9")));
    let rows: String = (0..rows).map(row).collect();
    std::fs::write(fleet.path(&format!("{name}.jsonl")), rows).unwrap();
}

fn import(fleet: &Fleet, name: &str) {
    let file = format!("{name}.jsonl");
    let taken = fleet.cli(&["import", &file, "--batch", name, "-q", "-o", "json"]);
    assert_eq!(taken.code, 0, "{taken:?}");
}

fn judged(fleet: &Fleet, file: &str) -> Value {
    let judged = fleet.cli(&["import", file, "--dry-run", "-q", "-o", "json"]);
    assert_eq!(judged.code, 0, "{judged:?}");
    judged.json()
}

fn shown(fleet: &Fleet, batch: &str) -> Value {
    let shown = fleet.cli(&["batch", "show", batch, "-q", "-o", "json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    shown.json()
}

/// The fleet has seen tasks of every kind take so long.
fn learn(fleet: &Fleet, each: Duration) {
    for class in rounds::classes_of(SlotClass::V20) {
        for _ in 0..rounds::SAMPLES_MIN {
            fleet.run(fleet.store().learn(&class, each)).unwrap();
        }
    }
}

fn says(eta: &Value, words: &str) {
    let said = eta["says"].as_str().unwrap_or_default();
    assert!(said.contains(words), "{words:?} is not in {eta}");
}

fn about(eta: &Value, s: f64) {
    let of =
        |name: &str| eta["seconds"][name].as_f64().unwrap_or_else(|| panic!("no {name}: {eta}"));
    assert!((of("middle") / s - 1.0).abs() < 0.15, "not about {s} s: {eta}");
    assert!(of("least") <= of("middle") && of("middle") <= of("most"), "{eta}");
}

#[test]
fn a_dry_run_tells_when_its_rows_would_have_ended_and_what_binds() {
    let fleet = Fleet::start(Options::empty().config(FEW));
    write_rows(&fleet, "spring", 200);
    write_rows(&fleet, "before", 100);
    let told = judged(&fleet, "spring.jsonl");
    let eta = &told["eta"];
    about(eta, 200.0 / 4.0 * 142.0);
    says(eta, "is assumed (`scaling.generate`)");
    assert_eq!((&eta["limited_by"], &eta["learned"]), (&json!("concurrency"), &json!(false)));
    assert_eq!(
        told["tokens_least"], told["tokens_estimated"],
        "the rows leave nothing to the model: {told}"
    );
    assert_eq!(told["cost_least"], told["cost_estimated"]);
    let width = |eta: &Value| {
        eta["seconds"]["most"].as_f64().unwrap() / eta["seconds"]["least"].as_f64().unwrap()
    };
    let wide = width(eta);

    learn(&fleet, Duration::from_secs(60));
    let told = judged(&fleet, "spring.jsonl");
    about(&told["eta"], 200.0 / 4.0 * 60.0);
    says(&told["eta"], "at concurrency 4, ");
    says(&told["eta"], "limit: concurrency, not our workers");
    assert!(width(&told["eta"]) < wide / 2.0, "what is learned is known better: {told}");

    import(&fleet, "before");
    let told = judged(&fleet, "spring.jsonl");
    assert_eq!(told["eta"]["jobs_ahead"], 100, "{told}");
    about(&told["eta"], 300.0 / 4.0 * 60.0);
    let set = ["limits", "set", "--class", "2.0", "--running", "2", "--reason", "others use it"];
    assert_eq!(fleet.cli(&set).code, 0);
    about(&judged(&fleet, "spring.jsonl")["eta"], 300.0 / 2.0 * 60.0);
    let rate = ["limits", "set", "--class", "2.0", "--create-rpm", "1", "--reason", "a slow day"];
    assert_eq!(fleet.cli(&rate).code, 0);
    let told = judged(&fleet, "spring.jsonl");
    about(&told["eta"], 300.0 * 60.0);
    assert_eq!(told["eta"]["limited_by"], "create_rate", "{told}");

    let pause = ["queue", "pause", "--stage", "submit", "--reason", "a look", "--yes"];
    let paused = fleet.cli(&pause);
    assert_eq!(paused.code, 0, "{paused:?}");
    let told = judged(&fleet, "spring.jsonl");
    says(&told["eta"], "no ETA yet: paused: ");
    assert_eq!(told["eta"]["seconds"], Value::Null);
    let table = fleet.cli(&["import", "spring.jsonl", "--dry-run", "-q"]);
    assert!(table.stdout.contains("no ETA yet: paused"), "{table:?}");
}

#[test]
fn a_batch_tells_when_it_will_have_ended_or_why_nobody_knows() {
    let options = Options { roles: vec!["gateway"], ..Options::default() };
    let fleet = Fleet::start(options.config(FEW));
    write_rows(&fleet, "summer", 40);
    import(&fleet, "summer");
    says(&shown(&fleet, "summer")["eta"], "no ETA yet: it is not learned yet");
    learn(&fleet, Duration::from_secs(60));
    about(&shown(&fleet, "summer")["eta"], 40.0 / 4.0 * 60.0);
    let told = fleet.get("/v1/batches/summer", ALICE).body;
    about(&told["eta"], 40.0 / 4.0 * 60.0);
    assert_eq!(told["eta"]["jobs_ahead"], 0, "its own jobs are not ahead of it: {told}");
    let listed = fleet.get("/v1/batches", ALICE).body;
    assert_eq!(listed["items"][0]["eta"], Value::Null, "a list does not reckon: {listed}");
    let page = fleet.logged_in(ALICE).get("/ui/batches/summer").text;
    assert!(page.contains("To go: about "), "{page}");

    // What comes later waits behind it.
    write_rows(&fleet, "later", 80);
    import(&fleet, "later");
    about(&shown(&fleet, "summer")["eta"], 40.0 / 4.0 * 60.0);
    let later = shown(&fleet, "later");
    assert_eq!(later["eta"]["jobs_ahead"], 40, "{later}");
    about(&later["eta"], 120.0 / 4.0 * 60.0);

    let pause = ["batch", "pause", "later", "--reason", "a look", "--by", "ann", "--yes"];
    assert_eq!(fleet.cli(&pause).code, 0);
    says(&shown(&fleet, "later")["eta"], "no ETA yet: the batch is paused by ann (a look)");
    let frozen = fleet.cli(&["freeze", "--reason", "a fire drill"]);
    assert_eq!(frozen.code, 0, "{frozen:?}");
    says(&shown(&fleet, "summer")["eta"], "no ETA yet: the pool is frozen");
    let cancel = ["batch", "cancel", "summer", "--reason", "enough", "--yes"];
    assert_eq!(fleet.cli(&cancel).code, 0);
    let over = fleet.until("the end", || {
        let shown = shown(&fleet, "summer");
        (shown["finished"] == 40).then_some(shown)
    });
    assert_eq!(over["eta"], Value::Null, "{over}");
}

#[test]
fn a_watch_writes_a_line_for_each_estimate_and_one_for_the_end() {
    let fleet = Fleet::start(Options { roles: vec!["poller", "downloader"], ..Options::default() });
    write_rows(&fleet, "watched", 6);
    import(&fleet, "watched");
    let watch = ["batch", "watch", "watched", "-q", "-o", "ndjson", "--every", "100ms"];
    let child = fleet.cli_child("watch", &[&watch[..], &["--timeout", "120s"]].concat());
    // Nothing moves before it has looked once.
    child.wait_for_line("\"eta\"", BOUND).unwrap_or_else(|missed| panic!("{missed}"));
    fleet.start_role("submitter");
    let ended = child.wait_bounded(BOUND * 2).and_then(|status| status.code());
    let watched = child.log();
    assert_eq!(ended, Some(0), "{watched}");
    let lines: Vec<Value> =
        watched.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (end, samples) = lines.split_last().unwrap();
    assert_eq!((&end["batch"], &end["succeeded"]), (&json!("watched"), &json!(6)), "{end}");
    assert!(!samples.is_empty(), "{watched}");
    for sample in samples {
        assert_eq!(sample["jobs"], 6, "{sample}");
        assert!(sample["finished"].as_u64().unwrap() < 6, "{sample}");
        assert!(sample["eta"]["says"].is_string(), "{sample}");
    }
    let wrong = fleet.cli(&["batch", "watch", "watched", "--every", "1ms"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("100ms to 1h"), "{wrong:?}");
}
