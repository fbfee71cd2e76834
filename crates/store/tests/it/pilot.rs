//! A batch that waits for its pilot: nothing else of it begins, whoever comes between.

use crate::ground::{FREE, Ground, SUBMIT, attempt, failed, record_of};
use job::filter::Filter;
use job::{By, Priority, Record, StateWord, StopOn, Timestamp};
use std::time::Duration;
use store::{Batch, Begun, OperationVerb, OperationWish, Writer};

fn row(pilot: bool) -> Record {
    let mut record = record_of("a", Priority::Normal, Some("x"));
    record.spec.pilot = pilot;
    record
}

async fn batch(ground: &Ground) -> Batch {
    ground.store.batch("a", "x").await.expect("answers").expect("there")
}

async fn begin_pilot(ground: &Ground) -> bool {
    let ann = By::named("ann");
    ground.store.begin_pilot("a", "x", 2, &ann).await.expect("answers")
}

/// Admits a job and says whether it begins.
async fn begins(ground: &Ground, record: Record, nonce: u32) -> bool {
    let job = ground.admit(record).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let begun = ground.begin(&held, &attempt(&job, nonce), &FREE).await;
    let word = ground.load(&job.id).await.record.life.state.word();
    match begun {
        Begun::Granted { .. } => word == StateWord::Submitting,
        Begun::Lost => {
            assert_eq!(word, StateWord::Held, "it waits for a person");
            false
        }
        other => panic!("{other:?}"),
    }
}

async fn turn(ground: &Ground, verb: OperationVerb, id: &str) {
    let wish = OperationWish {
        id: id.into(),
        verb,
        filter: Filter::all(),
        tenant: None,
        by: "ann".into(),
        reason: "seen".into(),
        limit: None,
    };
    ground.store.turn_batch("a", "x", wish).await.expect("answers");
}

#[tokio::test]
async fn only_the_pilot_begins_until_the_batch_is_resumed_and_never_again_after() {
    let ground = Ground::new().await;
    let upload = ground.store.begin_upload("a", "x").await.expect("answers");
    assert!(begin_pilot(&ground).await);
    assert!(!begin_pilot(&ground).await, "it waits already");
    let shown = batch(&ground).await;
    assert_eq!((shown.pilot, shown.piloted), (Some(2), None));
    assert_eq!(shown.paused.map(|paused| paused.reason), Some("pilot of 2".into()));
    assert!(begins(&ground, row(true), 172_800).await);
    assert!(!begins(&ground, row(false), 172_801).await);
    assert!(begins(&ground, row(true), 172_802).await);

    turn(&ground, OperationVerb::Resume, "op_1").await;
    let shown = batch(&ground).await;
    assert_eq!((shown.paused, shown.pilot, shown.piloted), (None, None, Some(2)));
    assert!(begins(&ground, row(false), 172_803).await);
    assert!(!begin_pilot(&ground).await, "a person has seen it");
    assert_eq!(batch(&ground).await.paused, None);
    ground.store.end_upload(&upload).await.expect("answers");
    ground.sound().await;
}

#[tokio::test]
async fn a_pause_by_a_person_holds_the_pilot_too_and_so_does_a_stop() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let on = StopOn::parse("failed>0").expect("a condition");
    store.set_stop_on("a", "x", Some(&on), &By::named("ann"), "sure").await.expect("answers");
    let upload = store.begin_upload("a", "x").await.expect("answers");
    assert!(begin_pilot(&ground).await);
    assert_eq!(store.look_for_stop("a", "x").await.expect("answers"), None);
    let (failing, _) = ground.generating(row(true), "cgt-1").await;
    ground.report(&failing.id, Writer::Outside, &failed("cgt-1", "No")).await;
    let told = store.look_for_stop("a", "x").await.expect("answers").expect("it stops");
    let shown = batch(&ground).await;
    assert_eq!((shown.paused, shown.pilot, shown.piloted), (Some(told), None, Some(2)));
    assert!(!begins(&ground, row(true), 172_810).await);

    // Another one, which a person pauses.
    let pilot = store.begin_upload("a", "y").await.expect("answers");
    assert!(store.begin_pilot("a", "y", 3, &By::named("ann")).await.expect("answers"));
    let wish = OperationWish {
        id: "op_y".into(),
        verb: OperationVerb::Pause,
        filter: Filter::all(),
        tenant: None,
        by: "bob".into(),
        reason: "wait".into(),
        limit: None,
    };
    store.turn_batch("a", "y", wish).await.expect("answers");
    let shown = store.batch("a", "y").await.expect("answers").expect("there");
    let by = shown.paused.map(|paused| (paused.by, paused.reason));
    assert_eq!(by, Some((By::named("bob"), "wait".into())));
    assert_eq!((shown.pilot, shown.piloted), (None, Some(3)));
    for upload in [upload, pilot] {
        store.end_upload(&upload).await.expect("answers");
    }
    ground.sound().await;
}

#[tokio::test]
async fn the_other_rows_leave_the_queue_only_while_the_batch_waits_for_its_pilot() {
    let ground = Ground::new().await;
    let store = &ground.store;
    let old = ground.admit(record_of("a", Priority::Normal, Some("old"))).await;
    let ann = By::named("ann");
    assert!(!store.begin_pilot("a", "old", 2, &ann).await.expect("answers"), "it has jobs");
    assert!(!store.begin_pilot("a", "none", 2, &ann).await.expect("answers"), "nobody made it");

    let upload = store.begin_upload("a", "x").await.expect("answers");
    assert!(begin_pilot(&ground).await);
    let pilot = ground.admit(row(true)).await;
    let mut other = row(false);
    other.created_at = pilot.created_at + Duration::from_millis(1);
    let other = ground.admit(other).await;
    let seen = batch(&ground).await;
    assert!(store.hold_beside_pilot(&seen, pilot.created_at, &ann).await.expect("answers"));
    let operation = store.next_operation().await.expect("answers").expect("there");
    let filter = Filter::parse(&operation.asked.filter).expect("a filter");
    let now = store.now().await.expect("answers");
    let fits = [&old, &pilot, &other].map(|record| filter.fits(record, now));
    assert_eq!(fits, [false, false, true], "{filter}");

    turn(&ground, OperationVerb::Resume, "op_1").await;
    assert!(!store.hold_beside_pilot(&seen, Timestamp::default(), &ann).await.expect("answers"));
    assert_eq!(store.open_operations().await.expect("answers").len(), 2, "its own and the resume");
    store.end_upload(&upload).await.expect("answers");
}
