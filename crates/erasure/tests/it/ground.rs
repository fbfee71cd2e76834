//! A private Redis, a bucket of files, and ended jobs.

use assets::Buckets;
use erasure::{Eraser, Erasure, Moment, Records, Subject, Wish};
use job::{
    By, DoubtPolicy, DownloadPolicy, Event, Fingerprint, JobId, Policy, PollPolicy, Record,
    SettlePolicy, Source, Spec, State, SubmitPolicy,
};
use sandbox::{Options, Redis, TempDir};
use seedance::Route;
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use store::{Admitted, NewJob, Store, Stored, Writer};
use ulid::Ulid;

/// What must not be found where it was erased.
pub const CANARY: &str = "canary";
pub const TENANT: &str = "acme";
pub const END_USER: &str = "canary-user";

pub struct Ground {
    pub redis: Redis,
    pub store: Store,
    pub dir: TempDir,
}

impl Ground {
    pub async fn new() -> Self {
        let redis = Redis::start(Options::default()).expect("a private Redis");
        let dir = TempDir::new("erasure").unwrap();
        let store = open(&redis, dir.path()).await.0;
        Self { redis, store, dir }
    }

    /// An archiver of its own, as another process has it.
    pub async fn eraser(&self) -> Eraser {
        let (store, buckets) = self.opened().await;
        Eraser::new(store, buckets, None, policy())
    }

    /// Store and buckets, as another process has them.
    pub async fn opened(&self) -> (Store, Buckets) {
        open(&self.redis, self.dir.path()).await
    }

    /// An ended job.
    pub async fn ended(&self, batch: Option<&str>) -> JobId {
        let record = record(batch, self.store.now().await.unwrap());
        let id = record.id.clone();
        let answers = self.store.admit(&[NewJob { record, idempotency: None }]).await.unwrap();
        assert!(matches!(answers[0], Ok(Admitted::Created)), "{answers:?}");
        let cancel = Event::CancelAsked { by: By::named("caller") };
        self.store.report(&id, Writer::Outside, &cancel, &policy()).await.unwrap();
        id
    }

    pub async fn load(&self, id: &JobId) -> Stored {
        self.store.load(id).await.unwrap().expect("the job exists")
    }

    /// Erases a customer's content to the end.
    pub async fn erase(&self, eraser: &Eraser) -> Erasure {
        let hash = store::keys::user_hash(TENANT, END_USER);
        let wish = Wish {
            tenant: TENANT.into(),
            subject: Subject::EndUser { hash },
            by: By::named("alice"),
            reason: "asked for".into(),
            cancel: false,
        };
        let asked = eraser.ask(Eraser::draw(), wish).await.unwrap();
        eraser.work(&asked.id).await.unwrap().expect("it is written down")
    }

    /// The lock of an archiver that stands still would be waited for.
    pub fn unlock(&self) {
        self.redis.command(&["DEL", &self.store.keys().lock("archive")]).unwrap();
    }

    /// Objects of the bucket whose path holds this, relative to it.
    pub fn objects(&self, holds: &str) -> Vec<String> {
        let (mut found, mut open) = (Vec::new(), vec![self.dir.path().join("bucket")]);
        while let Some(at) = open.pop() {
            for entry in std::fs::read_dir(&at).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    found.push(path.strip_prefix(self.dir.path()).unwrap().display().to_string());
                }
            }
        }
        found.retain(|path| path.contains(holds));
        found.sort();
        found
    }

    /// Objects that hold the canary.
    pub fn sightings(&self) -> Vec<String> {
        let mut all = self.objects("");
        all.retain(|path| {
            let bytes = std::fs::read(self.dir.path().join(path)).unwrap();
            String::from_utf8_lossy(&bytes).contains(CANARY)
        });
        all
    }

    pub async fn sound(&self) {
        assert_eq!(self.store.recount().await.unwrap().drifts, []);
    }
}

async fn open(redis: &Redis, dir: &Path) -> (Store, Buckets) {
    let url = format!("file://{}", dir.join("bucket").display());
    let settings = assets::Settings { url, ..assets::Settings::default() };
    let buckets = Buckets::open(&settings, &BTreeMap::new()).unwrap();
    let redis = store::Settings { url: redis.url(), ..store::Settings::default() };
    let store = Store::connect(&redis, "main").await.unwrap();
    let shelf = buckets.clone();
    let records = Records::opened_by(move || Ok(shelf.clone()));
    (store.with_shelf(Arc::new(records)), buckets)
}

fn record(batch: Option<&str>, created_at: job::Timestamp) -> Record {
    let ulid = Ulid::generate();
    let body = serde_json::json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": format!("{CANARY} {ulid}")}],
    });
    let request = seedance::validate(Route::Byteplus, &body, &seedance::Rules::default())
        .expect("a valid request")
        .request;
    let fingerprint = Fingerprint::of(Route::Byteplus, &request, Some(END_USER), 1);
    let spec = Spec {
        batch: batch.map(str::to_owned),
        end_user: Some(END_USER.into()),
        ..Spec::plain(TENANT, "main", Source::Api, fingerprint, request)
    };
    Record::begin(JobId::from_ulid(ulid), spec, State::Queued { tries: 0 }, created_at)
}

/// Passes every moment.
pub fn go_on(_: Moment) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async {})
}

/// Nothing waits.
pub fn policy() -> Policy {
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
            blind_max: 24 * hour,
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
