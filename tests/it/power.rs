//! The power goes: what Redis had acknowledged under `always` is there afterwards, and the method that
//! shows it can show a loss as well.

use e2e::kit::{BOUND, Cut, Fleet, Options, PowerOptions, PowerRedis, text};
use job::{AttemptId, By, Event, Facts, JobId, OpenAttempt, Record, TaskId};
use seedance::{Route, SlotClass};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{BeginGuard, Begun, Held, Pace, Queue, Reported, Writer};
use ulid::Ulid;

/// Power cuts of the store's own test; `tests/verify/power.sh` asks for more.
const CUTS_ENV: &str = "SEEDFLEET_TEST_POWER_CUTS";
const CUTS: u32 = 4;

/// Writes from two sides until the power goes, `after` acknowledged writes from now. Tells which of
/// the acknowledged ones are missing when it is back, and what the cut took.
fn lost_in_a_cut(redis: &PowerRedis, round: u32, after: usize) -> (usize, usize, Cut) {
    let acked = Mutex::new(Vec::new());
    let dark = AtomicBool::new(false);
    let write = |side: u32| {
        for number in 0.. {
            let key = format!("{round}:{side}:{number}");
            if redis.server().command(&["SET", &key, &"x".repeat(100)]).is_err() {
                // Only the cut may end the writing.
                assert!(dark.load(Ordering::SeqCst), "{}", redis.server().log_tail(5));
                return;
            }
            acked.lock().unwrap().push(key);
        }
    };
    let cut = std::thread::scope(|scope| {
        let writers = [1, 2].map(|side| scope.spawn(move || write(side)));
        let enough = || (acked.lock().unwrap().len() >= after).then_some(());
        let reached = sandbox::wait::until("acknowledged writes", BOUND, enough);
        dark.store(true, Ordering::SeqCst);
        let cut = redis.power_cut();
        reached.unwrap();
        for writer in writers {
            writer.join().unwrap();
        }
        cut
    });
    redis.restart();
    let acked = acked.into_inner().unwrap();
    let there = |key: &&String| redis.server().command(&["EXISTS", key]).unwrap() == "0";
    (acked.len(), acked.iter().filter(there).count(), cut)
}

#[test]
fn a_power_cut_takes_acknowledged_writes_under_everysec_and_none_under_always() {
    let redis = PowerRedis::start(&PowerOptions { appendfsync: "everysec", ..Default::default() });
    let rounds: Vec<_> = (0..4).map(|n| lost_in_a_cut(&redis, n, 150)).collect();
    assert!(rounds.iter().any(|(_, lost, cut)| *lost > 0 && cut.bytes_lost > 0), "{rounds:?}");

    let redis = PowerRedis::start(&PowerOptions::default());
    // A cut in the middle of a rewrite meets renamed and removed files as well.
    let rounds: Vec<_> = (0..12_u32)
        .map(|n| {
            if n % 3 == 2 {
                redis.server().command(&["BGREWRITEAOF"]).unwrap();
            }
            lost_in_a_cut(&redis, n, 20 + (n as usize * 7) % 40)
        })
        .collect();
    let lost: usize = rounds.iter().map(|(_, lost, _)| lost).sum();
    assert_eq!(lost, 0, "{rounds:?}");
}

#[test]
fn a_killed_server_keeps_what_a_power_cut_would_take_and_an_older_copy_comes_back() {
    let options = PowerOptions { appendfsync: "no", ..PowerOptions::default() };
    let redis = PowerRedis::start(&options);
    let order = |words: &[&str]| redis.server().command(words).unwrap();
    order(&["SET", "a", "1"]);
    redis.kill9();
    redis.restart();
    assert_eq!(order(&["GET", "a"]), "1", "the kernel had it");
    let older = redis.snapshot();
    order(&["SET", "a", "2"]);
    redis.rollback(&older);
    assert_eq!(order(&["GET", "a"]), "1");
    order(&["SET", "a", "3"]);
    let cut = redis.power_cut();
    assert!(cut.bytes_lost > 0, "{cut:?}");
    redis.restart();
    assert_eq!(order(&["GET", "a"]), "1", "never synced since the copy came back");
    redis.wipe();
    assert_eq!(order(&["DBSIZE"]), "0");
}

#[test]
fn a_full_disk_a_slow_one_and_a_full_memory_really_strike() {
    let redis = PowerRedis::start(&PowerOptions::default());
    let order = |words: &[&str]| redis.server().command(words);
    redis.slow_sync(Duration::from_millis(5));
    order(&["SET", "a", "1"]).unwrap();
    redis.slow_sync(Duration::ZERO);
    assert!(redis.slowed() >= 1);

    redis.low_memory(true);
    assert!(order(&["SET", "b", "1"]).unwrap_err().to_string().contains("OOM"));
    redis.low_memory(false);
    assert_eq!(redis.refused("OOM"), 1);
    order(&["SET", "b", "1"]).unwrap();

    redis.disk_full(true);
    let refused = order(&["SET", "c", "1"]);
    assert!(refused.is_err(), "acknowledged without room: {refused:?}");
    assert!(redis.ends_within(BOUND), "`always` cannot be kept, so the server goes");
    assert!(redis.writes_refused() >= 1);
    redis.disk_full(false);
    redis.restart();
    assert_eq!(order(&["MGET", "a", "b", "c"]).unwrap(), "1\n1\n");
}

/// Set where this process may mount: the disk is then a real one, and really full.
const TMPFS_ENV: &str = "SEEDFLEET_TEST_TMPFS";

#[test]
fn a_file_system_without_a_byte_left_costs_nothing_acknowledged() {
    if std::env::var_os(TMPFS_ENV).is_none() {
        return;
    }
    let options = PowerOptions { tmpfs_bytes: Some(4 << 20), ..PowerOptions::default() };
    let redis = PowerRedis::start(&options);
    let mut acked: Vec<String> = Vec::new();
    redis.fill(true);
    // The page that is begun still takes some.
    loop {
        let key = format!("full:{}", acked.len());
        if redis.server().command(&["SET", &key, &"x".repeat(500)]).is_err() {
            break;
        }
        acked.push(key);
    }
    assert!(redis.ends_within(BOUND), "`always` cannot be kept, so the server goes");
    redis.fill(false);
    redis.restart();
    for key in &acked {
        assert_eq!(redis.server().command(&["EXISTS", key]).unwrap(), "1", "{key}");
    }
}

/// The last thing Redis has acknowledged about each job.
type Acked = Mutex<BTreeMap<JobId, u64>>;

const FREE: BeginGuard =
    BeginGuard { running: 100_000, lookahead: 0, pace: Pace::NONE, probe: Duration::from_secs(30) };

fn attempt(record: &Record, nonce_s: u32) -> OpenAttempt {
    OpenAttempt {
        id: AttemptId::from_ulid(Ulid::generate()),
        number: 1,
        nonce_s,
        begun_at: record.created_at,
        send_by: record.created_at + Duration::from_secs(3_600),
        renderer: 1,
        body_sha256: "00".repeat(32),
        safety_identifier: None,
        intent: None,
        facts: Facts {
            route: Route::Byteplus,
            create_url: "https://example.test/tasks".into(),
            retrieve_url: "https://example.test/tasks".into(),
            model_id: "any".into(),
            account: "a".into(),
            class: SlotClass::V20,
            price_version: "any".into(),
        },
    }
}

/// Begin and accept, as a submitter does; stops at the first call without an answer.
async fn buy(fleet: &Fleet, held: &Held, nonce_s: u32, acked: &Acked) -> Option<()> {
    let (store, policy) = (fleet.store(), fleet.policy());
    let attempt = attempt(&held.stored.record, nonce_s);
    let began = Event::SubmitBegan { attempt: attempt.clone() };
    let Begun::Granted { stored, .. } = store.begin(held, &began, policy, &FREE).await.ok()? else {
        return Some(());
    };
    let id = held.claim.id.clone();
    acked.lock().unwrap().insert(id.clone(), stored.revision);
    let task = TaskId::parse(&format!("cgt-{}", Ulid::generate())).unwrap();
    let accepted = Event::AttemptAccepted { attempt: attempt.id, task };
    let writer = Writer::Worker(&held.claim);
    if let Reported::Written { stored, .. } =
        store.report(&id, writer, &accepted, policy).await.ok()?
    {
        acked.lock().unwrap().insert(id, stored.revision);
    }
    Some(())
}

/// Claims and buys until Redis is gone.
async fn worker(fleet: &Fleet, side: u32, acked: &Acked) -> Option<()> {
    for nonce_s in (side * 40_000..).step_by(8) {
        let queue = Queue::Submit(SlotClass::V20);
        let claimed = fleet.store().claim(&queue, 8, Duration::from_secs(2)).await.ok()?;
        for (held, nonce_s) in claimed.items.iter().zip(nonce_s..) {
            buy(fleet, held, nonce_s, acked).await?;
        }
        tokio::task::yield_now().await;
    }
    Some(())
}

/// Enqueues, and stops every fifth job again, until Redis is gone.
async fn caller(fleet: &Fleet, round: u32, acked: &Acked) -> Option<()> {
    for number in 0_u64.. {
        let body = text(&format!("before the dark, {round} {number}"));
        let id = fleet.try_admit_now(body).await.ok()?.id;
        acked.lock().unwrap().insert(id.clone(), 0);
        if number % 5 == 4 {
            let event = Event::CancelAsked { by: By::named("caller") };
            let told = fleet.store().report(&id, Writer::Outside, &event, fleet.policy());
            if let Reported::Written { stored, .. } = told.await.ok()? {
                acked.lock().unwrap().insert(id, stored.revision);
            }
        }
    }
    Some(())
}

// covers: M22
#[test]
fn no_acknowledged_job_and_no_acknowledged_step_is_lost_in_a_power_cut() {
    let cuts = std::env::var(CUTS_ENV).map_or(CUTS, |cuts| cuts.parse().unwrap());
    let options = Options::empty().power(PowerOptions::default());
    let fleet = Fleet::start(options.config("[redis]\nresponse_timeout = \"1s\"\n"));
    let (mut jobs, mut steps, mut bytes) = (0, 0, 0);
    for round in 0..cuts {
        let acked = Acked::default();
        let enough = 40 + (round as usize * 13) % 60;
        std::thread::scope(|scope| {
            let work = || {
                fleet.run(async {
                    tokio::join!(
                        caller(&fleet, round, &acked),
                        worker(&fleet, 2 * round + 1, &acked),
                        worker(&fleet, 2 * round + 2, &acked),
                    )
                })
            };
            let work = scope.spawn(work);
            let began = |acked: &BTreeMap<JobId, u64>| acked.values().filter(|r| **r > 1).count();
            fleet.until("jobs and steps", || {
                let acked = acked.lock().unwrap();
                (acked.len() >= enough && began(&acked) >= 10).then_some(())
            });
            bytes += fleet.power().power_cut().bytes_lost;
            work.join().unwrap();
        });
        fleet.power().restart();
        fleet.until("Redis", || fleet.run(fleet.store().now()).ok());
        let acked = acked.into_inner().unwrap();
        for (id, revision) in &acked {
            let stored = fleet.run(fleet.store().load(id)).unwrap();
            let found = stored.map(|stored| stored.revision);
            assert!(found >= Some(*revision), "round {round}, {id}: {found:?} < {revision}");
        }
        jobs += acked.len();
        steps += acked.values().filter(|revision| **revision > 0).count();
    }
    println!(
        "{cuts} power cuts: {jobs} enqueues and {steps} jobs with later steps, 0 lost; {bytes} unacknowledged bytes went"
    );
}
