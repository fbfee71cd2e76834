//! Paced calls: never more in any window than the spacing allows, whoever asks.

use crate::ground::{Ground, connect, until, until_answers};
use std::time::{Duration, Instant};
use store::{Grant, Pace};

/// Grants to each process before the row counts as used.
const USES_MIN: usize = 10;
/// A hold that lasts longer than a busy machine keeps a test from its next question.
const HOLD: Duration = Duration::from_secs(3);

#[tokio::test]
async fn many_processes_share_one_row_without_an_excess() {
    let ground = Ground::new().await;
    let pace = Pace { interval_us: 5_000, horizon_us: 50_000, ..Pace::NONE };
    let runs = (0..4).map(|_| async {
        let store = connect(&ground.redis).await;
        let begin = Instant::now();
        let mut spans = Vec::new();
        // Until the row has been used, however long the machine kept this test from it.
        while begin.elapsed() < Duration::from_millis(600) || spans.len() < USES_MIN {
            assert!(begin.elapsed() < Duration::from_secs(20), "{} grants", spans.len());
            let asked = store.now().await.expect("answers").unix_ms() * 1_000;
            match store.grant("main", "retrieve", 3, pace).await.expect("answers") {
                Grant::Granted { count, first_in, spacing, .. } => {
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
}

#[tokio::test]
async fn a_hold_is_kept_and_ends_by_itself() {
    let ground = Ground::new().await;
    let pace = Pace { interval_us: 1_000, horizon_us: 10_000, ..Pace::NONE };
    let ask = || async { ground.store.grant("main", "list", 1, pace).await.expect("answers") };
    // Never used: one interval passes first.
    until("the first", async || matches!(ask().await, Grant::Granted { .. })).await;
    let held_till = ground.store.now().await.expect("answers") + HOLD;
    let hold = |till, code| ground.store.hold_calls("main", "list", till, code);
    hold(held_till, "Slow").await.expect("answers");
    // A shorter one, learned later, does not end it.
    hold(held_till, "Same").await.expect("answers");
    let Grant::Wait { after, held } = ask().await else { panic!("held") };
    assert!(after <= HOLD && after <= held, "{after:?} {held:?}");
    let accounts = ["main".to_owned(), "other".to_owned()];
    let holds = || async { ground.store.holds(&accounts).await.expect("answers") };
    let [row] = &holds().await[..] else { panic!("one hold") };
    assert_eq!(
        (row.account.as_str(), row.call.word(), row.code.as_str()),
        ("main", "list", "Slow")
    );
    assert_eq!(row.until, held_till);
    until("that call only", async || {
        let other = ground.store.grant("main", "retrieve", 1, pace).await.expect("answers");
        matches!(other, Grant::Granted { .. })
    })
    .await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !matches!(ask().await, Grant::Granted { .. }) {
        assert!(Instant::now() < deadline, "the hold ends by itself");
    }
    assert!(ground.store.now().await.expect("answers") + Duration::from_millis(11) >= held_till);
    while ground.store.now().await.expect("answers") < held_till {
        assert!(Instant::now() < deadline, "the server's clock goes on");
    }
    assert_eq!(holds().await, []);
}

/// A row, and what it says.
struct Row {
    ground: Ground,
    key: String,
    pace: Pace,
}

impl Row {
    async fn new(pace: Pace) -> Self {
        let ground = Ground::new().await;
        let key = ground.store.keys().pace("main", "list");
        Self { ground, key, pace }
    }

    async fn ask(&self) -> Grant {
        self.ground.store.grant("main", "list", 1, self.pace).await.expect("answers")
    }

    /// One grant; the instant it is for, µs.
    async fn granted(&self) -> u64 {
        until("a grant", async || matches!(self.ask().await, Grant::Granted { .. })).await;
        self.tat() - self.pace.interval_us
    }

    /// The first instant that is not given away, µs.
    fn tat(&self) -> u64 {
        self.redis(&["HGET", &self.key, "tat"]).parse().expect("a number")
    }

    fn redis(&self, command: &[&str]) -> String {
        self.ground.redis.command(command).expect("the server takes it")
    }

    async fn now_us(&self) -> u64 {
        let now = self.ground.store.now().await.expect("answers");
        u64::try_from(now.unix_ms()).expect("after 1970") * 1_000
    }
}

/// As long as nothing is given away, time is the distance between the clock and the row: shifting the row is
/// a step of the clock, and waiting too.
#[tokio::test]
async fn a_clock_that_was_set_back_stops_a_row_for_a_minute_and_says_so() {
    let row = Row::new(Pace { interval_us: 200_000, horizon_us: 500_000, ..Pace::NONE }).await;
    let before_the_step = row.granted().await;
    let (back_us, minute_us) = (7_200_000_000_u64, 60_000_000);
    row.redis(&["HINCRBY", &row.key, "tat", &back_us.to_string()]);
    let Grant::Wait { after, .. } = row.ask().await else { panic!("the row is far ahead") };
    assert!(after > Duration::from_secs(59) && after <= Duration::from_secs(61), "{after:?}");
    let asked_by = row.now_us().await;
    assert!(row.tat() < asked_by + 62_000_000, "what was cut is written: time passes");
    assert!(matches!(row.ask().await, Grant::Wait { .. }));
    let audit = row.ground.store.audit(10).await.expect("answers");
    assert_eq!(audit.len(), 1, "once, not at every call: {audit:?}");
    assert_eq!(audit[0].alarm, "clock_set_back");

    row.redis(&["HINCRBY", &row.key, "tat", &format!("-{minute_us}")]);
    let (first, second) = (row.granted().await, row.granted().await);
    assert!(first + minute_us >= before_the_step + row.pace.interval_us, "{first}");
    assert!(second >= first + row.pace.interval_us);
}

/// What an earlier life of the row gave away may lie as far ahead as the horizon.
#[tokio::test]
async fn after_a_lost_row_the_next_call_keeps_its_distance_too() {
    let row = Row::new(Pace { interval_us: 50_000, horizon_us: 300_000, ..Pace::NONE }).await;
    for _ in 0..3 {
        let last = row.granted().await;
        row.redis(&["DEL", &row.key]);
        let next = row.granted().await;
        assert!(next >= last + row.pace.interval_us, "{last} and {next}");
    }
}

/// A server that forgets its last second brings an old row back, and the calls it forgot were made.
#[tokio::test]
async fn a_row_that_another_run_of_the_server_wrote_is_held_and_a_save_holds_nothing() {
    let row = Row::new(Pace { interval_us: 200_000, horizon_us: 2_000_000, ..Pace::NONE }).await;
    row.granted().await;
    row.redis(&["HINCRBY", &row.key, "tat", "-600000"]);
    // A save changes the stamp; the run is the same.
    row.redis(&["HSET", &row.key, "stamp", "1"]);
    let before = row.tat();
    assert!(matches!(row.ask().await, Grant::Granted { .. }), "within the horizon");
    // An instant that has passed meanwhile is not given away: then it is a later one.
    assert!(row.tat() >= before + row.pace.interval_us);
    // The sign of a run is a second: a server that starts twice in one is not told apart.
    let started: u64 = row.redis(&["LASTSAVE"]).parse().expect("a number");
    until("the next second", async || row.now_us().await >= (started + 1) * 1_000_000).await;
    row.ground.redis.restart().expect("started");
    until_answers(&row.ground.store).await;
    let asked_at = row.now_us().await;
    row.redis(&["HSET", &row.key, "tat", &asked_at.to_string()]);
    assert!(matches!(row.ask().await, Grant::Wait { .. }), "held");
    assert!(row.tat() >= asked_at + row.pace.horizon_us + row.pace.interval_us);
}

/// A hold is an instant of the server's clock as well.
#[tokio::test]
async fn a_hold_that_a_clock_left_hours_ahead_is_dropped_and_told() {
    let row = Row::new(Pace { interval_us: 1_000, horizon_us: 10_000, ..Pace::NONE }).await;
    row.granted().await;
    let two_hours_us = 7_200_000_000;
    let held = (row.now_us().await + two_hours_us).to_string();
    row.redis(&["HSET", &row.key, "hold", &held, "code", "Slow"]);
    row.granted().await;
    let audit = row.ground.store.audit(10).await.expect("answers");
    assert_eq!(
        audit.iter().map(|line| line.alarm.as_str()).collect::<Vec<_>>(),
        ["clock_set_back"]
    );
}
