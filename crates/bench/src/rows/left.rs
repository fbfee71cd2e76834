//! What a finished job takes in Redis once its record lies in the bucket.

use super::life::{rest, walk};
use crate::figure::Figure;
use crate::order::Order;
use crate::server::Counters;
use crate::stage::{BOUND, Caller, FAST, columns, street_with};
use e2e::kit::{Fleet, Receiver};
use job::AttemptId;
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
    all_left(&fleet);
    forget_attempts(&fleet);
    let (mut before, mut runs) = (bytes(&fleet), Vec::new());
    for run in 1..=order.runs {
        walk(&caller, &format!("leaves-{run}"), jobs, 20 + run * jobs);
        all_left(&fleet);
        let [first, events] = bytes(&fleet);
        forget_attempts(&fleet);
        let after = bytes(&fleet);
        let each = [after[0] - before[0], first - before[0], events - before[1]];
        runs.push(each.map(|bytes| bytes / jobs as f64));
        before = after;
    }
    let [left, first, events] = columns(&runs);
    vec![
        Figure::new("Redis, per finished job whose record has left", "bytes", left)
            .at_most(300.0)
            .noting(format!("{jobs} jobs by bulk through all five programs; without the stream of events, which is trimmed by time and number. As shipped, a record leaves ten days after its end, when the way from an attempt to its job is gone, which is kept for nine")),
        Figure::new("the same while that way is there, of one that left at once", "bytes", first),
        Figure::new("the stream of events, per job", "bytes", events)
            .noting("kept for `events.kept`, whether jobs leave or not"),
    ]
}

fn told(fleet: &Fleet, words: &[&str]) -> f64 {
    let told = fleet.redis().command(words).unwrap_or_default();
    told.trim().parse().unwrap_or(f64::MAX)
}

/// Waits until all that ended has left.
fn all_left(fleet: &Fleet) {
    let all = fleet.store().keys().ix_all();
    wait::until("records that leave", BOUND, || {
        (told(fleet, &["ZCARD", &all]) == 0.0).then_some(())
    })
    .unwrap_or_else(|missed| panic!("{missed}"));
    rest(fleet);
}

/// Bytes without the stream of events, and of the stream.
fn bytes(fleet: &Fleet) -> [f64; 2] {
    let events = told(fleet, &["MEMORY", "USAGE", &fleet.store().keys().events(), "SAMPLES", "0"]);
    [Counters::of(fleet.redis()).bytes - events, events]
}

/// What nine days do: the ways from attempts to their jobs go.
fn forget_attempts(fleet: &Fleet) {
    const SCRIPT: &str = "local cursor = '0' repeat local page = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000) \
                          cursor = page[1] if #page[2] > 0 then redis.call('DEL', unpack(page[2])) end \
                          until cursor == '0' return 1";
    let attempt = fleet.store().keys().attempt(&AttemptId::from_ulid(ulid::Ulid::nil()));
    let any = format!("{}*", attempt.rsplit_once(':').expect("a key of parts").0);
    assert_eq!(told(fleet, &["EVAL", SCRIPT, "0", &any]), 1.0, "the server ran it");
}
