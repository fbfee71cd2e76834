//! Batches that stop by themselves: once, with all that goes with it, and not at once again.

use crate::ground::{
    FREE, Ground, SUBMIT, accepted, attempt, connect, failed, held_for_review, record_of, unclear,
};
use futures::future::join_all;
use job::{By, OpenAttempt, Priority, Record, StateWord, StopOn};
use store::{Begun, OperationVerb, OperationWish, Paused, STOP_BY, Store, Writer};

async fn fails(ground: &Ground, n: u32, code: &str) {
    let name = format!("cgt-{n}");
    let (record, _) = ground.generating(record_of("a", Priority::Normal, Some("x")), &name).await;
    ground.report(&record.id, Writer::Outside, &failed(&name, code)).await;
}

async fn stops_on(ground: &Ground, conditions: &str) {
    let on = StopOn::parse(conditions).expect("conditions");
    let by = By::named("ann");
    ground.store.set_stop_on("a", "x", Some(&on), &by, "to be sure").await.expect("answers");
}

async fn look(store: &Store) -> Option<Paused> {
    store.look_for_stop("a", "x").await.expect("answers")
}

async fn resume(ground: &Ground, id: &str) {
    let wish = OperationWish {
        id: id.into(),
        verb: OperationVerb::Resume,
        filter: job::filter::Filter::all(),
        tenant: None,
        by: "ann".into(),
        reason: "it was looked into".into(),
        limit: None,
    };
    ground.store.turn_batch("a", "x", wish).await.expect("answers");
}

#[tokio::test]
async fn a_batch_stops_once_whoever_looks_and_what_it_stopped_on_is_counted_from_the_resume() {
    let ground = Ground::new().await;
    let store = &ground.store;
    store.put_endpoint(&crate::uploads::endpoint("a"), 0).await.expect("somebody wants to be told");
    stops_on(&ground, "failed>90% of 50 | code=Bad>2 | in_doubt>10").await;
    // A batch without an open job has nothing to stop.
    ground.admit(held_for_review(record_of("a", Priority::Normal, Some("x")))).await;
    for n in 0..3 {
        assert_eq!(look(store).await, None, "{n} failed so far");
        fails(&ground, n, "Bad").await;
    }
    fails(&ground, 3, "Other").await;

    let others = [connect(&ground.redis).await, connect(&ground.redis).await];
    let lookers = [store, &others[0], &others[1]].into_iter().cycle().take(9);
    let told: Vec<Paused> = join_all(lookers.map(look)).await.into_iter().flatten().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].by.as_str(), told[0].reason.as_str()), (STOP_BY, "code=Bad>2: 3 jobs"));
    let batch = async || store.batch("a", "x").await.expect("answers").expect("there");
    assert_eq!((batch().await.word(), batch().await.paused), ("paused", Some(told[0].clone())));
    let paused = store.paused_batches().await.expect("answers");
    assert_eq!(paused.iter().map(|batch| batch.name.as_str()).collect::<Vec<_>>(), ["x"]);
    let operations = store.open_operations().await.expect("answers");
    assert_eq!(operations.len(), 1);
    assert_eq!(operations[0].asked.verb, OperationVerb::Pause);
    let filter = &operations[0].asked.filter;
    assert!(filter.contains("state=queued") && filter.contains("batch=x"), "{filter}");
    let audit = store.audit(10).await.expect("answers");
    let of = |alarm: &str| audit.iter().filter(|line| line.alarm == alarm).count();
    assert_eq!((of("stop_on"), of("batch_stopped"), of("operation")), (1, 1, 1), "{audit:?}");
    let news = store.pause_news().await.expect("answers");
    assert_eq!(news.len(), 1);
    assert_eq!((news[0].1.batch.as_str(), news[0].1.jobs, &news[0].1.paused), ("x", 5, &told[0]));
    // Nothing of it begins, and what comes to its turn is held.
    let waiting = ground.admit(record_of("a", Priority::Normal, Some("x"))).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(ground.begin(&held, &attempt(&waiting, 172_800), &FREE).await, Begun::Lost);
    assert_eq!(ground.load(&waiting.id).await.record.life.state.word(), StateWord::Held);

    resume(&ground, "op_1").await;
    assert_eq!(store.paused_batches().await.expect("answers"), []);
    assert_eq!(store.due_stop_looks().await.expect("answers").len(), 1, "it runs again");
    for n in 4..6 {
        fails(&ground, n, "Bad").await;
        assert_eq!(look(store).await, None, "{n} failed, 3 of them before");
    }
    fails(&ground, 6, "Bad").await;
    let told = look(store).await.expect("the third since then");
    assert_eq!(told.reason, "code=Bad>2: 3 jobs");
    assert_eq!(store.pause_news().await.expect("answers").len(), 2);
    ground.sound().await;
}

async fn doubt(ground: &Ground, nonce: u32) -> (Record, OpenAttempt) {
    let job = ground.admit(record_of("a", Priority::Normal, Some("x"))).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&job, nonce);
    assert!(matches!(ground.begin(&held, &open, &FREE).await, Begun::Granted { .. }));
    ground.work(&held, &unclear(&open)).await;
    (job, open)
}

#[tokio::test]
async fn doubts_of_before_the_resume_count_again_only_when_new_ones_come() {
    let ground = Ground::new().await;
    let store = &ground.store;
    stops_on(&ground, "in_doubt>1").await;
    let first = doubt(&ground, 172_801).await;
    assert_eq!(look(store).await, None);
    let second = doubt(&ground, 172_802).await;
    assert_eq!(look(store).await.expect("two are more than one").reason, "in_doubt>1: 2 jobs");
    resume(&ground, "op_1").await;
    doubt(&ground, 172_803).await;
    assert_eq!(look(store).await, None, "one is new");
    // Two are settled: from here on they are not taken off what comes.
    for (n, (job, open)) in [first, second].into_iter().enumerate() {
        let found = accepted(&open, &format!("cgt-{n}"));
        ground.report(&job.id, Writer::Outside, &found).await;
    }
    assert_eq!(look(store).await, None, "one is left");
    doubt(&ground, 172_804).await;
    let told = look(store).await.expect("two are in doubt, and none of them was at the resume");
    assert_eq!(told.reason, "in_doubt>1: 2 jobs");
    ground.sound().await;
}

#[tokio::test]
async fn conditions_are_set_once_and_taken_away_and_batches_at_rest_are_left_alone() {
    let ground = Ground::new().await;
    let store = &ground.store;
    for _ in 0..2 {
        stops_on(&ground, "failed>0").await;
    }
    let lines = async || store.audit(10).await.expect("answers").len();
    assert_eq!(lines().await, 1, "the second time was no news");
    assert_eq!(look(store).await, None, "there is no job yet");
    let upload = store.begin_upload("a", "x").await.expect("answers");
    assert_eq!(store.due_stop_looks().await.expect("answers").len(), 1, "jobs are about to come");
    store.end_upload(&upload).await.expect("answers");
    fails(&ground, 1, "Bad").await;
    assert_eq!(look(store).await, None, "its only job has ended: there is nothing to stop");
    assert_eq!(store.batch("a", "x").await.expect("answers").and_then(|b| b.paused), None);

    store.set_stop_on("a", "x", None, &By::named("ann"), "enough").await.expect("answers");
    assert_eq!(store.batch("a", "x").await.expect("answers").and_then(|b| b.stop_on), None);
    ground.admit(record_of("a", Priority::Normal, Some("x"))).await;
    let upload = store.begin_upload("a", "x").await.expect("answers");
    assert_eq!(look(store).await, None);
    store.end_upload(&upload).await.expect("answers");
    assert_eq!(store.due_stop_looks().await.expect("answers"), []);
    assert_eq!(lines().await, 2);
}
