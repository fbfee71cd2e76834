//! The doctor in the background of a poller.

use std::time::Duration;

use crate::house::{House, until};
use crate::toys::Cancel;

fn told(kind: &str) -> Option<f64> {
    let line = format!("seedfleet_doctor_violations{{kind=\"{kind}\"}} ");
    let text = telemetry::render();
    text.lines().find_map(|shown| shown.strip_prefix(&line)?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_counted_and_shown_by_one_process() {
    let house = House::new().await;
    let ids = house.queued(3).await;
    let key = house.store.keys().counts();
    house.redis.command(&["HINCRBY", &key, "queued", "2"]).expect("damaged");
    let ticket = house.store.keys().lanes(seedance::SlotClass::V20);
    house.redis.command(&["DEL", &ticket]).expect("damaged");
    let crew = house.work(Cancel::at_once(), Duration::from_secs(20)).await;
    // The numbers of one recount are shown one after the other.
    until("the recount is shown", async || {
        let shown = ["counter", "lane", "slot"].map(told);
        shown == [Some(1.0), Some(ids.len() as f64), Some(0.0)]
    })
    .await;
    assert!(!house.store.lock("doctor", Duration::from_secs(1)).await.expect("answers"));
    assert_eq!(house.records_of(&ids).await.len(), 3, "nothing was repaired or lost");
    let counted = house.redis.command(&["HGET", &key, "queued"]).expect("answers");
    assert_eq!(counted, "5", "a recount repairs nothing");
    crew.stop().await;
}
