//! Counted calls: no window holds more than the limit, however long each is on its way, whoever dies and whatever
//! Redis loses.

use crate::ground::{CLASS, FREE, Ground, LEASE, SUBMIT, attempt, connect, record, rooms, until};
use job::Timestamp;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use store::{BeginGuard, Begun, CallRow, Counted, Grant, Pace, Store};

const MS: Duration = Duration::from_millis(1);

/// Two in a window, spaced without any slack: by their instants alone, calls that take unequally long would come
/// close together.
const WINDOW: Duration = Duration::from_millis(150);
const UNDER_WAY: Duration = Duration::from_millis(250);
const BUSY: Pace = Pace {
    interval_us: 75_000,
    calls: 2,
    horizon_us: 20_000,
    counted: Some(Counted { window_us: 150_000, under_way_us: 250_000 }),
    ..Pace::NONE
};
/// One in a minute, so that nothing in a test ends by itself.
const RARE: Pace = Pace {
    interval_us: 1_000,
    calls: 1,
    horizon_us: 10_000,
    counted: Some(Counted { window_us: 60_000_000, under_way_us: 60_000_000 }),
    ..Pace::NONE
};

async fn ask(store: &Store, call: &str, pace: Pace) -> Grant {
    store.grant("main", call, 1, pace).await.expect("answers")
}

/// One grant: the instant it is for, µs.
async fn granted(store: &Store, call: &str, pace: Pace) -> u64 {
    let mut first = 0;
    until("a grant", async || match ask(store, call, pace).await {
        Grant::Granted { first_us, .. } => {
            first = first_us;
            true
        }
        Grant::Wait { .. } => false,
    })
    .await;
    first
}

/// A row that this run of the server wrote, with nothing on its way.
async fn begun(store: &Store, call: &str) {
    granted(store, call, Pace { counted: None, ..RARE }).await;
}

/// Most instants within any window.
fn fullest(mut at: Vec<Instant>, window: Duration) -> usize {
    at.sort();
    let from =
        |start: usize| at[start..].iter().take_while(|one| **one < at[start] + window).count();
    (0..at.len()).map(from).max().unwrap_or(0)
}

/// One call: granted, under way for a while, and then, unless its caller dies, answered. Tells whether it arrived.
async fn call(store: &Store, n: u64, arrived: &Mutex<Vec<Instant>>) -> bool {
    let asked = Instant::now();
    let Grant::Granted { first_in, first_us, .. } = ask(store, "list", BUSY).await else {
        // sleeps: whoever has no grant asks again a little later.
        tokio::time::sleep(2 * MS).await;
        return false;
    };
    // Of unequal length, from nothing to the longest that counts.
    let way = Duration::from_millis(n * 97 % 250);
    until("it arrives", async || Instant::now() >= asked + first_in + way).await;
    {
        let mut arrived = arrived.lock().expect("nobody panics");
        let now = Instant::now();
        // Whoever is later than that is not sent any more: the gate keeps it.
        if now >= asked + first_in + UNDER_WAY {
            return false;
        }
        arrived.push(now);
    }
    if !n.is_multiple_of(3) {
        let (row, id) = (CallRow::List, first_us.to_string());
        store.call_done("main", row, &id, WINDOW).await.expect("answers");
    }
    true
}

// covers: M28
#[tokio::test(flavor = "multi_thread")]
async fn slow_calls_of_several_callers_never_fill_a_window_whoever_dies_and_whatever_is_wiped() {
    let ground = Ground::new().await;
    let (key, arrived) = (ground.store.keys().pace("main", "list"), Mutex::new(Vec::new()));
    let deadline = Instant::now() + Duration::from_secs(60);
    let callers = (0..4_u64).map(|caller| {
        let (ground, key, arrived) = (&ground, &key, &arrived);
        async move {
            let store = connect(&ground.redis).await;
            for n in (caller..).step_by(4) {
                let before = arrived.lock().expect("nobody panics").len();
                if before >= 24 {
                    return;
                }
                assert!(Instant::now() < deadline, "{before} arrived");
                if call(&store, n, arrived).await && before % 8 == 7 {
                    ground.redis.command(&["DEL", key]).expect("answers");
                }
            }
        }
    });
    futures::future::join_all(callers).await;
    let arrived = arrived.into_inner().expect("nobody panics");
    assert!(arrived.len() >= 24);
    // The server counts by another clock than this program: a millisecond for the two of them.
    let most = fullest(arrived, WINDOW - MS);
    assert!(most <= 2, "{most} in one window");
}

#[tokio::test]
async fn a_place_is_taken_until_a_window_after_the_answer_and_free_at_once_where_nothing_left() {
    let ground = Ground::new().await;
    let store = &ground.store;
    begun(store, "list").await;
    let first = granted(store, "list", RARE).await;
    let Grant::Wait { after, held } = ask(store, "list", RARE).await else { panic!("one is out") };
    assert!(after <= 60_000 * MS && after > 50_000 * MS && held.is_zero(), "{after:?} {held:?}");

    let done = async |id: u64, counts_for| {
        store.call_done("main", CallRow::List, &id.to_string(), counts_for).await.expect("answers")
    };
    let told_us = u64::try_from(store.now().await.expect("answers").unix_ms()).unwrap() * 1_000;
    assert!(done(first, 80 * MS).await);
    // Told again, it counts no longer than the first time: or nobody could go on here.
    done(first, 60_000 * MS).await;
    let second = granted(store, "list", RARE).await;
    assert!(second >= told_us + 80_000, "{second} after {told_us}");
    assert!(!done(first, 80 * MS).await, "it is over");

    assert!(done(second, Duration::ZERO).await);
    granted(store, "list", RARE).await;
}

/// Whoever was under way when the row was lost has arrived, and left the window, before the next one goes.
#[tokio::test]
async fn after_a_lost_row_nobody_goes_before_all_that_may_be_out_has_left_the_window() {
    let ground = Ground::new().await;
    let key = ground.store.keys().pace("main", "list");
    let lost: [&[&str]; 2] = [&["DEL", &key], &["HSET", &key, "stamp", "1", "run", "another"]];
    for command in lost {
        let before = granted(&ground.store, "list", BUSY).await;
        ground.redis.command(command).expect("answers");
        let after = granted(&ground.store, "list", BUSY).await;
        let clear = before + 250_000 + 150_000;
        assert!(after >= clear, "{command:?}: {before}, then {after}");
        assert_eq!(
            ground.redis.command(&["HGET", &key, "out"]).expect("answers").split(' ').count(),
            2
        );
    }
}

// covers: M28
#[tokio::test]
async fn creates_are_counted_by_begin_and_a_claim_hands_out_none_that_has_no_place() {
    let mut ground = Ground::new().await;
    let row = CallRow::Create(CLASS);
    begun(&ground.store, &format!("create.{}", CLASS.word())).await;
    let guard = BeginGuard { pace: RARE, ..FREE };
    for _ in 0..3 {
        ground.admit(record()).await;
    }
    let held = ground.claim(SUBMIT, 2).await;
    let opens: Vec<_> =
        (0..).zip(&held).map(|(n, held)| attempt(&held.stored.record, 172_800 + n)).collect();
    until("the first", async || {
        matches!(ground.begin(&held[0], &opens[0], &guard).await, Begun::Granted { .. })
    })
    .await;
    let Begun::Wait { after } = ground.begin(&held[1], &opens[1], &guard).await else {
        panic!("its place is taken")
    };
    assert!(after <= 60_000 * MS && after > 50_000 * MS, "{after:?}");

    let mut counted: BTreeMap<_, _> = rooms(&[("main", 9, RARE.interval_us)]);
    for room in counted.values_mut() {
        room.horizon_us = RARE.horizon_us;
        room.accounts.iter_mut().for_each(|of| of.counted = RARE.counted);
    }
    ground.store = ground.store.with_rooms(counted);
    let claimed = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(claimed.items, []);
    assert!(claimed.next_due.is_some_and(|due| due > 50_000 * MS && due <= 60_000 * MS));

    let id = opens[0].id.as_str();
    assert!(ground.store.call_done("main", row, id, Duration::ZERO).await.expect("answers"));
    until("the second", async || {
        matches!(ground.begin(&held[1], &opens[1], &guard).await, Begun::Granted { .. })
    })
    .await;
    ground.sound().await;
}

#[tokio::test]
async fn the_first_free_instant_of_creates_is_told_for_the_interval_in_force() {
    let ground = Ground::new().await;
    let next = async |interval_s| {
        let interval = Duration::from_secs(interval_s);
        ground.store.next_create("main", CLASS, interval).await.expect("answers")
    };
    assert_eq!(next(60).await, None, "nobody asked yet");
    let call = format!("create.{}", CLASS.word());
    let last = granted(&ground.store, &call, Pace { counted: None, ..RARE }).await;
    for interval_s in [1, 60] {
        let ms = i64::try_from(last / 1_000 + interval_s * 1_000).expect("of our time");
        assert_eq!(next(interval_s).await, Some(Timestamp::from_unix_ms(ms)));
    }
    let key = ground.store.keys().creates("main", CLASS);
    let held = last / 1_000 + 90_000;
    let hold = ["HSET", &key, "hold", &(held * 1_000).to_string()];
    ground.redis.command(&hold).expect("answers");
    assert_eq!(next(60).await.map(Timestamp::unix_ms), i64::try_from(held).ok(), "not before that");
}

/// As creates of 4k are on a new account: a minute and more until the first, and an interval that is longer than the time
/// between two looks.
#[tokio::test]
async fn a_row_that_is_not_trusted_keeps_its_first_instant_however_often_somebody_asks() {
    let ground = Ground::new().await;
    let pace = Pace { interval_us: 4_000_000, calls: 15, ..RARE };
    let key = ground.store.keys().pace("main", "list");
    let free = || ground.redis.command(&["HGET", &key, "tat"]).expect("answers");
    let wait = async |pace| {
        let Grant::Wait { after, .. } = ask(&ground.store, "list", pace).await else {
            panic!("what is out is not known")
        };
        after
    };
    wait(pace).await;
    let first = free();
    for pace in [pace, pace, Pace { interval_us: 1_000_000, ..pace }, pace] {
        let after = wait(pace).await;
        assert!(after <= 120_000 * MS, "{after:?}");
        assert_eq!(free(), first, "a look pushes nothing back");
    }
    assert_eq!(ground.store.audit(9).await.expect("answers"), [], "and nobody set a clock");

    // A clock that was set back, and the row of a program that kept a gap of nothing.
    let far = (first.parse::<u64>().expect("a number") + 600_000_000).to_string();
    ground.redis.command(&["HSET", &key, "tat", &far, "gap", "0"]).expect("answers");
    wait(pace).await;
    let cut = free();
    assert_ne!(cut, far);
    for _ in 0..3 {
        wait(pace).await;
        assert_eq!(free(), cut, "it is cut once");
    }
    assert_eq!(ground.store.audit(9).await.expect("answers").len(), 1);
}
