//! Jobs that wait are changed; what has begun is not, and no ticket is lost on the way.

use crate::ground::{FREE, Ground, LEASE, SUBMIT, attempt, cancel, held_for_review, record_of};
use futures::future::join_all;
use job::{By, JobId, Priority, Record, Timestamp};
use store::{Begun, Edited, JobEdit, Writer};

const HIGH: JobEdit = JobEdit { priority: Some(Priority::High), useful_until: None };

async fn edit(ground: &Ground, id: &JobId, edit: &JobEdit) -> Edited {
    ground.store.edit_waiting(id, edit, &By::named("ann"), "they are late").await.expect("answers")
}

fn low() -> Record {
    record_of("a", Priority::Low, Some("x"))
}

#[tokio::test]
async fn a_job_that_waits_moves_to_its_new_lane_and_keeps_its_place_in_time() {
    let ground = Ground::new().await;
    let mut jobs = Vec::new();
    for n in 0..3 {
        let mut record = low();
        // All of them are young: priorities are strict.
        record.created_at = ground.store.now().await.expect("answers");
        record.spec.custom_id = Some(format!("row-{n}"));
        jobs.push(ground.admit(record).await);
    }
    assert_eq!(edit(&ground, &jobs[2].id, &HIGH).await, Edited::Done);
    assert_eq!(edit(&ground, &jobs[2].id, &HIGH).await, Edited::Same);
    let stored = ground.load(&jobs[2].id).await;
    assert_eq!((stored.record.spec.priority, stored.revision), (Priority::High, 2));
    let lines = ground.store.timeline(&jobs[2].id).await.expect("answers");
    assert!(
        lines.iter().any(|line| line.what == "priority=high by ann: they are late"),
        "{lines:?}"
    );
    ground.sound().await;
    let first = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(first.claim.id, jobs[2].id, "it goes before the others");
    assert_eq!(first.stored.record.spec.priority, Priority::High);
    let begun = ground.begin(&first, &attempt(&jobs[2], 172_800), &FREE).await;
    assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
    assert_eq!(ground.claim(SUBMIT, 2).await.len(), 2, "no ticket is lost");
    ground.sound().await;
}

#[tokio::test]
async fn what_a_submitter_has_in_hand_what_has_begun_and_what_is_gone_stays_as_it_is() {
    let ground = Ground::new().await;
    let job = ground.admit(low()).await;
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(edit(&ground, &job.id, &HIGH).await, Edited::Begun, "it is about to begin");
    assert_eq!(ground.load(&job.id).await.record.spec.priority, Priority::Low);
    // Given back, it may be changed.
    ground.store.release(&held.claim, std::time::Duration::ZERO).await.expect("answers");
    assert_eq!(edit(&ground, &job.id, &HIGH).await, Edited::Done);
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let begun = ground.begin(&held, &attempt(&job, 172_800), &FREE).await;
    assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
    let low = JobEdit { priority: Some(Priority::Low), ..JobEdit::default() };
    assert_eq!(edit(&ground, &job.id, &low).await, Edited::Begun);
    let ended = ground.admit(record_of("a", Priority::Low, None)).await;
    ground.report(&ended.id, Writer::Outside, &cancel()).await;
    assert_eq!(edit(&ground, &ended.id, &HIGH).await, Edited::Begun);
    assert_eq!(edit(&ground, &record_of("a", Priority::Low, None).id, &HIGH).await, Edited::Gone);
    ground.sound().await;
}

#[tokio::test]
async fn a_held_job_is_changed_without_a_ticket_and_many_at_once_agree() {
    let ground = Ground::new().await;
    let held = ground.admit(held_for_review(low())).await;
    let until = Timestamp::from_unix_ms(4_000_000_000_000);
    let both = JobEdit { priority: Some(Priority::High), useful_until: Some(Some(until)) };
    assert_eq!(edit(&ground, &held.id, &both).await, Edited::Done);
    let record = ground.load(&held.id).await.record;
    assert_eq!((record.spec.priority, record.spec.useful_until), (Priority::High, Some(until)));
    let none = JobEdit { useful_until: Some(None), ..JobEdit::default() };
    assert_eq!(edit(&ground, &held.id, &none).await, Edited::Done);
    assert_eq!(ground.load(&held.id).await.record.spec.useful_until, None);
    assert_eq!(ground.claim_once(SUBMIT, 5, LEASE).await.items, []);

    let job = ground.admit(low()).await;
    let done = join_all((0..8).map(|_| edit(&ground, &job.id, &HIGH))).await;
    let changed = done.iter().filter(|edited| **edited == Edited::Done).count();
    assert_eq!(changed, 1, "{done:?}");
    assert!(done.iter().all(|edited| matches!(edited, Edited::Done | Edited::Same)), "{done:?}");
    assert_eq!(ground.claim(SUBMIT, 1).await.len(), 1);
    ground.sound().await;
}
