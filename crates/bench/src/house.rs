//! A private Redis with jobs in it, and workers inside this process: what a row needs that measures the queue alone.

use crate::stage;
use job::{
    Adoption, AttemptId, Facts, Fingerprint, JobId, Policy, PoolSettings, Record, Source, Spec,
    State, StateWord, TaskId, Timestamp,
};
use sandbox::Redis;
use seedance::{Request, Route, SlotClass};
use settings::{Loaded, Sources};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{ADMIT_MAX, Admitted, NewJob, Store};
use tokio::task::JoinHandle;
use worker::{Crew, Fleet, Pool, Role, WorkError};

/// Calls of one kind on their way at once.
const CALLS_AT_ONCE: usize = 8;
/// How long the tasks of these jobs may be watched.
const WATCH: Duration = Duration::from_secs(86_400);

/// The server, and the settings of who works on it.
pub struct House {
    /// Syncs every write.
    pub redis: Redis,
    /// The pool's memory.
    pub store: Store,
    settings: Vec<(String, String)>,
}

/// Workers inside this process.
pub struct AtWork {
    fleet: Arc<Fleet>,
    work: JoinHandle<Result<(), WorkError>>,
}

impl House {
    /// A durable server and one simulated pool.
    ///
    /// # Panics
    ///
    /// There is no server.
    pub async fn new(more: &[(&str, &str)]) -> Self {
        let redis = Redis::start(sandbox::Options::default()).expect("a private Redis");
        let url = redis.url();
        let first = [
            ("redis.url", url.as_str()),
            ("pools.main.route", "byteplus"),
            ("pools.main.simulated", "true"),
            ("pools.main.accounts.a.api_key_file", "never-read"),
        ];
        let settings = first.iter().chain(more);
        let settings = settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let settings = settings.collect();
        let address = store::Settings { url: redis.url(), ..store::Settings::default() };
        let store = Store::connect(&address, "main").await.expect("connects");
        Self { redis, store, settings }
    }

    fn loaded(&self) -> Loaded {
        let set = |sources: Sources, (key, value): &(String, String)| sources.set(key, value);
        self.settings.iter().fold(Sources::default(), set).load().expect("good settings")
    }

    /// What the machine decides by.
    ///
    /// # Panics
    ///
    /// The settings are wrong.
    #[must_use]
    pub fn policy(&self) -> Policy {
        let pools: BTreeMap<String, PoolSettings> = self.loaded().section("pools").expect("pools");
        worker::policy(&self.loaded(), &pools["main"]).expect("a policy")
    }

    /// Works in this process. `crews` makes what is worked from the pool and each step's section.
    ///
    /// # Panics
    ///
    /// The workers do not start.
    pub async fn work(&self, crews: impl FnOnce(&Pool, &Fleet) -> Vec<Crew>) -> AtWork {
        let role = Role { name: "poller", grace: Duration::from_secs(20) };
        let fleet = Arc::new(Fleet::start(role, self.loaded()).await.expect("starts"));
        let crews = crews(&fleet.pools()[0], &fleet);
        let working = Arc::clone(&fleet);
        let work = tokio::spawn(async move { working.work(crews).await });
        AtWork { fleet, work }
    }

    /// Takes jobs in, in calls of the usual size.
    ///
    /// # Panics
    ///
    /// One is refused.
    pub async fn admit(&self, records: Vec<Record>) {
        let mut jobs = records.into_iter().map(|record| NewJob { record, idempotency: None });
        let mut calls = tokio::task::JoinSet::new();
        loop {
            let some: Vec<NewJob> = jobs.by_ref().take(ADMIT_MAX).collect();
            if some.is_empty() || calls.len() >= CALLS_AT_ONCE {
                calls.join_next().await.transpose().expect("admits");
            }
            if some.is_empty() && calls.is_empty() {
                return;
            }
            if !some.is_empty() {
                let store = self.store.clone();
                calls.spawn(async move {
                    for admitted in store.admit(&some).await.expect("a call of allowed size") {
                        assert_eq!(admitted.expect("Redis answers"), Admitted::Created);
                    }
                });
            }
        }
    }

    /// Puts jobs back whose tasks are at work; each is due at once.
    ///
    /// # Panics
    ///
    /// One cannot be put back.
    pub async fn restore(&self, records: Vec<Record>) {
        let mut calls = tokio::task::JoinSet::new();
        for some in records.chunks(4 * ADMIT_MAX) {
            if calls.len() >= CALLS_AT_ONCE {
                calls.join_next().await.transpose().expect("restores");
            }
            let (store, some) = (self.store.clone(), some.to_vec());
            calls.spawn(async move {
                let back = store.restore(&some).await.expect("Redis answers");
                assert!(back.into_iter().all(|back| back), "each is new");
            });
        }
        while let Some(done) = calls.join_next().await {
            done.expect("restores");
        }
    }

    /// Waits until so many jobs stand in a state.
    ///
    /// # Panics
    ///
    /// They do not within [`stage::BOUND`].
    pub async fn until_count(&self, word: StateWord, jobs: usize) {
        let deadline = Instant::now() + stage::BOUND;
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        loop {
            beat.tick().await;
            let counts = self.store.counts().await.unwrap_or_default();
            if counts.get(&word).copied().unwrap_or(0) >= jobs as u64 {
                return;
            }
            assert!(Instant::now() < deadline, "{jobs} jobs {}: {counts:?}", word.as_str());
        }
    }
}

impl AtWork {
    /// Asks for a drain and waits for its end.
    ///
    /// # Panics
    ///
    /// The work ended badly.
    pub async fn stop(self) {
        self.fleet.stop();
        self.work.await.expect("no panic").expect("a clean end");
    }
}

/// A request in normal form.
///
/// # Panics
///
/// Never: it is valid.
#[must_use]
pub fn normal(mark: &str) -> Request {
    let rules = seedance::Rules::default();
    let checked = seedance::validate(Route::Byteplus, &stage::request(mark), &rules);
    checked.expect("a valid request").request
}

/// The job of a request, as the door writes it down.
#[must_use]
pub fn queued(request: Request, pool: &str, now: Timestamp) -> Record {
    let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, 1);
    let spec = Spec {
        estimate_tokens: seedance::estimate_tokens(&request),
        ..Spec::plain("default", pool, Source::Import, fingerprint, request)
    };
    let id = JobId::from_ulid(ulid::Ulid::generate());
    Record::begin(id, spec, State::Queued { tries: 0 }, now)
}

/// A job whose task is at work on an account.
///
/// # Panics
///
/// The task's id is none.
#[must_use]
pub fn watched(request: Request, task: &str, facts: Facts, pool: &str, now: Timestamp) -> Record {
    let wish = Adoption {
        tenant: "default".into(),
        pool: pool.to_owned(),
        task: TaskId::parse(task).expect("a task id"),
        facts,
        request,
        made_by: None,
        custom_id: None,
        metadata: BTreeMap::new(),
        output_prefix: None,
    };
    let id = JobId::from_ulid(ulid::Ulid::generate());
    wish.record(id, AttemptId::from_ulid(ulid::Ulid::generate()), now, WATCH)
}

/// Where a task is read; nothing here calls that address.
#[must_use]
pub fn facts(account: &str, tasks_url: &str) -> Facts {
    Facts {
        route: Route::Byteplus,
        create_url: tasks_url.to_owned(),
        retrieve_url: tasks_url.to_owned(),
        model_id: "dreamina-seedance-2-0-260128".into(),
        account: account.to_owned(),
        class: SlotClass::V20,
        price_version: "2026-01-01".into(),
    }
}
