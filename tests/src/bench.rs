//! How fast jobs are taken in and listed: real programs, a private Redis that syncs every write, HTTP from this process.
//!
//! Posts go out by the clock and not when the last answer came, so a gateway that falls behind shows it in the latency.
//! A figure means something on a quiet machine only, and no test looks at one.

use crate::kit::{ALICE, Fleet, Options, Reply, text};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Jobs of one bulk request, and such requests at a time.
const BULK_JOBS: usize = 1_000;
const BULKS_AT_ONCE: usize = 4;
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

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// How long single posts go on, each with and without a flood; in several rounds.
    pub seconds: u64,
    /// Single posts a second.
    pub rate: u64,
    /// Forged callbacks a second beside them, in every other round.
    pub forged: u64,
    /// Jobs made by bulk, and then listed.
    pub jobs: usize,
}

impl Default for Order {
    fn default() -> Self {
        Self { seconds: 20, rate: 500, forged: 2_000, jobs: 100_000 }
    }
}

/// Reads the words of a command line.
///
/// # Errors
///
/// In words.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Order, String> {
    let mut order = Order::default();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} takes a number"))?;
        let number: u64 = value.parse().map_err(|_| format!("{word}: {value:?} is no number"))?;
        match word.as_str() {
            "--seconds" => order.seconds = number.max(1),
            "--rate" => order.rate = number.max(1),
            "--forged" => order.forged = number,
            "--jobs" => order.jobs = usize::try_from(number).unwrap_or(usize::MAX),
            other => {
                return Err(format!("{other} is none of --seconds, --rate, --forged, --jobs"));
            }
        }
    }
    Ok(order)
}

/// Measures, and tells it as a table.
///
/// # Panics
///
/// Something does not start, or an answer is not what it must be: then there is nothing to measure.
#[must_use]
pub fn run(order: &Order) -> String {
    let mut options = Options::with_gateway();
    options.roles.retain(|role| *role == "gateway");
    let fleet = Fleet::start(options);
    let bench =
        Bench { fleet: &fleet, client: Client::builder().no_proxy().build().expect("a client") };
    let mut rows = Vec::new();
    let (alone, flooded) = bench.rounds(order);
    rows.push((
        format!("single post, p50 / p99 / max, at {}/s", order.rate),
        Times::all(&alone).told(),
        "p99 ≤ 10 ms",
    ));
    let what = format!("the same under {}/s forged callbacks", order.forged);
    rows.push((what, Times::all(&flooded).told(), "p99 ≤ 10 ms"));
    let what =
        format!("p99 under the flood against p99 without, median of {ROUNDS} rounds (spread)");
    rows.push((what, changes(&alone, &flooded), "+ 20 % at most"));
    let (jobs, took) = bench.bulk(order.jobs);
    let per_second = jobs as u128 * 1_000 / took.as_millis().max(1);
    rows.push((format!("bulk, {jobs} jobs"), format!("{per_second} jobs/s"), "≥ 20,000 jobs/s"));
    for list in LISTS {
        let times = bench.pages(list);
        let what =
            if list.is_empty() { "list, newest".to_owned() } else { format!("list, {list}") };
        rows.push((
            format!("{what}, p95"),
            format!("{:.1} ms", ms(times.at(95.0))),
            "≤ 50 ms at 1,000,000 jobs",
        ));
    }
    table(&fleet, &rows)
}

/// What the flood did to p99, round by round.
fn changes(alone: &[Times], flooded: &[Times]) -> String {
    let p99 = |times: &Times| times.at(99.0).as_secs_f64();
    let change = |(alone, flooded)| p99(flooded) / p99(alone) * 100.0 - 100.0;
    let mut changes: Vec<f64> = alone.iter().zip(flooded).map(change).collect();
    changes.sort_unstable_by(f64::total_cmp);
    let (least, most) = (changes[0], changes[changes.len() - 1]);
    format!("{:+.0} % ({least:+.0} to {most:+.0} %)", changes[changes.len() / 2])
}

struct Bench<'a> {
    fleet: &'a Fleet,
    client: Client,
}

/// Times, sorted.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self(times)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list, from 0 to its last"
    )]
    fn at(&self, percent: f64) -> Duration {
        let last = self.0.len() - 1;
        let place = (last as f64 * percent / 100.0).round();
        self.0[(place as usize).min(last)]
    }

    fn all(rounds: &[Self]) -> Self {
        Self::of(rounds.iter().flat_map(|round| round.0.iter().copied()).collect())
    }

    fn told(&self) -> String {
        let [half, most, all] = [50.0, 99.0, 100.0].map(|percent| ms(self.at(percent)));
        format!("{half:.1} / {most:.1} / {all:.1} ms")
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

impl Bench<'_> {
    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let port = self.fleet.gateway_port();
        self.client.request(method, format!("http://127.0.0.1:{port}{path}"))
    }

    /// Single posts without and with a flood, in turn.
    fn rounds(&self, order: &Order) -> (Vec<Times>, Vec<Times>) {
        let pair = |round| {
            (self.posts(order, 2 * round, 0), self.posts(order, 2 * round + 1, order.forged))
        };
        (0..ROUNDS).map(pair).unzip()
    }

    /// Single posts by the clock, with so many forged callbacks a second beside them.
    fn posts(&self, order: &Order, round: u64, forged: u64) -> Times {
        self.fleet.run(async {
            let flood = self.flood(forged);
            tokio::pin!(flood);
            let posts = self.by_the_clock(order, round);
            tokio::pin!(posts);
            tokio::select! {
                times = &mut posts => times,
                () = &mut flood => posts.await,
            }
        })
    }

    async fn by_the_clock(&self, order: &Order, round: u64) -> Times {
        let gap = Duration::from_secs(1) / u32::try_from(order.rate).unwrap_or(u32::MAX);
        let mut beat = tokio::time::interval(gap);
        let mut running = Vec::new();
        for n in 0..order.rate * order.seconds.div_ceil(ROUNDS) {
            let due = beat.tick().await;
            let body = Value::from(text(&format!("post {n} of round {round}")));
            let post = self.ask(Method::POST, "/v1/jobs").bearer_auth(ALICE).json(&body).send();
            running.push(tokio::spawn(async move {
                let status = post.await.map(|reply| reply.status().as_u16());
                assert_eq!(status.ok(), Some(202), "a post");
                due.elapsed()
            }));
        }
        let mut times = Vec::with_capacity(running.len());
        for one in running {
            times.push(one.await.expect("a post was answered"));
        }
        Times::of(times)
    }

    /// Callbacks that nobody sent, until it is dropped; ends at once where none are wanted.
    async fn flood(&self, forged: u64) {
        if forged == 0 {
            return;
        }
        let mut beat = tokio::time::interval(PACK_EVERY);
        let body = json!({"id": "cgt-forged", "status": "succeeded"});
        for n in 0_u64.. {
            beat.tick().await;
            for k in 0..forged.div_ceil(PACKS) {
                let path = format!("/cb/v1/att_{n:020}{k:06}/{}", "0".repeat(64));
                drop(tokio::spawn(self.ask(Method::POST, &path).json(&body).send()));
            }
        }
    }

    fn bulk(&self, jobs: usize) -> (usize, Duration) {
        let begun = Instant::now();
        let mut made = 0;
        while made < jobs {
            let request = |k: usize| {
                let first = made + k * BULK_JOBS;
                let body = |n: usize| Value::from(text(&format!("bulk {n}")));
                let jobs: Vec<Value> = (first..first + BULK_JOBS).map(body).collect();
                let request = self.ask(Method::POST, "/v1/jobs:bulk").bearer_auth(ALICE);
                request.json(&json!({"jobs": jobs}))
            };
            let replies = self.fleet.send_all((0..BULKS_AT_ONCE).map(request).collect());
            let created = |reply: &Reply| reply.body["created"].as_u64();
            let all = replies.iter().all(|reply| created(reply) == Some(BULK_JOBS as u64));
            assert!(all, "{}", replies[0].body);
            made += BULKS_AT_ONCE * BULK_JOBS;
        }
        (made, begun.elapsed())
    }

    /// Pages of one list, one after the other from its beginning, as people turn them.
    fn pages(&self, list: &str) -> Times {
        let (mut times, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            let behind = cursor.as_ref().map(|text| format!("&cursor={text}")).unwrap_or_default();
            let path = format!("/v1/jobs?limit=50&{list}{behind}");
            let begun = Instant::now();
            let reply = self.fleet.send(self.ask(Method::GET, &path).bearer_auth(ALICE));
            times.push(begun.elapsed());
            assert_eq!(reply.status, 200, "{}", reply.body);
            cursor = reply.body["next"].as_str().map(str::to_owned);
        }
        Times::of(times)
    }
}

/// The whole result, for a page or an issue.
fn table(fleet: &Fleet, rows: &[(String, String, &str)]) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or("?").trim_start_matches([' ', '\t', ':']).trim().to_owned()
    };
    let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let build = if cfg!(debug_assertions) { "debug: no figure to go by" } else { "release" };
    let mut page = format!(
        "seedfleet {} ({build}); {}, {cores} cores, {}; Linux {}; Redis {} with appendfsync always\n\n",
        env!("CARGO_PKG_VERSION"),
        line(&cpus, "model name"),
        line(&memory, "MemTotal"),
        read("/proc/sys/kernel/osrelease").trim(),
        line(&fleet.redis().command(&["INFO", "server"]).unwrap_or_default(), "redis_version"),
    );
    page.push_str("| Measured | Figure | Goal |\n| --- | --- | --- |\n");
    for (what, figure, goal) in rows {
        // Writing to a text does not fail.
        let _ = writeln!(page, "| {what} | {figure} | {goal} |");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_and_percentiles_are_of_what_was_measured() {
        let words = |text: &str| parse(text.split_whitespace().map(str::to_owned));
        let order = words("--seconds 2 --rate 50 --jobs 4000").expect("an order");
        assert_eq!((order.seconds, order.rate, order.jobs, order.forged), (2, 50, 4_000, 2_000));
        assert!(
            words("--seconds").is_err()
                && words("--speed 3").is_err()
                && words("--rate x").is_err()
        );
        let times = Times::of((1..=100).rev().map(Duration::from_millis).collect());
        assert_eq!(times.at(50.0), Duration::from_millis(51));
        assert_eq!(
            (times.at(0.0), times.at(100.0)),
            (Duration::from_millis(1), Duration::from_millis(100))
        );
        assert_eq!(times.told(), "51.0 / 99.0 / 100.0 ms");
        let rounds = [10, 20, 40].map(|ms| Times::of(vec![Duration::from_millis(ms)]));
        assert_eq!(Times::all(&rounds).told(), "20.0 / 40.0 / 40.0 ms");
        let twice = [20, 40, 60].map(|ms| Times::of(vec![Duration::from_millis(ms)]));
        assert_eq!(changes(&rounds, &twice), "+100 % (+50 to +100 %)");
    }
}
