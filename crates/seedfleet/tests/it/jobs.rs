//! `jobs`, `review`, `doubt` and `export` on jobs nobody works on.

use crate::bench::{Bench, row};

fn three() -> Bench {
    let bench = Bench::new();
    bench.write("b.jsonl", &[row(1), row(2), row(3)].join("\n"));
    assert_eq!(bench.run(&["import", "b.jsonl"]).code, 0);
    bench
}

fn ids(bench: &Bench) -> Vec<String> {
    let rows = bench.run(&["jobs", "list", "-o", "ndjson", "-q"]).lines();
    rows.iter().map(|row| row["job"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn lists_come_in_every_form() {
    let bench = three();
    let table = bench.run(&["jobs", "list"]);
    assert_eq!(table.stdout.lines().count(), 4, "{table:?}");
    assert!(table.stdout.starts_with("JOB"), "{table:?}");
    assert!(!table.stdout.contains('\u{1b}'), "no colours in a pipe: {table:?}");
    let json = bench.run(&["jobs", "list", "-o", "json"]).json();
    assert_eq!(json.as_array().map(Vec::len), Some(3));
    assert_eq!(bench.run(&["jobs", "list", "-o", "ndjson"]).lines().len(), 3);
    let csv = bench.run(&["jobs", "list", "-o", "csv"]);
    assert!(csv.stdout.starts_with("job,state,"), "{csv:?}");
    assert_eq!(csv.stdout.lines().count(), 4, "{csv:?}");
    let none = bench.run(&["jobs", "list", "--state", "failed", "-o", "json"]);
    assert_eq!((none.code, none.json()), (0, serde_json::json!([])));
    let wide = bench.run(&["jobs", "list", "-o", "wide"]);
    assert!(wide.stdout.lines().next().is_some_and(|head| head.contains("TENANT")), "{wide:?}");
    let names = bench.run(&["jobs", "list", "-o", "id"]).stdout;
    assert!(
        names.lines().count() == 3 && names.lines().all(|id| id.starts_with("job_")),
        "{names}"
    );
    assert_eq!(bench.run(&["export", "-o", "id"]).stdout.lines().count(), 3);
}

#[test]
fn fields_are_chosen_in_every_form_and_an_unknown_one_is_told_the_known() {
    let bench = three();
    let csv = bench.run(&["jobs", "list", "--fields", "custom_id,state", "-o", "csv"]);
    assert_eq!(csv.stdout.lines().next(), Some("custom_id,state"));
    let bare = bench.run(&["jobs", "list", "--fields", "state", "--no-headers"]);
    assert_eq!(bare.stdout, "queued\nqueued\nqueued\n", "{bare:?}");
    let id = ids(&bench).remove(0);
    let shown = bench.run(&["jobs", "show", &id, "--fields", "state", "-o", "json"]).json();
    assert_eq!(shown, serde_json::json!({"state": "queued"}));
    let unknown = bench.run(&["jobs", "list", "--fields", "statee"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (2, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("there are: job, state,"), "{unknown:?}");
}

#[test]
fn a_job_is_followed_step_by_step_to_its_end() {
    let bench = three();
    let id = ids(&bench).remove(0);
    let early = bench.run(&["jobs", "watch", &id, "--timeout", "0s"]);
    assert_eq!(early.code, 8, "{early:?}");
    assert!(early.stdout.contains("accepted"), "{early:?}");
    assert_eq!(bench.run(&["jobs", "cancel", &id]).code, 0);
    let followed = bench.run(&["jobs", "watch", &id, "-o", "ndjson"]);
    assert_eq!(followed.code, 1, "not every job succeeded: {followed:?}");
    let steps: Vec<_> = followed.lines().iter().map(|line| line["state"].clone()).collect();
    assert_eq!(steps, ["queued", "cancelled"]);
}

#[test]
fn shells_learn_to_complete_it() {
    let bench = Bench::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = bench.run(&["completions", shell]);
        assert!(script.code == 0 && script.stdout.contains("export"), "{shell}: {script:?}");
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let (bench, dir) = (Bench::new(), sandbox::TempDir::new("man").unwrap());
    let folder = dir.path().to_str().unwrap();
    let written = bench.run(&["man", folder]);
    assert_eq!(written.code, 0, "{written:?}");
    for (page, says) in [
        ("seedfleet.1", "seedfleet\\-import"),
        ("seedfleet-import.1", "\\-\\-dry\\-run"),
        ("seedfleet-jobs-retry.1", "seedfleet\\-jobs\\-retry"),
    ] {
        let text = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(text.contains(says), "{page}: {text}");
    }
    let nowhere = bench.run(&["man", &format!("{folder}/none")]);
    assert!(nowhere.code == 1 && nowhere.stderr.contains("that is there"), "{nowhere:?}");
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let bench = three();
    let first = bench.run(&["jobs", "list", "--limit", "2", "-o", "ndjson"]);
    let cursor = first.stderr.split("--cursor ").nth(1).expect("a cursor").trim().to_owned();
    let second = bench.run(&["jobs", "list", "--limit", "2", "--cursor", &cursor, "-o", "ndjson"]);
    let mut seen: Vec<_> = [first.lines(), second.lines()].concat();
    seen.sort_by_key(|row| row["custom_id"].as_str().unwrap().to_owned());
    let seen: Vec<_> = seen.iter().map(|row| row["custom_id"].as_str().unwrap()).collect();
    assert_eq!(seen, ["row-1", "row-2", "row-3"]);
}

#[test]
fn a_job_is_shown_with_its_timeline() {
    let bench = three();
    let id = ids(&bench).remove(0);
    let shown = bench.run(&["jobs", "show", &id, "-o", "json"]).json();
    assert_eq!(shown["state"], "queued");
    assert_eq!(shown["timeline"][0]["what"], "accepted");
    assert!(bench.run(&["jobs", "show", &id]).stdout.contains("accepted"));
    let ended = bench.run(&["jobs", "show", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV"]);
    assert_eq!(ended.code, 5, "{ended:?}");
}

#[test]
fn what_waits_is_cancelled_unpaid() {
    let bench = three();
    let id = ids(&bench).remove(0);
    let one = bench.run(&["jobs", "cancel", &id, "-o", "json"]);
    assert_eq!((one.code, &one.json()[0]["state"]), (0, &"cancelled".into()), "{one:?}");
    assert_eq!(bench.run(&["jobs", "cancel", &id]).code, 0, "asked twice is asked once");
    let asked = bench.run(&["jobs", "cancel", "--batch", "b"]);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stderr.contains("2 unfinished jobs"), "{asked:?}");
    let why = bench.run(&["jobs", "cancel", "--batch", "b", "--yes"]);
    assert!(why.code == 2 && why.stderr.contains("--reason is missing"), "{why:?}");
    // No gateway is there: the command carries its operation out itself.
    let told = bench.run(&["jobs", "cancel", "--batch", "b", "--reason", "a wrong file", "--yes"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("2 matched  2 asked to stop  0 skipped"), "{told:?}");
    assert!(told.stderr.contains("no gateway"), "{told:?}");
    let id = told.stdout.split_whitespace().nth(1).expect("an operation");
    let watched = bench.run(&["operations", "watch", id]);
    assert!(watched.code == 0 && watched.stdout == told.stdout, "{watched:?}");
    let listed = bench.run(&["operations", "list", "-o", "json"]).json();
    assert_eq!((&listed[0]["state"], &listed[0]["changed"]), (&"done".into(), &2.into()));
    assert_eq!(bench.run(&["operations", "show", "op_none"]).code, 5);
    let waited = bench.run(&["jobs", "wait", "--batch", "b", "-o", "json"]);
    assert_eq!((waited.code, &waited.json()["cancelled"]), (1, &3.into()), "{waited:?}");
}

#[test]
fn a_wait_ends_at_its_time_and_the_work_goes_on() {
    let bench = three();
    let id = ids(&bench).remove(0);
    let ended = bench.run(&["jobs", "wait", &id, "--timeout", "100ms"]);
    assert_eq!(ended.code, 8, "{ended:?}");
    assert!(ended.stderr.contains("queued 1"), "{ended:?}");
    assert_eq!(bench.run(&["jobs", "wait", "--batch", "none"]).code, 5);
}

#[test]
fn a_held_job_waits_for_a_person() {
    let bench = Bench::new();
    bench.configure("http://127.0.0.1:9/api/v3", "[review]\nrequire = \"always\"");
    bench.write("b.jsonl", &[row(1), row(2)].join("\n"));
    let taken = bench.run(&["import", "b.jsonl", "-o", "json"]).json();
    assert_eq!(taken["held"], 2);
    let held = bench.run(&["review", "list", "-o", "ndjson"]).lines();
    let id = |n: usize| held[n]["job"].as_str().unwrap();
    let yes = bench.run(&["review", "approve", id(0), "-o", "json"]);
    assert_eq!((yes.code, &yes.json()[0]["state"]), (0, &"queued".into()), "{yes:?}");
    assert_eq!(bench.run(&["review", "approve", id(0)]).code, 6, "it is not held any more");
    let no = bench.run(&["review", "reject", id(1), "--reason", "logo", "--by", "ann"]);
    assert_eq!(no.code, 0, "{no:?}");
    let shown = bench.run(&["jobs", "show", id(1), "-o", "json"]).json();
    assert_eq!((&shown["state"], &shown["reason"]), (&"rejected".into(), &"by ann: logo".into()));
}

#[test]
fn doubts_are_decided_only_where_there_is_doubt() {
    let bench = three();
    let id = ids(&bench).remove(0);
    assert_eq!(bench.run(&["doubt", "list", "-o", "json"]).json(), serde_json::json!([]));
    for verb in [&["resend"][..], &["give-up"]] {
        let ended = bench.run(&[&["doubt"], verb, &[&id, "--reason", "x", "--yes"]].concat());
        assert_eq!(ended.code, 6, "{verb:?}: {ended:?}");
    }
    let adopt = bench.run(&["doubt", "adopt", &id, "cgt-1", "--reason", "x", "--yes"]);
    assert_eq!(adopt.code, 6, "{adopt:?}");
}

#[test]
fn an_export_has_a_row_for_every_job() {
    let bench = three();
    let rows = bench.run(&["export", "--batch", "b", "-q"]).lines();
    assert_eq!(rows.len(), 3);
    assert_eq!((&rows[0]["state"], &rows[0]["simulated"]), (&"queued".into(), &true.into()));
    assert!(rows[0]["video"].is_null());
    let csv = bench.run(&["export", "-o", "csv", "-q"]).stdout;
    assert!(csv.starts_with("custom_id,job_id,state,video,"), "{csv}");
    assert_eq!(csv.lines().count(), 4);
}
