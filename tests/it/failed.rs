//! Failures on the command line: looked at by code, dismissed, made again, also where they have left Redis.

use e2e::kit::{Fleet, Options, text};
use job::{JobId, StateWord};
use serde_json::{Value, json};

const CODE: &str = "InternalServiceError";

/// A fleet whose provider fails every task that asks for a storm.
fn stormy(config: &str) -> Fleet {
    let mut options = Options::default().config(config);
    options.roles.insert(0, "gateway");
    let fleet = Fleet::start(options);
    let storm = json!({"kind": "failed", "code": CODE, "match": {"text": "storm"}});
    fleet.faults(&json!({"task": [storm]}));
    fleet
}

/// A batch of jobs with these prompts, named `row-0`, `row-1`, …
fn batch(fleet: &Fleet, name: &str, prompts: &[&str]) {
    let row = |(n, prompt): (usize, &&str)| {
        let row = text(prompt).with("custom_id", format!("row-{n}"));
        format!("{}\n", Value::from(row))
    };
    let rows: String = prompts.iter().enumerate().map(row).collect();
    let file = fleet.path(&format!("{name}.jsonl"));
    std::fs::write(&file, rows).unwrap();
    let ended = fleet.cli(&["import", file.to_str().unwrap(), "--batch", name]);
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// The jobs of a filter, as rows.
fn jobs(fleet: &Fleet, filter: &str) -> Vec<Value> {
    let listed = ["-o", "json", "jobs", "list", "--limit", "0", "--where", filter];
    fleet.cli(&listed).json().as_array().unwrap().clone()
}

fn until_ended(fleet: &Fleet, batch: &str, word: StateWord, jobs: u64) {
    let wanted = |counts: &Value| counts[word.as_str()] == jobs;
    fleet.until("its jobs have ended", || {
        let shown = fleet.cli(&["-o", "json", "batch", "show", batch]).json();
        wanted(&shown["counts"]).then_some(())
    });
}

/// Code and number, as `failed list` shows them.
fn groups(fleet: &Fleet, args: &[&str]) -> Vec<(String, u64)> {
    let listed = fleet.cli(&[&["-o", "json", "failed", "list"], args].concat());
    let row =
        |row: &Value| (row["code"].as_str().unwrap().to_owned(), row["jobs"].as_u64().unwrap());
    listed.json().as_array().unwrap().iter().map(row).collect()
}

#[test]
fn a_dismissed_failure_is_out_of_the_list_and_may_still_be_made_again() {
    let fleet = stormy("");
    batch(&fleet, "spring", &["storm one", "storm two", "calm"]);
    until_ended(&fleet, "spring", StateWord::Failed, 2);
    assert_eq!(groups(&fleet, &["--batch", "spring"]), [(CODE.to_owned(), 2)]);

    let dismiss = |more: &[&str]| fleet.cli(&[&["failed", "dismiss", CODE], more].concat());
    let asked = dismiss(&[]);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stderr.contains("2 failures would be dismissed"), "{asked:?}");
    let one = ["--where", "custom_id=row-0", "--reason", "a known prompt", "--by", "ann", "--yes"];
    let told = dismiss(&one);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("1 matched  1 dismissed  0 skipped"), "{told:?}");
    assert_eq!(groups(&fleet, &[]), [(CODE.to_owned(), 1)]);
    assert_eq!(groups(&fleet, &["--dismissed", "--batch", "spring"]), [(CODE.to_owned(), 1)]);
    assert_eq!(groups(&fleet, &["--all"]), [(CODE.to_owned(), 2)]);
    let note = fleet.cli(&["failed", "list"]).stderr;
    assert!(note.contains("1 more were dismissed"), "{note}");

    // Nothing of the job's truth has changed, and who did it stands in its timeline and in the audit.
    let row = jobs(&fleet, "dismissed=yes").remove(0);
    assert_eq!((&row["custom_id"], &row["state"]), (&json!("row-0"), &json!("failed")));
    let id = JobId::parse(row["job"].as_str().unwrap()).unwrap();
    let timeline = fleet.timeline(&id).join("\n");
    assert!(timeline.contains("dismissed by ann: a known prompt"), "{timeline}");
    let audit = fleet.cli(&["audit", "--alarms"]).stdout;
    assert!(audit.contains("a known prompt"), "{audit}");
    assert_eq!(fleet.cli(&["failed", "show", CODE, "-o", "id"]).stdout.lines().count(), 1);

    // What was dismissed is made again only when that is asked for.
    fleet.faults(&json!({}));
    let retry = |more: &[&str]| {
        let args = ["failed", "retry", CODE, "--reason", "the incident is over", "--yes"];
        fleet.cli(&[&args, more].concat())
    };
    let told = retry(&["--dismissed", "--batch", "spring"]);
    assert!(told.code == 0 && told.stdout.contains("1 matched  1 requeued  0 skipped"), "{told:?}");
    let told = retry(&[]);
    assert!(told.code == 0 && told.stdout.contains("1 matched  1 requeued  0 skipped"), "{told:?}");
    until_ended(&fleet, "spring", StateWord::Succeeded, 3);
    let again = retry(&[]);
    assert!(again.code == 6 && again.stdout.contains("0 requeued  1 skipped"), "{again:?}");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn failures_that_have_left_redis_are_told_with_the_way_to_them() {
    let fleet = stormy("[retention]\nredis_after = \"1s\"\nsweep_every = \"1s\"\n");
    batch(&fleet, "old", &["storm one", "storm two"]);
    until_ended(&fleet, "old", StateWord::Failed, 2);
    fleet.until("both have left Redis", || jobs(&fleet, "batch=old").is_empty().then_some(()));
    assert_eq!(groups(&fleet, &["--batch", "old"]), []);
    let listed = fleet.cli(&["failed", "list", "--batch", "old"]);
    assert!(listed.stderr.contains("2 failures have left Redis"), "{listed:?}");
    let all = fleet.cli(&["-o", "json", "failed", "list", "--all"]).json();
    assert_eq!((&all[0]["jobs"], &all[0]["archived"]), (&json!(2), &json!(2)), "{all}");
    let asked = fleet.cli(&["failed", "retry", CODE, "--batch", "old", "--reason", "x", "--yes"]);
    assert_eq!(asked.code, 0, "{asked:?}");
    assert!(asked.stderr.contains("2 failures have left Redis"), "{asked:?}");
    assert!(asked.stderr.contains("nothing was begun"), "{asked:?}");
    // The way that is told leads to them.
    let names = fleet.cli(&["export", "--state", "failed", "--code", CODE, "-o", "id"]).stdout;
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names.len(), 2, "{names:?}");
    fleet.faults(&json!({}));
    let one = fleet.cli(&["jobs", "retry", names[0], "--reason", "once more", "--yes"]);
    assert_eq!(one.code, 0, "{one:?}");
    assert!(one.stdout.contains("new"), "{one:?}");
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

/// What an import told, and its exit code.
fn import(fleet: &Fleet, file: &str, more: &[&str]) -> (i32, Value) {
    let file = fleet.path(file).display().to_string();
    let ended = fleet.cli(&[&["-o", "json", "import", file.as_str()], more].concat());
    (ended.code, ended.json())
}

/// What an import did with its rows: new, known, refused.
fn counts(told: &Value) -> [u64; 3] {
    ["created", "existing", "rejected"].map(|field| told[field].as_u64().unwrap())
}

fn rejects(fleet: &Fleet, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(fleet.path(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn mended_rows_are_linked_to_the_jobs_they_stand_in_place_of() {
    let fleet = stormy("");
    batch(&fleet, "spring", &["storm one", "storm, \"two\"", "calm"]);
    until_ended(&fleet, "spring", StateWord::Failed, 2);
    until_ended(&fleet, "spring", StateWord::Succeeded, 1);
    let lines = fleet.cli(&["failed", "export", "--batch", "spring", "-o", "jsonl"]).stdout;
    let rows: Vec<Value> = lines.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.len(), 2, "{lines}");
    for row in &rows {
        assert_eq!((&row["_code"], &row["_retryable"]), (&json!(CODE), &json!(true)), "{row}");
        assert!(row["_advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{row}");
        assert_eq!((&row["model"], &row["duration"]), (&json!("seedance-2.0"), &json!(4)));
    }

    // The same as a table; one prompt is mended, the other row goes as it is.
    let table = fleet.cli(&["failed", "export", CODE, "--batch", "spring", "-o", "csv"]);
    assert_eq!(table.code, 0, "{table:?}");
    let table = table.stdout;
    assert!(table.contains("\"storm, \"\"two\"\"\""), "{table}");
    std::fs::write(fleet.path("mend.csv"), table.replace("storm one", "sun one")).unwrap();
    fleet.faults(&json!({}));
    let mend = ["--retry-of", "spring"];
    let (code, judged) = import(&fleet, "mend.csv", &["--retry-of", "spring", "--dry-run"]);
    assert_eq!((code, &judged["valid"], &judged["rejected"]), (0, &json!(2), &json!(0)));
    let (code, told) = import(&fleet, "mend.csv", &mend);
    assert_eq!((code, counts(&told)), (0, [2, 0, 0]), "{told}");
    assert_eq!(told["batch"], "spring");
    let (code, told) = import(&fleet, "mend.csv", &mend);
    assert_eq!((code, counts(&told)), (0, [0, 2, 0]), "a second time adds nothing: {told}");
    until_ended(&fleet, "spring", StateWord::Succeeded, 3);

    for (custom_id, prompt, take) in [("row-0", "sun one", 1), ("row-1", "storm, \"two\"", 2)] {
        let found = jobs(&fleet, &format!("batch=spring custom_id={custom_id}"));
        let [new, old] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((&new["state"], &old["state"]), (&json!("succeeded"), &json!("failed")));
        let id = new["job"].as_str().unwrap();
        let shown = fleet.cli(&["-o", "json", "jobs", "show", id]).json();
        assert_eq!(shown["retry_of"], old["job"], "{shown}");
        assert_eq!((&shown["prompt"], &shown["take"]), (&json!(prompt), &json!(take)));
        let filter = format!("custom_id={custom_id} state=succeeded");
        let row = fleet.cli(&["-o", "json", "export", "--where", &filter]).json();
        assert_eq!(row[0]["retry_of"], old["job"], "{row}");
    }
    assert!(fleet.run(fleet.store().recount()).unwrap().drifts.is_empty());
}

#[test]
fn rows_whose_jobs_did_not_fail_are_refused() {
    let fleet = stormy("");
    batch(&fleet, "spring", &["storm one", "calm"]);
    until_ended(&fleet, "spring", StateWord::Failed, 1);
    until_ended(&fleet, "spring", StateWord::Succeeded, 1);
    // Nothing that is taken in from here on comes to an end.
    fleet.faults(&json!({"task": [{"kind": "stuck"}]}));
    let row = |name: &str, prompt: &str| Value::from(text(prompt).with("custom_id", name));
    let rows = |rows: &[Value]| {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(fleet.path("mend.jsonl"), lines).unwrap();
    };
    rows(&[row("row-0", "sun one"), row("row-1", "calmer"), row("row-9", "nobody's")]);
    let (code, told) = import(&fleet, "mend.jsonl", &["--retry-of", "spring", "--dry-run"]);
    assert_eq!((code, &told["valid"], &told["rejected"]), (3, &json!(1), &json!(2)), "{told}");
    let (code, told) = import(&fleet, "mend.jsonl", &["--retry-of", "spring"]);
    assert_eq!((code, counts(&told)), (3, [1, 0, 2]), "{told}");
    let codes: Vec<Value> =
        rejects(&fleet, "mend.rejects.jsonl").iter().map(|row| row["code"].clone()).collect();
    assert_eq!(codes, ["not-failed", "no-job-to-mend"]);
    // Another change of mind about a job that was mended, and goes on.
    rows(&[row("row-0", "sun two")]);
    let (code, told) = import(&fleet, "mend.jsonl", &["--retry-of", "spring"]);
    assert_eq!((code, counts(&told)), (3, [0, 0, 1]), "{told}");
    let why = rejects(&fleet, "mend.rejects.jsonl").remove(0);
    let open = jobs(&fleet, "custom_id=row-0 batch=spring").remove(0);
    let reason = why["reason"].as_str().unwrap();
    assert!(reason.contains(open["job"].as_str().unwrap()), "{why}");
    assert_eq!(jobs(&fleet, "custom_id=row-0").len(), 2, "nothing more was bought");
    let file = fleet.path("mend.jsonl").display().to_string();
    let none = fleet.cli(&["import", &file, "--retry-of", "none"]);
    assert_eq!(none.code, 5, "{none:?}");
}

#[test]
fn a_row_without_a_name_is_found_by_the_job_it_names_or_by_its_request() {
    let fleet = stormy("");
    let rows = ["storm one", "storm two"].map(|prompt| format!("{}\n", Value::from(text(prompt))));
    std::fs::write(fleet.path("bare.jsonl"), rows.concat()).unwrap();
    assert_eq!(import(&fleet, "bare.jsonl", &[]).0, 0);
    until_ended(&fleet, "bare", StateWord::Failed, 2);
    fleet.faults(&json!({}));
    // The first is mended where it was exported, the second is sent as it was.
    let exported = fleet.cli(&["failed", "export", "--batch", "bare"]).stdout;
    let first = exported.lines().find(|row| row.contains("storm one")).unwrap();
    let both = format!("{}\n{}", first.replace("storm one", "sun one"), rows[1]);
    std::fs::write(fleet.path("mend.jsonl"), both).unwrap();
    let (code, told) = import(&fleet, "mend.jsonl", &["--retry-of", "bare"]);
    assert_eq!((code, counts(&told)), (0, [2, 0, 0]), "{told}");
    let (code, told) = import(&fleet, "mend.jsonl", &["--retry-of", "bare"]);
    assert_eq!((code, counts(&told)), (0, [0, 2, 0]), "{told}");
    until_ended(&fleet, "bare", StateWord::Succeeded, 2);
    let exported = fleet.cli(&["-o", "json", "export", "--batch", "bare"]).json();
    let linked = exported.as_array().unwrap().iter().filter(|row| !row["retry_of"].is_null());
    assert_eq!(linked.count(), 2, "{exported}");
}

#[test]
fn a_stored_video_is_opened_and_its_job_copied() {
    let fleet = stormy("");
    batch(&fleet, "b", &["calm", "storm"]);
    until_ended(&fleet, "b", StateWord::Succeeded, 1);
    until_ended(&fleet, "b", StateWord::Failed, 1);
    let id = |filter: &str| jobs(&fleet, filter).remove(0)["job"].as_str().unwrap().to_owned();
    let (good, bad) = (id("state=succeeded"), id("state=failed"));
    let opened = fleet.cli(&["jobs", "open", &good]);
    assert_eq!(opened.code, 0, "{opened:?}");
    let path = opened.stdout.trim().strip_prefix("file://").expect("a file's link");
    assert!(std::fs::metadata(path).unwrap().len() > 0, "{opened:?}");
    let frame = fleet.cli(&["jobs", "open", &good, "--last-frame"]);
    assert!(frame.code == 0 && frame.stdout.trim().ends_with(".png"), "{frame:?}");
    let none = fleet.cli(&["jobs", "open", &bad]);
    assert!(none.code == 6 && none.stderr.contains("it is failed"), "{none:?}");

    let copy = |more: &[&str]| fleet.cli(&[&["-o", "json", "jobs", "clone", &good], more].concat());
    let asked = copy(&[]);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stderr.contains("would cost about USD"), "{asked:?}");
    for take in [2, 3] {
        let told = copy(&["--yes"]).json();
        assert_eq!((&told["take"], &told["copy_of"]), (&json!(take), &json!(good)), "{told}");
        assert_eq!(told["existing"], Value::Null, "{told}");
    }
    let change = ["--set", "prompt=calmer", "--set", "duration=5", "--yes"];
    let told = copy(&change).json();
    let shown = fleet.cli(&["-o", "json", "jobs", "show", told["job"].as_str().unwrap()]).json();
    assert_eq!((&shown["prompt"], &shown["duration_s"]), (&json!("calmer"), &json!(5)), "{shown}");
    assert_eq!((&shown["custom_id"], &shown["take"]), (&Value::Null, &json!(1)));
    let again = copy(&change);
    assert_eq!((again.code, &again.json()["job"]), (0, &told["job"]), "{again:?}");
    assert!(again.stderr.contains("exists already"), "{again:?}");
    let wrong = copy(&["--set", "duration=99", "--yes"]);
    assert!(wrong.code == 3 && wrong.stderr.contains("/duration"), "{wrong:?}");
}
