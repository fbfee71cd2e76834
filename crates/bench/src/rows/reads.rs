//! What watching costs at the provider, and how late ends are seen; ten times faster than life.

use crate::figure::{Figure, percentile};
use crate::order::Order;
use crate::stage::request;
use e2e::kit::{BOUND, Fleet, Ledger, Options};
use sandbox::wait;

/// A tenth of the shipped waits; tasks take a tenth of what they take out there. Nobody else lists.
const TENTH: &str = "[settle]\nlag_sample_every = \"0s\"\n\
                     [poll]\nfirst = \"500ms\"\nsteady = \"1500ms\"\nmax = \"6s\"\ncallback_grace = \"1s\"\n";
const TASKS: [&str; 2] = ["--run-s", "5-20"];
const SCALE: f64 = 10.0;
/// Tasks at a time: many, the usual for one account, and few.
const LEARNED: usize = 60;
const MANY: usize = 40;
const USUAL: usize = 12;
const FEW: usize = 3;

/// Callbacks off, then on, side by side: neither loads the machine.
///
/// # Panics
///
/// A task is not seen to its end.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let told = {
        let order = order.clone();
        std::thread::spawn(move || waves(Options::with_gateway().config(TENTH), &[USUAL], &order))
    };
    let alone = waves(Options::default().config(TENTH), &[MANY, USUAL, FEW], order);
    let told = told.join().expect("callbacks were watched");
    let mut figures = Vec::new();
    for (tasks, goal, (reads, lags)) in
        [(MANY, 1.5, &alone[0]), (USUAL, 1.5, &alone[1]), (FEW, 7.0, &alone[2])]
    {
        let what = format!("reads per finished task, callbacks off, {tasks} in flight");
        figures.push(Figure::new(what, "", reads.clone()).at_most(goal));
        let what = format!("lag of detection, p95, callbacks off, {tasks} in flight");
        figures.push(Figure::new(what, "s", lags.clone()).at_most(15.0).noting(
            "measured at a tenth of all times and told in the provider's: ten times as long",
        ));
    }
    let (reads, lags) = &told[0];
    figures.push(
        Figure::new(format!("reads per finished task, callbacks on, {USUAL} in flight"), "", reads.clone())
            .at_most(0.2)
            .noting("each callback is believed only after one authenticated read, which is counted here: 1.0 is the least"),
    );
    figures.push(
        Figure::new("lag of detection, p95, callbacks on", "s", lags.clone())
            .at_most(15.0)
            .noting("in real seconds: nothing of it waits for a round"),
    );
    figures
}

/// Reads per task and p95 of lags, for each size of a wave.
fn waves(options: Options, sizes: &[usize], order: &Order) -> Vec<(Vec<f64>, Vec<f64>)> {
    let callbacks = options.roles.contains(&"gateway");
    let fleet = Fleet::start(options.simulator(&TASKS));
    let _ = wave(&fleet, "learned", LEARNED);
    if callbacks {
        let _ = wave(&fleet, "trusted", LEARNED);
    }
    let each = |tasks: &usize| {
        let runs = (0..order.runs).map(|run| wave(&fleet, &format!("{tasks} of {run}"), *tasks));
        let scale = if callbacks { 1.0 } else { SCALE };
        runs.map(|(reads, lag_s)| (reads, lag_s * scale)).unzip()
    };
    sizes.iter().map(each).collect()
}

/// One wave of tasks from the first create to the last end.
fn wave(fleet: &Fleet, name: &str, tasks: usize) -> (f64, f64) {
    let before = fleet.ledger();
    let ids = fleet.admit_many((0..tasks).map(|n| request(&format!("{name} {n}"))));
    let done =
        || ids.iter().all(|id| fleet.record(id).life.state.word().is_finished()).then_some(());
    wait::until("a wave of tasks", BOUND * 2, done).unwrap_or_else(|missed| panic!("{missed}"));
    let after = fleet.ledger();
    let mut lags_s = Vec::new();
    for id in &ids {
        let lines = fleet.run(fleet.store().timeline(id)).expect("Redis answers");
        let seen = lines.iter().find(|line| line.what == "succeeded at the provider");
        let task = after.tasks_of(&fleet.record(id)).first().cloned().unwrap_or_default();
        let ended = after.events("billed").find(|line| line["task"] == task.as_str());
        if let (Some(seen), Some(ended)) = (seen, ended) {
            let ended_ms = ended["at_ms"].as_i64().unwrap_or(0);
            lags_s.push((seen.at.unix_ms() - ended_ms) as f64 / 1_000.0);
        }
    }
    assert_eq!(lags_s.len(), tasks, "every end was seen");
    let reads = calls(&after) - calls(&before);
    (reads as f64 / tasks as f64, percentile(&lags_s, 95.0))
}

fn calls(ledger: &Ledger) -> usize {
    let is_read = |line: &&serde_json::Value| line["call"] == "retrieve" || line["call"] == "list";
    ledger.events("call").filter(is_read).count()
}
