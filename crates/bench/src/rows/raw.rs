//! The machine's limit: what Redis and the simulator give to a program that does nothing else.

use crate::figure::Figure;
use crate::order::Order;
use crate::server::connect;
use crate::stage::{FAST, request};
use e2e::kit::{Fleet, Options};
use futures::StreamExt;
use reqwest::Client;
use sandbox::Redis;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Commands of one pipeline, and such pipelines.
const PIPELINE: usize = 500;
const PIPELINES: usize = 200;
const PINGS: usize = 500;
/// Whole lives by HTTP, and how many go on at once.
const LIVES: usize = 2_000;
const LIVES_AT_ONCE: usize = 64;
/// The simulator is done sooner than this.
const FIRST_READ: Duration = Duration::from_millis(250);

/// Redis with `appendfsync always`, and a job's HTTP calls without any queue.
///
/// # Panics
///
/// Redis or the simulator does not serve.
#[must_use]
pub fn run(order: &Order) -> Vec<Figure> {
    let redis = Redis::start(sandbox::Options::default()).expect("a private Redis");
    let fleet = Fleet::start(Options::empty().simulator(&FAST));
    let (mut alone, mut piped, mut lives) = (Vec::new(), Vec::new(), Vec::new());
    for run in 0..order.runs {
        alone.push(sets_alone(&redis, order.sized(PINGS)));
        piped.push(sets_piped(&redis, run, order.sized(PIPELINES)));
        lives.push(fleet.run(by_http(&fleet, order.sized(LIVES))));
    }
    vec![
        Figure::new("Redis, SET of 600 bytes one by one, each durable", "commands/s", alone),
        Figure::new("Redis, the same in pipelines of 500", "commands/s", piped),
        Figure::new(
            "create, one read, 256 KiB film by HTTP, no queue, nothing stored",
            "jobs/s",
            lives,
        )
        .noting(format!("{LIVES_AT_ONCE} at a time, one process beside the simulator")),
    ]
}

fn sets_alone(redis: &Redis, sets: usize) -> f64 {
    let mut connection = connect(redis.port());
    let value = "x".repeat(600);
    let begun = Instant::now();
    for n in 0..sets {
        let set = redis::cmd("SET").arg(n).arg(&value).query::<()>(&mut connection);
        set.expect("it is written");
    }
    sets as f64 / begun.elapsed().as_secs_f64()
}

fn sets_piped(redis: &Redis, run: usize, pipelines: usize) -> f64 {
    let mut connection = connect(redis.port());
    let value = "x".repeat(600);
    let begun = Instant::now();
    for n in 0..pipelines {
        let mut pipe = redis::Pipeline::with_capacity(PIPELINE);
        for k in 0..PIPELINE {
            let key = run * 1_000_000 + n * PIPELINE + k;
            pipe.cmd("SET").arg(key).arg(&value).ignore();
        }
        pipe.query::<()>(&mut connection).expect("they are written");
    }
    (pipelines * PIPELINE) as f64 / begun.elapsed().as_secs_f64()
}

async fn by_http(fleet: &Fleet, lives: usize) -> f64 {
    let client = Client::builder().no_proxy().build().expect("a client");
    let key = std::fs::read_to_string(fleet.path("provider.key")).expect("the kit's key");
    let tasks = format!("http://{}/api/v3/contents/generations/tasks", fleet.api_address());
    let begun = Instant::now();
    let mut running = futures::stream::iter(0..lives)
        .map(|n| {
            let (client, key, tasks) = (client.clone(), key.clone(), tasks.clone());
            tokio::spawn(async move { one_life(&client, &key, &tasks, n).await })
        })
        .buffer_unordered(LIVES_AT_ONCE);
    while let Some(bytes) = running.next().await {
        assert!(bytes.expect("no panic") >= 262_144, "a whole film");
    }
    lives as f64 / begun.elapsed().as_secs_f64()
}

/// Buys, reads until it is done, fetches: the bytes of the film.
async fn one_life(client: &Client, key: &str, tasks: &str, n: usize) -> usize {
    let mut body = request(&format!("raw {n}"));
    body["model"] = "dreamina-seedance-2-0-260128".into();
    let made = client.post(tasks).bearer_auth(key).json(&body).send().await.expect("an answer");
    let made: Value = made.json().await.expect("JSON");
    let id = made["id"].as_str().unwrap_or_else(|| panic!("no task: {made}"));
    loop {
        tokio::time::sleep(FIRST_READ).await;
        let read = client.get(format!("{tasks}/{id}")).bearer_auth(key).send().await;
        let task: Value = read.expect("an answer").json().await.expect("JSON");
        if let Some(link) = task["content"]["video_url"].as_str() {
            let film = client.get(link).send().await.expect("an answer");
            return film.bytes().await.expect("a film").len();
        }
    }
}
