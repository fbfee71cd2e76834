//! `docs/evidence.md`: what was run, where, and what came of it. Only runs write it.
//!
//! The page keeps each run's result as one JSON line; every new run is added to those and the rest of
//! the page is made anew from all of them, so that the sums are sums of what stands below.

use super::Order;
use super::verdict::Verdict;
use job::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers that are added up over all runs.
const SUMS: &[(&str, &str)] = &[
    ("jobs", "jobs taken in"),
    ("kills", "programs killed"),
    ("creates", "create calls that arrived whole"),
    ("doubtful", "doubtful creates"),
    ("doubtful_with_task", "of them with a task at the provider"),
    ("doubtful_adopted", "of these adopted by their own job"),
    ("adopted", "tasks adopted after a doubt, or answered late by their submitter"),
    ("wrong_adoptions", "wrong adoptions"),
    ("resent", "proven absent and sent again"),
    ("parked", "parked at the end"),
    ("needs_person", "of them waiting for a person's judgment"),
    ("stored", "videos stored and compared byte by byte"),
    ("failed", "ended without a video, unpaid"),
    ("duplicates", "**bought twice**"),
    ("lost", "**jobs lost**"),
    ("outputs_lost", "**paid outputs lost**"),
    ("over_limit_windows", "windows over a limit"),
    ("power_cuts", "power cuts of the server"),
    ("rollbacks", "rollbacks of the server to an older state"),
];

const HEAD: &str = "\
# Evidence

Written by `cargo xtask campaign --write-evidence`; every run that was told to be written down stands
here, good or not. A run whose harness was wrong, and not the fleet, is taken back: its line says why
(`taken_back`), it is shown apart and counts nowhere. What a run is, which faults it plays and what its audit compares is told in
`tests/src/campaign/` and by the run itself, which prints its limits and time-outs. Repeat the short one with

```sh
cargo xtask campaign --jobs 2000 --kills 200 --seed 1
```

A run is judged by the simulator's ledger, a file that no program of the fleet writes or reads. A job
counts as bought twice if the ledger shows a second task for its request. *Parked at the end* counts jobs
whose first send and whose one re-send were both proven to have bought nothing, which is where policy
`balanced` stops by its own rule; *waiting for a person's judgment* are those where evidence is missing or
contradicts itself (and, under `strict`, every doubtful create that left no task).
";

/// Adds a run to the page.
///
/// # Errors
///
/// It cannot be read or written.
pub(super) fn add(page: &Path, order: &Order, verdict: &Verdict) -> Result<(), String> {
    // Two campaigns may end at the same time and write the same page.
    let open = std::fs::OpenOptions::new().create(true).append(true).open(page);
    let held =
        open.and_then(|file| file.lock().map(|()| file)).map_err(|error| error.to_string())?;
    let before = std::fs::read_to_string(page).map_err(|error| error.to_string())?;
    let mut runs = runs(&before);
    let mut run = verdict.numbers.clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let now = Timestamp::from_unix_ms(i64::try_from(now).unwrap_or(0));
    run["date"] = json!(now.rfc3339());
    run["command"] = json!(order.command);
    run["machine"] = json!(sandbox::machine::told());
    runs.push(run);
    std::fs::write(page, written(&runs)).map_err(|error| error.to_string())?;
    drop(held);
    Ok(())
}

/// The results that a page holds.
fn runs(page: &str) -> Vec<Value> {
    let lines = page.lines().filter(|line| line.starts_with("{\"seed\""));
    lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn written(all: &[Value]) -> String {
    let mut page = HEAD.to_owned();
    let is_back = |run: &&Value| run["taken_back"].is_string();
    let runs: Vec<Value> = all.iter().filter(|run| !is_back(run)).cloned().collect();
    let back: Vec<&Value> = all.iter().filter(is_back).collect();
    let runs = runs.as_slice();
    let number = |run: &Value, key: &str| run[key].as_u64().unwrap_or(0);
    let _ =
        write!(page, "\n## All {} runs together\n\n| What | Sum |\n| --- | --- |\n", runs.len());
    for (key, words) in SUMS {
        let sum: u64 = runs.iter().map(|run| number(run, key)).sum();
        let _ = writeln!(page, "| {words} | {} |", grouped(sum));
    }
    bound(&mut page, runs);
    aims(&mut page, runs);
    let _ = write!(
        page,
        "\n## Each run\n\n| Seed | What | Policy, fsync, fence | Jobs | Kills | Doubtful | Adopted | p95 by list, by callback | \
         Duplicates | Lost | Outputs lost | Seconds | Verdict |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for run in runs {
        let word = |key: &str| run[key].as_str().unwrap_or("?").to_owned();
        let p95 = |key: &str| {
            run[key].as_u64().map_or("–".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1000.0))
        };
        let _ = writeln!(
            page,
            "| {} | {} | {}, {}, {} | {} | {} | {} | {} | {}, {} | {} | {} | {} | {} | {} |",
            number(run, "seed"),
            kind(run),
            word("policy"),
            word("fsync"),
            word("fence"),
            grouped(number(run, "jobs")),
            grouped(number(run, "kills")),
            grouped(number(run, "doubtful")),
            grouped(number(run, "adopted")),
            p95("p95_ms_by_list"),
            p95("p95_ms_by_callback"),
            number(run, "duplicates"),
            number(run, "lost"),
            number(run, "outputs_lost"),
            run["seconds"],
            word("verdict"),
        );
    }
    page.push_str(
        "\nTimes are real seconds of runs whose time-outs are shortened by the factor each run names: the \
         provider's list lag, for one, is 25 s divided by it. Adopted by list: from the doubt on; by callback: from the doubt \
         or, if that is later, from the task's first callback that was taken in. Runs of the commits 714061b and \
         fc06dd3 count both from the doubt on.\n",
    );
    faults(&mut page, runs);
    taken_back(&mut page, &back);
    page.push_str("\n## As the tool wrote them\n\n```json\n");
    for run in all {
        let _ = writeln!(page, "{run}");
    }
    page.push_str("```\n");
    page
}

/// What sort of day a run plays.
fn kind(run: &Value) -> String {
    let doubts = run["doubts"].as_array().filter(|doubts| !doubts.is_empty());
    let doubts =
        doubts.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "));
    let day = match (run["rolling"].as_bool(), doubts) {
        (Some(true), _) => "fair, all restarted in turn".to_owned(),
        (_, Some(doubts)) => format!("faults, {doubts}"),
        (_, None) => "faults".to_owned(),
    };
    match run["shortened_by"].as_u64() {
        Some(1) => format!("{day}; real time-outs"),
        _ => day,
    }
}

/// What zero failures in so many trials say: three in the number of trials, at 95 %.
fn bound(page: &mut String, runs: &[Value]) {
    let sum = |key: &str| -> u64 { runs.iter().filter_map(|run| run[key].as_u64()).sum() };
    let (duplicates, doubtful, kills) = (sum("duplicates"), sum("doubtful"), sum("kills"));
    if duplicates == 0 && doubtful > 0 && kills > 0 {
        let _ = writeln!(
            page,
            "\nNo duplicate in {} doubtful creates and {} kills: at 95 % confidence fewer than {:.1e} duplicates per \
             doubtful create and {:.1e} per kill.",
            grouped(doubtful),
            grouped(kills),
            3.0 / doubtful as f64,
            3.0 / kills as f64
        );
    }
}

/// How often a program was killed at the named point that was met least.
fn aims(page: &mut String, runs: &[Value]) {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in runs.iter().filter_map(|run| run["faults"].as_object()).flatten() {
        let point = name.strip_prefix("kill.").filter(|point| point.contains('.'));
        if let Some(point) = point {
            *sums.entry(point).or_default() += count.as_u64().unwrap_or(0);
        }
    }
    if let Some((point, least)) = sums.iter().min_by_key(|(_, count)| **count) {
        let _ = writeln!(
            page,
            "\nPrograms were killed at {} named points, at each at least {} times (least often at `{point}`).",
            sums.len(),
            grouped(*least)
        );
    }
}

fn faults(page: &mut String, runs: &[Value]) {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in runs.iter().filter_map(|run| run["faults"].as_object()).flatten() {
        *sums.entry(name).or_default() += count.as_u64().unwrap_or(0);
    }
    page.push_str("\n## How often each fault really fired\n\n| Fault | Times |\n| --- | --- |\n");
    for (name, count) in sums {
        let _ = writeln!(page, "| `{name}` | {} |", grouped(count));
    }
}

/// Runs that count nowhere.
fn taken_back(page: &mut String, runs: &[&Value]) {
    if runs.is_empty() {
        return;
    }
    page.push_str(
        "\n## Taken back\n\n| Seed | What it said | Why it counts nowhere |\n| --- | --- | --- |\n",
    );
    for run in runs {
        let _ = writeln!(
            page,
            "| {} | {}: {} bought twice, {} lost, {} outputs lost | {} |",
            run["seed"],
            run["verdict"].as_str().unwrap_or("?"),
            run["duplicates"],
            run["lost"],
            run["outputs_lost"],
            run["taken_back"].as_str().unwrap_or_default(),
        );
    }
}

/// `12345` as `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_its_runs_and_adds_them_up() {
        let run = |seed: u64| json!({"seed": seed, "jobs": 1_000, "faults": {"redis.kill": 3}, "verdict": "pass"});
        let first = written(&[run(1)]);
        let mut all = runs(&first);
        all.push(run(2));
        let second = written(&all);
        assert_eq!(runs(&second).len(), 2);
        assert!(second.contains("| jobs taken in | 2,000 |"), "{second}");
        assert!(second.contains("| `redis.kill` | 6 |"), "{second}");
    }

    #[test]
    fn a_run_that_is_taken_back_is_shown_and_counts_nowhere() {
        let good = json!({"seed": 1, "jobs": 1_000, "lost": 0});
        let back = json!({"seed": 2, "jobs": 500, "lost": 2, "taken_back": "it asked too early"});
        let page = written(&[good, back]);
        assert!(
            page.contains("| jobs taken in | 1,000 |") && page.contains("All 1 runs"),
            "{page}"
        );
        assert!(page.contains("2 lost, null outputs lost | it asked too early |"), "{page}");
        assert_eq!(runs(&page).len(), 2);
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([grouped(7), grouped(1_000), grouped(1_234_567)], ["7", "1,000", "1,234,567"]);
    }
}
