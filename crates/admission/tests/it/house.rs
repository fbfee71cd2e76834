//! A private Redis, a bucket of files and doors to them.

use admission::{Admitted, Door, How, Intake, Refusal, Settings};
use assets::Assets;
use job::{JobId, Source};
use sandbox::redis::Options;
use sandbox::{Redis, TempDir};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use store::{Queue, Store};

pub struct House {
    pub redis: Redis,
    pub store: Store,
    pub assets: Assets,
    bucket: TempDir,
}

impl House {
    pub async fn open() -> Self {
        Self::with(&[], assets::Settings::default()).await
    }

    pub async fn with(redis_args: &[&str], bucket: assets::Settings) -> Self {
        let extra_args = redis_args.iter().map(|arg| (*arg).to_owned()).collect();
        // What is proved here does not rest on the disk's flushes.
        let options = Options { extra_args, appendfsync: "no".into(), ..Options::default() };
        let redis = Redis::start(options).expect("a private Redis");
        let directory = TempDir::new("bucket").expect("a directory");
        let url = format!("file://{}", directory.path().display());
        let bucket = assets::Settings { url, fsync: false, ..bucket };
        let assets = Assets::open(&bucket).expect("the bucket opens");
        let store = connect(&redis).await;
        Self { redis, store, assets, bucket: directory }
    }

    pub fn door(&self) -> Door {
        self.door_by(Settings::default())
    }

    pub fn door_by(&self, settings: Settings) -> Door {
        Door::new(self.store.clone(), self.assets.clone(), &pool(), settings)
    }

    /// A door as another process has one: with its own connection.
    pub async fn far_door(&self) -> Door {
        let store = connect(&self.redis).await;
        Door::new(store, self.assets.clone(), &pool(), Settings::default())
    }

    pub fn bucket(&self) -> &Path {
        self.bucket.path()
    }

    /// Files in the bucket, relative to it.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.bucket().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(self.bucket()).expect("inside").to_owned());
                }
            }
        }
        files.sort();
        files
    }

    pub fn ask(&self, words: &[&str]) -> String {
        self.redis.command(words).expect("Redis answers")
    }

    /// Neither Redis nor the bucket has anything.
    pub fn is_empty(&self) -> bool {
        self.ask(&["DBSIZE"]) == "0" && self.files().is_empty()
    }

    /// Every name and every value Redis holds.
    pub fn everything(&self) -> String {
        let scanned = self.ask(&["SCAN", "0", "COUNT", "100000"]);
        let mut all = String::new();
        for key in scanned.lines().skip(1) {
            let value = match self.ask(&["TYPE", key]).as_str() {
                "hash" => self.ask(&["HGETALL", key]),
                "string" => self.ask(&["GET", key]),
                "zset" => self.ask(&["ZRANGE", key, "0", "-1"]),
                "list" => self.ask(&["LRANGE", key, "0", "-1"]),
                "stream" => self.ask(&["XRANGE", key, "-", "+"]),
                other => panic!("{key} is a {other}"),
            };
            all.push_str(key);
            all.push('\n');
            all.push_str(&value);
            all.push('\n');
        }
        all
    }

    pub async fn record(&self, id: &JobId) -> job::Record {
        let stored = self.store.load(id).await.expect("Redis answers");
        stored.expect("the job exists").record
    }

    /// Takes every ticket a submitter could take.
    pub async fn claim_all(&self) -> Vec<JobId> {
        let mut ids = Vec::new();
        for queue in Queue::ALL.into_iter().filter(|queue| queue.class().is_some()) {
            let lease = std::time::Duration::from_secs(600);
            let claimed = self.store.claim(&queue, 500, lease).await.expect("Redis answers");
            ids.extend(claimed.items.into_iter().map(|held| held.stored.record.id));
        }
        ids.sort();
        ids
    }

    pub async fn job_count(&self) -> u64 {
        self.store.counts().await.expect("Redis answers").values().sum()
    }
}

pub async fn connect(redis: &Redis) -> Store {
    let settings = store::Settings { url: redis.url(), ..store::Settings::default() };
    Store::connect(&settings, "main").await.expect("the private Redis takes connections")
}

pub fn pool() -> job::PoolSettings {
    serde_json::from_value(json!({
        "route": "byteplus", "simulated": true, "accounts": {"a": {"api_key_file": "unread"}}
    }))
    .expect("a pool")
}

pub fn api(body: Value) -> Intake {
    Intake::new(body, Source::Api)
}

pub fn is_created(answer: &Result<Admitted, Refusal>) -> bool {
    matches!(answer, Ok(Admitted { how: How::Created, .. }))
}

/// The faults as `pointer code`, in the order they were told.
pub fn told(answer: Result<Admitted, Refusal>) -> Vec<String> {
    let refusal = answer.expect_err("it should have been refused");
    assert!(!refusal.is_retryable(), "{refusal}");
    refusal.faults().iter().map(|fault| format!("{} {}", fault.pointer, fault.code)).collect()
}
