//! Very many jobs that leave Redis: how little stays of each, and that no script is long meanwhile.

use crate::archive::{Memory, ended, ground, on};
use crate::ground::{Ground, cancel, record};
use job::{JobId, Record, Timestamp};
use sandbox::Options;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{
    ADMIT_MAX, Admitted, CHANGES_MAX, EventSettings, Idempotency, Left, NewJob, Packed, Reported,
    TombCursor, Writer,
};

/// As many as the archiver takes at once.
const PAGE: usize = 500;

/// What data takes: without the buffers of connections, which come and go.
fn used(ground: &Ground) -> u64 {
    let info = ground.redis.command(&["INFO", "memory"]).expect("it answers");
    let bytes = |name: &str| -> u64 {
        let line = info.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("{name} {info}")).trim().parse().expect("a number")
    };
    bytes("used_memory:") - bytes("mem_clients_normal:")
}

/// The stream of events is trimmed by its own rule, whether jobs are archived or not.
fn of_events(ground: &Ground) -> u64 {
    let key = ground.store.keys().events();
    let bytes =
        ground.redis.command(&["MEMORY", "USAGE", &key, "SAMPLES", "0"]).expect("it answers");
    bytes.parse().expect("a number")
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

/// The jobs as they lie in the bucket by now.
async fn packed(ground: &Ground, memory: &Memory, ids: &[JobId]) -> Vec<Packed> {
    let here = ground.store.load_here(ids).await.expect("it answers");
    let packed = ground.store.pack(here).await.expect("it answers");
    assert_eq!(packed.len(), ids.len());
    memory.put(&packed);
    packed
}

async fn leave(ground: &Ground, packed: &[Packed], now: Timestamp) {
    for left in ground.store.leave(packed, now).await.expect("it answers") {
        assert_eq!(left.expect("it answers"), Left::Now);
    }
}

/// Commands since the last look, by name, those inside of scripts too. Each of a script touches one member of a key,
/// or the job's own record and timeline, which are bounded; so their number is the work of the script.
fn commands(ground: &Ground) -> BTreeMap<String, u64> {
    let told = ground.redis.command(&["INFO", "commandstats"]).expect("it answers");
    ground.redis.command(&["CONFIG", "RESETSTAT"]).expect("it answers");
    let row = |line: &str| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let calls = rest.split(',').next()?.parse().ok()?;
        let asked_here = name == "info" || name.starts_with("config");
        (!asked_here).then(|| (name.to_owned(), calls))
    };
    told.lines().filter_map(row).collect()
}

/// The same, of one of `n` scripts that did the same each.
fn of_each(mut all: BTreeMap<String, u64>, n: u64) -> BTreeMap<String, u64> {
    assert_eq!(
        all.remove("evalsha"),
        Some(n),
        "one script for each job, and each was known: {all:?}"
    );
    for (name, calls) in &mut all {
        assert_eq!(*calls % n, 0, "{name}: {calls} calls of {n} scripts");
        *calls /= n;
    }
    all
}

#[tokio::test]
async fn little_of_an_archived_job_is_left_in_redis_and_none_leaves_by_a_long_script() {
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
    // What one script does is the same for the first job of ten thousand and for the last of the house.
    let (first, others) = ids.split_at(1);
    let mut alone = None;
    for ids in std::iter::once(first).chain(others.chunks(PAGE)) {
        let packed = packed(&ground, &memory, ids).await;
        commands(&ground);
        leave(&ground, &packed, now).await;
        let done = commands(&ground);
        // The first makes the script known to the server.
        if ids.len() > 1 {
            let each = of_each(done, ids.len() as u64);
            let sum: u64 = each.values().sum();
            assert!(sum <= 60, "{sum} commands in a script: {each:?}");
            assert_eq!(*alone.get_or_insert_with(|| each.clone()), each);
        }
    }
    let events = of_events(&ground);
    let left = used(&ground) - empty;
    let per_job = |bytes: u64| bytes / u64::from(JOBS);
    println!(
        "Redis bytes per ended job: {} with its record, {} archived, and {} of the stream of events; {:?} in the script",
        per_job(full - empty - events),
        per_job(left - events),
        per_job(events),
        alone,
    );
    assert!(per_job(left - events) <= 300, "{} bytes", per_job(left - events));
    let one = ground.load(&ids[7]).await;
    assert!(one.archived && one.record == records[7]);
}

/// A job with a key and a name of its caller's.
fn named(n: u32) -> NewJob {
    let mut record = prompted(n);
    record.spec.custom_id = Some(format!("scene-{n:05}-take-1"));
    let key = format!("5f0c1b7e-8d7f-4c55-9b60-{n:012}");
    NewJob { record, idempotency: Some(Idempotency { key, body_sha256: "ab".repeat(32) }) }
}

/// Takes such jobs in, ends them and lets them leave.
async fn pass_through(ground: &Ground, memory: &Memory, jobs: &[NewJob]) {
    for jobs in jobs.chunks(ADMIT_MAX) {
        for admitted in ground.store.admit(jobs).await.expect("few enough") {
            assert_eq!(admitted.expect("it answers"), Admitted::Created);
        }
    }
    let (ids, stop) = (jobs.iter().map(|job| job.record.id.clone()), cancel());
    let ids: Vec<JobId> = ids.collect();
    let now = ground.store.now().await.expect("it answers");
    for ids in ids.chunks(PAGE) {
        let stops = ids.iter().map(|id| ground.report(id, Writer::Outside, &stop));
        for told in futures::future::join_all(stops).await {
            assert!(matches!(told, Reported::Written { .. }), "{told:?}");
        }
        leave(ground, &packed(ground, memory, ids).await, now).await;
    }
}

#[tokio::test]
async fn little_is_left_of_jobs_that_came_with_a_key_and_a_name_of_their_callers() {
    const JOBS: u32 = 20_000;
    // Memory is measured: the log would only slow the filling down.
    let extra_args = ["--appendonly", "no"].map(str::to_owned).to_vec();
    let (ground, memory) = on(Options { extra_args, ..Options::default() }).await;
    let empty = used(&ground);
    let jobs: Vec<NewJob> = (0..JOBS).map(named).collect();
    let mut each = Vec::new();
    for (half, jobs) in jobs.chunks(JOBS as usize / 2).enumerate() {
        pass_through(&ground, &memory, jobs).await;
        let left = used(&ground) - empty - of_events(&ground);
        each.push(left / (u64::from(JOBS) / 2 * (half as u64 + 1)));
    }
    println!("Redis bytes per archived job with a key: {each:?}, of half of the jobs and of all");
    assert!(each[1] <= 300, "{each:?} bytes");
    assert!(each[1] < each[0], "what the hashes themselves take is shared by more: {each:?}");
    // What stays still recognises the key, and the request.
    let known = &jobs[4_711];
    for idempotency in [known.idempotency.clone(), None] {
        let again = Record { spec: known.record.spec.clone(), ..record() };
        let again = NewJob { record: again, idempotency };
        let told = ground.store.admit(&[again]).await.expect("few").remove(0).expect("it answers");
        let found = matches!(&told, Admitted::Existing { id, .. } if *id == known.record.id);
        assert!(found, "{told:?}");
    }
}

/// Fills a key with many members by one script of the test's own.
fn fill(ground: &Ground, script: &str, key: &str) {
    assert_eq!(ground.redis.command(&["EVAL", script, "1", key]).expect("it answers"), "1");
    commands(ground);
}

#[tokio::test]
async fn tombstones_lapse_by_short_scripts_and_are_looked_for_by_small_steps() {
    const JOBS: u32 = 400;
    const CROWD: u64 = 20_000;
    let (ground, memory) = ground().await;
    let store = &ground.store;
    let records: Vec<Record> =
        (0..JOBS).map(|n| ended(record(), &format!("cgt-20260921000000-{n:05}"))).collect();
    store.restore(&records).await.expect("it answers");
    let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
    let now = store.now().await.expect("it answers");
    leave(&ground, &packed(&ground, &memory, &ids).await, now).await;

    // One of the hashes has got far more than its part, as in a house of very many jobs.
    let crowd = "for n = 1, 20000 do redis.call('HSET', KEYS[1], 'f' .. string.rep('x', 26) .. n, 'y') end return 1";
    fill(&ground, crowd, &store.keys().tombs(7));
    let (mut gone, mut at) = (Vec::new(), Some(TombCursor::default()));
    let later = now + Duration::from_secs(2 * 24 * 3_600);
    while let Some(cursor) = at {
        let (old, next) = store.old_tombstones(cursor, later).await.expect("it answers");
        gone.extend(old);
        at = next;
    }
    assert_eq!(gone.len(), ids.len());
    let hashes = 4_096;
    let steps = commands(&ground)["hscan"];
    assert!(steps >= hashes + CROWD / 1_000, "{steps} steps, with {CROWD} fields in one hash");

    let mut alone = None;
    for (nth, tomb) in gone.iter().enumerate() {
        let archived = store.archived(&tomb.place.job).await.expect("it answers").expect("left").1;
        commands(&ground);
        assert!(store.lapse(tomb, &archived).await.expect("it answers"));
        let done = commands(&ground);
        // The first makes the script known to the server.
        if nth > 0 {
            let each = of_each(done, 1);
            assert!(each.values().sum::<u64>() <= 20, "{each:?}");
            assert_eq!(*alone.get_or_insert_with(|| each.clone()), each);
        }
    }
}

#[tokio::test]
async fn events_that_nobody_waits_for_go_a_thousand_at_a_time() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let events = "for n = 1, 20000 do redis.call('XADD', KEYS[1], '*', 'n', n) end return 1";
    fill(&ground, events, &store.keys().events());
    let few = EventSettings { kept: Duration::from_secs(24 * 3_600), kept_max: 100 };
    let went = store.trim_changes(&few).await.expect("it answers");
    let done = commands(&ground);
    assert!((19_500..=19_900).contains(&went), "{went}");
    let trims = done.get("xtrim").copied().unwrap_or(0);
    assert!(went <= trims * CHANGES_MAX as u64, "{went} by {trims} trims");
    assert_eq!(done.get("evalsha"), None, "no script at all: {done:?}");
}
