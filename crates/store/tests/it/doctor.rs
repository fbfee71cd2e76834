//! The doctor: every kind of damage done by hand is found and repaired, and a busy pool shows none.

use crate::ground::{CLASS, FREE, Ground, LEASE, SUBMIT, attempt, record, record_of, unclear};
use job::{JobId, OpenAttempt, Priority, Record};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use store::{Begun, Drift, DriftKind, Lane, Mended, Queue};

/// A pool with a job in most states, one of them in work.
struct Ward {
    ground: Ground,
    queued: Record,
    doubtful: (Record, OpenAttempt),
    running: Record,
    leased: JobId,
}

impl Ward {
    async fn new() -> Self {
        let ground = Ground::new().await;
        let (running, _) = ground.generating(record(), "cgt-1").await;
        let doubtful = ground.admit(record_of("default", Priority::Normal, Some("b:1"))).await;
        let held = ground.claim(SUBMIT, 1).await.remove(0);
        let open = attempt(&doubtful, 172_800);
        assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
        ground.work(&held, &unclear(&open)).await;
        let leased = ground.admit(record()).await.id;
        assert_eq!(ground.claim(SUBMIT, 1).await[0].claim.id, leased);
        let queued = ground.admit(record_of("other", Priority::Low, Some("b:1"))).await;
        ground.sound().await;
        Self { ground, queued, doubtful: (doubtful, open), running, leased }
    }

    fn redis(&self, command: &[&str]) -> String {
        self.ground.redis.command(command).expect("the server answers")
    }

    async fn found(&self) -> Vec<Drift> {
        self.ground.store.recount().await.expect("answers").drifts
    }

    /// The damage shows as this kind, its cure makes all sound again, and the record is untouched.
    async fn heals(&self, what: &str, kind: DriftKind) {
        let drifts = self.found().await;
        assert!(drifts.iter().any(|drift| drift.kind == kind), "{what}: {drifts:?}");
        assert!(drifts.iter().all(Drift::is_curable), "{what}: {drifts:?}");
        let mended = self.ground.store.mend(&drifts, "somebody", "a test").await.expect("answers");
        assert!(mended.mended >= 1 && mended.left == 0, "{what}: {mended:?}");
        assert_eq!(self.found().await, [], "{what}");
        let audit = self.ground.store.audit(1).await.expect("answers");
        assert_eq!(audit[0].alarm, "repaired", "{what}");
        assert_eq!(audit[0].by.as_deref(), Some("somebody"), "{what}");
        assert!(audit[0].reason.as_deref().is_some_and(|why| why.contains("a test")), "{what}");
    }
}

#[tokio::test]
async fn lost_and_stray_tickets_are_found_and_mended() {
    let ward = Ward::new().await;
    let keys = ward.ground.store.keys();
    let (queued, running) = (ward.queued.id.as_str(), ward.running.id.as_str());
    let lane = Lane { tenant: "other".into(), priority: Priority::Low };
    let (lane, lanes) = (keys.lane(CLASS, &lane), keys.lanes(CLASS));
    ward.redis(&["ZREM", &lane, queued]);
    ward.heals("a lost submit ticket", DriftKind::Ticket).await;
    ward.redis(&["ZREM", &keys.due(Queue::Poll), running]);
    ward.heals("a lost poll ticket", DriftKind::Ticket).await;
    ward.redis(&["ZREM", &lanes, "other"]);
    ward.heals("a tenant nobody serves", DriftKind::Lane).await;
    ward.redis(&["ZADD", &keys.due(Queue::Download), "1", running]);
    ward.heals("a ticket in a queue of another step", DriftKind::Ticket).await;
    ward.redis(&["ZADD", &keys.due(Queue::Poll), "1", "job_nobody"]);
    ward.heals("a ticket of nothing", DriftKind::Ticket).await;
    ward.redis(&["ZADD", &lane, "1", ward.leased.as_str()]);
    ward.heals("a ticket in another's lane", DriftKind::Ticket).await;
    ward.redis(&["ZADD", &keys.lease(Queue::Poll), "1", queued]);
    ward.redis(&["HSET", &keys.holder(Queue::Poll), queued, "7"]);
    ward.heals("a lease in another queue", DriftKind::Ticket).await;
    ward.redis(&["HSET", &keys.holder(Queue::Poll), running, "7"]);
    ward.heals("a fence without a lease", DriftKind::Ticket).await;
    ward.redis(&["ZADD", &keys.lease(Queue::Poll), "1", running]);
    ward.heals("a ticket due and lent", DriftKind::Ticket).await;
    // The mended tickets work: due now, and claimed as any.
    let poll = ward.ground.claim_once(Queue::Poll, 9, LEASE).await.items;
    assert_eq!(poll.iter().map(|held| &held.claim.id).collect::<Vec<_>>(), [&ward.running.id]);
    assert_eq!(ward.ground.claim(SUBMIT, 1).await[0].claim.id, ward.queued.id);
}

#[tokio::test]
async fn wrong_sums_indexes_and_marks_are_found_and_mended() {
    let ward = Ward::new().await;
    let keys = ward.ground.store.keys();
    let (id, open) = (ward.doubtful.0.id.as_str(), &ward.doubtful.1);
    let slot = format!("main|{}", CLASS.word());
    ward.redis(&["HINCRBY", &keys.slots(), &slot, "3"]);
    ward.heals("slots nobody holds", DriftKind::Slot).await;
    ward.redis(&["HSET", &keys.slots(), "ghost|2.0", "1"]);
    ward.heals("a slot of an account without jobs", DriftKind::Slot).await;
    ward.redis(&["DEL", &keys.slots()]);
    ward.heals("forgotten slots", DriftKind::Slot).await;
    ward.redis(&["HINCRBY", &keys.counts(), "running", "-1"]);
    ward.heals("a wrong counter", DriftKind::Counter).await;
    ward.redis(&["HINCRBY", &keys.batch_counts("default", "b:1"), "queued", "5"]);
    ward.heals("a wrong counter of a batch", DriftKind::Counter).await;
    ward.redis(&["ZREM", &keys.ix_all(), id]);
    ward.heals("a job no list shows", DriftKind::Index).await;
    ward.redis(&["ZREM", &keys.ix_state(job::StateWord::InDoubt), id]);
    ward.heals("a state's list without its job", DriftKind::Index).await;
    ward.redis(&["ZADD", &keys.ix_state(job::StateWord::Failed), "1", id]);
    ward.heals("a job in another state's list", DriftKind::Index).await;
    ward.redis(&["ZADD", &keys.ix_batch("default", "b:2"), "1", id]);
    ward.heals("a job in another batch's list", DriftKind::Index).await;
    ward.redis(&["ZADD", &keys.ix_all(), "1", &record().id.to_string()]);
    ward.heals("a list with a job that is not", DriftKind::Index).await;
    ward.redis(&["HSET", &keys.job(&ward.doubtful.0.id), "st", "queued"]);
    ward.heals("a wrong state word", DriftKind::Record).await;
    let nonce = open.nonce_s.to_string();
    ward.redis(&["HDEL", &keys.nonces("main"), &nonce]);
    ward.heals("a mark that another attempt could take", DriftKind::Nonce).await;
    let gone = attempt(&record(), 1);
    ward.redis(&["HSET", &keys.nonces("main"), "9", gone.id.as_str()]);
    ward.heals("a mark of no attempt", DriftKind::Nonce).await;
    ward.redis(&["HSET", &keys.nonces("ghost"), "9", "no attempt at all"]);
    ward.heals("a mark of an account without jobs", DriftKind::Nonce).await;
    ward.redis(&["HSET", &keys.nonces("main"), "9", open.id.as_str()]);
    ward.heals("a second mark of an attempt", DriftKind::Nonce).await;
    ward.redis(&["DEL", &keys.attempt(&open.id)]);
    ward.heals("a callback that finds no job", DriftKind::Attempt).await;
    ward.redis(&["HDEL", &keys.tasks(), "cgt-1"]);
    ward.heals("a task without an owner", DriftKind::Owner).await;
    let spec = &ward.queued.spec;
    ward.redis(&["DEL", &keys.fingerprint(&spec.tenant, &spec.fingerprint)]);
    ward.heals("a request that would be bought again", DriftKind::Request).await;
}

#[tokio::test]
async fn what_only_a_person_can_decide_is_told_and_left() {
    let ward = Ward::new().await;
    let keys = ward.ground.store.keys();
    ward.redis(&["HSET", &keys.tasks(), "cgt-1", ward.queued.id.as_str()]);
    ward.redis(&["HSET", &keys.tasks(), "cgt-lost", &record().id.to_string()]);
    ward.redis(&["HDEL", &keys.job(&ward.leased), "life"]);
    let drifts = ward.found().await;
    let left: Vec<_> = drifts.iter().filter(|drift| !drift.is_curable()).collect();
    let kinds: Vec<_> = left.iter().map(|drift| drift.kind).collect();
    assert_eq!(kinds, [DriftKind::Record, DriftKind::Owner, DriftKind::Owner], "{drifts:?}");
    let told: Vec<Drift> = left.into_iter().cloned().collect();
    let mended = ward.ground.store.mend(&told, "somebody", "a test").await.expect("answers");
    assert_eq!(mended, Mended { mended: 0, passed: 0, left: 3 });
}

#[tokio::test]
async fn a_cure_for_what_has_moved_on_is_not_written() {
    let ward = Ward::new().await;
    let keys = ward.ground.store.keys();
    ward.redis(&["ZREM", &keys.due(Queue::Poll), ward.running.id.as_str()]);
    ward.redis(&["HINCRBY", &keys.counts(), "running", "1"]);
    let drifts = ward.found().await;
    assert_eq!(drifts.len(), 2, "{drifts:?}");
    // Meanwhile the job moves by itself, and somebody else corrects the counter.
    let report = crate::ground::succeeded("cgt-1");
    ward.ground.report(&ward.running.id, store::Writer::Outside, &report).await;
    ward.redis(&["HINCRBY", &keys.counts(), "running", "-1"]);
    let mended = ward.ground.store.mend(&drifts, "somebody", "a test").await.expect("answers");
    assert_eq!(mended, Mended { mended: 0, passed: 2, left: 0 });
    assert_eq!(ward.found().await, []);
}

/// Jobs are admitted, begun, doubted, bought, watched and finished by several workers while the doctor
/// counts again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_pool_shows_no_false_alarm() {
    const ROUNDS: u32 = 3;
    let ground = Arc::new(Ground::new().await);
    let (stop, moved) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..6_u32 {
        let (ground, stop, moved) = (Arc::clone(&ground), Arc::clone(&stop), Arc::clone(&moved));
        workers.spawn(async move {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                one_life(&ground, worker, n).await;
                moved.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut records = 0;
    for _ in 0..ROUNDS {
        let before = moved.load(Ordering::Relaxed);
        let recount = ground.store.recount_paced(Duration::from_millis(2)).await.expect("answers");
        assert_eq!(recount.drifts, [], "after {} records", recount.records);
        records += recount.records;
        crate::ground::until("the traffic goes on", async || {
            moved.load(Ordering::Relaxed) > before + 40
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = workers.join_next().await {
        ended.expect("no panic");
    }
    assert!(records > 100, "{records} records were compared");
    ground.sound().await;
}

/// One job from its birth to an end, with whatever ticket comes.
async fn one_life(ground: &Ground, worker: u32, n: u32) {
    let batch = format!("b{}", n % 3);
    let job = ground.admit(record_of(&format!("t{worker}"), Priority::Normal, Some(&batch))).await;
    for held in ground.claim_once(SUBMIT, 1, LEASE).await.items {
        let open = attempt(&held.stored.record, 100_000 + worker * 10_000 + n % 10_000);
        if !matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }) {
            continue;
        }
        let task = format!("cgt-{worker}-{n}");
        if n.is_multiple_of(3) {
            ground.work(&held, &unclear(&open)).await;
            for settle in ground.claim_once(Queue::Settle, 1, LEASE).await.items {
                let Some(open) = settle.stored.record.life.state.open_attempt() else { continue };
                let found = job::Event::TaskFound {
                    attempt: open.id.clone(),
                    task: crate::ground::task(&task),
                    via: job::FoundVia::List,
                    said: None,
                };
                ground.report(&settle.claim.id, store::Writer::Worker(&settle.claim), &found).await;
            }
        } else {
            ground.work(&held, &crate::ground::accepted(&open, &task)).await;
        }
    }
    for poll in ground.claim_once(Queue::Poll, 2, LEASE).await.items {
        let Some(task) = poll.stored.record.life.state.task() else { continue };
        let seen = crate::ground::succeeded(task.id.as_str());
        ground.report(&poll.claim.id, store::Writer::Worker(&poll.claim), &seen).await;
    }
    for copy in ground.claim_once(Queue::Download, 2, LEASE).await.items {
        let Some(task) = copy.stored.record.life.state.task() else { continue };
        let stored = crate::ground::stored(task.id.as_str());
        ground.report(&copy.claim.id, store::Writer::Worker(&copy.claim), &stored).await;
    }
    if n.is_multiple_of(4) {
        let cancel = crate::ground::cancel();
        ground.report(&job.id, store::Writer::Outside, &cancel).await;
    }
}
