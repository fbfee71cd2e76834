//! An urgent job among very many others of its tenant.

use crate::figure::{Figure, percentile};
use crate::order::Order;
use crate::stage::{UNBOUND, request};
use e2e::kit::{BOUND, Fleet, Options};
use job::AttemptId;
use sandbox::wait;
use serde_json::Value;
use std::collections::BTreeMap;

/// A ticket that was claimed before the urgent job came is on its way: so long from the claim to the attempt.
const CLAIMED_MS: i64 = 100;
/// Jobs that wait all the while, and urgent ones of each run: the account's slots free in rounds of about a second,
/// twenty at once, and one urgent job comes in each.
const BACKLOG: usize = 12_000;
const URGENT: usize = 60;
/// An account that is full all the time: each create waits for a slot.
const LIMITS: [&str; 2] =
    ["create_rpm = 600000, running = 10000", "create_rpm = 6000, running = 20"];
/// A slot is free once its task was seen to have ended: looks are so frequent that a run outlasts no backlog.
const LOOKS: [&str; 2] =
    ["first = \"300ms\"\nsteady = \"500ms\"", "first = \"50ms\"\nsteady = \"100ms\""];

/// How many creates that began later went first.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let flags = ["--run-s", "0.2-0.6", "--queue-s", "0-0"];
    let config = UNBOUND.replace(LIMITS[0], LIMITS[1]).replace(LOOKS[0], LOOKS[1]);
    let fleet = Fleet::start(Options::empty().config(&config).simulator(&flags));
    let backlog = order.sized(BACKLOG);
    drop(fleet.admit_many((0..backlog).map(|n| request(&format!("mark-{n}")))));
    for role in ["submitter", "poller", "downloader"] {
        drop(fleet.start_role(role));
    }
    fleet.until("creates", || (fleet.ledger().events("create_seen").count() > 40).then_some(()));
    let (mut next, mut waits_ms) = (Vec::new(), Vec::new());
    for run in 0..order.runs {
        let urgent: Vec<(String, i64)> =
            (0..order.sized(URGENT)).map(|n| one(&fleet, &format!("mark-u{run}-{n}"))).collect();
        let last = &urgent[urgent.len() - 1].0;
        let seen = fleet.until("the last create", || {
            let seen = Seen::read(&fleet);
            seen.places.contains_key(last).then_some(seen)
        });
        let first = urgent.iter().filter(|(mark, at_ms)| seen.overtook(mark, *at_ms) == 0).count();
        next.push(first as f64 / urgent.len() as f64 * 100.0);
        let waits: Vec<f64> =
            urgent.iter().map(|(mark, at_ms)| (seen.at_ms(mark) - at_ms) as f64).collect();
        waits_ms.push(percentile(&waits, 99.0));
    }
    vec![
        Figure::new("urgent jobs that were the next create on their account", "%", next)
            .at_least(99.9)
            .noting(format!(
                "{URGENT} urgent jobs a run, one after the other, into a backlog of {BACKLOG} of the same tenant; \
                 a create whose attempt began before the urgent job was taken in, or within 100 ms after it, had been claimed by then and counts as gone before it"
            )),
        Figure::new("from intake to create, p99", "ms", waits_ms)
            .noting("a slot of the account has to free first, which is seen in rounds of about a second"),
    ]
}

/// Takes an urgent job in and waits until its create was seen. Its mark, and when it was taken in.
fn one(fleet: &Fleet, mark: &str) -> (String, i64) {
    let mut body = request(mark);
    body["priority"] = "high".into();
    let id = fleet.admit(body);
    let at_ms = fleet.record(&id).created_at.unix_ms();
    let begun = || (fleet.record(&id).life.attempts_begun > 0).then_some(());
    wait::until("an urgent create", BOUND, begun).unwrap_or_else(|missed| panic!("{missed}"));
    (mark.to_owned(), at_ms)
}

/// Creates in the order in which they arrived.
struct Seen {
    /// Mark, when it arrived, when its attempt began.
    creates: Vec<(String, i64, i64)>,
    places: BTreeMap<String, usize>,
}

impl Seen {
    fn read(fleet: &Fleet) -> Self {
        let mut creates = Vec::new();
        let begun_ms = |line: &Value| {
            let id = AttemptId::parse(line["client_request_id"].as_str()?).ok()?;
            let ulid = id.as_str().rsplit('_').next()?.to_uppercase();
            i64::try_from(ulid::Ulid::from_string(&ulid).ok()?.timestamp_ms()).ok()
        };
        for line in fleet.ledger().events("create_seen") {
            let mark = line["mark"].as_str().unwrap_or_default().to_owned();
            let begun = begun_ms(line).expect("an attempt's id tells when it was drawn");
            creates.push((mark, line["at_ms"].as_i64().unwrap_or(0), begun));
        }
        let places = creates.iter().enumerate().map(|(at, (mark, _, _))| (mark.clone(), at));
        let places = places.collect();
        Self { creates, places }
    }

    /// Creates of jobs that are not urgent, which began after this job was taken in and arrived before its own.
    fn overtook(&self, mark: &str, at_ms: i64) -> usize {
        let before = &self.creates[..self.places.get(mark).copied().unwrap_or(self.creates.len())];
        let later = before.iter().rev().take(1_000);
        later
            .filter(|(other, _, begun)| *begun > at_ms + CLAIMED_MS && !other.starts_with("mark-u"))
            .count()
    }

    fn at_ms(&self, mark: &str) -> i64 {
        self.places.get(mark).map_or(i64::MAX, |at| self.creates[*at].1)
    }
}
