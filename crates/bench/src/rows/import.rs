//! A file taken in by the command line from end to end, and its operator's questions about what lies there then:
//! whole processes, from their start to their end.

use crate::figure::{Figure, percentile};
use crate::house::{normal, queued};
use crate::order::Order;
use crate::server::Counters;
use crate::stage::{BOUND, columns, cpu_us, request};
use e2e::kit::{Fleet, Options};
use job::{Cause, End, Filing, Life, Record, State, StateWord, Timestamp};
use sandbox::{machine, wait};
use seedance::Class;
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};
use store::ADMIT_MAX;

/// Rows of the usual file, and of the one that takes minutes.
const ROWS: usize = 100_000;
const MANY_ROWS: usize = 1_000_000;
/// How often each question is asked.
const ASKED: usize = 20;
/// Of so many jobs one failed, with one of these codes.
const FAILED_OF: usize = 100;
const CODES: [&str; 3] = ["InternalServiceError", "OutputVideoSensitive", "InputTextSensitive"];
const MIB: f64 = 1_048_576.0;

/// Files of the usual length.
///
/// # Panics
///
/// A row is refused, or Redis does not answer.
#[must_use]
pub fn usual(order: &Order) -> Vec<Figure> {
    let fleet = Fleet::start(Options::empty());
    taken_in(&fleet, order.sized(ROWS), order.runs)
}

/// One long file, again and again, and the questions.
///
/// # Panics
///
/// As [`usual`].
#[must_use]
pub fn million(order: &Order) -> Vec<Figure> {
    let rows = order.sized(MANY_ROWS);
    let mut figures: Vec<Figure> = Vec::new();
    // A Redis for each run: a million jobs are what the row is about.
    for left in (0..order.runs).rev() {
        let fleet = Fleet::start(Options::empty());
        let told = taken_in(&fleet, rows, 1);
        match figures.is_empty() {
            true => figures = told,
            false => {
                for (figure, told) in figures.iter_mut().zip(told) {
                    figure.samples.extend(told.samples);
                }
            }
        }
        if left == 0 {
            fleet.run(fail_some(&fleet, rows / FAILED_OF));
            figures.extend(questions(&fleet, rows + rows / FAILED_OF));
        }
    }
    figures
}

/// Each run has a file and a batch of its own, since equal requests are one job.
fn taken_in(fleet: &Fleet, rows: usize, runs: usize) -> Vec<Figure> {
    let mut first = Vec::new();
    let mut again = Vec::new();
    let mut redis_us = Vec::new();
    for run in 0..runs {
        let batch = format!("run-{run}");
        let file = write(fleet, &batch, rows);
        let before = Counters::of(fleet.redis());
        first.push(import(fleet, &file, &batch, rows));
        let spent = Counters::of(fleet.redis()).since(&before);
        redis_us.push(spent.cpu_us / rows as f64);
        assert_eq!(queued_jobs(fleet), ((run + 1) * rows) as u64, "every row is a job");
        again.push(import(fleet, &file, &batch, rows));
        assert_eq!(queued_jobs(fleet), ((run + 1) * rows) as u64, "and none is two");
        std::fs::remove_file(&file).expect("it is ours");
    }
    let ([rate, peak, own_us], [known, peak_again, _]) = (columns(&first), columns(&again));
    vec![
        Figure::new(format!("`import` of {rows} rows, end to end"), "rows/s", rate)
            .at_least(10_000.0)
            .noting("a new process to its end: every row read, judged, priced and stored with its identity; Redis syncs every write and shares the machine's cores"),
        Figure::new("most memory the process ever had", "MiB", peak).at_most(150.0),
        Figure::new("its processor time, per row", "µs", own_us),
        Figure::new("Redis processor time, per row", "µs", redis_us),
        Figure::new("the same file again: nothing is new", "rows/s", known),
        Figure::new("most memory the process ever had, the same file again", "MiB", peak_again)
            .at_most(150.0),
    ]
}

/// A file of requests, each with an id of its own.
fn write(fleet: &Fleet, batch: &str, rows: usize) -> String {
    let path = fleet.path(&format!("{batch}.jsonl"));
    let mut file = BufWriter::new(File::create(&path).expect("the folder is ours"));
    for n in 0..rows {
        let mut row = request(&format!("{batch} {n}"));
        row["custom_id"] = json!(format!("{batch}-{n}"));
        writeln!(file, "{row}").expect("there is room");
    }
    file.flush().expect("there is room");
    path.to_str().expect("a plain path").to_owned()
}

/// Rows a second, the most MiB the process had, and its processor time for each row, µs.
fn import(fleet: &Fleet, file: &str, batch: &str, rows: usize) -> [f64; 3] {
    let begun = Instant::now();
    let child = fleet.cli_child("import", &["-q", "-o", "json", "import", file, "--batch", batch]);
    let (mut peak_bytes, mut spent_us) = (0, 0.0_f64);
    let ended = wait::until("the end of an import", BOUND, || {
        // One that has ended tells its memory no more: the last look stands.
        if child.is_running() {
            peak_bytes = peak_bytes.max(machine::peak_bytes(child.pid()).unwrap_or(0));
            spent_us = spent_us.max(cpu_us(child.pid()));
        }
        child.exit_status().map(|status| (status, begun.elapsed()))
    });
    let (status, took) = ended.unwrap_or_else(|missed| panic!("{missed}"));
    assert!(status.success(), "{}", child.log_tail(20));
    [rows as f64 / took.as_secs_f64(), peak_bytes as f64 / MIB, spent_us / rows as f64]
}

fn queued_jobs(fleet: &Fleet) -> u64 {
    let counts = fleet.run(fleet.store().counts()).expect("Redis answers");
    counts.get(&StateWord::Queued).copied().unwrap_or(0)
}

/// Jobs of the first batch that ended badly.
async fn fail_some(fleet: &Fleet, jobs: usize) {
    let store = fleet.store();
    let now = store.now().await.expect("the clock");
    for first in (0..jobs).step_by(ADMIT_MAX) {
        let some = (first..jobs.min(first + ADMIT_MAX)).map(|n| failed(n, now));
        let some: Vec<Record> = some.collect();
        let back = store.restore(&some).await.expect("Redis answers");
        assert!(back.into_iter().all(|back| back), "each is new");
    }
}

fn failed(n: usize, now: Timestamp) -> Record {
    let mut record = queued(normal(&format!("failed {n}")), "sim", now);
    record.spec.batch = Some("run-0".to_owned());
    record.spec.custom_id = Some(format!("failed-{n}"));
    let cause = Cause {
        code: CODES[n % CODES.len()].to_owned(),
        class: Class::Output,
        message: "The provider's words about it, of a usual length.".to_owned(),
        task_existed: true,
    };
    let end = End::Failed { cause };
    let state = State::Finished { end, task: None, filing: Filing::Nothing, at: now };
    record.life = Life::begin(state, now);
    record
}

/// What an operator asks: the words of a command line, and how it ends.
fn questions(fleet: &Fleet, jobs: usize) -> Vec<Figure> {
    let show = ["failed", "show", CODES[0], "--where"];
    let list = ["jobs", "list", "--where"];
    let asked: [(&[&str], &str, i32); 14] = [
        (&["batch", "show"], "run-0", 0),
        // One look: by then its time is up.
        (&["batch", "watch", "--timeout", "0s"], "run-0", 8),
        (&["failed"], "list", 0),
        (&["failed", "list", "--batch"], "run-0", 0),
        (&["failed", "list", "--tenant"], "default", 0),
        (&show, "age<1d", 0),
        (&show, "batch=run-0 age<1d", 0),
        (&show, "custom_id=failed-3 age<1d", 0),
        (&list, "state=queued age<1d", 0),
        (&list, "state=failed age<1d", 0),
        (&list, "batch=run-0 age<1d", 0),
        (&list, "tenant=default age<1d", 0),
        (&list, "code=OutputVideoSensitive age<1d", 0),
        (&list, "custom_id=run-0-17 age<1d", 0),
    ];
    let figure = |(words, last, code): &(&[&str], &str, i32)| {
        let args: Vec<&str> = ["-q"].iter().chain(*words).chain([last]).copied().collect();
        let times: Vec<f64> = (0..ASKED).map(|_| ask(fleet, &args, *code)).collect();
        let what = format!("`{} '{last}'` at {jobs} jobs, p95 of {ASKED}", words.join(" "));
        Figure::new(what, "ms", vec![percentile(&times, 95.0)]).at_most(200.0)
    };
    asked.iter().map(figure).collect()
}

/// From the start of a process to its end, ms.
fn ask(fleet: &Fleet, args: &[&str], code: i32) -> f64 {
    let begun = Instant::now();
    let ended = fleet.cli(args);
    let took: Duration = begun.elapsed();
    assert_eq!(ended.code, code, "{args:?}: {ended:?}");
    took.as_secs_f64() * 1_000.0
}
