//! Other queues on the same job: each in its own language, written as its own documentation recommends, against
//! the same simulator and a Redis that syncs every write; and the fleet beside them, measured in the same way.
//!
//! A peer is a folder below `benches/peers/` with two scripts. `prepare` gets what its lock file names. `run enqueue
//! N FIRST` puts N jobs into its queue and ends; `run work` works until it is killed: buys a task, reads it until it
//! is done, writes the film to a file that is forced to disk. What it needs to know is in its environment.

use crate::figure::Figure;
use crate::order::Order;
use crate::server::Counters;
use crate::stage::{BULK_JOBS, Caller, FAST, UNBOUND, columns, now_ms, request, since_epoch_ms};
use e2e::kit::{Fleet, Options};
use job::StateWord;
use sandbox::{Logs, Process, wait};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What the page has of each, by the name of its folder.
pub const ROWS: [(&str, &str); 4] = [
    ("peer-seedfleet", "this fleet, measured as the peers are"),
    (
        "peer-bullmq",
        "BullMQ (npm): one job with steps, put back by moveToDelayed; two processes of 64",
    ),
    (
        "peer-celery",
        "Celery (PyPI): a chain of three tasks, acks late, retries; one worker of 64 threads",
    ),
    (
        "peer-apalis-redis",
        "apalis-redis (crates.io): one job a step, the next one pushed; one process of 64",
    ),
];
/// Steps of the fleet's row, or of its product, that a peer's row does not have.
const LACKS: &str = "has no limits shared by processes, no slots of the provider, no settlement of a create whose answer was \
                     lost, no check of the film, no manifest, no index, price, timeline or second fence";
/// The first figure of each.
const LIFE: &str = "whole life: create, reads, film on disk";
const FOLDER: &str = "benches/peers";
const JOBS: usize = 1_000;
/// apalis-redis dies of 8,000 due jobs; nobody gets more than this.
const JOBS_MAX: usize = 7_000;
/// A peer that has called nobody for so long has stopped.
const STALLED: Duration = Duration::from_secs(40);
/// What a killed worker held, BullMQ gives to others after twice 30 s.
const KILLED_STALLED: Duration = Duration::from_secs(100);
/// The part with kills: jobs whose create takes a while, as it does out there, so many that all kills meet some.
const KILLED_JOBS: usize = 1_000;
const KILLS: usize = 5;
const KILL_EVERY: Duration = Duration::from_millis(700);
const CREATE_TAKES_MS: u64 = 300;
const SLOWER: [&str; 4] = ["--run-s", "0.5-1", "--queue-s", "0-0"];

/// Us and every peer.
///
/// # Panics
///
/// A peer's tool is missing, or it does not do the job.
#[must_use]
pub fn all(order: &Order) -> Vec<(String, Vec<Figure>)> {
    let peers: Vec<&str> = ROWS[1..].iter().map(|(name, _)| &name["peer-".len()..]).collect();
    for peer in &peers {
        prepare(peer);
    }
    let mut rows = vec![(ROWS[0].0.to_owned(), measured(None, order))];
    for peer in peers {
        rows.push((format!("peer-{peer}"), measured(Some(peer), order)));
    }
    rows
}

fn prepare(peer: &str) {
    let status = Command::new("bash").arg(script(peer, "prepare")).status();
    let ready = status.is_ok_and(|status| status.success());
    assert!(ready, "{FOLDER}/{peer}/prepare failed: its tools must be installed");
}

fn script(peer: &str, name: &str) -> PathBuf {
    let here = std::env::current_dir().expect("a folder to stand in");
    here.join(FOLDER).join(peer).join(name)
}

/// Who does the job in one run.
enum Worker<'a> {
    Fleet,
    Peer(&'a str),
}

fn measured(peer: Option<&str>, order: &Order) -> Vec<Figure> {
    let worker = peer.map_or(Worker::Fleet, Worker::Peer);
    let jobs = order.sized(JOBS).min(JOBS_MAX);
    let runs: Vec<[f64; 8]> = (0..order.runs).map(|_| once(&worker, jobs)).collect();
    let told = |figure: Figure| match peer {
        Some(name) => figure.noting(format!("{name} {LACKS}")),
        None => figure,
    };
    let [rate, enqueue, waiting, finished, commands, scripts, cpu_us, twice] = columns(&runs);
    vec![
        told(Figure::new(LIFE, "jobs/s", rate)),
        Figure::new("enqueue by its own bulk call", "jobs/s", enqueue),
        Figure::new("Redis, per waiting job (603-byte request)", "bytes", waiting),
        Figure::new("Redis, per finished job", "bytes", finished),
        Figure::new("commands at Redis, inside scripts as well, per job", "", commands),
        Figure::new("scripts called, per job", "", scripts),
        Figure::new("Redis processor time, per job", "µs", cpu_us),
        Figure::new("bought twice without any kill", "tasks", twice),
    ]
}

/// One run: what [`measured`] tells, in its order.
fn once(worker: &Worker<'_>, jobs: usize) -> [f64; 8] {
    let stage = Stage::new(worker, &FAST);
    let before = Counters::of(stage.fleet.redis());
    let took = stage.enqueue(jobs);
    let waiting = Counters::of(stage.fleet.redis()).since(&before);
    let workers = stage.start();
    let done = stage.until_done(jobs, STALLED);
    assert_eq!(done, jobs, "{}", stage.tail(&workers));
    let life = stage.life();
    drop(workers);
    let spent = Counters::of(stage.fleet.redis()).since(&before);
    let each = |value: f64| value / jobs as f64;
    let calls = |name: &str| spent.calls.get(name).copied().unwrap_or(0.0);
    [
        jobs as f64 / life,
        jobs as f64 / took.as_secs_f64(),
        each(waiting.bytes),
        each(spent.bytes),
        each(spent.commands()),
        each(calls("evalsha") + calls("eval")),
        each(spent.cpu_us),
        stage.made() - jobs as f64,
    ]
}

/// What a SIGKILL of a worker costs us, and each peer.
///
/// # Panics
///
/// As [`all`].
#[must_use]
pub fn kills(order: &Order) -> Vec<Figure> {
    let jobs = order.sized(KILLED_JOBS);
    let peers = ROWS.map(|(name, _)| &name["peer-".len()..]);
    peers[1..].iter().for_each(|peer| prepare(peer));
    let mut figures = Vec::new();
    for name in peers {
        let worker = if name == peers[0] { Worker::Fleet } else { Worker::Peer(name) };
        let (twice, left) = killed(&worker, jobs);
        let each = |tasks: f64| vec![tasks / KILLS as f64];
        figures.push(
            Figure::new(format!("{name}: bought twice"), "tasks a kill", each(twice)).at_most(0.0),
        );
        figures.push(
            Figure::new(format!("{name}: not finished"), "jobs a kill", each(left)).at_most(0.0).noting(format!(
                "{jobs} jobs whose create takes {CREATE_TAKES_MS} ms, {KILLS} kills, {KILL_EVERY:?} apart; given up when no call had come for {KILLED_STALLED:?}"
            )),
        );
    }
    figures
}

/// Tasks bought twice under kills, and jobs that did not end.
fn killed(worker: &Worker<'_>, jobs: usize) -> (f64, f64) {
    let stage = Stage::new(worker, &SLOWER);
    let slow = json!({"create": [{"kind": "delay_reply", "ms": CREATE_TAKES_MS}]});
    stage.fleet.faults(&slow);
    let _ = stage.enqueue(jobs);
    let mut workers = stage.start();
    let begun = |stage: &Stage<'_>| (stage.made() > 0.0).then_some(());
    wait::until("a first task", STALLED, || begun(&stage))
        .unwrap_or_else(|missed| panic!("{missed}"));
    for _ in 0..KILLS {
        std::thread::sleep(KILL_EVERY);
        stage.kill(&mut workers);
    }
    let done = stage.until_done(jobs, KILLED_STALLED);
    (stage.made() - stage.wanted(jobs), (jobs - done) as f64)
}

/// Redis, the simulator and one who works.
struct Stage<'a> {
    worker: &'a Worker<'a>,
    fleet: Fleet,
    out: PathBuf,
}

impl<'a> Stage<'a> {
    fn new(worker: &'a Worker<'a>, simulator: &[&str]) -> Self {
        let fleet = Fleet::start(Options::empty().config(UNBOUND).simulator(simulator));
        let out = fleet.path("films");
        std::fs::create_dir_all(&out).expect("the folder is ours");
        if matches!(worker, Worker::Fleet) {
            fleet.start_gateway();
        }
        Self { worker, fleet, out }
    }

    fn enqueue(&self, jobs: usize) -> Duration {
        match self.worker {
            Worker::Fleet => {
                let (made, took) = Caller::of(&self.fleet).bulk("peer", jobs);
                assert_eq!(made, jobs, "whole requests of {BULK_JOBS} or one of fewer");
                took
            }
            Worker::Peer(peer) => {
                let mut command = self.command(peer);
                command.args(["enqueue", &jobs.to_string()]);
                let output = command.output().expect("bash runs");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                // It tells what its calls took: starting an interpreter is no part of it.
                let told = String::from_utf8_lossy(&output.stdout);
                let told_s = told.lines().last().and_then(|line| line.trim().parse().ok());
                Duration::from_secs_f64(told_s.unwrap_or_else(|| panic!("no seconds: {told}")))
            }
        }
    }

    fn command(&self, peer: &str) -> Command {
        let key = std::fs::read_to_string(self.fleet.path("provider.key")).expect("the kit's key");
        let tasks =
            format!("http://{}/api/v3/contents/generations/tasks", self.fleet.api_address());
        let mut body = request("mark-@n@");
        body["model"] = "dreamina-seedance-2-0-260128".into();
        let mut command = Command::new("bash");
        command
            .arg(script(peer, "run"))
            .env("PEER_REDIS_URL", self.fleet.redis().url())
            .env("PEER_TASKS_URL", tasks)
            .env("PEER_KEY", key)
            .env("PEER_REQUEST", body.to_string())
            .env("PEER_OUT", &self.out);
        command
    }

    fn start(&self) -> Vec<Process> {
        match self.worker {
            Worker::Fleet => {
                for role in ["submitter", "poller", "downloader"] {
                    drop(self.fleet.start_role(role));
                }
                Vec::new()
            }
            Worker::Peer(peer) => {
                let processes = if *peer == "bullmq" { 2 } else { 1 };
                (0..processes).map(|n| self.one(peer, n)).collect()
            }
        }
    }

    fn one(&self, peer: &str, n: usize) -> Process {
        let mut command = self.command(peer);
        command.arg("work");
        let logs = Logs::to(&self.fleet.path("peer-logs"));
        Process::spawn_logged(&format!("{peer}-{n}"), command, &logs).expect("bash runs")
    }

    /// SIGKILL, and a new one at once: the first worker, which for us is the submitter.
    fn kill(&self, workers: &mut [Process]) {
        match self.worker {
            Worker::Fleet => {
                self.fleet.kill9("submitter");
                drop(self.fleet.start_role("submitter"));
            }
            Worker::Peer(peer) => {
                workers[0].kill9();
                workers[0] = self.one(peer, 0);
            }
        }
    }

    /// How many jobs have ended once all have, or none ends any more.
    fn until_done(&self, jobs: usize, stalled: Duration) -> usize {
        let mut last = (0, Instant::now());
        loop {
            let done = self.done().min(jobs);
            // A queue that works in order makes all its creates before its first film: any call is progress.
            let calls =
                std::fs::metadata(self.fleet.path("ledger.ndjson")).map_or(0, |file| file.len());
            if calls != last.0 {
                last = (calls, Instant::now());
            }
            if done == jobs || last.1.elapsed() > stalled {
                return done;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn done(&self) -> usize {
        if let Worker::Peer(_) = self.worker {
            return films(&self.out).count();
        }
        let counts = self.fleet.run(self.fleet.store().counts()).unwrap_or_default();
        let done = counts.get(&StateWord::Succeeded).copied().unwrap_or(0);
        usize::try_from(done).unwrap_or(usize::MAX)
    }

    /// Seconds from the first create to the last film.
    fn life(&self) -> f64 {
        let ledger = self.fleet.ledger();
        let first = ledger.events("create_seen").filter_map(|line| line["at_ms"].as_f64());
        let first_ms = first.fold(f64::MAX, f64::min);
        let last_ms = match self.worker {
            Worker::Fleet => now_ms(),
            Worker::Peer(_) => {
                films(&self.out).filter_map(|path| written_ms(&path)).fold(0.0, f64::max)
            }
        };
        (last_ms - first_ms) / 1_000.0
    }

    fn made(&self) -> f64 {
        self.fleet.stats()["tasks"]["made"].as_f64().unwrap_or(0.0)
    }

    /// Jobs for which at least one task was bought. Our own requests have no mark: there all of them, or fewer.
    fn wanted(&self, jobs: usize) -> f64 {
        let ledger = self.fleet.ledger();
        let marks: BTreeSet<&str> =
            ledger.events("create_seen").filter_map(|line| line["mark"].as_str()).collect();
        if marks.is_empty() { self.made().min(jobs as f64) } else { marks.len() as f64 }
    }

    fn tail(&self, workers: &[Process]) -> String {
        let calls: Value = self.fleet.stats()["calls"].clone();
        let tails: Vec<String> = workers.iter().map(|worker| worker.log_tail(20)).collect();
        format!("{calls}\n{}", tails.join("\n"))
    }
}

fn films(out: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(out).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "mp4"))
}

fn written_ms(path: &Path) -> Option<f64> {
    since_epoch_ms(std::fs::metadata(path).ok()?.modified().ok()?)
}
