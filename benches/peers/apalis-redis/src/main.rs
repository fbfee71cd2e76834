//! The job as apalis-redis does it: one queue, one job for each step, the next step pushed by the one before.
//!
//! As its documentation has it: `push_bulk` to enqueue, an interval to poll with (without one, jobs wait 30 s), `retry`,
//! `concurrency`, `parallelize`. `run_after` counts whole seconds, so a read comes a second later at least.
#![forbid(unsafe_code)]

use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use apalis::layers::retry::RetryPolicy;
use apalis::prelude::*;
use apalis_redis::RedisStorage;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

const FIRST_READ: Duration = Duration::from_secs(1);
const NEXT_READ: Duration = Duration::from_secs(1);
const CONCURRENCY: usize = 64;
const BULK: usize = 1_000;

/// One job of the queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Step {
    Create { request: Value },
    Read { task: String },
    Fetch { task: String, link: String },
}

/// What every step needs.
#[derive(Clone)]
struct Shop {
    http: reqwest::Client,
    tasks_url: String,
    key: String,
    out: PathBuf,
}

impl Shop {
    fn open() -> Result<Self> {
        let get = |name: &str| env::var(name).with_context(|| format!("{name} is not set"));
        Ok(Self {
            http: reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?,
            tasks_url: get("PEER_TASKS_URL")?,
            key: get("PEER_KEY")?,
            out: get("PEER_OUT")?.into(),
        })
    }

    async fn create(&self, request: &Value) -> Result<String> {
        let call = self.http.post(&self.tasks_url).bearer_auth(&self.key).json(request);
        let made: Value = call.send().await?.error_for_status()?.json().await?;
        made["id"].as_str().map(str::to_owned).context("no task")
    }

    /// The link, once there is one.
    async fn read(&self, task: &str) -> Result<Option<String>> {
        let call = self.http.get(format!("{}/{task}", self.tasks_url)).bearer_auth(&self.key);
        let seen: Value = call.send().await?.error_for_status()?.json().await?;
        if matches!(seen["status"].as_str(), Some("failed" | "expired" | "cancelled")) {
            bail!("the task has ended without a film");
        }
        Ok(seen["content"]["video_url"].as_str().map(str::to_owned))
    }

    async fn fetch(&self, task: &str, link: &str) -> Result<()> {
        let film = self.http.get(link).send().await?.error_for_status()?.bytes().await?;
        let (part, whole) =
            (self.out.join(format!("{task}.part")), self.out.join(format!("{task}.mp4")));
        let mut file = tokio::fs::File::create(&part).await?;
        file.write_all(&film).await?;
        file.sync_all().await?;
        Ok(tokio::fs::rename(part, whole).await?)
    }
}

async fn step(
    job: Step,
    shop: Data<Shop>,
    storage: Data<RedisStorage<Step>>,
) -> Result<(), BoxDynError> {
    let (next, after) = match job {
        Step::Create { request } => (Step::Read { task: shop.create(&request).await? }, FIRST_READ),
        Step::Read { task } => match shop.read(&task).await? {
            Some(link) => (Step::Fetch { task, link }, Duration::ZERO),
            None => (Step::Read { task }, NEXT_READ),
        },
        Step::Fetch { task, link } => return Ok(shop.fetch(&task, &link).await?),
    };
    let mut storage = (*storage).clone();
    match after.is_zero() {
        true => storage.push(next).await?,
        false => storage.push_task(TaskBuilder::new(next).run_after(after).build()).await?,
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("PEER_REDIS_URL").context("PEER_REDIS_URL is not set")?;
    let mut storage: RedisStorage<Step> = RedisStorage::new(apalis_redis::connect(url).await?);
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["enqueue", count] => {
            let form = env::var("PEER_REQUEST").context("PEER_REQUEST is not set")?;
            let jobs: Vec<Step> = (0..count.parse::<usize>()?)
                .map(|n| {
                    Ok(Step::Create {
                        request: serde_json::from_str(&form.replace("@n@", &n.to_string()))?,
                    })
                })
                .collect::<Result<_>>()?;
            let begun = Instant::now();
            for some in jobs.chunks(BULK) {
                storage
                    .push_bulk(some.to_vec())
                    .await
                    .map_err(|error| anyhow::anyhow!("{error:?}"))?;
            }
            println!("{}", begun.elapsed().as_secs_f64());
        }
        ["work"] => {
            let name = format!("worker-{}", std::process::id());
            WorkerBuilder::new(name)
                .backend(storage.clone().poll_with_interval(Duration::from_millis(50)))
                .data(storage)
                .data(Shop::open()?)
                .concurrency(CONCURRENCY)
                .retry(RetryPolicy::retries(5))
                .parallelize(tokio::spawn)
                .build(step)
                .run()
                .await
                .map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        _ => bail!("enqueue N, or work"),
    }
    Ok(())
}
