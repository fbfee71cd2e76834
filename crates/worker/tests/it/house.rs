//! A private Redis with jobs in it, and fleets that work them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use job::{
    AttemptId, Event, Facts, Fingerprint, JobId, OpenAttempt, Policy, PoolSettings, Record, Source,
    Spec, State, StateWord, TaskId,
};
use sandbox::{Options, Redis};
use seedance::{Route, SlotClass};
use settings::{Loaded, Sources};
use store::{Admitted, NewJob, Queue, Reported, Store, Stored, Writer};
use tokio::task::JoinHandle;
use worker::{Crew, Fleet, Role, Step, WorkError};

/// What a bound costs when a test fails; a passing test is far away from it.
pub const BOUND: Duration = Duration::from_secs(240);

/// The revision of a seeded job in `Generating`: created, begun, accepted.
pub const WATCHED_REVISION: u64 = 3;

pub struct House {
    pub redis: Arc<Redis>,
    pub store: Store,
    settings: Vec<(String, String)>,
    /// Jobs seeded so far: each is another take, or it would be the same request.
    takes: AtomicU32,
}

/// A fleet at work in this process.
pub struct AtWork {
    pub fleet: Arc<Fleet>,
    work: JoinHandle<Result<(), WorkError>>,
}

impl House {
    /// A durable server, one simulated pool, and leases that run out soon.
    pub async fn new() -> Self {
        let redis = Redis::start(Options::default()).expect("a server");
        let url = redis.url();
        let settings = [
            ("redis.url", url.as_str()),
            ("pools.main.route", "byteplus"),
            ("pools.main.simulated", "true"),
            ("pools.main.accounts.a.api_key_file", "never-read"),
            ("poll.first", "0s"),
            ("poll.steady", "1h"),
            ("poll.max", "1h"),
            ("telemetry.log_level", "debug"),
        ];
        let settings =
            settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        let address = store::Settings { url: redis.url(), ..store::Settings::default() };
        let store = Store::connect(&address, "main").await.expect("connects");
        Self { redis: Arc::new(redis), store, settings, takes: AtomicU32::new(0) }
    }

    /// With one setting changed.
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn loaded(&self) -> Loaded {
        let set = |sources: Sources, (key, value): &(String, String)| sources.set(key, value);
        self.settings.iter().fold(Sources::default(), set).load().expect("good settings")
    }

    /// The same settings for a child process.
    pub fn env(&self) -> Vec<(String, String)> {
        let name =
            |key: &str| format!("SEEDFLEET__{}", key.replace('.', "__").to_ascii_uppercase());
        self.settings.iter().map(|(key, value)| (name(key), value.clone())).collect()
    }

    pub fn policy(&self) -> Policy {
        let pools: BTreeMap<String, PoolSettings> = self.loaded().section("pools").expect("pools");
        worker::policy(&self.loaded(), &pools["main"]).expect("a policy")
    }

    /// Works one queue in this process.
    pub async fn work(&self, step: impl Step, grace: Duration) -> AtWork {
        let role = Role { name: "poller", grace };
        let fleet = Arc::new(Fleet::start(role, self.loaded()).await.expect("starts"));
        let settings = fleet.section("poll").expect("a section");
        let crew = Crew::new(&fleet.pools()[0], step, settings);
        let working = Arc::clone(&fleet);
        let work = tokio::spawn(async move { working.work(vec![crew]).await });
        AtWork { fleet, work }
    }

    /// Jobs that wait for a submitter.
    pub async fn queued(&self, n: usize) -> Vec<JobId> {
        let records: Vec<Record> = self.records(n).await;
        let chunks: Vec<&[Record]> = records.chunks(store::ADMIT_MAX).collect();
        futures::stream::iter(chunks)
            .for_each_concurrent(8, async |chunk| {
                let jobs: Vec<NewJob> = chunk
                    .iter()
                    .map(|record| NewJob { record: record.clone(), idempotency: None })
                    .collect();
                for admitted in self.store.admit(&jobs).await.expect("admits") {
                    assert_eq!(admitted.expect("admits"), Admitted::Created);
                }
            })
            .await;
        records.into_iter().map(|record| record.id).collect()
    }

    /// Jobs whose task is being generated; their first check is due now.
    pub async fn watched(&self, n: usize) -> Vec<JobId> {
        let ids = self.queued(n).await;
        let policy = self.policy();
        futures::stream::iter(&ids)
            .for_each_concurrent(256, async |id| {
                let attempt = attempt();
                let accepted = Event::AttemptAccepted {
                    attempt: attempt.id.clone(),
                    task: TaskId::parse(&format!("cgt-{}", attempt.id)).expect("a task id"),
                };
                for event in [Event::SubmitBegan { attempt }, accepted] {
                    let reported = self.store.report(id, Writer::Outside, &event, &policy).await;
                    let reported = reported.expect("reports");
                    assert!(matches!(reported, Reported::Written { .. }), "{reported:?}");
                }
            })
            .await;
        ids
    }

    async fn records(&self, n: usize) -> Vec<Record> {
        let body = serde_json::json!({
            "model": "seedance-2.0", "content": [{"type": "text", "text": "a lighthouse"}]
        });
        let rules = seedance::Rules::default();
        let request = seedance::validate(Route::Byteplus, &body, &rules).expect("valid").request;
        let now = self.store.now().await.expect("the clock");
        (0..n)
            .map(|_| {
                let take = self.takes.fetch_add(1, Ordering::Relaxed) + 1;
                let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, take);
                let spec = Spec {
                    take,
                    estimate_tokens: 100_000,
                    ..Spec::plain("default", "main", Source::Cli, fingerprint, request.clone())
                };
                let id = JobId::from_ulid(ulid::Ulid::generate());
                Record::begin(id, spec, State::Queued { tries: 0 }, now)
            })
            .collect()
    }

    /// Waits until so many jobs are in a state.
    pub async fn until_count(&self, word: StateWord, n: usize) {
        until(&format!("{n} jobs {}", word.as_str()), async || {
            // While the server is away there is nothing to see.
            let counts = self.store.counts().await.unwrap_or_default();
            counts.get(&word).copied().unwrap_or(0) >= n as u64
        })
        .await;
    }

    /// Every record, in the order asked for.
    pub async fn records_of(&self, ids: &[JobId]) -> Vec<Stored> {
        let found = self.store.load_many(ids).await.expect("loads");
        found.into_iter().map(|found| found.expect("readable").expect("there")).collect()
    }

    /// All jobs ended as cancelled, and every transition was applied once: one commit more than seeded.
    pub async fn assert_each_cancelled_once(&self, ids: &[JobId]) {
        for stored in self.records_of(ids).await {
            let id = &stored.record.id;
            assert_eq!(stored.record.life.state.word(), StateWord::Cancelled, "{id}");
            assert_eq!(stored.revision, WATCHED_REVISION + 1, "{id}: applied more than once");
        }
        let depth = self.depth(Queue::Poll).await;
        assert_eq!((depth.waiting, depth.leased), (0, 0), "tickets are left over");
    }

    pub async fn depth(&self, queue: Queue) -> store::Depth {
        let depths = self.store.depths().await.expect("depths");
        depths.into_iter().find(|depth| depth.queue == queue).expect("every queue is told")
    }
}

impl AtWork {
    /// Asks for a drain and waits for its end.
    pub async fn stop(self) {
        self.fleet.stop();
        self.ended().await.expect("a clean end");
    }

    /// Waits for the end.
    pub async fn ended(self) -> Result<(), WorkError> {
        tokio::time::timeout(BOUND, self.work).await.expect("in time").expect("no panic")
    }
}

/// A job's one attempt. Nothing here sends it, so that nonces may repeat.
pub fn attempt() -> OpenAttempt {
    let now = job::Timestamp::from_unix_ms(1_700_000_000_000);
    OpenAttempt {
        id: AttemptId::from_ulid(ulid::Ulid::generate()),
        number: 1,
        nonce_s: 90_000,
        begun_at: now,
        send_by: now,
        renderer: 1,
        body_sha256: "0".repeat(64),
        safety_identifier: None,
        intent: None,
        facts: Facts {
            route: Route::Byteplus,
            create_url: "http://127.0.0.1:1/tasks".into(),
            retrieve_url: "http://127.0.0.1:1/tasks".into(),
            model_id: "dreamina-seedance-2-0-260128".into(),
            account: "a".into(),
            class: SlotClass::V20,
            price_version: "2026-01-01".into(),
        },
    }
}

/// Polls a condition, with a bound.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + BOUND;
    let mut gap = Duration::from_millis(1);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited {BOUND:?} in vain for {what}");
        tokio::time::sleep(gap).await;
        gap = (gap * 2).min(Duration::from_millis(50));
    }
}
