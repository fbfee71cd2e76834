//! Intake in two halves: what is judged early is stored once, in order, and answers as if it had come whole.

use crate::documents::{text, with};
use crate::house::{House, api, is_created};
use admission::{How, Intake, Refusal};
use serde_json::json;
use store::Match;

const JOBS: usize = 450;

fn list() -> Vec<Intake> {
    (0..JOBS).map(|n| api(text(&format!("boat {}", n % 300)))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_prepared_ahead_is_answered_as_if_it_had_come_whole() {
    let house = House::open().await;
    let door = house.door();
    let mut first = door.prepare_many(list()).await;
    let mut second = door.prepare_many(list()).await;
    assert_eq!((first.len(), house.job_count().await), (JOBS, 0), "nothing is stored yet");

    let answers = door.store_many(&mut first).await;
    assert!(first.is_empty(), "all were answered for good");
    assert_eq!(answers.len(), JOBS);
    for (n, answer) in answers.iter().enumerate() {
        let admitted = answer.as_ref().expect("it is sound");
        assert_eq!(is_created(answer), n < 300, "{n}: the first of equal ones is the job");
        let request = house.record(&admitted.id).await.spec.request;
        assert_eq!(request.prompt(), Some(format!("boat {}", n % 300).as_str()));
    }
    let again = door.store_many(&mut second).await;
    for (answer, before) in again.iter().zip(&answers) {
        let (answer, before) = (answer.as_ref().expect("sound"), before.as_ref().expect("sound"));
        assert_eq!(answer.id, before.id);
        assert_eq!(answer.how, How::Deduplicated { by: Match::Fingerprint });
    }
    assert_eq!(house.job_count().await, 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_stays_and_is_the_same_job_the_next_time() {
    let house = House::open().await;
    let door = house.door();
    let faulty = with("a plane", "take", json!(0));
    let bodies = [text("a boat"), faulty, text("a car")];
    let mut ready = door.prepare_many(bodies.clone().map(api).to_vec()).await;
    house.redis.kill9();
    // Nobody tells the time now, so these are judged later.
    let mut unjudged = door.prepare_many(bodies.map(api).to_vec()).await;
    for prepared in [&mut ready, &mut unjudged] {
        let answers = door.store_many(prepared).await;
        let stays =
            answers.iter().filter(|answer| answer.as_ref().is_err_and(Refusal::is_retryable));
        assert_eq!(stays.count(), prepared.len(), "{answers:?}");
    }
    assert_eq!((ready.len(), unjudged.len()), (2, 3), "a fault is told once, when it is known");

    house.redis.restart().expect("it comes back");
    // The door finds its way back by itself; how many calls that costs is the connection's affair.
    let mut answers = Vec::new();
    for _ in 0..50 {
        answers.extend(door.store_many(&mut ready).await.into_iter().filter(is_created));
        if ready.is_empty() {
            break;
        }
    }
    assert_eq!(answers.len(), 2, "both are new, however often they were sent");
    let mut later = Vec::new();
    for _ in 0..50 {
        later.extend(door.store_many(&mut unjudged).await);
        if unjudged.is_empty() {
            break;
        }
    }
    let known = later.iter().filter_map(|answer| Some(answer.as_ref().ok()?.how));
    let by_fingerprint = How::Deduplicated { by: Match::Fingerprint };
    assert_eq!(known.collect::<Vec<_>>(), [by_fingerprint; 2]);
    let faults = later.iter().filter(|answer| matches!(answer, Err(Refusal::Faults(_))));
    assert_eq!(faults.count(), 1);
    assert_eq!(house.job_count().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_judged_side_by_side_in_their_order() {
    let house = House::open().await;
    let now = house.store.now().await.expect("Redis answers");
    let bodies = (0..100).map(|n| match n % 7 {
        0 => with("a plane", "take", json!(0)),
        _ => text(&format!("boat {n}")),
    });
    let intakes: Vec<Intake> = bodies.map(api).collect();
    let door = house.door();
    let judged = door.check_many(intakes.clone(), now).await;
    let one_by_one: Vec<_> = intakes.iter().map(|intake| door.check(intake, now)).collect();
    assert_eq!(judged, one_by_one);
    assert!(house.is_empty(), "nothing is stored");
}
