//! How fast jobs are taken in and listed: real programs, a private Redis, HTTP from this process.
//!
//! Posts go out by the clock and not when the last answer came, so a gateway that falls behind shows it in the
//! latency.

use crate::figure::{Figure, percentile};
use crate::order::Order;
use crate::server::Counters;
use crate::stage::{Caller, request};
use e2e::kit::{ALICE, Fleet, Options};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// Rounds with and without a flood take turns: a machine that warms up or slows down does it to both.
const ROUNDS: u64 = 5;
/// Pages asked for of each list.
const PAGES: usize = 200;
/// Forged callbacks go out in so many packs a second: a timer for each would measure timers.
const PACKS: u64 = 100;
const PACK_EVERY: Duration = Duration::from_millis(1_000 / PACKS);
/// Lists that people look at.
const LISTS: [&str; 4] =
    ["", "where=state%3Dqueued", "where=batch%3Dnone", "where=state%3Dqueued%20age%3C1h"];

fn gateway() -> Fleet {
    let mut options = Options::with_gateway();
    options.roles.retain(|role| *role == "gateway");
    Fleet::start(options)
}

/// Bulk intake, what a waiting job takes, and lists over it all.
#[must_use]
pub fn bulk(order: &Order) -> Vec<Figure> {
    let fleet = gateway();
    let caller = Caller::of(&fleet);
    // The first jobs make what a pool has once.
    let (_, _) = caller.bulk("warm", 1);
    let (mut rates, mut bytes, mut cpu_us) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..order.runs {
        let before = Counters::of(fleet.redis());
        let (jobs, took) = caller.bulk(&format!("bulk {run}"), order.sized(order.jobs));
        let spent = Counters::of(fleet.redis()).since(&before);
        rates.push(jobs as f64 / took.as_secs_f64());
        bytes.push(spent.bytes / jobs as f64);
        cpu_us.push(spent.cpu_us / jobs as f64);
    }
    let mut figures = vec![
        Figure::new("idempotent enqueue by HTTP, bulk", "jobs/s", rates)
            .at_least(20_000.0)
            .noting("1,000 jobs a request, four requests at a time; gateway, Redis and caller share the machine"),
        Figure::new("Redis, per waiting job (603-byte request)", "bytes", bytes).at_most(1_200.0),
        Figure::new("Redis processor time, per job taken in", "µs", cpu_us),
    ];
    for list in LISTS {
        let times = pages(&caller, list);
        let what = if list.is_empty() { "newest" } else { list };
        let p95 = percentile(&times, 95.0);
        let what = format!("a page of a list ({what}), p95 of {PAGES}");
        figures.push(Figure::new(what, "ms", vec![p95]).at_most(50.0));
    }
    figures
}

/// Pages of one list, one after the other from its beginning, as people turn them; ms.
fn pages(caller: &Caller<'_>, list: &str) -> Vec<f64> {
    let (mut times, mut cursor) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let behind = cursor.as_ref().map(|text| format!("&cursor={text}")).unwrap_or_default();
        let path = format!("/v1/jobs?limit=50&{list}{behind}");
        let begun = Instant::now();
        let reply = caller.fleet.send(caller.ask(Method::GET, &path).bearer_auth(ALICE));
        times.push(ms(begun.elapsed()));
        assert_eq!(reply.status, 200, "{}", reply.body);
        cursor = reply.body["next"].as_str().map(str::to_owned);
    }
    times
}

/// What comes beside the posts.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Nothing,
    /// As many requests that nobody serves: what their sender and a socket cost on the same cores.
    Aimless,
    Forged,
}

/// Single posts without and with a flood, in turn.
#[must_use]
pub fn posts(order: &Order) -> Vec<Figure> {
    let fleet = gateway();
    let caller = Caller::of(&fleet);
    let kinds = [Beside::Nothing, Beside::Aimless, Beside::Forged];
    let mut p99: [Vec<f64>; 3] = Default::default();
    for round in 0..ROUNDS {
        for (at, beside) in kinds.into_iter().enumerate() {
            let times = by_the_clock_beside(&caller, order, 3 * round + at as u64, beside);
            p99[at].push(percentile(&times, 99.0));
        }
    }
    let [alone, aimless, forged] = p99;
    let more = |than: &[f64]| {
        forged.iter().zip(than).map(|(forged, other)| forged / other * 100.0 - 100.0).collect()
    };
    let (change, own) = (more(&alone), more(&aimless));
    let (rate, flood) = (order.rate, order.forged);
    vec![
        Figure::new(format!("single post, p99, at {rate}/s"), "ms", alone).at_most(10.0),
        Figure::new(format!("the same under {flood}/s forged callbacks"), "ms", forged)
            .at_most(10.0),
        Figure::new(format!("the same under {flood}/s requests that nobody serves"), "ms", aimless),
        Figure::new("p99 under the flood against p99 without", "%", change)
            .at_most(20.0)
            .noting("the generator of the flood shares the machine's cores with the gateway"),
        Figure::new("p99 under the flood against p99 under requests that nobody serves", "%", own)
            .noting(
                "what the gateway does for a forged callback, without its sender and its socket",
            ),
    ]
}

fn by_the_clock_beside(caller: &Caller<'_>, order: &Order, round: u64, beside: Beside) -> Vec<f64> {
    caller.fleet.run(async {
        let flood = flood(caller, order.forged, beside);
        tokio::pin!(flood);
        let posts = by_the_clock(caller, order, round);
        tokio::pin!(posts);
        tokio::select! {
            times = &mut posts => times,
            () = &mut flood => posts.await,
        }
    })
}

async fn by_the_clock(caller: &Caller<'_>, order: &Order, round: u64) -> Vec<f64> {
    let gap = Duration::from_secs(1) / u32::try_from(order.rate).unwrap_or(u32::MAX);
    let mut beat = tokio::time::interval(gap);
    let mut running = Vec::new();
    for n in 0..order.rate * order.seconds.div_ceil(ROUNDS) {
        let due = beat.tick().await;
        let body = request(&format!("post {n} of round {round}"));
        let post = caller.ask(Method::POST, "/v1/jobs").bearer_auth(ALICE).json(&body).send();
        running.push(tokio::spawn(async move {
            let status = post.await.map(|reply| reply.status().as_u16());
            assert_eq!(status.ok(), Some(202), "a post");
            ms(due.elapsed())
        }));
    }
    let mut times = Vec::with_capacity(running.len());
    for one in running {
        times.push(one.await.expect("a post was answered"));
    }
    times
}

/// So many requests a second, until it is dropped; ends at once where none are wanted.
async fn flood(caller: &Caller<'_>, rate: u64, beside: Beside) {
    let path = |n: u64| match beside {
        Beside::Nothing => None,
        Beside::Aimless => Some(format!("/nowhere/{n:026}/{}", "0".repeat(64))),
        Beside::Forged => Some(format!("/cb/v1/att_{n:026}/{}", "0".repeat(64))),
    };
    let mut beat = tokio::time::interval(PACK_EVERY);
    let body = json!({"id": "cgt-forged", "status": "succeeded"});
    let pack = rate.div_ceil(PACKS);
    for n in 0_u64.. {
        beat.tick().await;
        for k in 0..pack {
            let Some(path) = path(n * pack + k) else { return };
            drop(tokio::spawn(caller.ask(Method::POST, &path).json(&body).send()));
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}
