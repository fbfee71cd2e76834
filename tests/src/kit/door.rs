//! The fleet from inside this process: its own door for jobs, its records, its bucket.

use super::Fleet;
use admission::{Admitted, Door, Intake, Refusal};
use assets::{Assets, Buckets, FenceSettings, Intents, Manifest};
use erasure::Eraser;
use job::{By, Event, JobId, Policy, PoolSettings, Record, Source, Timestamp};
use serde_json::Value;
use settings::Sources;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use store::{Store, Writer};
use tokio::runtime::Runtime;

/// What the CLI would have, without being a process.
pub(super) struct Inside {
    runtime: Runtime,
    store: Store,
    buckets: Buckets,
    eraser: Eraser,
    door: Door,
    policy: Policy,
}

impl Inside {
    pub(super) fn open(files: &[PathBuf]) -> Self {
        let sources = files.iter().fold(Sources::default(), |sources, file| sources.file(file));
        let loaded = sources.load().unwrap_or_else(|error| panic!("the kit's settings: {error}"));
        let runtime = Runtime::new().expect("an event loop");
        let pools: BTreeMap<String, PoolSettings> = loaded.section("pools").expect("pools");
        let pool = &pools["sim"];
        let redis = loaded.section("redis").expect("redis");
        let store = runtime.block_on(Store::connect(&redis, "sim")).expect("Redis answers");
        let store = store.with_shelf(worker::shelf(&loaded));
        let buckets = worker::buckets(&loaded).expect("buckets");
        let settings = admission::Settings::from_loaded(&loaded).expect("review and tenants");
        let door = Door::new(store.clone(), buckets.clone(), pool, settings);
        let policy = worker::policy(&loaded, pool).expect("a policy");
        let fence: FenceSettings = loaded.section("fence").expect("fence");
        let intents = Intents::open(&fence, &loaded.section("store").expect("store"));
        let intents = intents.expect("a fence");
        let eraser = Eraser::new(store.clone(), buckets.clone(), intents, policy.clone());
        Self { runtime, store, buckets, eraser, door, policy }
    }

    /// None as well while Redis is away: a test that kills it goes on looking.
    pub(super) fn try_record(&self, id: &JobId) -> Option<Record> {
        let loaded = self.runtime.block_on(self.store.load(id)).ok()?;
        Some(loaded?.record)
    }
}

impl Fleet {
    /// Runs something asynchronous to its end.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.inside.runtime.block_on(future)
    }

    /// The pool's memory.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inside.store
    }

    /// What the machine decides by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inside.policy
    }

    /// The bucket of tenants without one of their own.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        self.assets_of("default")
    }

    /// What erases here, without being a process.
    #[must_use]
    pub fn eraser(&self) -> &Eraser {
        &self.inside.eraser
    }

    /// The bucket of a tenant.
    #[must_use]
    pub fn assets_of(&self, tenant: &str) -> &Assets {
        self.inside.buckets.of(tenant)
    }

    /// Takes a job in, as the CLI does.
    ///
    /// # Panics
    ///
    /// It is refused.
    pub fn admit(&self, body: impl Into<Value>) -> JobId {
        self.try_admit(body).unwrap_or_else(|refusal| panic!("refused: {refusal}")).id
    }

    /// Takes a job in, or tells why not.
    ///
    /// # Errors
    ///
    /// The door's.
    pub fn try_admit(&self, body: impl Into<Value>) -> Result<Admitted, Refusal> {
        self.run(self.try_admit_now(body))
    }

    /// The same for those who run inside the event loop.
    ///
    /// # Errors
    ///
    /// The door's.
    pub async fn try_admit_now(&self, body: impl Into<Value>) -> Result<Admitted, Refusal> {
        self.inside.door.admit(Intake::new(body.into(), Source::Cli)).await
    }

    /// Takes many jobs in at once.
    ///
    /// # Panics
    ///
    /// Any of them is refused.
    pub fn admit_many(&self, bodies: impl IntoIterator<Item = Value>) -> Vec<JobId> {
        let intakes = bodies.into_iter().map(|body| Intake::new(body, Source::Import)).collect();
        let answers = self.run(self.inside.door.admit_many(intakes));
        let id = |answer: Result<Admitted, Refusal>| {
            answer.unwrap_or_else(|refusal| panic!("refused: {refusal}")).id
        };
        answers.into_iter().map(id).collect()
    }

    /// A job's record.
    ///
    /// # Panics
    ///
    /// There is none, or Redis does not answer.
    #[must_use]
    pub fn record(&self, id: &JobId) -> Record {
        self.run(self.inside.store.load(id)).expect("Redis answers").expect("the job exists").record
    }

    /// A job's way so far, oldest first: the notes of its timeline.
    #[must_use]
    pub fn timeline(&self, id: &JobId) -> Vec<String> {
        let lines = self.run(self.inside.store.timeline(id)).expect("Redis answers");
        lines.into_iter().rev().map(|line| format!("{:?}: {}", line.to, line.what)).collect()
    }

    /// Tells the machine something as a person does.
    ///
    /// # Panics
    ///
    /// Redis does not answer.
    pub fn report(&self, id: &JobId, event: &Event) {
        let Inside { store, policy, .. } = &self.inside;
        self.run(store.report(id, Writer::Outside, event, policy)).expect("a person's word counts");
    }

    /// Whether creates are frozen. Asked past the store: this process remembers, and would itself raise the alarm.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        let key = self.inside.store.keys().freeze();
        self.redis().command(&["EXISTS", &key]).is_ok_and(|answer| answer == "1")
    }

    /// Waits until creates have been frozen for a loss since this instant, and tells when they were: the freeze may
    /// be over before anybody looks, and the audit keeps it.
    pub fn until_frozen(&self, since: Timestamp) -> Timestamp {
        self.until("frozen creates", || {
            let lines = self.run(self.inside.store.audit(100)).ok()?;
            let frozen = lines.iter().filter(|line| line.alarm == "frozen" && line.at >= since);
            frozen.map(|line| line.at).min()
        })
    }

    /// The clock of this machine, which is its servers' as well.
    ///
    /// # Panics
    ///
    /// It stands before 1970.
    #[must_use]
    pub fn clock_now(&self) -> Timestamp {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        Timestamp::from_unix_ms(i64::try_from(now.as_millis()).expect("this epoch"))
    }

    /// Asks for a job to be stopped.
    pub fn cancel(&self, id: &JobId) {
        self.report(id, &Event::CancelAsked { by: By::named("tester") });
    }

    /// The manifest of a job whose task has ended, with every byte it names read and compared.
    ///
    /// # Panics
    ///
    /// There is none, or it does not hold.
    #[must_use]
    pub fn verified_manifest(&self, record: &Record) -> Manifest {
        let day = record.created_at.rfc3339();
        let (year, month, day) = (&day[..4], &day[5..7], &day[8..10]);
        let Record { id, spec, .. } = record;
        let path = format!("{}/{year}/{month}/{day}/{id}/manifest.json", spec.tenant);
        let bucket = self.assets_of(&spec.tenant);
        let manifest = self.run(bucket.read_manifest_at(&path)).expect("the bucket answers");
        let manifest = manifest.unwrap_or_else(|| panic!("{path} is not there"));
        self.run(bucket.verify(&manifest)).unwrap_or_else(|error| panic!("{path}: {error}"));
        manifest
    }
}
