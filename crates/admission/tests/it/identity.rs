//! M23: equal requests become one job, however and whenever they come.

use crate::documents::{data_url, picture, showing, sound, text, wav, with};
use crate::house::{House, api, is_created};
use admission::{Admitted, How, Intake, Refusal};
use job::{JobId, Source};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use store::Match;
use tokio::sync::Barrier;

const BY_KEY: How = How::Deduplicated { by: Match::Key };
const BY_FINGERPRINT: How = How::Deduplicated { by: Match::Fingerprint };

async fn admit(house: &House, intake: Intake) -> Admitted {
    house.door().admit(intake).await.expect("it is sound")
}

fn keyed(key: &str, document: Value) -> Intake {
    Intake { idempotency_key: Some(key.to_owned()), ..api(document) }
}

fn row(batch: &str, custom_id: &str, prompt: &str) -> Intake {
    let document = with(prompt, "custom_id", json!(custom_id));
    Intake { batch: Some(batch.to_owned()), ..Intake::new(document, Source::Import) }
}

// covers: M23
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_equal_requests_at_once_one_becomes_a_job() {
    let house = House::open().await;
    let doors = [house.far_door().await, house.far_door().await];
    for (round, key) in [None, Some("order-991")].into_iter().enumerate() {
        let start = Arc::new(Barrier::new(64));
        let racers: Vec<_> = (0..64)
            .map(|n| {
                let (door, start) = (doors[n % 2].clone(), Arc::clone(&start));
                let mut intake = api(text(&format!("a boat, round {round}")));
                intake.idempotency_key = key.map(str::to_owned);
                tokio::spawn(async move {
                    start.wait().await;
                    door.admit(intake).await
                })
            })
            .collect();
        let mut ids = BTreeSet::new();
        let mut created = 0;
        for racer in racers {
            let answer = racer.await.expect("no panic");
            created += usize::from(is_created(&answer));
            let admitted = answer.expect("each of them gets a job");
            assert_eq!(admitted.state, Some(job::StateWord::Queued));
            ids.insert(admitted.id);
        }
        assert_eq!((created, ids.len()), (1, 1));
        assert_eq!(house.job_count().await, round as u64 + 1);
        assert_eq!(Vec::from_iter(ids), house.claim_all().await, "one ticket, so one create");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request() {
    let house = House::open().await;
    let first = admit(&house, keyed("k1", with("a boat", "metadata", json!({"a": "1"})))).await;
    assert_eq!(first.how, How::Created);

    // The same request said in other words.
    let mut again = json!({"metadata": {"a": "1"}, "ratio": null, "priority": "normal", "take": 1});
    again["content"] = json!([{"type": "text", "text": "a boat"}]);
    again["model"] = json!("dreamina-seedance-2-0-260128");
    let second = admit(&house, keyed("k1", again)).await;
    assert_eq!((second.how, &second.id), (BY_KEY, &first.id));

    for other in [
        with("another boat", "metadata", json!({"a": "1"})),
        with("a boat", "metadata", json!({"a": "2"})),
    ] {
        let refusal = house.door().admit(keyed("k1", other)).await.expect_err("the key is used");
        assert_eq!(refusal, Refusal::KeyReused { id: first.id.clone() });
        assert_eq!(refusal.code(), "idempotency-key-reused");
        assert!(!refusal.is_retryable());
    }
    assert_eq!(house.job_count().await, 1);

    // Keys of two tenants are two keys.
    let theirs = Intake { tenant: "acme".into(), ..keyed("k1", text("their boat")) };
    assert_eq!(admit(&house, theirs).await.how, How::Created);
}

// covers: M23
#[tokio::test(flavor = "multi_thread")]
async fn what_means_the_same_is_the_same_and_nothing_else_is() {
    let house = House::open().await;
    let (a, b) = ("https://media.example.com/a.png", "https://media.example.com/b.png");
    let first = admit(&house, api(showing("a boat", &[picture(a), picture(b)]))).await;
    let swapped = admit(&house, api(showing("a boat", &[picture(b), picture(a)]))).await;
    assert_eq!(swapped.how, How::Created, "prompts count references, so their order matters");
    assert_ne!(first.id, swapped.id);

    let inline = |kind: &str| api(showing("a song", &[picture(a), sound(&data_url(kind, &wav()))]));
    let written = admit(&house, inline("audio/wav")).await;
    let rewritten = admit(&house, inline("audio/x-wav")).await;
    assert_eq!((rewritten.how, rewritten.id), (BY_FINGERPRINT, written.id));

    let plain = admit(&house, api(text("a boat"))).await;
    let said = admit(&house, api(with("a boat", "watermark", json!(false)))).await;
    assert_eq!((said.how, &said.id), (BY_FINGERPRINT, &plain.id), "a default said aloud");
    for other in [
        with("a boat", "end_user", json!("u1")),
        with("a boat", "duration", json!(6)),
        with("a boat", "take", json!(2)),
    ] {
        assert_eq!(admit(&house, api(other)).await.how, How::Created);
    }
    let second_take = Intake { take_override: Some(2), ..api(text("a boat")) };
    assert_eq!(admit(&house, second_take).await.how, BY_FINGERPRINT, "take 2 exists by now");
    let third_take = Intake { take_override: Some(3), ..api(with("a boat", "take", json!(2))) };
    assert_eq!(admit(&house, third_take).await.how, How::Created);
    let theirs = Intake { tenant: "acme".into(), ..api(text("a boat")) };
    assert_eq!(admit(&house, theirs).await.how, How::Created, "tenants share nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_row_is_known_by_its_batch_and_custom_id() {
    let house = House::open().await;
    let door = house.door();
    let rows =
        || vec![row("b1", "r1", "a boat"), row("b1", "r2", "a boat"), row("b1", "r3", "a car")];
    let first: Vec<_> = door.admit_many(rows()).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        first.iter().map(|a| a.how).collect::<Vec<_>>(),
        [How::Created, BY_FINGERPRINT, How::Created]
    );
    assert_eq!(first[0].id, first[1].id, "an equal row gets the first row's job");

    let again: Vec<_> = door.admit_many(rows()).await.into_iter().map(Result::unwrap).collect();
    assert!(again.iter().all(|admitted| admitted.how == BY_KEY), "{again:?}");
    let ids = |admitted: &[Admitted]| -> Vec<JobId> {
        admitted.iter().map(|admitted| admitted.id.clone()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(house.job_count().await, 2, "the same file again adds nothing");

    let edited = door.admit(row("b1", "r3", "a red car")).await;
    assert!(matches!(edited, Err(Refusal::KeyReused { .. })), "{edited:?}");
    let elsewhere = admit(&house, row("b2", "r3", "a red car")).await;
    assert_eq!(elsewhere.how, How::Created, "another batch is another space of ids");
    // A caller cannot take a row's name by choosing it as a key.
    let impostor = admit(&house, keyed("custom:b1:r1", text("a plane"))).await;
    assert_eq!(impostor.how, How::Created);
    // An API call's own id is a label: two jobs may carry it.
    for prompt in ["one", "two"] {
        let labelled = api(with(prompt, "custom_id", json!("label")));
        assert_eq!(admit(&house, labelled).await.how, How::Created);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_keeps_its_order_and_becomes_as_many_jobs_as_it_has_requests() {
    let house = House::open().await;
    let list = || (0..450).map(|n| api(text(&format!("boat {}", n % 300)))).collect::<Vec<_>>();
    let answers = house.door().admit_many(list()).await;
    assert_eq!(answers.len(), 450);
    assert!(answers[..300].iter().all(is_created));
    for (n, answer) in answers.iter().enumerate() {
        let admitted = answer.as_ref().expect("it is sound");
        let prompt = house.record(&admitted.id).await.spec.request;
        assert_eq!(prompt.prompt(), Some(format!("boat {}", n % 300).as_str()));
    }
    assert!(answers[300..].iter().all(|a| a.as_ref().is_ok_and(|a| a.how == BY_FINGERPRINT)));
    assert_eq!(house.job_count().await, 300);
    assert_eq!(house.door().admit_many(Vec::new()).await, []);
}
