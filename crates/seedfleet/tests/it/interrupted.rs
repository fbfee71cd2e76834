//! `import`, broken off at any moment and repeated: each row is one job, and none is missing.
//!
//! The rows come through a pipe whose end is kept back, so that a run cannot be over before it is broken off.

use crate::bench::Bench;
use sandbox::wait;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

const ROWS: u64 = 2_400;
const BOUND: Duration = Duration::from_secs(120);
/// The request that many rows make, without an id of their own.
const SAME: &str = "the same";

/// A file, and what it has to become.
#[derive(Default)]
struct Plan {
    text: String,
    /// The caller's ids of the jobs there must be, each once.
    customs: BTreeSet<String>,
    /// Lines that can never be taken in.
    wrong: BTreeSet<u64>,
    /// Pairs of lines that give one id to two requests: one of each is refused.
    clashes: Vec<[u64; 2]>,
}

fn request(custom_id: &str, prompt: &str, ratio: &str) -> String {
    format!(
        r#"{{"custom_id":"{custom_id}","model":"seedance-2.0-mini","content":[{{"type":"text","text":"{prompt}"}}],"ratio":"{ratio}"}}"#
    )
}

/// Good rows with all that goes wrong among them: rows that are no JSON, rows with a fault, rows that repeat the one
/// before, rows that take its id for another request, and one request again and again.
fn plan() -> Plan {
    let mut plan = Plan::default();
    // A good row that no other has to do with yet.
    let mut last: Option<(u64, String)> = None;
    for n in 1..=ROWS {
        let custom = format!("row-{n}");
        let row = if n % 97 == 0 {
            plan.wrong.insert(n);
            r#"{"custom_id":"#.to_owned()
        } else if n % 101 == 0 {
            plan.wrong.insert(n);
            request(&custom, &format!("boat {n}"), "2:1")
        } else if n % 71 == 0 {
            format!(
                r#"{{"model":"seedance-2.0-mini","content":[{{"type":"text","text":"{SAME}"}}]}}"#
            )
        } else if let Some((before, its)) = last.take_if(|_| n % 53 == 0) {
            request(&its, &format!("boat {before}"), "16:9")
        } else if let Some((before, its)) = last.take_if(|_| n % 61 == 0) {
            plan.clashes.push([before, n]);
            request(&its, &format!("another boat {n}"), "16:9")
        } else {
            plan.customs.insert(custom.clone());
            last = Some((n, custom.clone()));
            request(&custom, &format!("boat {n}"), "16:9")
        };
        plan.text += &row;
        plan.text.push('\n');
    }
    plan
}

/// A run of the command.
struct Run {
    child: Child,
    /// Lets the rows end.
    end: Sender<()>,
    rows: JoinHandle<()>,
}

impl Run {
    fn begin(bench: &Bench, plan: &Plan) -> Self {
        let config = bench.path("config.toml");
        let mut child = Command::new(env!("CARGO_BIN_EXE_seedfleet"))
            .args(["--config", config.to_str().expect("it answers"), "-o", "json", "import", "-"])
            .args(["--batch", "spring"])
            .current_dir(bench.path(""))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it answers");
        let mut pipe = child.stdin.take().expect("it answers");
        let (end, wait_for_end) = channel();
        let text = plan.text.clone();
        let rows = std::thread::spawn(move || {
            let (most, last) = text.split_at(text.trim_end().rfind('\n').expect("it answers"));
            // A reader that was killed is what the test is about.
            let told = pipe.write_all(most.as_bytes()).is_ok() && wait_for_end.recv().is_ok();
            let _ = told && pipe.write_all(last.as_bytes()).is_ok();
        });
        Self { child, end, rows }
    }

    /// Waits until Redis has so many keys, a few for each job.
    fn until_keys(&mut self, bench: &Bench, keys: u64) {
        let look = || {
            assert_eq!(self.child.try_wait().expect("it answers"), None, "it waits for its rows");
            (size(bench) >= keys).then_some(())
        };
        wait::until("jobs in Redis", BOUND, look).expect("it answers");
    }

    /// How it ended, the rows kept back all the while.
    fn ended(self) -> Output {
        let output = self.child.wait_with_output().expect("it answers");
        drop(self.end);
        self.rows.join().expect("it answers");
        output
    }

    /// Lets the rows end.
    fn end(self) -> Output {
        // Nobody hears it where the run was over before.
        let _ = self.end.send(());
        self.ended()
    }
}

fn size(bench: &Bench) -> u64 {
    bench.redis.command(&["DBSIZE"]).expect("it answers").trim().parse().expect("it answers")
}

/// How often each id of the caller has a job; rows without one are counted as one id.
fn jobs(bench: &Bench) -> BTreeMap<Option<String>, u64> {
    let listed = bench.run(&["jobs", "list", "--limit", "0", "-o", "ndjson", "-q"]);
    assert_eq!(listed.code, 0, "{listed:?}");
    let mut jobs = BTreeMap::new();
    for job in listed.lines() {
        *jobs.entry(job["custom_id"].as_str().map(str::to_owned)).or_default() += 1;
    }
    jobs
}

/// Repeats the command until the end of its rows, and compares what is there with what has to be.
fn complete(bench: &Bench, plan: &Plan) {
    for again in [false, true] {
        let output = Run::begin(bench, plan).end();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "some rows are wrong: {stderr}");
        let told: Value = serde_json::from_slice(&output.stdout).expect("it answers");
        let count = |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("{name}: {told}"));
        assert_eq!((count("rows"), count("not_stored")), (ROWS, 0));
        let (new, known, refused) = (count("created"), count("existing"), count("rejected"));
        assert_eq!(new + known + refused, ROWS, "every row has its result: {told}");
        assert_eq!(refused, (plan.wrong.len() + plan.clashes.len()) as u64, "{told}");
        if again {
            assert_eq!(new, 0, "nothing is left to be made: {told}");
        }

        let rejects = bench.read("stdin.rejects.jsonl");
        let lines: BTreeSet<u64> = rejects
            .lines()
            .map(|line| {
                serde_json::from_str::<Value>(line).expect("it answers")["line"]
                    .as_u64()
                    .expect("it answers")
            })
            .collect();
        assert!(plan.wrong.is_subset(&lines), "{lines:?}");
        for pair in &plan.clashes {
            let refused = pair.iter().filter(|line| lines.contains(line)).count();
            assert_eq!(refused, 1, "one of {pair:?} is the job: {lines:?}");
        }
        assert_eq!(lines.len(), plan.wrong.len() + plan.clashes.len(), "{lines:?}");

        let customs = plan.customs.iter().cloned().map(Some);
        let wanted = customs.chain([None]).map(|custom| (custom, 1)).collect::<BTreeMap<_, _>>();
        assert_eq!(jobs(bench), wanted, "each row once, whatever befell the import");
    }
}

#[test]
fn an_import_that_is_killed_again_and_again_makes_each_row_one_job() {
    let (bench, plan) = (Bench::new(), plan());
    let begun = size(&bench);
    // Each is reached with rows that have come through the pipe: a job has three keys at least.
    for keys in [1, 300, 1_700, 3_100, 4_700, 6_000] {
        let mut run = Run::begin(&bench, &plan);
        run.until_keys(&bench, begun + keys);
        run.child.kill().expect("it answers");
        let ended = run.ended();
        assert_eq!(ended.status.code(), None, "it was killed: {ended:?}");
    }
    complete(&bench, &plan);
}

#[test]
fn an_import_that_is_interrupted_says_how_far_it_came_and_goes_on() {
    let (bench, plan) = (Bench::new(), plan());
    let begun = size(&bench);
    let mut run = Run::begin(&bench, &plan);
    run.until_keys(&bench, begun + 2_000);
    let pid = run.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().expect("it answers").success());
    let output = run.ended();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    for told in ["interrupted after line", "rows are safe", "import - --batch spring"] {
        assert!(stderr.contains(told), "{told}: {stderr}");
    }
    complete(&bench, &plan);
}

#[test]
fn an_import_whose_redis_dies_and_comes_back_makes_each_row_one_job() {
    let (bench, plan) = (Bench::new(), plan());
    let begun = size(&bench);
    let mut run = Run::begin(&bench, &plan);
    run.until_keys(&bench, begun + 2_000);
    bench.redis.restart().expect("it answers");
    // It waits a few seconds for Redis: a slow machine may take longer, and then the command is repeated.
    let output = run.end();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code();
    assert!(matches!(code, Some(3 | 7 | 75)), "{code:?}: {stderr}");
    assert!(code == Some(3) || stderr.contains("go on with: seedfleet import"), "{stderr}");
    complete(&bench, &plan);
}
