//! Paced calls: never more in any window than the spacing allows, whoever asks.

use crate::ground::{Ground, connect};
use std::time::{Duration, Instant};
use store::{Grant, Pace};

#[tokio::test]
async fn many_processes_share_one_row_without_an_excess() {
    let ground = Ground::new().await;
    let pace = Pace { interval_us: 5_000, horizon_us: 50_000, lead_us: 0 };
    let runs = (0..4).map(|_| async {
        let store = connect(&ground.redis).await;
        let begin = Instant::now();
        let mut spans = Vec::new();
        while begin.elapsed() < Duration::from_millis(600) {
            let asked = store.now().await.expect("answers").unix_ms() * 1_000;
            match store.grant("main", "retrieve", 3, pace).await.expect("answers") {
                Grant::Granted { count, first_in, spacing } => {
                    assert!((1..=3).contains(&count));
                    assert_eq!(spacing, Duration::from_millis(5));
                    let first = i64::try_from(first_in.as_micros()).expect("short");
                    spans.push((asked + first, count));
                }
                Grant::Wait { after, held } => assert!(!after.is_zero() && held.is_zero()),
            }
        }
        spans
    });
    let begin = Instant::now();
    let all = futures::future::join_all(runs).await;
    let given: u64 = all.iter().flatten().map(|(_, count)| u64::from(*count)).sum();
    let span_us = u64::try_from(begin.elapsed().as_micros()).expect("short") + pace.horizon_us;
    assert!(given <= span_us / pace.interval_us + 1, "{given} in {span_us} µs");
    assert!(given >= 40, "and the row is used: {given}");
}

#[tokio::test]
async fn a_hold_is_kept_and_ends_by_itself() {
    let ground = Ground::new().await;
    let pace = Pace { interval_us: 1_000, horizon_us: 10_000, lead_us: 0 };
    let ask = || async { ground.store.grant("main", "list", 1, pace).await.expect("answers") };
    assert!(matches!(ask().await, Grant::Granted { .. }));
    let until = ground.store.now().await.expect("answers") + Duration::from_millis(200);
    let hold = |until, code| ground.store.hold_calls("main", "list", until, code);
    hold(until, "Slow").await.expect("answers");
    // A shorter one, learned later, does not end it.
    hold(until + Duration::ZERO, "Same").await.expect("answers");
    let Grant::Wait { after, held } = ask().await else { panic!("held") };
    assert!(after <= Duration::from_millis(200) && after <= held, "{after:?} {held:?}");
    let accounts = ["main".to_owned(), "other".to_owned()];
    let holds = || async { ground.store.holds(&accounts).await.expect("answers") };
    let [row] = &holds().await[..] else { panic!("one hold") };
    assert_eq!(
        (row.account.as_str(), row.call.word(), row.code.as_str()),
        ("main", "list", "Slow")
    );
    assert_eq!(row.until, until);
    let other = ground.store.grant("main", "retrieve", 1, pace).await.expect("answers");
    assert!(matches!(other, Grant::Granted { .. }), "that call only");
    let deadline = Instant::now() + Duration::from_secs(20);
    while !matches!(ask().await, Grant::Granted { .. }) {
        assert!(Instant::now() < deadline, "the hold ends by itself");
    }
    assert!(ground.store.now().await.expect("answers") + Duration::from_millis(11) >= until);
    while ground.store.now().await.expect("answers") < until {
        assert!(Instant::now() < deadline, "the server's clock goes on");
    }
    assert_eq!(holds().await, []);
}

#[tokio::test]
async fn a_clock_that_was_set_back_does_not_stop_the_fleet() {
    let ground = Ground::new().await;
    let key = ground.store.keys().pace("main", "list");
    let hours_ahead = (ground.store.now().await.expect("answers").unix_ms() + 7_200_000) * 1_000;
    ground.redis.command(&["HSET", &key, "tat", &hours_ahead.to_string()]).expect("written");
    let pace = Pace { interval_us: 1_000_000, horizon_us: 500_000, lead_us: 0 };
    let Grant::Wait { after, .. } =
        ground.store.grant("main", "list", 1, pace).await.expect("answers")
    else {
        panic!("the row is far ahead")
    };
    assert!(after <= Duration::from_secs(61), "{after:?}");
}
