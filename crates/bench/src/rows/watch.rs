//! One poller over very many real tasks, at the real limits of its accounts: memory, and what it manages.

use crate::figure::{Figure, percentile};
use crate::house::{facts, normal, watched};
use crate::order::Order;
use crate::stage::{cpu_us, request, rss_mib};
use e2e::kit::{Fleet, Options};
use futures::StreamExt;
use job::Record;
use reqwest::Client;
use sandbox::TempDir;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

const ACCOUNTS: usize = 5;
const TASKS: usize = 50_000;
const CALLS_AT_ONCE: usize = 64;
/// Memory is looked at so often, for so long.
const LOOKS: u32 = 12;
const LOOK_EVERY: Duration = Duration::from_secs(10);
const MB_IN_MIB: f64 = 1.048_576;

/// Memory of a poller that tends them all, and the share of a core it takes.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let tasks = order.sized(TASKS);
    let (mut rss_mb, mut cpu, mut lag_s, mut seen) = (Vec::new(), Vec::new(), Vec::new(), [0, 0]);
    for _ in 0..order.runs {
        let once = once(tasks);
        rss_mb.push(once.rss_mb);
        cpu.push(once.cpu);
        lag_s.push(percentile(&once.lags_s, 99.0));
        seen = [seen[0] + once.lags_s.len(), seen[1] + once.unseen];
    }
    let [ended, unseen] = seen;
    vec![
        Figure::new(format!("resident memory of a poller, {tasks} tasks"), "MB", rss_mb)
            .at_most(40.0)
            .noting("one poller, the most of twelve looks, 10 s apart"),
        Figure::new("its processor time, share of a core", "%", cpu),
        Figure::new("lag of detection, p99, 10,000 tasks an account at one list a second", "s", lag_s)
            .at_most(25.0)
            .noting(format!(
                "of {ended} tasks that ended in the second minute; {unseen} of them were not seen yet and count with \
                 the time they have waited so far"
            )),
    ]
}

/// What one poller showed.
struct Once {
    rss_mb: f64,
    cpu: f64,
    lags_s: Vec<f64>,
    unseen: usize,
}

fn once(tasks: usize) -> Once {
    let keys = TempDir::new("keys").expect("a folder");
    let mut config =
        "[poll]\nfirst = \"5s\"\nsteady = \"15s\"\nmax = \"60s\"\nlease = \"6s\"\nrenew = \"2s\"\n\
                      overdue_look = \"30m\"\n[provider]\nread_timeout = \"10s\"\n"
            .to_owned();
    // They end one after the other while they are watched.
    let mut flags: Vec<String> =
        ["--run-s", "60-1200", "--queue-s", "0-0"].map(str::to_owned).into();
    for limit in ["retrieve_qps=20", "list_qps=1"] {
        flags.extend(["--limits".to_owned(), limit.to_owned()]);
    }
    for n in 0..ACCOUNTS {
        let (name, key) = (format!("w{n}"), format!("bench-key-{n}"));
        let file = keys.path().join(&name);
        std::fs::write(&file, &key).expect("the folder is ours");
        flags.extend(["--api-key".to_owned(), format!("{key}={name}")]);
        let file = file.display();
        let _ = write!(
            config,
            "[pools.sim.accounts.{name}]\napi_key_file = \"{file}\"\ntier = \"enterprise\"\n"
        );
    }
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let fleet = Fleet::start(Options::empty().config(&config).simulator(&flags));
    fleet.run(fill(&fleet, tasks));
    let poller = fleet.start_role("poller");
    let (before_us, begun) = (cpu_us(poller.pid()), Instant::now());
    let mut rss = Vec::new();
    for _ in 0..LOOKS {
        std::thread::sleep(LOOK_EVERY);
        rss.push(rss_mib(poller.pid()));
    }
    let took = begun.elapsed().as_secs_f64();
    let cpu = (cpu_us(poller.pid()) - before_us) / (took * 1e6) * 100.0;
    let (lags_s, unseen) = lags_s(&fleet);
    let peak = rss.iter().copied().fold(0.0, f64::max);
    Once { rss_mb: peak * MB_IN_MIB, cpu, lags_s, unseen }
}

/// Buys the tasks by plain HTTP and takes them over.
async fn fill(fleet: &Fleet, tasks: usize) {
    let client = Client::builder().no_proxy().build().expect("a client");
    let url = format!("http://{}/api/v3/contents/generations/tasks", fleet.api_address());
    let mut body = request("watched");
    body["model"] = "dreamina-seedance-2-0-260128".into();
    let made = futures::stream::iter(0..tasks)
        .map(|n| {
            let (client, url, body) = (client.clone(), url.clone(), body.clone());
            tokio::spawn(async move {
                let account = n % ACCOUNTS;
                let key = format!("bench-key-{account}");
                let made = client.post(&url).bearer_auth(key).json(&body).send().await;
                let made: Value = made.expect("an answer").json().await.expect("JSON");
                let id = made["id"].as_str().unwrap_or_else(|| panic!("no task: {made}"));
                (format!("w{account}"), id.to_owned())
            })
        })
        .buffer_unordered(CALLS_AT_ONCE)
        .map(|made| made.expect("no panic"))
        .collect::<Vec<(String, String)>>()
        .await;
    let now = fleet.store().now().await.expect("the clock");
    let request = normal("watched");
    for some in made.chunks(2_000) {
        let record = |(account, task): &(String, String)| -> Record {
            watched(request.clone(), task, facts(account, &url), "sim", now)
        };
        let records: Vec<Record> = some.iter().map(record).collect();
        let back = fleet.store().restore(&records).await.expect("Redis answers");
        assert!(back.into_iter().all(|back| back), "each is new");
    }
}

/// How long after its end each task was seen to have ended, or has waited so far, and how many still wait; those
/// that ended in the first minute wait behind the start of it all and do not count.
fn lags_s(fleet: &Fleet) -> (Vec<f64>, usize) {
    let ledger = fleet.ledger();
    let now_ms = fleet.run(fleet.store().now()).expect("the clock").unix_ms();
    let from_ms = now_ms - 60_000;
    let mut ended: BTreeMap<&str, i64> = ledger
        .events("billed")
        .filter_map(|line| Some((line["task"].as_str()?, line["at_ms"].as_i64()?)))
        .filter(|(_, at_ms)| (from_ms..now_ms).contains(at_ms))
        .collect();
    let mut lags = Vec::new();
    let query = store::ListQuery {
        limit: store::LIST_MAX,
        ..store::ListQuery::of(job::filter::Filter::parse("state=downloading").expect("a filter"))
    };
    let mut next = query.clone();
    loop {
        let page = fleet.run(fleet.store().list(&next)).expect("Redis answers");
        for item in &page.items {
            let Some(task) = item.record.life.state.task() else { continue };
            let Some(at_ms) = ended.remove(task.id.as_str()) else { continue };
            lags.push((item.record.life.updated_at.unix_ms() - at_ms) as f64 / 1_000.0);
        }
        match page.next {
            Some(cursor) => next = store::ListQuery { cursor: Some(cursor), ..query.clone() },
            None => break,
        }
    }
    lags.extend(ended.values().map(|at_ms| (now_ms - at_ms) as f64 / 1_000.0));
    (lags, ended.len())
}
