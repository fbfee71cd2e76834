//! A server that is put back to an older file under processes that run: nothing begins until somebody
//! has looked, everything else goes on.

use crate::ground::{CLASS, FREE, Ground, SUBMIT, accepted, attempt, connect, record, unclear};
use sandbox::Options;
use std::path::Path;
use std::time::Duration;
use store::{Begun, FreezeKind, NewJob, Queue, Reported, Store, Writer};

/// Every file of a folder, and its folders.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

/// The server's append-only files as they are now, kept aside.
struct Backup(sandbox::TempDir);

impl Backup {
    fn of(ground: &Ground) -> Self {
        let aside = sandbox::TempDir::new("backup").expect("a folder");
        // Every write is on disk before it is answered, so the files are whole.
        copy(&ground.redis.dir().join("appendonlydir"), aside.path());
        Self(aside)
    }

    /// The machine dies and an older disk comes back.
    async fn put_back(&self, ground: &Ground) {
        ground.redis.kill9();
        let live = ground.redis.dir().join("appendonlydir");
        std::fs::remove_dir_all(&live).expect("removes");
        copy(self.0.path(), &live);
        ground.redis.restart().expect("starts on the older files");
        crate::ground::until_answers(&ground.store).await;
    }
}

async fn frozen(store: &Store) -> Option<store::Freeze> {
    store.watch().await.expect("Redis answers").frozen
}

#[tokio::test]
async fn every_commit_counts_and_a_restart_forgets_nothing() {
    let ground = Ground::new().await;
    let before = ground.store.watch().await.expect("answers");
    assert_eq!((before.lsn, before.frozen), (0, None));
    ground.generating(record(), "cgt-1").await;
    assert_eq!(ground.store.watch().await.expect("answers").lsn, 3, "admit, begin, report");
    ground.redis.restart().expect("starts");
    crate::ground::until_answers(&ground.store).await;
    let after = ground.store.watch().await.expect("answers");
    assert_eq!((after.lsn, after.seen, after.frozen), (3, 3, None));
}

#[tokio::test]
async fn a_rolled_back_server_begins_nothing_until_it_is_thawed() {
    let ground = Ground::new().await;
    let (_, known) = ground.generating(record(), "cgt-1").await;
    let waiting = ground.admit(record()).await;
    let backup = Backup::of(&ground);
    // Lost with the files: two jobs, one of them admitted by a process that so knows of more than we do.
    ground.admit(record()).await;
    let other = connect(&ground.redis).await;
    let job = NewJob { record: record(), idempotency: None };
    other.admit(&[job]).await.expect("one job")[0].as_ref().expect("created");
    assert!(other.lsn_seen() > ground.store.lsn_seen());

    backup.put_back(&ground).await;
    // Nobody watched: the first Begin itself finds out, and writes nothing but the freeze.
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(held.claim.id, waiting.id);
    let again = attempt(&waiting, 172_801);
    let begun = ground.begin(&held, &again, &FREE).await;
    let Begun::Frozen { why } = begun else { panic!("{begun:?}") };
    assert!(why.contains("lost data"), "{why}");
    assert_eq!(ground.load(&waiting.id).await.revision, 1);
    let freeze = frozen(&ground.store).await.expect("frozen");
    assert_eq!(freeze.kind, FreezeKind::Rollback);

    // What runs goes on, and new jobs are taken in.
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&poll, &crate::ground::running("cgt-1")).await;
    ground.admit(record()).await;
    crate::ground::until_answers(&other).await;
    assert_eq!(frozen(&other).await.as_ref(), Some(&freeze), "one loss, one freeze");

    let ended = ground.store.thaw("somebody", "looked").await.expect("answers").expect("frozen");
    assert_eq!(ended, freeze);
    assert_eq!(frozen(&other).await, None, "who had seen more is not alarmed again");
    assert_eq!(frozen(&ground.store).await, None);
    assert!(matches!(ground.begin(&held, &again, &FREE).await, Begun::Granted { .. }));
    ground.work(&held, &accepted(&again, "cgt-3")).await;
    let audit = ground.store.audit(10).await.expect("answers");
    let told: Vec<_> = audit.iter().map(|line| line.alarm.as_str()).collect();
    assert_eq!(told, ["thawed", "frozen"]);
    assert_eq!(audit[0].by.as_deref(), Some("somebody"));
    assert_eq!(known.number, 1);
    ground.sound().await;
}

/// The server lost the last commits of a busy second, and processes that had not been told of them are
/// quicker than the one that had: their new commits must not hide the loss.
#[tokio::test]
async fn a_loss_that_new_commits_have_made_up_for_is_seen_all_the_same() {
    let ground = Ground::new().await;
    let quick = connect(&ground.redis).await;
    ground.admit(record()).await;
    quick.watch().await.expect("answers");
    let backup = Backup::of(&ground);
    for _ in 0..3 {
        ground.admit(record()).await;
    }
    // Runs are told apart by the second.
    crate::ground::until("another second", async || {
        let second = |answer: String| answer.lines().next()?.trim().parse::<i64>().ok();
        let ask = |word: &str| second(ground.redis.command(&[word]).expect("answers"));
        ask("TIME") > ask("LASTSAVE")
    })
    .await;
    backup.put_back(&ground).await;
    crate::ground::until_answers(&quick).await;
    for _ in 0..9 {
        let job = NewJob { record: record(), idempotency: None };
        quick.admit(&[job]).await.expect("one job")[0].as_ref().expect("created");
    }
    assert!(quick.lsn_seen() > ground.store.lsn_seen(), "by the count alone nothing is missing");
    assert_eq!(frozen(&quick).await, None);
    assert!(frozen(&ground.store).await.is_some());
    // And by a commit as well as by a look.
    ground.store.thaw("somebody", "looked").await.expect("answers");
    assert_eq!(frozen(&quick).await, None);
    assert_eq!(frozen(&ground.store).await, None);
    ground.sound().await;
}

/// Neither a save nor a restart without a loss is taken for one, by processes that know more or less.
#[tokio::test]
async fn saves_and_restarts_raise_no_alarm() {
    let ground = Ground::new().await;
    let idle = connect(&ground.redis).await;
    for _ in 0..3 {
        ground.admit(record()).await;
        idle.watch().await.expect("answers");
        ground.admit(record()).await;
        crate::ground::until("another second", async || {
            let second = |answer: String| answer.lines().next()?.trim().parse::<i64>().ok();
            let ask = |word: &str| second(ground.redis.command(&[word]).expect("answers"));
            ask("TIME") > ask("LASTSAVE")
        })
        .await;
        ground.redis.command(&["SAVE"]).expect("saves");
        ground.admit(record()).await;
        assert_eq!(frozen(&idle).await, None);
        ground.redis.restart().expect("starts");
        crate::ground::until_answers(&ground.store).await;
        crate::ground::until_answers(&idle).await;
        let job = NewJob { record: record(), idempotency: None };
        idle.admit(&[job]).await.expect("one job")[0].as_ref().expect("created");
        assert_eq!(frozen(&ground.store).await, None);
    }
    assert_eq!(frozen(&idle).await, None);
}

#[tokio::test]
async fn a_second_loss_during_the_quarantine_is_seen_too() {
    let ground = Ground::new().await;
    ground.admit(record()).await;
    let backup = Backup::of(&ground);
    ground.admit(record()).await;
    backup.put_back(&ground).await;
    let first = frozen(&ground.store).await.expect("frozen");
    ground.admit(record()).await;
    backup.put_back(&ground).await;
    let second = frozen(&ground.store).await.expect("frozen again");
    assert!(second.since > first.since && second.seen > first.seen, "{first:?} {second:?}");
    let ended = ground.store.thaw_only(&first, "quarantine", "walked").await.expect("answers");
    assert!(!ended, "the walk knew nothing of the second loss");
    assert!(ground.store.thaw_only(&second, "quarantine", "walked").await.expect("answers"));
    assert_eq!(frozen(&ground.store).await, None);
}

#[tokio::test]
async fn a_server_wiped_clean_is_frozen() {
    let ground = Ground::new().await;
    ground.admit(record()).await;
    ground.redis.command(&["FLUSHALL"]).expect("wiped");
    let watch = ground.store.watch().await.expect("answers");
    assert_eq!((watch.lsn, watch.seen), (0, 1));
    assert_eq!(watch.frozen.expect("frozen").kind, FreezeKind::Rollback);
    // A process that comes later learns of it, and of the count that goes on.
    let late = connect(&ground.redis).await;
    assert!(frozen(&late).await.is_some());
    assert!(late.lsn_seen() > 1);
}

#[tokio::test]
async fn what_a_person_froze_only_a_person_thaws() {
    let ground = Ground::new().await;
    let job = ground.admit(record()).await;
    ground.store.freeze("price check", "somebody").await.expect("answers");
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&job, 172_800);
    let begun = ground.begin(&held, &open, &FREE).await;
    assert_eq!(begun, Begun::Frozen { why: "price check".into() });
    ground.redis.command(&["SET", &ground.store.keys().lsn(), "0"]).expect("a loss");
    let freeze = frozen(&ground.store).await.expect("frozen");
    assert_eq!(freeze.kind, FreezeKind::Asked);
    assert!(freeze.why.contains("lost data"), "{freeze:?}");
    ground.store.thaw("somebody", "done").await.expect("answers");
    assert_eq!(ground.store.thaw("somebody", "done").await.expect("answers"), None);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
}

/// The reply of a Begin was lost and the pool was frozen before it was asked for again: the attempt is
/// in the record, and whoever holds the ticket may send it.
#[tokio::test]
async fn a_begin_that_was_written_stays_begun() {
    let ground = Ground::new().await;
    let job = ground.admit(record()).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&job, 172_800);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    ground.store.freeze("a look", "somebody").await.expect("answers");
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    ground.work(&held, &unclear(&open)).await;
}

#[tokio::test]
async fn a_forgotten_job_comes_back_in_doubt_with_everything_it_needs() {
    let ground = Ground::new().await;
    let (job, open) = ground.doubtful().await;
    let doubtful = ground.load(&job.id).await.record;
    ground.redis.command(&["FLUSHALL"]).expect("wiped");
    let twin = ground.admit(record()).await;
    let mut same = record();
    same.spec = twin.spec.clone();
    let asked = [doubtful.clone(), same];
    assert_eq!(ground.store.restore(&asked).await.expect("answers"), [true, false]);
    assert_eq!(ground.store.restore(&asked).await.expect("answers"), [false, false]);
    assert_eq!(ground.load(&job.id).await.record, doubtful);
    let of = |record: &job::Record| {
        let spec = record.spec.clone();
        let store = ground.store.clone();
        async move { store.job_of_request(&spec.tenant, &spec.fingerprint).await.expect("answers") }
    };
    assert_eq!(of(&doubtful).await, Some(job.id.clone()));
    assert_eq!(of(&asked[1]).await, Some(twin.id));
    assert_eq!(ground.store.job_of_attempt(&open.id).await.expect("answers"), Some(job.id.clone()));
    let slots = ground.store.slots().await.expect("answers");
    assert_eq!(slots.values().sum::<i64>(), 1);
    let settle = ground.claim(Queue::Settle, 1).await.remove(0);
    assert_eq!(settle.claim.id, job.id);
    let found = job::Event::TaskFound {
        attempt: open.id.clone(),
        task: crate::ground::task("cgt-1"),
        via: job::FoundVia::List,
        said: None,
    };
    let reported = ground.report(&job.id, Writer::Worker(&settle.claim), &found).await;
    assert!(matches!(reported, Reported::Written { .. }), "{reported:?}");
    ground.sound().await;
    // A job that owns a task which another job owns by now does not come back.
    let owner = ground.load(&job.id).await.record;
    let mut thief = record();
    thief.life = owner.life.clone();
    assert!(ground.store.restore(&[thief]).await.is_err());
}

#[tokio::test]
async fn a_lock_has_one_holder_and_lapses() {
    let ground = Ground::new().await;
    let (one, two) = (&ground.store, connect(&ground.redis).await);
    let minute = Duration::from_secs(60);
    assert!(one.lock("walk", minute).await.expect("answers"));
    assert!(one.lock("walk", minute).await.expect("answers"), "prolonged");
    assert!(!two.lock("walk", minute).await.expect("answers"));
    assert!(two.lock("other", minute).await.expect("answers"));
    two.unlock("walk").await.expect("answers");
    assert!(!two.lock("walk", minute).await.expect("answers"), "it was not its own to let go");
    one.unlock("walk").await.expect("answers");
    assert!(two.lock("walk", Duration::from_millis(1)).await.expect("answers"));
    let key = ground.store.keys().lock("walk");
    crate::ground::until("the lock lapses", async || {
        ground.redis.command(&["EXISTS", &key]).expect("answers") == "0"
    })
    .await;
    assert!(one.lock("walk", minute).await.expect("answers"));
    // Parts of one process that each draw a holder do not share it.
    let (first, second) = (one.own_lock("turn"), one.own_lock("turn"));
    assert!(one.hold(&first, minute).await.expect("answers"));
    assert!(one.hold(&first, minute).await.expect("answers"), "prolonged");
    assert!(!one.hold(&second, minute).await.expect("answers"));
    one.let_go(&second).await.expect("answers");
    assert!(!one.hold(&second, minute).await.expect("answers"), "it was not its own to let go");
    one.let_go(&first).await.expect("answers");
    assert!(one.hold(&second, minute).await.expect("answers"));
}

#[tokio::test]
async fn evidence_counts_seven_days_and_keeps_no_more() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let now = store.now().await.expect("answers");
    let today = now.unix_ms() / 86_400_000;
    let key = store.keys().evidence("main");
    for (day, n) in [(today - 7, "50"), (today - 6, "3")] {
        let field = format!("{day}|echo_ok");
        ground.redis.command(&["HSET", &key, &field, n]).expect("set");
    }
    for ok in [true, true, false] {
        store.note_echoes("main", ok, 1).await.expect("answers");
    }
    for ms in [40, 90, 20] {
        store.note_lag("main", Duration::from_millis(ms)).await.expect("answers");
    }
    store.note_callback("main", true).await.expect("answers");
    store.note_callback("main", false).await.expect("answers");
    store.note_echoes("second", true, 1).await.expect("answers");
    let evidence = store.evidence("main", now).await.expect("answers");
    let wanted = store::Evidence {
        echoes_ok: 5,
        echoes_bad: 1,
        lags: 3,
        lag_max: Duration::from_millis(90),
        callbacks_before: 1,
        callbacks_after: 1,
    };
    assert_eq!(evidence, wanted);
    let fields = ground.redis.command(&["HKEYS", &key]).expect("answers");
    assert!(!fields.contains(&format!("{}|", today - 7)), "{fields}");
    assert!(fields.contains(&format!("{}|", today - 6)), "{fields}");
}

#[tokio::test]
async fn a_day_has_only_so_many_automatic_sends() {
    let ground = Ground::new().await;
    let store = &ground.store;
    assert!(!store.reserve_resend(0.5, 0).await.expect("answers"), "no create, no re-send");
    for n in 0..6 {
        ground.generating(record(), &format!("cgt-{n}")).await;
    }
    // Six creates, half of them: three, whoever asks.
    let asked = (0..8).map(|_| store.reserve_resend(0.5, 1));
    let granted = futures::future::join_all(asked).await;
    assert_eq!(granted.iter().filter(|leave| *leave.as_ref().expect("answers")).count(), 3);
    assert!(!store.reserve_resend(0.5, 3).await.expect("answers"));
    assert!(store.reserve_resend(0.0, 4).await.expect("answers"), "the minimum of a quiet day");
    let day = store.now().await.expect("answers").unix_ms() / 86_400_000;
    let field = format!("{day}|creates");
    let creates = ground.redis.command(&["HGET", &store.keys().days(), &field]).expect("answers");
    assert_eq!(creates, "6");
}

#[tokio::test]
async fn a_lead_moves_the_instant_and_not_the_rate() {
    let ground = Ground::on(Options::default()).await;
    let pace = store::Pace {
        interval_us: 100_000,
        horizon_us: 250_000,
        lead_us: 2_000_000,
        ..store::Pace::NONE
    };
    let guard = store::BeginGuard { pace, ..FREE };
    let mut usable: Vec<Duration> = Vec::new();
    let mut first_at = None;
    for n in 0..200 {
        // Two and a half lie within the horizon, and one more for each interval that passes meanwhile.
        let begun = *first_at.get_or_insert_with(tokio::time::Instant::now);
        let passed = usize::try_from(begun.elapsed().as_millis() / 100).expect("a short test");
        assert!(
            usable.len() <= 4 + passed,
            "{} in {:?}: {usable:?}",
            usable.len(),
            begun.elapsed()
        );
        ground.admit(record()).await;
        let held = ground.claim(SUBMIT, 1).await.remove(0);
        let at = tokio::time::Instant::now();
        match ground.begin(&held, &attempt(&held.stored.record, 172_800 + n), &guard).await {
            Begun::Granted { usable_in, .. } => usable.push(at.elapsed() + usable_in),
            // The row was never used: it waits until what a lost server gave away lies before it.
            Begun::Wait { .. } if usable.is_empty() => {
                first_at = None;
                ground.store.release(&held.claim, Duration::ZERO).await.expect("ours");
                continue;
            }
            Begun::Wait { after } => {
                assert!(after <= Duration::from_millis(400), "{after:?}");
                return;
            }
            other => panic!("{other:?} in {CLASS:?}"),
        }
        assert!(usable[0] >= Duration::from_millis(2_000), "{usable:?}");
    }
}
