//! What a finished job takes in Redis once its record lies in the bucket.

use super::life::{rest, walk};
use crate::figure::Figure;
use crate::order::Order;
use crate::server::Counters;
use crate::stage::{BOUND, Caller, FAST, columns, street_with};
use e2e::kit::{Fleet, Receiver};
use sandbox::wait;

/// Enough for whole shards of what stays, and for what is there once however many jobs there were (1.2 MB).
const JOBS: usize = 20_000;
const AT_ONCE: &str = "[retention]\nredis_after = \"1s\"\nsweep_every = \"1s\"\n";

/// Memory per job after the whole street and the hand-over.
///
/// # Panics
///
/// A job does not end, or does not leave.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let jobs = order.sized(JOBS);
    let receiver = Receiver::start();
    // Without the size of their films: so many would fill a disk, and nothing of them is counted here.
    let simulator = &FAST[..FAST.len() - 2];
    let fleet = Fleet::start(street_with(&receiver, simulator).config(AT_ONCE));
    let caller = Caller::of(&fleet);
    caller.tell(&receiver);
    walk(&caller, "warm", 20, 20);
    let (mut before, mut runs) = (left(&fleet), Vec::new());
    for run in 1..=order.runs {
        walk(&caller, &format!("leaves-{run}"), jobs, 20 + run * jobs);
        let after = left(&fleet);
        runs.push([0, 1].map(|at: usize| (after[at] - before[at]) / jobs as f64));
        before = after;
    }
    let [left, events] = columns(&runs);
    vec![
        Figure::new("Redis, per finished job whose record has left", "bytes", left)
            .at_most(300.0)
            .noting(format!("{jobs} jobs by bulk through all five programs; without the stream of events, which is trimmed by time and number")),
        Figure::new("the stream of events, per job", "bytes", events)
            .noting("kept for `events.kept`, whether jobs leave or not"),
    ]
}

/// Bytes once all that ended has left: without the stream of events, and the stream.
fn left(fleet: &Fleet) -> [f64; 2] {
    let keys = fleet.store().keys().clone();
    let number = |words: &[&str]| -> f64 {
        let told = fleet.redis().command(words).unwrap_or_default();
        told.trim().parse().unwrap_or(f64::MAX)
    };
    wait::until("records that leave", BOUND, || {
        (number(&["ZCARD", &keys.ix_all()]) == 0.0).then_some(())
    })
    .unwrap_or_else(|missed| panic!("{missed}"));
    rest(fleet);
    let events = number(&["MEMORY", "USAGE", &keys.events(), "SAMPLES", "0"]);
    [Counters::of(fleet.redis()).bytes - events, events]
}
