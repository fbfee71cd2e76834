//! Sessions of the dashboard.

use crate::ground::Ground;
use std::time::Duration;
use store::Session;

#[tokio::test]
async fn a_session_lasts_until_it_is_ended_or_its_time_is_over() {
    let ground = Ground::new().await;
    let fleet = ground.store.fleet();
    let session = Session { key: "ab".repeat(32), csrf: "token".into() };
    let hour = Duration::from_secs(3_600);
    fleet.open_session("one", &session, hour).await.expect("Redis answers");
    fleet.open_session("two", &session, Duration::from_millis(1)).await.expect("Redis answers");
    assert_eq!(fleet.session("one").await.expect("Redis answers"), Some(session.clone()));
    assert_eq!(fleet.session("other").await.expect("Redis answers"), None);
    let mut gone = false;
    for _ in 0..10_000 {
        gone = fleet.session("two").await.expect("Redis answers").is_none();
        if gone {
            break;
        }
    }
    assert!(gone, "a millisecond passes");
    fleet.end_session("one").await.expect("Redis answers");
    fleet.end_session("one").await.expect("once more is no fault");
    assert_eq!(fleet.session("one").await.expect("Redis answers"), None);
}
