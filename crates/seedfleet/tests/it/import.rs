//! `import` and `submit`: good rows go through, bad ones are told, nothing is taken twice.

use crate::bench::{Bench, row};
use serde_json::Value;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

fn count(bench: &Bench) -> usize {
    let ended = bench.run(&["jobs", "list", "--limit", "0", "-o", "ndjson", "-q"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    ended.lines().len()
}

#[test]
fn bad_lines_are_told_and_good_ones_go_through() {
    let bench = Bench::new();
    let bad = r#"{"custom_id":"bad","model":"seedance-2.0","content":[{"type":"text","text":"x"}],"ratio":"2:1","duration":99}"#;
    let text = format!("{}\n{{not json\n\n{bad}\n{}\n", row(1), row(2));
    bench.write("prompts.jsonl", &text);
    let ended = bench.run(&["import", "prompts.jsonl", "-o", "json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let told = ended.json();
    assert_eq!(
        (&told["created"], &told["rejected"], &told["batch"]),
        (&2.into(), &2.into(), &"prompts".into())
    );
    let rejects: Vec<Value> = bench
        .read("prompts.rejects.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let places: Vec<(u64, &str)> = rejects
        .iter()
        .map(|r| (r["line"].as_u64().unwrap(), r["pointer"].as_str().unwrap()))
        .collect();
    assert_eq!(places, [(2, ""), (4, "/ratio"), (4, "/duration")], "{rejects:?}");
    assert_eq!(rejects[1]["custom_id"], "bad");
    for reject in &rejects {
        for field in ["code", "reason", "fix"] {
            assert!(reject[field].as_str().is_some_and(|text| !text.is_empty()), "{reject}");
        }
    }
    assert_eq!(count(&bench), 2);
}

#[test]
fn the_same_file_again_adds_nothing() {
    let bench = Bench::new();
    let text: String = (1..=450).map(|n| row(n) + "\n").collect();
    bench.write("rows.jsonl", &text);
    let first = bench.run(&["import", "rows.jsonl", "-o", "json"]);
    assert_eq!((first.code, first.json()["created"].as_u64()), (0, Some(450)), "{first:?}");
    let again = bench.run(&["import", "rows.jsonl", "-o", "json"]);
    assert_eq!((again.code, again.json()["created"].as_u64()), (0, Some(0)), "{again:?}");
    assert_eq!(again.json()["existing"], 450);
    assert_eq!(count(&bench), 450);
    assert!(!bench.path("rows.rejects.jsonl").exists(), "nothing was refused");
}

#[test]
fn equal_rows_are_one_job_unless_they_are_wanted() {
    let bench = Bench::new();
    let same = r#"{"model":"seedance-2.0-mini","content":[{"type":"text","text":"same"}]}"#;
    bench.write("same.jsonl", &format!("{same}\n{same}\n{same}"));
    let skipped = bench.run(&["import", "same.jsonl", "-o", "json"]).json();
    assert_eq!((&skipped["created"], &skipped["existing"]), (&1.into(), &2.into()));
    for created in [2, 0] {
        let kept =
            bench.run(&["import", "same.jsonl", "--duplicates", "keep", "-o", "json"]).json();
        assert_eq!(kept["created"], created, "{kept}");
    }
    assert_eq!(count(&bench), 3);
}

#[test]
fn a_row_that_changed_under_its_custom_id_is_refused() {
    let bench = Bench::new();
    bench.write("a.jsonl", &row(1));
    assert_eq!(bench.run(&["import", "a.jsonl"]).code, 0);
    bench.write("a.jsonl", &row(1).replace("boat 1", "another boat"));
    let ended = bench.run(&["import", "a.jsonl"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(bench.read("a.rejects.jsonl").contains("idempotency-key-reused"));
    assert_eq!(count(&bench), 1);
}

#[test]
fn a_dry_run_takes_nothing_in() {
    let bench = Bench::new();
    bench.write("a.jsonl", &format!("{}\n{{}}\n", row(1)));
    let ended = bench.run(&["import", "a.jsonl", "--dry-run", "-o", "json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!((&ended.json()["valid"], &ended.json()["rejected"]), (&1.into(), &1.into()));
    assert_eq!(count(&bench), 0);
}

#[test]
fn a_file_that_may_cost_more_than_agreed_is_not_begun() {
    let bench = Bench::new();
    bench.write("a.jsonl", &format!("{}\n{}\n", row(1), row(2)));
    let judged = bench.run(&["import", "a.jsonl", "--dry-run", "-o", "json"]).json();
    let cost =
        judged["cost_estimated"].as_str().unwrap().split(' ').next_back().unwrap().to_owned();
    let refused = bench.run(&["import", "a.jsonl", "--max-cost", "0.000001"]);
    assert_eq!(refused.code, 9, "{refused:?}");
    assert!(refused.stderr.contains(&format!("2 good rows would cost up to USD {cost}")));
    assert!(refused.stderr.contains("no row was taken in"), "{refused:?}");
    assert_eq!(count(&bench), 0);
    for pipe in ["-", "/dev/stdin"] {
        let piped = bench.run(&["import", pipe, "--max-cost", "1"]);
        assert!(piped.code == 2 && piped.stderr.contains("is read once"), "{piped:?}");
    }
    assert_eq!(count(&bench), 0);
    let agreed = bench.run(&["import", "a.jsonl", "--max-cost", &cost, "-o", "json"]);
    assert_eq!((agreed.code, &agreed.json()["created"]), (0, &2.into()), "{agreed:?}");
}

#[test]
fn what_is_one_job_costs_once() {
    let bench = Bench::new();
    let same = r#"{"model":"seedance-2.0-mini","content":[{"type":"text","text":"same"}]}"#;
    let named = same.replacen('{', r#"{"custom_id":"one","#, 1);
    let other = named.replace("same", "another");
    bench.write("one.jsonl", same);
    bench.write("rows.jsonl", &format!("{same}\n{same}\n{named}\n{same}\n{other}\n"));
    let dry = |file: &str, more: &[&str]| {
        bench.run(&[&["import", file, "--dry-run", "-o", "json"][..], more].concat()).json()
    };
    let (one, judged) = (dry("one.jsonl", &[]), dry("rows.jsonl", &[]));
    assert_eq!(judged["cost_estimated"], one["cost_estimated"]);
    assert_eq!(judged["tokens_estimated"], one["tokens_estimated"]);
    let cost = one["cost_estimated"].as_str().unwrap().split(' ').next_back().unwrap();
    let taken = bench.run(&["import", "rows.jsonl", "--max-cost", cost, "-o", "json"]);
    // The last row has a name that stands for another request.
    assert_eq!(taken.code, 3, "{taken:?}");
    let counts = |told: &Value, new: &str| {
        [new, "existing", "rejected"].map(|field| told[field].as_u64().unwrap())
    };
    assert_eq!(counts(&taken.json(), "created"), [1, 3, 1]);
    assert_eq!(counts(&judged, "valid"), [1, 3, 1], "a dry run tells the same");
    assert!(bench.read("rows.rejects.jsonl").contains("idempotency-key-reused"));
    assert_eq!(count(&bench), 1);
    // Wanted repeats are paid for.
    let kept = dry("rows.jsonl", &["--duplicates", "keep"]);
    assert_eq!(counts(&kept, "valid"), [3, 1, 1], "{kept}");
}

#[test]
fn what_is_said_once_holds_for_rows_that_do_not_say_it() {
    let bench = Bench::new();
    let own = row(2).replacen('{', r#"{"priority":"high","#, 1);
    bench.write("a.jsonl", &format!("{}\n{own}\n", row(1)));
    let past = bench.run(&["import", "a.jsonl", "--useful-until", "2020-01-01"]);
    assert!(past.code == 2 && past.stderr.contains("has passed"), "{past:?}");
    let until = "2099-12-31T00:00:00Z";
    let more = ["--priority", "low", "--useful-until", until, "--take", "3"];
    let ended = bench.run(&[&["import", "a.jsonl"][..], &more].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    let listed = bench.run(&["jobs", "list", "-o", "ndjson", "-q"]).lines();
    let mut said: Vec<(String, Value, Value, Value)> = listed
        .iter()
        .map(|job| {
            let id = job["job"].as_str().unwrap();
            let shown = bench.run(&["jobs", "show", id, "-o", "json"]).json();
            let custom_id = shown["custom_id"].as_str().unwrap().to_owned();
            let [priority, take, until] =
                ["priority", "take", "useful_until"].map(|field| shown[field].clone());
            (custom_id, priority, take, until)
        })
        .collect();
    said.sort_by(|a, b| a.0.cmp(&b.0));
    let priorities: Vec<&str> = said.iter().filter_map(|row| row.1.as_str()).collect();
    assert_eq!(priorities, ["low", "high"], "{said:?}");
    for row in &said {
        assert_eq!(row.2, 3, "{said:?}");
        assert!(row.3.as_str().is_some_and(|at| at.starts_with("2099-12-31")), "{said:?}");
    }
}

#[test]
fn a_file_that_is_not_there_ends_with_5() {
    let ended = Bench::new().run(&["import", "nowhere.jsonl"]);
    assert_eq!(ended.code, 5, "{ended:?}");
    assert!(ended.stderr.contains("nowhere.jsonl"), "{ended:?}");
}

#[test]
fn one_job_is_submitted_once() {
    let bench = Bench::new();
    let args = ["submit", "-p", "a paper boat", "--model", "seedance-2.0-mini", "-o", "json"];
    let first = bench.run(&args);
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(
        (&first.json()["state"], &first.json()["simulated"]),
        (&"queued".into(), &true.into())
    );
    let again = bench.run(&args);
    assert_eq!(again.json()["job"], first.json()["job"]);
    assert_eq!(again.json()["existing"], "by its fingerprint");
    let take = bench.run(&[&args[..], &["--take", "2"]].concat());
    assert_ne!(take.json()["job"], first.json()["job"]);
}

#[test]
fn all_faults_of_a_request_are_told_at_once() {
    let bench = Bench::new();
    let ended =
        bench.run(&["submit", "-p", "boat --rs 720p", "--ratio", "2:1", "--duration", "99"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for pointer in ["/content/0/text", "/ratio", "/duration"] {
        assert!(ended.stderr.contains(pointer), "{pointer}: {ended:?}");
    }
    assert!(ended.stdout.is_empty());
    assert_eq!(count(&bench), 0);
}

#[test]
fn an_interrupted_import_says_how_to_go_on() {
    let bench = Bench::new();
    let config = bench.path("config.toml");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_seedfleet"))
        .args(["--config", config.to_str().unwrap(), "import", "-", "--batch", "typed"])
        .current_dir(bench.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut rows = child.stdin.take().unwrap();
    writeln!(rows, "{}", row(1)).unwrap();
    rows.flush().unwrap();
    sandbox::wait::until("the first row", Duration::from_secs(20), || {
        (count(&bench) == 1).then_some(())
    })
    .unwrap();
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("1 rows are safe"), "{stderr}");
    assert!(stderr.contains("seedfleet import - --batch typed"), "{stderr}");
    drop(rows);
}
