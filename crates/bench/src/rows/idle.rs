//! The way of one job through a fleet that has nothing else to do.

use crate::figure::{Figure, percentile};
use crate::order::Order;
use crate::stage::{Caller, UNBOUND, now_ms, request};
use e2e::kit::{ALICE, BOUND, Fleet, Options};
use reqwest::Method;
use sandbox::wait;
use std::collections::BTreeMap;

/// So many a run that the 99th percentile is not the slowest.
const JOBS: usize = 120;
/// Tasks run on and nobody asks for them, in place of what lets lives be short: a fleet that rests has nothing to
/// read, to fetch and to force to the disk while the one job comes in.
const OFTEN: &str = "first = \"300ms\"\nsteady = \"500ms\"\n";
const SELDOM: &str = "first = \"10m\"\n";
/// What ships, in place of what lets others run faster.
const HORIZON: &str = "[limits]\ngrant_horizon = \"2s\"\n";
const SHIPPED: &str = "[limits]\ngrant_horizon = \"500ms\"\nlead_max = \"5s\"\nuse_within = \"100ms\"\n\
                       network_spread = \"250ms\"\n";

/// With the second fence and without it.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let on = waits("", order);
    let off = waits("[fence]\nenabled = false\n", order);
    vec![
        Figure::new("POST to create sent, p99, without the second fence", "ms", off[1].clone())
            .at_most(20.0)
            .noting("the intent is durable in Redis (appendfsync always) before the create is sent"),
        Figure::new("the same, median", "ms", off[0].clone()),
        Figure::new("POST to create sent, p99, as shipped", "ms", on[1].clone()).at_most(20.0).noting(
            "the intent is also written outside Redis; an attempt leaves for it what the last ones took, so that a \
             slow bucket costs none",
        ),
        Figure::new("the same, median", "ms", on[0].clone()),
    ]
}

/// Medians and 99th percentiles of each run.
fn waits(config: &str, order: &Order) -> [Vec<f64>; 2] {
    let mut options = Options::with_gateway()
        .config(&UNBOUND.replace(HORIZON, SHIPPED).replace(OFTEN, SELDOM))
        .config(config);
    options.config = options.config.replace("enabled = true\n", "enabled = false\n");
    let fleet = Fleet::start(options.simulator(&["--run-s", "3600-3600", "--queue-s", "0-0"]));
    let caller = Caller::of(&fleet);
    let mut medians = Vec::new();
    let mut tails = Vec::new();
    for run in 0..=order.runs {
        let posted: Vec<(String, f64)> = (0..order.sized(JOBS))
            .map(|n| {
                let mark = format!("mark-i{run}-{n}");
                let at_ms = now_ms();
                let post = caller.ask(Method::POST, "/v1/jobs").bearer_auth(ALICE);
                let reply = fleet.send(post.json(&request(&mark)));
                assert_eq!(reply.status, 202, "{}", reply.body);
                seen(&fleet, &mark);
                (mark, at_ms)
            })
            .collect();
        let arrived: BTreeMap<String, f64> = fleet
            .ledger()
            .events("create_seen")
            .filter_map(|line| Some((line["mark"].as_str()?.to_owned(), line["at_ms"].as_f64()?)))
            .collect();
        let waits: Vec<f64> = posted.iter().map(|(mark, at_ms)| arrived[mark] - at_ms).collect();
        // The first run warms the programs up.
        if run > 0 {
            medians.push(percentile(&waits, 50.0));
            tails.push(percentile(&waits, 99.0));
        }
    }
    [medians, tails]
}

fn seen(fleet: &Fleet, mark: &str) {
    let needle = format!("\"{mark}\"");
    let look = || {
        let ledger = std::fs::read_to_string(fleet.path("ledger.ndjson")).unwrap_or_default();
        ledger.lines().rev().take(60).any(|line| line.contains(&needle)).then_some(())
    };
    wait::until("a create", BOUND, look).unwrap_or_else(|missed| panic!("{missed}"));
}
