//! Redis full or away: nobody is let in, nothing is lost, and the same request works later.

use crate::documents::{data_url, picture, png, showing, text, with};
use crate::house::{House, api, is_created, told};
use admission::{Refusal, Settings};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_pauses_intake_and_only_intake() {
    let house = House::with(&["--maxmemory", "100mb"], assets::Settings::default()).await;
    let door = house.door_by(Settings { intake_stop_ratio: 0.001, ..Settings::default() });
    let intake = || api(showing("a boat", &[picture(&data_url("image/png", &png()))]));
    let refusal = door.admit(intake()).await.expect_err("there is no room");
    assert!(matches!(refusal, Refusal::Paused { .. }), "{refusal}");
    assert_eq!((refusal.code(), refusal.is_retryable()), ("intake-paused", true));
    assert!(house.is_empty(), "not even the media");
    let faulty = door.admit(api(with("a boat", "take", json!(0)))).await;
    assert_eq!(told(faulty), ["/take out-of-range"], "who must mend need not wait");

    house.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(is_created(&door.admit(intake()).await), "no limit, so no share of it");
    house.ask(&["CONFIG", "SET", "maxmemory", "100mb"]);
    assert!(is_created(&house.door().admit(api(text("a boat"))).await), "below the shipped share");
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_away_is_a_later_and_not_a_no() {
    let house = House::open().await;
    let door = house.door();
    let first = door.admit(api(text("a boat"))).await.expect("it is sound");
    house.redis.kill9();
    let answers = door.admit_many(vec![api(text("a boat")), api(text("a car"))]).await;
    for answer in answers {
        let refusal = answer.expect_err("nobody can answer");
        assert!(matches!(refusal, Refusal::Unavailable { .. }), "{refusal}");
        assert!(refusal.is_retryable());
    }
    house.redis.restart().expect("it comes back");
    // The door finds its way back by itself; how many calls that costs is the connection's affair.
    let mut again = Err(Refusal::Unavailable { cause: "not asked yet".into() });
    for _ in 0..50 {
        again = door.admit(api(text("a boat"))).await;
        if again.is_ok() {
            break;
        }
    }
    assert_eq!(again.expect("the same request again").id, first.id);
}
