//! Programs that have nothing to do: what each takes, and how soon one that starts has its first ticket.

use crate::figure::Figure;
use crate::order::Order;
use crate::stage::{BOUND, request, rss_mib, until_count};
use e2e::kit::{Fleet, Options};
use job::StateWord;
use sandbox::ports;
use serde_json::json;
use std::time::{Duration, Instant};
use store::{Depth, Queue};

const WORKERS: [&str; 4] = ["submitter", "poller", "downloader", "notifier"];
/// How long a program is left alone before it is looked at.
const SETTLES: Duration = Duration::from_secs(10);
/// Between two looks at the queue.
const LOOK_EVERY: Duration = Duration::from_millis(1);
const MB_IN_MIB: f64 = 1.048_576;
/// A create and a read that are answered late, so that the claim behind them is seen.
const LATE_MS: u64 = 2_000;

/// Resident memory at rest, and the way from the start of a process to its first claim.
///
/// # Panics
///
/// A program does not start, or claims nothing.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let mut figures = memory(order);
    let (submitter, poller) = claims(order);
    figures.push(
        Figure::new("start of a submitter to its first claim, one job due", "ms", submitter)
            .at_most(300.0)
            .noting(
                "from the start of the process to the lease in Redis, looked at every millisecond",
            ),
    );
    figures.push(
        Figure::new("start of a poller to its first claim, one task due", "ms", poller)
            .at_most(300.0),
    );
    figures
}

/// Every program of an empty fleet, each run new ones.
fn memory(order: &Order) -> Vec<Figure> {
    let fleet = Fleet::start(Options::empty());
    let mut taken: Vec<(&str, Vec<f64>)> =
        WORKERS.into_iter().chain(["gateway"]).map(|role| (role, Vec::new())).collect();
    for run in 0..order.runs {
        let name = |role: &str| format!("{role}-{run}");
        for role in WORKERS {
            drop(fleet.start_as(&name(role), role, &[]));
        }
        fleet.start_gateway_as(&name("gateway"), ports::free());
        std::thread::sleep(SETTLES);
        for (role, samples) in &mut taken {
            let process = fleet.role(&name(role));
            samples.push(rss_mib(process.pid()) * MB_IN_MIB);
            let _ = process.stop();
        }
    }
    let figure = |(role, samples): (&str, Vec<f64>)| {
        let figure = Figure::new(format!("resident memory of an idle {role}"), "MB", samples);
        match role {
            "gateway" => figure,
            _ => {
                figure.at_most(20.0).noting("ten seconds after its start, in a fleet without a job")
            }
        }
    };
    taken.into_iter().map(figure).collect()
}

/// Submitters and pollers that start on one ticket.
fn claims(order: &Order) -> (Vec<f64>, Vec<f64>) {
    let fleet = Fleet::start(Options::empty().simulator(&["--run-s", "90000-90000"]));
    let late = |kind: &str| json!([{"kind": kind, "ms": LATE_MS}]);
    let reads = late("slow");
    fleet.faults(&json!({"create": late("delay_reply"), "retrieve": reads, "list": reads}));
    let (mut submitter, mut poller) = (Vec::new(), Vec::new());
    for run in 0..order.runs {
        drop(fleet.admit(request(&format!("rests {run}"))));
        let of_submit = |queue: Queue| queue.class().is_some();
        submitter.push(first_claim(&fleet, "submitter", run, of_submit));
        until_count(&fleet, StateWord::Running, run + 1);
        let _ = fleet.role(&named("submitter", run)).stop();
        until(&fleet, "a look that is due", |depth| depth.queue == Queue::Poll && depth.due > 0);
        poller.push(first_claim(&fleet, "poller", run, |queue| queue == Queue::Poll));
        let _ = fleet.role(&named("poller", run)).stop();
    }
    (submitter, poller)
}

fn named(role: &str, run: usize) -> String {
    format!("{role}-{run}")
}

/// Milliseconds from the start of a process to its first lease.
fn first_claim(fleet: &Fleet, role: &str, run: usize, of: impl Fn(Queue) -> bool) -> f64 {
    let begun = Instant::now();
    drop(fleet.start_as(&named(role, run), role, &[]));
    until(fleet, "a claim", |depth| of(depth.queue) && depth.leased > 0);
    begun.elapsed().as_secs_f64() * 1_000.0
}

/// Waits until some queue stands so.
fn until(fleet: &Fleet, what: &str, so: impl Fn(&Depth) -> bool) {
    let deadline = Instant::now() + BOUND;
    loop {
        let depths = fleet.run(fleet.store().depths()).unwrap_or_default();
        if depths.iter().any(&so) {
            return;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}: {depths:?}");
        std::thread::sleep(LOOK_EVERY);
    }
}
