//! Records that leave Redis, what stays of them, and how they come back.

use crate::ground::{Ground, cancel, record, record_of, task};
use job::filter::Filter;
use job::{
    Attempt, AttemptOutcome, End, Event, Filing, Priority, Record, State, StoredOutput, TaskRef,
    Timestamp,
};
use sandbox::Options;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{
    Admitted, ArchivePlace, Archived, Endpoint, Fetch, HintOutcome, Idempotency, Left, Match,
    NewJob, OperationVerb, OperationWish, Outgoing, Packed, Queue, Reported, Scope, Shared,
    Sharing, Shelf, TombCursor, Writer,
};

/// A bucket in memory.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<ArchivePlace, Archived>>);

impl Memory {
    pub fn put(&self, packed: &[Packed]) {
        let mut all = self.0.lock().expect("it answers");
        for packed in packed {
            all.insert(packed.place.clone(), packed.archived.clone());
        }
    }
}

impl Shelf for Memory {
    fn fetch<'a>(&'a self, _: &'a str, place: &'a ArchivePlace) -> Fetch<'a> {
        let found = self.0.lock().expect("it answers").get(place).cloned();
        Box::pin(async move { Ok(found) })
    }
}

pub async fn ground() -> (Ground, Arc<Memory>) {
    on(Options::default()).await
}

pub async fn on(options: Options) -> (Ground, Arc<Memory>) {
    let (mut ground, memory) = (Ground::on(options).await, Arc::new(Memory::default()));
    ground.store = ground.store.with_shelf(Arc::clone(&memory) as Arc<dyn Shelf>);
    (ground, memory)
}

/// The record of a job that bought a task and stored its video.
pub fn ended(mut record: Record, name: &str) -> Record {
    let at = record.created_at + Duration::from_secs(600);
    let open = crate::ground::attempt(&record, 172_800);
    let outcome = AttemptOutcome::Accepted { task: task(name) };
    let owned = TaskRef {
        id: task(name),
        attempt: open.id.clone(),
        known_at: at,
        expires_at: at,
        facts: open.facts.clone(),
    };
    let folder = format!("default/2026/09/21/{}", record.id);
    let output = StoredOutput {
        manifest: format!("{folder}/manifest.json"),
        video: format!("{folder}/{}/output.mp4", open.id),
        video_sha256: "11".repeat(32),
        video_bytes: 4_000_000,
        last_frame: None,
        tokens: Some(108_900),
    };
    record.life.attempts_begun = 1;
    record.life.attempts = vec![Attempt { open, closed_at: at, outcome }];
    let end = End::Stored { output };
    record.life.state = State::Finished { end, task: Some(owned), filing: Filing::Filed, at };
    record.life.updated_at = at;
    record
}

/// What becomes of one record.
async fn leave(ground: &Ground, packed: &[Packed], now: Timestamp) -> Left {
    let mut left = ground.store.leave(packed, now).await.expect("it answers");
    left.pop().expect("it answers").expect("it answers")
}

/// Archives one job, as the bucket takes it.
async fn archive(ground: &Ground, memory: &Memory, record: &Record, now: Timestamp) -> Left {
    let here = ground.store.load_here(std::slice::from_ref(&record.id)).await.expect("it answers");
    let packed = ground.store.pack(here).await.expect("it answers");
    memory.put(&packed);
    leave(ground, &packed, now).await
}

async fn restored(ground: &Ground, record: Record) -> Record {
    let back = ground.store.restore(std::slice::from_ref(&record)).await.expect("it answers");
    assert_eq!(back, [true]);
    record
}

#[tokio::test]
async fn an_archived_job_is_read_as_before_and_never_made_twice() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let queued = record_of("a b", Priority::Normal, Some("batch 1"));
    let own = Idempotency { key: "key:1".into(), body_sha256: "ab".repeat(32) };
    let new = |record: &Record, key: &Idempotency| NewJob {
        record: record.clone(),
        idempotency: Some(key.clone()),
    };
    let admitted = store.admit(&[new(&queued, &own)]).await.expect("it answers");
    assert_eq!(admitted[0].as_ref().expect("it answers"), &Admitted::Created);
    ground.report(&queued.id, Writer::Outside, &cancel()).await;
    let (before, lines) =
        (ground.load(&queued.id).await, store.timeline(&queued.id).await.expect("it answers"));
    ground.sound().await;
    let now = store.now().await.expect("it answers");
    assert_eq!(archive(&ground, &memory, &queued, now).await, Left::Now);
    assert_eq!(archive_again(&ground, &memory, &queued).await, Left::Before);

    let after = ground.load(&queued.id).await;
    assert!(after.archived && !before.archived);
    assert_eq!((&after.record, after.revision), (&before.record, before.revision));
    assert_eq!(store.timeline(&queued.id).await.expect("it answers"), lines);
    let keys = ground.redis.command(&["KEYS", "*"]).expect("it answers");
    assert!(!keys.contains(queued.id.as_str()), "{keys}");
    ground.sound().await;

    // The same request, under its key, under another, and another request under its key.
    let equal = |of: &Record| Record { spec: of.spec.clone(), ..record() };
    let told = |key: &Idempotency, of: Record| {
        let job = new(&of, key);
        async move { store.admit(&[job]).await.expect("it answers").remove(0).expect("it answers") }
    };
    let (id, other) = (queued.id.clone(), Idempotency { key: "key:2".into(), ..own.clone() });
    let existing = |by| Admitted::Existing { id: id.clone(), by };
    assert_eq!(told(&own, equal(&queued)).await, existing(Match::Key));
    assert_eq!(told(&other, equal(&queued)).await, existing(Match::Fingerprint));
    assert_eq!(told(&other, equal(&queued)).await, existing(Match::Key));
    let changed = Idempotency { body_sha256: "cd".repeat(32), ..own.clone() };
    let foreign = Record { spec: record_of("a b", Priority::Normal, None).spec, ..record() };
    assert_eq!(told(&changed, foreign).await, Admitted::KeyReused { id: id.clone() });
    let spec = &queued.spec;
    let known = store.job_of_request(&spec.tenant, &spec.fingerprint).await.expect("it answers");
    assert_eq!(known, Some(id.clone()));

    // Back, and away again.
    assert!(store.recall(&id).await.expect("it answers"));
    let back = ground.load(&id).await;
    assert!(!back.archived && back.revision > before.revision);
    assert_eq!(back.record, before.record);
    assert_eq!(store.timeline(&id).await.expect("it answers")[1..], lines);
    ground.sound().await;
    assert_eq!(told(&own, equal(&queued)).await, existing(Match::Key));
    assert_eq!(archive(&ground, &memory, &queued, now).await, Left::Now);
    assert_eq!(told(&own, equal(&queued)).await, existing(Match::Key));
}

/// With the record as it was written then.
async fn archive_again(ground: &Ground, memory: &Memory, record: &Record) -> Left {
    let packed: Vec<Packed> = memory
        .0
        .lock()
        .expect("it answers")
        .iter()
        .filter(|(place, _)| place.job == record.id)
        .map(|(place, archived)| Packed { place: place.clone(), archived: archived.clone() })
        .collect();
    let now = ground.store.now().await.expect("it answers");
    leave(ground, &packed, now).await
}

#[tokio::test]
async fn what_changed_behind_the_archivers_back_stays() {
    let (ground, memory) = ground().await;
    let job = restored(&ground, ended(record(), "cgt-1")).await;
    let here = ground.store.load_here(std::slice::from_ref(&job.id)).await.expect("it answers");
    let packed = ground.store.pack(here).await.expect("it answers");
    memory.put(&packed);
    // Late news gives it one more look: it is in work.
    let now = ground.store.now().await.expect("it answers");
    let due = ground.store.keys().due(store::Queue::Settle);
    ground.redis.command(&["ZADD", &due, "1", job.id.as_str()]).expect("it answers");
    assert_eq!(leave(&ground, &packed, now).await, Left::NotNow);
    ground.redis.command(&["ZREM", &due, job.id.as_str()]).expect("it answers");
    ground
        .redis
        .command(&["HINCRBY", &ground.store.keys().job(&job.id), "rev", "1"])
        .expect("it answers");
    assert_eq!(leave(&ground, &packed, now).await, Left::NotNow);
    assert!(!ground.load(&job.id).await.archived);
}

#[tokio::test]
async fn a_task_of_an_archived_job_stays_its_own_and_news_bring_the_job_back() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let mut young = ended(record(), "cgt-young");
    let now = store.now().await.expect("it answers");
    let State::Finished { at, .. } = &mut young.life.state else { panic!("it ended") };
    *at = now;
    let young = restored(&ground, young).await;
    let old = restored(&ground, ended(record(), "cgt-old")).await;
    for job in [&young, &old] {
        assert_eq!(archive(&ground, &memory, job, now).await, Left::Now);
    }
    let owners = store.owners(&[task("cgt-young"), task("cgt-old")]).await.expect("it answers");
    assert_eq!(owners, [Some(young.id.clone()), None], "nobody asks for the old one any more");
    let thief = store.restore(&[ended(record(), "cgt-young")]).await;
    assert!(thief.unwrap_err().to_string().contains(young.id.as_str()));
    let by = job::By::named("alice");
    let erasure = job::ErasureId::from_ulid(ulid::Ulid::generate());
    ground.report(&young.id, Writer::Outside, &Event::EraseAsked { by, erasure }).await;
    let back = ground.load(&young.id).await;
    assert!(!back.archived && back.record.life.erased.is_some());
    assert_eq!(
        store.owners(&[task("cgt-young")]).await.expect("it answers"),
        [Some(young.id.clone())]
    );
    ground.sound().await;
}

#[tokio::test]
async fn late_evidence_brings_an_archived_job_back() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let (job, open) = crate::hints::given_up(&ground).await;
    let now = store.now().await.expect("it answers");
    assert_eq!(archive(&ground, &memory, &job, now).await, Left::Now);
    ground.sound().await;
    let hint = async |named: &str| store.hint(&open.id, Some(&task(named))).await;
    let plain = hint("cgt-1").await.expect("it answers");
    assert_eq!(plain, HintOutcome::Finished(job.id.clone()));
    assert!(ground.load(&job.id).await.archived, "an ordinary one changes nothing");
    let word = job::StateWord::GivenUp;
    let late = store.late_hint(&open.id, &task("cgt-1"), word).await.expect("it answers");
    assert_eq!(late, HintOutcome::Noted(job.id.clone()));
    let held = ground.claim(Queue::Settle, 1).await.remove(0);
    assert!(!held.stored.archived && held.stored.hint == Some(task("cgt-1")));
    let left = archive(&ground, &memory, &job, now).await;
    assert_eq!(left, Left::NotNow, "somebody looks at it");
    let (attempt, task) = (open.id.clone(), task("cgt-1"));
    let via = job::FoundVia::Callback;
    ground.work(&held, &Event::TaskFound { attempt, task, via, said: None }).await;
    assert_eq!(ground.load(&job.id).await.record.life.state.word(), job::StateWord::Running);
    ground.sound().await;
}

#[tokio::test]
async fn a_report_on_a_record_that_has_left_meanwhile_is_heard() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let (job, open) = ground.doubtful().await;
    let held = ground.claim(Queue::Settle, 1).await.remove(0);
    let by = job::By::named("ann");
    let event = Event::GaveUp { by, reason: "not wanted".to_owned() };
    ground.report(&job.id, Writer::Outside, &event).await;
    let now = store.now().await.expect("it answers");
    assert_eq!(archive(&ground, &memory, &job, now).await, Left::Now);
    // What was claimed says nothing of that, and its ticket is gone with the end.
    let (attempt, task) = (open.id.clone(), task("cgt-1"));
    let found = Event::TaskFound { attempt, task, via: job::FoundVia::List, said: None };
    let told = store.report_seen(held.stored.clone(), &held.claim, &found, &ground.policy).await;
    let told = told.expect("no contradiction");
    assert!(matches!(told, Reported::Written { .. }), "{told:?}");
    assert_eq!(ground.load(&job.id).await.record.life.state.word(), job::StateWord::Running);
    ground.sound().await;
}

#[tokio::test]
async fn a_key_that_was_lent_is_free_when_its_job_is_gone() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let job = restored(&ground, ended(record(), "cgt-1")).await;
    let keys = ["lent:1", "lent:2"]
        .map(|key| Idempotency { key: key.into(), body_sha256: "ab".repeat(32) });
    let ask = async |key: &Idempotency, record: Record| {
        let job = NewJob { record, idempotency: Some(key.clone()) };
        store.admit(&[job]).await.expect("it answers").remove(0).expect("it answers")
    };
    let equal = || Record { spec: job.spec.clone(), ..record() };
    let existing = |by| Admitted::Existing { id: job.id.clone(), by };
    for key in &keys {
        assert_eq!(ask(key, equal()).await, existing(Match::Fingerprint));
    }
    let now = store.now().await.expect("it answers");
    assert_eq!(archive(&ground, &memory, &job, now).await, Left::Now);
    assert_eq!(ask(&keys[0], equal()).await, existing(Match::Key));
    let other = Idempotency { body_sha256: "cd".repeat(32), ..keys[1].clone() };
    assert_eq!(ask(&other, record()).await, Admitted::KeyReused { id: job.id.clone() });
    let (tomb, archived) = store.archived(&job.id).await.expect("it answers").expect("it left");
    assert!(store.lapse(&tomb, &archived).await.expect("it answers"));
    let anew = equal();
    assert_eq!(ask(&keys[0], anew.clone()).await, Admitted::Created);
    let again = Admitted::Existing { id: anew.id.clone(), by: Match::Key };
    assert_eq!(ask(&keys[0], equal()).await, again);
    assert_eq!(ask(&other, record()).await, Admitted::Created, "no job has this key any more");
    ground.sound().await;
}

#[tokio::test]
async fn what_a_callback_named_goes_along_and_is_never_left_behind() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let job = restored(&ground, ended(record(), "cgt-1")).await;
    let here = store.load_here(std::slice::from_ref(&job.id)).await.expect("it answers");
    let packed = store.pack(here).await.expect("it answers");
    let key = store.keys().job(&job.id);
    ground.redis.command(&["HSET", &key, "hint", "cgt-2"]).expect("it answers");
    let now = store.now().await.expect("it answers");
    assert_eq!(leave(&ground, &packed, now).await, Left::NotNow);
    assert_eq!(archive(&ground, &memory, &job, now).await, Left::Now);
    let away = ground.load(&job.id).await;
    assert!(away.archived && away.hint == Some(task("cgt-2")));
    assert!(store.recall(&job.id).await.expect("it answers"));
    assert_eq!(ground.load(&job.id).await.hint, Some(task("cgt-2")));
    let from = store.came_from(&job.id).await.expect("it answers");
    assert_eq!(from.as_ref(), Some(&packed[0].place));
    let later = now + Duration::from_secs(60);
    assert_eq!(store.left_behind(later).await.expect("it answers"), from.as_slice());
}

#[tokio::test]
async fn what_is_still_to_be_told_or_done_holds_a_record() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let (of, other) = (record_of("a", Priority::Normal, None), record());
    let jobs = [ground.admit(of).await, ground.admit(other).await];
    for job in &jobs {
        ground.report(&job.id, Writer::Outside, &cancel()).await;
    }
    let holds = async |at: usize| {
        let stored = ground.load(&jobs[at].id).await;
        store.under_way().await.expect("it answers").holds(&stored.record, stored.now)
    };
    assert!(!holds(0).await && !holds(1).await);

    // An operation that has not come to its jobs.
    let wish = OperationWish {
        id: "op_1".into(),
        verb: OperationVerb::Retry,
        filter: Filter::default(),
        tenant: Some("a".into()),
        by: "ann".into(),
        reason: "again".into(),
        limit: None,
    };
    store.open_operation(wish).await.expect("it answers");
    assert!(holds(0).await && !holds(1).await);
    let now = store.now().await.expect("it answers");
    store.close_operation("op_1", now, None).await.expect("it answers");
    assert!(!holds(0).await);

    // Events that are not shared out, of whomever they are; then those that wait in an outbox.
    let endpoint = Endpoint {
        id: "whe_1".into(),
        tenant: "a".into(),
        url: "https://x.example/".into(),
        types: vec!["*".into()],
        description: String::new(),
        secrets: Vec::new(),
        secret_ref: None,
        created_by: "ann".into(),
        created_at: now,
    };
    store.put_endpoint(&endpoint, 0).await.expect("it answers");
    ground.redis.command(&["SET", &store.keys().hooks_read(), "0-0"]).expect("it answers");
    assert!(holds(0).await && holds(1).await);
    let was = store.shared_to().await.expect("it answers").expect("somebody asks");
    let changes = store.changes_after(was, 100).await.expect("it answers");
    let events = changes.iter().filter(|change| change.tenant == "a").map(Into::into).collect();
    let outs = vec![Outgoing { id: "whe_1".into(), events, fresh: None }];
    let place = changes.last().map(|last| (was, last.mark));
    let sharing = Sharing { place, outs, ..Sharing::default() };
    let shared = store.share_out(&sharing).await.expect("it answers");
    assert_eq!(shared, Shared::Done(Vec::new()));
    assert!(holds(0).await && !holds(1).await);
    store.drop_endpoint("whe_1", "a").await.expect("it answers");
    assert!(!holds(0).await);
}

#[tokio::test]
async fn a_tombstone_lapses_whole() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let job = restored(&ground, ended(record(), "cgt-1")).await;
    let now = store.now().await.expect("it answers");
    assert_eq!(archive(&ground, &memory, &job, now).await, Left::Now);
    let mut found = Vec::new();
    for before in [now, now + Duration::from_secs(2 * 24 * 3_600)] {
        let mut at = Some(TombCursor::default());
        while let Some(cursor) = at {
            let (old, next) = store.old_tombstones(cursor, before).await.expect("it answers");
            found.extend(old.into_iter().map(|tomb| (before, tomb)));
            at = next;
        }
    }
    let [(before, tomb)] = found.as_slice() else { panic!("{found:?}") };
    assert!(*before > now && tomb.place.job == job.id);
    let archived =
        store.archived(&job.id).await.expect("it answers").expect("it is in the bucket").1;
    assert!(store.lapse(tomb, &archived).await.expect("it answers"));
    assert!(!store.lapse(tomb, &archived).await.expect("it answers"));
    assert_eq!(store.load(&job.id).await.expect("it answers"), None);
    let again = Record { spec: job.spec.clone(), ..record() };
    ground.admit(again).await;
    let keys = ground.redis.command(&["KEYS", "*tombs*"]).expect("it answers");
    assert_eq!(keys, "");
}

#[tokio::test]
async fn failures_that_leave_are_counted_apart_dismissed_or_not() {
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let mut jobs = Vec::new();
    for name in ["cgt-1", "cgt-2"] {
        let mut record = ended(record_of("a", Priority::Normal, Some("x")), name);
        if let State::Finished { end, .. } = &mut record.life.state {
            let (code, class) = ("One".into(), seedance::Class::Output);
            let cause = job::Cause { code, class, message: "no".into(), task_existed: true };
            *end = End::Failed { cause };
        }
        record.life.dismissed = name == "cgt-1";
        jobs.push(restored(&ground, record).await);
    }
    let tells = async |wanted: [u64; 4]| {
        for scope in [Scope::Pool, Scope::Tenant("a"), Scope::Batch("a", "x")] {
            let groups = store.failures(scope).await.expect("it answers");
            let told = groups.iter().map(|g| [g.jobs, g.open, g.dismissed, g.archived]);
            assert_eq!(told.collect::<Vec<_>>(), [wanted], "{scope:?}");
        }
        ground.sound().await;
    };
    tells([2, 1, 1, 0]).await;
    let now = store.now().await.expect("it answers");
    for job in &jobs {
        assert_eq!(archive(&ground, &memory, job, now).await, Left::Now);
    }
    tells([2, 0, 1, 2]).await;
    // The one that comes back for it is at hand again, and dismissed.
    let event = Event::Dismissed { by: job::By::named("ann"), reason: "known".into() };
    let told = ground.report(&jobs[1].id, Writer::Outside, &event).await;
    assert!(matches!(told, Reported::Written { .. }), "{told:?}");
    tells([2, 0, 2, 1]).await;
}
