//! How much of what the provider would run at once does run, while workers are killed.
//!
//! Ten times faster than life: a task runs 14 s instead of 142, the account's calls a second and a minute and the
//! waits of the fleet are ten times as many and as short, and a kill comes every six seconds. What a process needs
//! to start is not faster, so this is harder than the real thing.

use crate::figure::Figure;
use crate::order::Order;
use crate::stage::request;
use e2e::kit::{Fleet, Options};
use sandbox::{TempDir, wait};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Accounts of one pool.
const ACCOUNTS: [usize; 3] = [1, 10, 50];
const RUNNING: usize = 10;
/// One window is one sample; before the first one everything fills up.
const WINDOW: Duration = Duration::from_secs(30);
const WARM: Duration = Duration::from_secs(30);
const KILL_EVERY: Duration = Duration::from_secs(6);
/// Enough work for every account until the end.
const JOBS_EACH: usize = 250;
const TENTH: &str = r#"
[submit]
concurrency = 64
[poll]
first = "500ms"
steady = "1500ms"
max = "6s"
lease = "1s"
renew = "300ms"
[settle]
lag_sample_every = "0s"
"#;
/// Killed in turn, each as another name that starts again at once.
const KILLED: [&str; 6] =
    ["submitter", "poller", "downloader", "submitter-2", "poller-2", "downloader-2"];

/// Slot-seconds used, by the simulator's ledger.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let mut figures = Vec::new();
    for accounts in ACCOUNTS {
        let used = pool(accounts, order);
        figures.push(
            Figure::new(format!("slot-seconds used, {accounts} accounts of 10"), "%", used)
                .at_least(99.0)
                .noting("consecutive windows of 30 s (five simulated minutes) with five kills each; callbacks off"),
        );
    }
    figures
}

fn pool(accounts: usize, order: &Order) -> Vec<f64> {
    let keys = TempDir::new("keys").expect("a folder");
    let mut config = TENTH.to_owned();
    let mut flags: Vec<String> =
        ["--run-s", "8-20", "--queue-s", "0.2-0.6"].map(str::to_owned).into();
    for limit in ["running=10", "create_rpm=6000", "retrieve_qps=200", "list_qps=10", "queued=120"]
    {
        flags.extend(["--limits".to_owned(), limit.to_owned()]);
    }
    for n in 0..accounts {
        // The first is the kit's own account.
        let name = if n == 0 { "a".to_owned() } else { format!("a{n}") };
        if n > 0 {
            let (key, file) = (format!("bench-key-{n}"), keys.path().join(&name));
            std::fs::write(&file, &key).expect("the folder is ours");
            flags.extend(["--api-key".to_owned(), format!("{key}={name}")]);
            let file = file.display();
            let _ = write!(config, "[pools.sim.accounts.{name}]\napi_key_file = \"{file}\"\n");
        }
        let _ = write!(
            config,
            "[pools.sim.accounts.{name}.limits]\nretrieve_qps = 200\nlist_qps = 10\n\
             [pools.sim.accounts.{name}.limits.classes]\n\
             \"2.0\" = {{ create_rpm = 6000, running = {RUNNING} }}\n"
        );
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let fleet = Fleet::start(Options::empty().config(&config).simulator(&flags));
    let jobs = accounts * order.sized(JOBS_EACH);
    for first in (0..jobs).step_by(2_000) {
        let some = first..jobs.min(first + 2_000);
        drop(fleet.admit_many(some.map(|n| request(&format!("slots {n}")))));
    }
    let first_ms = now_ms(&fleet);
    for name in KILLED {
        drop(fleet.start_as(name, name.trim_end_matches("-2"), &[]));
    }
    killing(&fleet, WARM + WINDOW * u32::try_from(order.runs).unwrap_or(1));
    let window_ms = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
    let from_ms = first_ms + i64::try_from(WARM.as_millis()).unwrap_or(0);
    let runs = running(&fleet);
    let share = |run: usize| {
        let from = from_ms + window_ms * i64::try_from(run).unwrap_or(0);
        let used = |(begun, ended): &(i64, i64)| {
            (ended.min(&(from + window_ms)) - begun.max(&from)).max(0) as f64
        };
        let all = (window_ms * i64::try_from(accounts * RUNNING).unwrap_or(1)) as f64;
        runs.iter().map(used).sum::<f64>() / all * 100.0
    };
    (0..order.runs).map(share).collect()
}

fn killing(fleet: &Fleet, length: Duration) {
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < length {
        std::thread::sleep(KILL_EVERY.min(length.saturating_sub(begun.elapsed())));
        let name = KILLED[turn % KILLED.len()];
        turn += 1;
        fleet.kill9(name);
        drop(fleet.start_as(name, name.trim_end_matches("-2"), &[]));
    }
}

fn now_ms(fleet: &Fleet) -> i64 {
    fleet.run(fleet.store().now()).expect("the clock").unix_ms()
}

/// From when to when each task ran; who runs still, until the end of times.
fn running(fleet: &Fleet) -> Vec<(i64, i64)> {
    // What is being written while it is read is later than any window.
    let ledger = wait::until("a ledger", WINDOW, || Some(fleet.ledger())).expect("it is read");
    let mut tasks: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let at = |line: &serde_json::Value| line["at_ms"].as_i64().unwrap_or(0);
    let task = |line: &serde_json::Value| line["task"].as_str().unwrap_or_default().to_owned();
    for line in ledger.events("running") {
        tasks.insert(task(line), (at(line), i64::MAX));
    }
    for line in ledger.events("billed") {
        if let Some((_, ended)) = tasks.get_mut(&task(line)) {
            *ended = at(line);
        }
    }
    tasks.into_values().collect()
}
