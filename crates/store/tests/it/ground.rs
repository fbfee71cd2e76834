//! A private, durable Redis, a store on it, and jobs to put in.

use job::{
    AttemptId, By, Cause, DoubtCause, DoubtPolicy, DownloadPolicy, Event, Facts, Fingerprint,
    HeldWhy, JobId, Life, Links, OpenAttempt, Policy, PollPolicy, Priority, Record, SettlePolicy,
    Source, Spec, State, StoredOutput, SubmitPolicy, TaskId, TaskReport, Timestamp,
};
use sandbox::{Options, Redis};
use seedance::{Class, Route, SlotClass};
use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{
    AccountRoom, Admitted, BeginGuard, Begun, Claimed, Held, NewJob, Pace, Queue, Reported, Room,
    Settings, Store, Stored, Writer,
};
use ulid::{Generator, Ulid};

pub const LEASE: Duration = Duration::from_secs(60);
pub const CLASS: SlotClass = SlotClass::V20;
pub const SUBMIT: Queue = Queue::Submit(CLASS);
pub const FREE: BeginGuard =
    BeginGuard { running: 1_000, lookahead: 0, pace: Pace::NONE, probe: Duration::from_secs(30) };

pub struct Ground {
    pub redis: Redis,
    pub store: Store,
    pub policy: Policy,
}

impl Ground {
    pub async fn new() -> Self {
        Self::on(Options::default()).await
    }

    pub async fn on(options: Options) -> Self {
        let redis = Redis::start(options).expect("a private Redis");
        let store = connect(&redis).await;
        Self { redis, store, policy: policy(DoubtPolicy::Balanced) }
    }

    /// Admits one job and expects it to be new.
    pub async fn admit(&self, record: Record) -> Record {
        let job = NewJob { record: record.clone(), idempotency: None };
        let answers = self.store.admit(&[job]).await.expect("few enough");
        assert_eq!(answers[0].as_ref().expect("Redis answers"), &Admitted::Created);
        record
    }

    /// Claims until `n` tickets are in hand; they are due, so one or two rounds do.
    pub async fn claim(&self, queue: Queue, n: usize) -> Vec<Held> {
        let mut held = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        while held.len() < n {
            assert!(Instant::now() < deadline, "{} of {n} tickets of {queue}", held.len());
            held.extend(self.claim_once(queue, n - held.len(), LEASE).await.items);
        }
        held
    }

    pub async fn claim_once(&self, queue: Queue, n: usize, lease: Duration) -> Claimed {
        self.store.claim(&queue, n, lease).await.expect("Redis answers")
    }

    pub async fn report(&self, id: &JobId, writer: Writer<'_>, event: &Event) -> Reported {
        self.store.report(id, writer, event, &self.policy).await.expect("no contradiction")
    }

    /// A job in doubt, and the attempt it is in doubt about.
    pub async fn doubtful(&self) -> (Record, OpenAttempt) {
        let job = self.admit(record()).await;
        let held = self.claim(SUBMIT, 1).await.remove(0);
        let open = attempt(&job, 172_800);
        assert!(matches!(self.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
        self.work(&held, &unclear(&open)).await;
        (job, open)
    }

    /// Reports as a worker and expects it to be written.
    pub async fn work(&self, held: &Held, event: &Event) -> Stored {
        match self.report(&held.claim.id, Writer::Worker(&held.claim), event).await {
            Reported::Written { stored, .. } => *stored,
            other => panic!("{event:?} was not written: {other:?}"),
        }
    }

    pub async fn begin(&self, held: &Held, attempt: &OpenAttempt, guard: &BeginGuard) -> Begun {
        let event = Event::SubmitBegan { attempt: attempt.clone() };
        self.store.begin(held, &event, &self.policy, guard).await.expect("Redis answers")
    }

    /// One job with a task, and its poll ticket due.
    pub async fn generating(&self, record: Record, task: &str) -> (Record, OpenAttempt) {
        let record = self.admit(record).await;
        let held = self.claim(SUBMIT, 1).await.remove(0);
        let attempt = attempt(&record, 172_000 + nonce(task));
        assert!(matches!(self.begin(&held, &attempt, &FREE).await, Begun::Granted { .. }));
        self.work(&held, &accepted(&attempt, task)).await;
        (record, attempt)
    }

    pub async fn load(&self, id: &JobId) -> Stored {
        self.store.load(id).await.expect("Redis answers").expect("the job exists")
    }

    /// Nothing drifted, wherever the histories led.
    pub async fn sound(&self) {
        let recount = self.store.recount().await.expect("Redis answers");
        assert_eq!(recount.drifts, [], "drift after {} records", recount.records);
    }
}

/// Distinct for the task names of these tests, and small.
fn nonce(task: &str) -> u32 {
    task.bytes().fold(0, |n: u32, b| (n * 31 + u32::from(b)) % 900)
}

pub async fn connect(redis: &Redis) -> Store {
    let settings = Settings { url: redis.url(), ..Settings::default() };
    Store::connect(&settings, "main").await.expect("the private Redis takes connections")
}

/// Accounts by name, slots and interval between two creates (µs), with the horizon of [`FREE`].
pub fn rooms(accounts: &[(&str, u32, u64)]) -> BTreeMap<SlotClass, Room> {
    let accounts = accounts.iter().map(|(name, running, interval_us)| AccountRoom {
        account: (*name).to_owned(),
        running: *running,
        lookahead: 0,
        interval_us: *interval_us,
        calls: 1,
        counted: None,
    });
    let room = Room { accounts: accounts.collect(), ..Room::default() };
    BTreeMap::from([(CLASS, room)])
}

/// Looks until it holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The connection has found the server again.
pub async fn until_answers(store: &Store) {
    until("the server answers", async || store.now().await.is_ok()).await;
}

/// Short pauses, so that what is due later is due now.
pub fn policy(doubt: DoubtPolicy) -> Policy {
    let (zero, hour) = (Duration::ZERO, Duration::from_secs(3_600));
    Policy {
        submit: SubmitPolicy {
            tries_max: 3,
            send_deadline: Duration::from_secs(20),
            retry_first: zero,
            retry_max: zero,
            account_probe_first: Duration::from_millis(40),
            account_probe_max: Duration::from_millis(40),
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
            // The records of these tests begin on a fixed day.
            records_kept: 24 * 3_650 * hour,
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
        doubt,
    }
}

/// A queued job whose request no other has.
pub fn record() -> Record {
    record_of("default", Priority::Normal, None)
}

/// One after the other, also within a millisecond: a history that is fixed meets its jobs in a fixed order.
fn next_ulid() -> Ulid {
    static LAST: LazyLock<Mutex<Generator>> = LazyLock::new(Mutex::default);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    last.generate().expect("fewer than 2^80 in a millisecond")
}

pub fn record_of(tenant: &str, priority: Priority, batch: Option<&str>) -> Record {
    let ulid = next_ulid();
    let body = serde_json::json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": format!("a lighthouse, number {ulid}")}],
    });
    let request = seedance::validate(Route::Byteplus, &body, &seedance::Rules::default())
        .expect("a valid request")
        .request;
    let created_at = Timestamp::from_unix_ms(1_790_000_000_000);
    let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, 1);
    let spec = Spec {
        priority,
        batch: batch.map(str::to_owned),
        estimate_tokens: 100_000,
        ..Spec::plain(tenant, "main", Source::Api, fingerprint, request)
    };
    Record::begin(JobId::from_ulid(ulid), spec, State::Queued { tries: 0 }, created_at)
}

pub fn held_for_review(mut record: Record) -> Record {
    record.life = Life::begin(State::Held { why: HeldWhy::Review }, record.created_at);
    record
}

pub fn attempt(record: &Record, nonce_s: u32) -> OpenAttempt {
    attempt_on("main", record, nonce_s)
}

pub fn attempt_on(account: &str, record: &Record, nonce_s: u32) -> OpenAttempt {
    let begun_at = record.created_at;
    OpenAttempt {
        id: AttemptId::from_ulid(Ulid::generate()),
        number: record.life.attempts_begun + 1,
        nonce_s,
        begun_at,
        send_by: begun_at + Duration::from_secs(20),
        renderer: 1,
        body_sha256: "00".repeat(32),
        safety_identifier: None,
        intent: None,
        facts: Facts {
            route: Route::Byteplus,
            create_url: "https://example.test/tasks".into(),
            retrieve_url: "https://example.test/tasks".into(),
            model_id: "dreamina-seedance-2-0-260128".into(),
            account: account.into(),
            class: record.spec.request.slot_class(),
            price_version: "2026-10-01".into(),
        },
    }
}

pub fn task(id: &str) -> TaskId {
    TaskId::parse(id).expect("a well-formed id")
}

pub fn accepted(attempt: &OpenAttempt, id: &str) -> Event {
    Event::AttemptAccepted { attempt: attempt.id.clone(), task: task(id) }
}

pub fn unclear(attempt: &OpenAttempt) -> Event {
    let cause = DoubtCause { kind: "timeout".into(), detail: "no answer".into() };
    Event::AttemptUnclear { attempt: attempt.id.clone(), cause }
}

pub fn running(id: &str) -> Event {
    let report = TaskReport::InProgress {
        word: "running".into(),
        unknown: false,
        outlook: job::Outlook::default(),
    };
    Event::TaskSeen { task: task(id), report }
}

/// The task of this name ended badly, with this code.
pub fn failed(id: &str, code: &str) -> Event {
    let cause =
        Cause { code: code.into(), class: Class::Output, message: "no".into(), task_existed: true };
    Event::TaskSeen { task: task(id), report: TaskReport::Failed { cause, payload: "{}".into() } }
}

pub fn succeeded(id: &str) -> Event {
    succeeded_until(id, 4_000_000_000_000)
}

/// Done, with a link that dies at this instant (Unix ms).
pub fn succeeded_until(id: &str, die_at_ms: i64) -> Event {
    let links = Links {
        video: "https://x.example/v.mp4".into(),
        last_frame: None,
        die_at: Timestamp::from_unix_ms(die_at_ms),
    };
    Event::TaskSeen {
        task: task(id),
        report: TaskReport::Succeeded { links, payload: "{}".into() },
    }
}

pub fn stored(id: &str) -> Event {
    let output = StoredOutput {
        manifest: "m/manifest.json".into(),
        video: "m/output.mp4".into(),
        video_sha256: "11".repeat(32),
        video_bytes: 9,
        last_frame: None,
        tokens: Some(108_900),
    };
    Event::OutputStored { task: task(id), output }
}

pub fn cancel() -> Event {
    Event::CancelAsked { by: By::named("caller") }
}
