//! Eight submitters at one account's create rate, killed and stopped meanwhile: what arrives in any window of a
//! minute, and how much of the rate is used.

use crate::figure::Figure;
use crate::order::Order;
use crate::stage::request;
use e2e::kit::{Fleet, Options};
use std::time::{Duration, Instant};

const SUBMITTERS: usize = 8;
const CREATE_RPM: f64 = 600.0;
/// Creates of this much time are counted, after the first ten seconds.
const WARM: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(120);
/// One after the other is killed and started, or stopped for two seconds.
const TROUBLE_EVERY: Duration = Duration::from_secs(5);
const FROZEN: Duration = Duration::from_secs(2);
const JOBS: usize = 1_600;
/// The network of this machine is quick: the shipped spread, not the kit's.
const SHIPPED: &str = r#"
[pools.sim.accounts.a.limits]
retrieve_qps = 200
list_qps = 20
[pools.sim.accounts.a.limits.classes]
"2.0" = { create_rpm = 600, running = 5000 }
[limits]
use_within = "100ms"
network_spread = "250ms"
"#;

/// One run: it takes more than two minutes.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let mut flags = vec!["--run-s", "1-2", "--queue-s", "0-0"];
    for limit in ["create_rpm=600", "retrieve_qps=200", "list_qps=20"] {
        flags.extend(["--limits", limit]);
    }
    let fleet = Fleet::start(Options::empty().config(SHIPPED).simulator(&flags));
    drop(fleet.admit_many((0..order.sized(JOBS)).map(|n| request(&format!("rate {n}")))));
    drop(fleet.start_role("poller"));
    drop(fleet.start_role("downloader"));
    let names: Vec<String> = (0..SUBMITTERS).map(|n| format!("submitter-{n}")).collect();
    for name in &names {
        drop(fleet.start_as(name, "submitter", &[]));
    }
    let begun_ms = fleet.run(fleet.store().now()).expect("the clock").unix_ms();
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < WARM + MEASURED {
        std::thread::sleep(TROUBLE_EVERY);
        let name = &names[turn % names.len()];
        if turn % 3 == 2 {
            let submitter = fleet.role(name);
            submitter.signal("STOP").expect("it is stopped");
            std::thread::sleep(FROZEN);
            submitter.signal("CONT").expect("it goes on");
        } else {
            fleet.kill9(name);
            drop(fleet.start_as(name, "submitter", &[]));
        }
        turn += 1;
    }
    let from_ms = begun_ms + i64::try_from(WARM.as_millis()).unwrap_or(0);
    let until_ms = from_ms + i64::try_from(MEASURED.as_millis()).unwrap_or(0);
    let ledger = fleet.ledger();
    let counted = ledger
        .events("create_seen")
        .filter(|line| line["at_ms"].as_i64().is_some_and(|at| (from_ms..until_ms).contains(&at)));
    let used = counted.count() as f64 / (CREATE_RPM * MEASURED.as_secs_f64() / 60.0) * 100.0;
    let stats = fleet.stats();
    let mut over = 0.0;
    let mut fullest: f64 = 0.0;
    for (name, scopes) in stats["windows"].as_object().into_iter().flatten() {
        for window in scopes.as_object().into_iter().flatten().map(|(_, window)| window) {
            over += window["over_limit"].as_f64().unwrap_or(0.0);
            if name.contains("create") {
                fullest = fullest.max(window["arrived_max"].as_f64().unwrap_or(0.0));
            }
        }
    }
    vec![
        Figure::new("calls above any limit in any window", "", vec![over]).at_most(0.0).noting(format!(
            "one run of two minutes, eight submitters, every five seconds one is killed or stopped for two seconds; \
             {turn} troubles. `docs/evidence.md` has 30 runs of the campaign under far worse: none over a limit"
        )),
        Figure::new("creates that arrived in the fullest minute, of 600 allowed", "", vec![fullest])
            .at_most(CREATE_RPM),
        Figure::new("use of the create rate under backlog, kills included", "%", vec![used])
            .at_least(99.0)
            .noting("an instant that was given to a worker which then dies is not given again"),
    ]
}
