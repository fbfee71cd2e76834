//! Records that leave Redis, what stays of them, and how they come back.

use crate::ground::{Ground, cancel, record, record_of, task};
use job::{
    Attempt, AttemptOutcome, End, Event, Filing, Priority, Record, State, StoredOutput, TaskRef,
    Timestamp,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{
    Admitted, ArchivePlace, Archived, Fetch, Idempotency, Left, Match, NewJob, Packed, Shelf,
    TombCursor, Writer,
};

/// A bucket in memory.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<ArchivePlace, Archived>>);

impl Memory {
    fn put(&self, packed: &[Packed]) {
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

async fn ground() -> (Ground, Arc<Memory>) {
    let (mut ground, memory) = (Ground::new().await, Arc::new(Memory::default()));
    ground.store = ground.store.with_shelf(Arc::clone(&memory) as Arc<dyn Shelf>);
    (ground, memory)
}

/// The record of a job that bought a task and stored its video.
fn ended(mut record: Record, name: &str) -> Record {
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

/// Archives one job, as the bucket takes it.
async fn archive(ground: &Ground, memory: &Memory, record: &Record, now: Timestamp) -> Left {
    let here = ground.store.load_here(std::slice::from_ref(&record.id)).await.expect("it answers");
    let packed = ground.store.pack(here).await.expect("it answers");
    memory.put(&packed);
    let left =
        ground.store.leave(&packed, now).await.expect("it answers").pop().expect("it has ended");
    left.expect("it answers")
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
    ground
        .store
        .leave(&packed, now)
        .await
        .expect("it answers")
        .pop()
        .expect("it answers")
        .expect("it answers")
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
    let left = ground
        .store
        .leave(&packed, now)
        .await
        .expect("it answers")
        .pop()
        .expect("it answers")
        .expect("it answers");
    assert_eq!(left, Left::NotNow);
    ground.redis.command(&["ZREM", &due, job.id.as_str()]).expect("it answers");
    ground
        .redis
        .command(&["HINCRBY", &ground.store.keys().job(&job.id), "rev", "1"])
        .expect("it answers");
    let left = ground
        .store
        .leave(&packed, now)
        .await
        .expect("it answers")
        .pop()
        .expect("it answers")
        .expect("it answers");
    assert_eq!(left, Left::NotNow);
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

fn used(ground: &Ground) -> u64 {
    let info = ground.redis.command(&["INFO", "memory"]).expect("it answers");
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    line.expect("used_memory").trim().parse().expect("a number")
}

/// A request of 603 bytes, as a caller writes it.
fn prompted(n: u32) -> Record {
    let mut record = record();
    let words = format!("a lighthouse, number {n} {}", "x".repeat(480));
    let body = serde_json::json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": words}],
    });
    record.spec.request =
        seedance::validate(seedance::Route::Byteplus, &body, &seedance::Rules::default())
            .expect("a valid request")
            .request;
    record.spec.fingerprint =
        job::Fingerprint::of(seedance::Route::Byteplus, &record.spec.request, None, 1);
    record
}

#[tokio::test]
async fn little_of_an_archived_job_is_left_in_redis() {
    const JOBS: u32 = 10_000;
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let empty = used(&ground);
    let records: Vec<Record> =
        (0..JOBS).map(|n| ended(prompted(n), &format!("cgt-20260921000000-{n:05}"))).collect();
    store.restore(&records).await.expect("it answers");
    let full = used(&ground);
    let now = store.now().await.expect("it answers");
    let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
    for ids in ids.chunks(500) {
        let here = store.load_here(ids).await.expect("it answers");
        let packed = store.pack(here).await.expect("it answers");
        memory.put(&packed);
        for left in store.leave(&packed, now).await.expect("it answers") {
            assert_eq!(left.expect("it answers"), Left::Now);
        }
    }
    // The stream of events is trimmed by its own rule, whether jobs are archived or not.
    let events =
        ground.redis.command(&["MEMORY", "USAGE", &store.keys().events()]).expect("it answers");
    let events: u64 = events.parse().expect("it answers");
    let left = used(&ground) - empty;
    let per_job = |bytes: u64| bytes / u64::from(JOBS);
    println!(
        "Redis bytes per ended job: {} with its record, {} archived, and {} of the stream of events",
        per_job(full - empty - events),
        per_job(left - events),
        per_job(events),
    );
    assert!(per_job(left - events) <= 300, "{} bytes", per_job(left - events));
    let one = ground.load(&ids[7]).await;
    assert!(one.archived && one.record == records[7]);
}
