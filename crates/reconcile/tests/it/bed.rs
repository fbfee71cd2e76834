//! A private Redis, a fence in a folder, and jobs that have sent.

use assets::{FenceSettings, Intents, Raised};
use job::{
    AttemptId, DoubtPolicy, DownloadPolicy, Event, Facts, Fingerprint, Intent, JobId, OpenAttempt,
    Policy, PollPolicy, PoolSettings, Record, SettlePolicy, Source, Spec, State, SubmitPolicy,
    Timestamp,
};
use limiter::Limiter;
use provider::Client;
use reconcile::Ground;
use reconcile::scan::Scanners;
use sandbox::{Options, Redis, TempDir};
use seedance::Route;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use store::{Admitted, NewJob, Store, Writer};
use ulid::Ulid;

const POOL: &str = "main";
/// Marks are unique among an account's open attempts.
static MARKS: AtomicU32 = AtomicU32::new(0);

pub struct Bed {
    pub redis: Redis,
    pub ground: Ground,
    pub dir: TempDir,
}

impl Bed {
    pub async fn new() -> Self {
        let redis = Redis::start(Options::default()).expect("a private Redis");
        let dir = TempDir::new("reconcile").unwrap();
        let key = dir.path().join("key");
        std::fs::write(&key, "a-key").unwrap();
        // Nobody listens there: these tests read no list.
        let settings: PoolSettings = serde_json::from_value(serde_json::json!({
            "route": "byteplus", "simulated": true, "base_url": "http://127.0.0.1:9/api/v3",
            "accounts": {"a": {"api_key_file": key}},
        }))
        .unwrap();
        let redis_settings = store::Settings { url: redis.url(), ..store::Settings::default() };
        let store = Store::connect(&redis_settings, POOL).await.unwrap();
        let limiter = Limiter::new(
            store.clone(),
            &settings,
            &limiter::Settings::default(),
            provider::Settings::default().under_way(),
        );
        let client = Client::open(POOL, &settings, &provider::Settings::default()).unwrap();
        let client = Arc::new(client);
        let scanners = Scanners::new(store.clone(), limiter.clone(), Arc::clone(&client));
        let url = format!("file://{}", dir.path().join("fence").display());
        let fence = FenceSettings { url, ..FenceSettings::default() };
        let intents = Intents::open(&fence, &assets::Settings::default()).unwrap();
        let (scanners, policy) = (Arc::new(scanners), Arc::new(policy()));
        let ground = Ground { store, limiter, client, scanners, settings, policy, intents };
        Self { redis, ground, dir }
    }

    /// A job whose record Redis has, as it was before it sent.
    pub async fn queued(&self, prompt: &str) -> Record {
        let record = self.record(prompt).await;
        let job = NewJob { record: record.clone(), idempotency: None };
        let answers = self.ground.store.admit(&[job]).await.unwrap();
        assert!(matches!(answers[0], Ok(Admitted::Created)), "{answers:?}");
        record
    }

    /// A job that Redis does not know.
    pub async fn record(&self, prompt: &str) -> Record {
        record(prompt, self.ground.store.now().await.unwrap())
    }

    /// The trace of a send in the fence.
    pub async fn sent(&self, record: &Record, number: u32) -> Intent {
        let intent = Intent::of(record, &attempt(record, number), number);
        let fence = self.ground.intents.as_ref().unwrap();
        assert_eq!(fence.raise(&intent).await.unwrap(), Raised::Mine);
        intent
    }

    pub async fn load(&self, id: &JobId) -> Record {
        self.ground.store.load(id).await.unwrap().expect("the job exists").record
    }

    pub async fn tell(&self, id: &JobId, event: &Event) {
        let policy = &self.ground.policy;
        self.ground.store.report(id, Writer::Outside, event, policy).await.unwrap();
    }

    /// What stands on the fence's disk for an intent.
    pub fn file(&self, intent: &Intent) -> std::path::PathBuf {
        let spec = &intent.spec;
        let folder = format!("intents/{POOL}/{}/{}", spec.tenant, spec.fingerprint.as_str());
        self.dir.path().join("fence").join(folder).join(format!("{:08}", intent.number))
    }
}

/// Nothing waits.
fn policy() -> Policy {
    let (zero, hour) = (Duration::ZERO, Duration::from_secs(3_600));
    Policy {
        submit: SubmitPolicy {
            tries_max: 3,
            send_deadline: zero,
            retry_first: zero,
            retry_max: zero,
            account_probe_first: zero,
            account_probe_max: zero,
        },
        settle: SettlePolicy {
            front_door_max: zero,
            list_lag_max: zero,
            scan_gap: zero,
            look_first: zero,
            look_max: zero,
            blind_max: Duration::from_secs(86_400),
            resend_max: 1,
            parked_look: zero,
            records_kept: 9 * hour,
        },
        poll: PollPolicy {
            first: zero,
            steady: zero,
            max: zero,
            jitter_ratio: 0.0,
            deadline: hour,
            overdue_look: zero,
            not_found_grace: hour,
        },
        download: DownloadPolicy {
            tries_max: 3,
            retry_first: zero,
            retry_max: zero,
            link_life: hour,
        },
        delivery_max: zero,
        doubt: DoubtPolicy::Balanced,
    }
}

fn record(prompt: &str, created_at: Timestamp) -> Record {
    let body = serde_json::json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": prompt}],
    });
    let rules = seedance::Rules::default();
    let request = seedance::validate(Route::Byteplus, &body, &rules).unwrap().request;
    let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, 1);
    let spec =
        Spec { estimate_tokens: 1, ..Spec::plain("acme", POOL, Source::Api, fingerprint, request) };
    Record::begin(JobId::from_ulid(Ulid::generate()), spec, State::Queued { tries: 0 }, created_at)
}

pub fn attempt(record: &Record, number: u32) -> OpenAttempt {
    let ulid = Ulid::generate();
    OpenAttempt {
        id: AttemptId::from_ulid(ulid),
        number,
        nonce_s: 100_000 + MARKS.fetch_add(1, Ordering::Relaxed) % 70_000,
        begun_at: record.created_at,
        send_by: record.created_at,
        renderer: 1,
        body_sha256: "00".repeat(32),
        safety_identifier: None,
        intent: Some(number),
        facts: Facts {
            route: Route::Byteplus,
            create_url: "https://example.test/tasks".into(),
            retrieve_url: "https://example.test/tasks".into(),
            model_id: record.spec.request.model_id.clone(),
            account: "a".into(),
            class: record.spec.request.slot_class(),
            price_version: "2026-10-01".into(),
        },
    }
}
