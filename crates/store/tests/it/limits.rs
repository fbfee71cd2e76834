//! Limits that are lower for a while: in force in the very next call of whoever asks, and over by themselves.

use crate::ground::{CLASS, FREE, Ground, LEASE, SUBMIT, attempt, record, rooms, until};
use job::Timestamp;
use seedance::Brake;
use std::time::Duration;
use store::{
    BeginGuard, Begun, CallRow, Grant, LimitChange, LimitChanges, LimitKind, Pace, Slowed,
};

/// A hundred calls a second, far ahead, so that nothing has to be waited for.
const PACE: Pace = Pace { interval_us: 10_000, calls: 100, horizon_us: 60_000_000, ..Pace::NONE };
const ROW: CallRow = CallRow::Create(CLASS);

async fn change(ground: &Ground, wanted: &[(LimitKind, Option<u64>)], lasts: Option<Duration>) {
    let change = |(kind, value): &(LimitKind, Option<u64>)| LimitChange {
        account: "main".into(),
        row: ROW,
        kind: *kind,
        value: *value,
    };
    let changes = LimitChanges {
        changes: wanted.iter().map(change).collect(),
        lasts,
        by: "ann".into(),
        reason: "others use it".into(),
    };
    ground.store.change_limits(&changes).await.expect("answers");
}

async fn slow(ground: &Ground, brake: Brake, first: u32, every: Duration) {
    let next = |_: Option<&Slowed>, now: Timestamp| {
        let code = "Slow".to_owned();
        Some(Slowed { brake, first, step: 100, every, since: now, began: now, code })
    };
    let written = ground.store.slow("main", CLASS, brake, next).await.expect("answers");
    assert!(written.is_some());
}

/// One grant of the row of creates: its instant, µs, and the spacing it was given with.
async fn granted(ground: &Ground) -> (u64, u64) {
    let mut spacing_us = 0;
    until("a grant", async || {
        let grant = ground.store.grant("main", "create.2.0", 1, PACE).await.expect("answers");
        let Grant::Granted { spacing, .. } = grant else { return false };
        spacing_us = u64::try_from(spacing.as_micros()).expect("short");
        true
    })
    .await;
    let key = ground.store.keys().creates("main", CLASS);
    let read = |field: &str| ground.redis.command(&["HGET", &key, field]).expect("answers");
    let number = |field: &str| read(field).parse::<u64>().expect("a number");
    (number("tat") - number("gap"), spacing_us)
}

/// However often the rate changes, two calls are never closer than the interval in force when the later one
/// was given away: no window ever holds more than the higher limit.
#[tokio::test]
async fn a_row_that_changes_its_speed_keeps_the_distance_of_its_latest_speed() {
    let ground = Ground::new().await;
    let mut dice = 0x9e37_79b9_u64;
    let (mut last, mut spacings) = (0, Vec::new());
    for _ in 0..150 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let roll = dice >> 33;
        match roll % 5 {
            0 => change(&ground, &[(LimitKind::Calls, Some(1_000 + roll % 120_000))], None).await,
            1 => change(&ground, &[(LimitKind::Calls, None)], None).await,
            2 => {
                let first = u32::try_from(roll % 950).expect("small");
                slow(&ground, Brake::Rate, first, Duration::from_millis(1 + roll % 40)).await;
            }
            _ => {}
        }
        let (at, spacing) = granted(&ground).await;
        assert!(at >= last + spacing, "{at} after {last}, {spacing} apart: {spacings:?}");
        assert!(spacing >= PACE.interval_us, "never above the configuration");
        last = at;
        spacings.push(spacing);
    }
    spacings.sort_unstable();
    spacings.dedup();
    assert!(spacings.len() > 20, "the speed did change: {spacings:?}");
}

/// A row of one call a second that is to be quick again is quick at once.
#[tokio::test]
async fn a_faster_row_does_not_wait_for_what_a_slow_one_had_in_mind() {
    let ground = Ground::new().await;
    granted(&ground).await;
    change(&ground, &[(LimitKind::Calls, Some(1_000))], None).await;
    let (slow_at, spacing) = granted(&ground).await;
    assert_eq!(spacing, PACE.interval_us * 100, "one in a second");
    change(&ground, &[(LimitKind::Calls, None)], None).await;
    let (next_at, spacing) = granted(&ground).await;
    assert_eq!(spacing, PACE.interval_us);
    assert!(next_at >= slow_at + spacing && next_at < slow_at + 500_000, "{slow_at} {next_at}");
}

/// Rust tells people how much is away; Lua takes it away.
#[tokio::test]
async fn what_is_away_is_counted_alike_on_both_sides() {
    let ground = Ground::new().await;
    granted(&ground).await;
    for (brake, first) in [(Brake::Rate, 300), (Brake::Ramp, 900), (Brake::Rate, 950)] {
        slow(&ground, brake, first, Duration::from_millis(20)).await;
        until("all of it is back", async || {
            let before = away(&ground, brake).await;
            let (_, spacing) = granted(&ground).await;
            let after = away(&ground, brake).await;
            let of = |away: u32| (PACE.interval_us * 1_000).div_ceil(u64::from(1_000 - away));
            assert!((of(after)..=of(before)).contains(&spacing), "{before} {spacing} {after}");
            after == 0
        })
        .await;
    }
    let names = ["main".to_owned()];
    assert_eq!(ground.store.lowered(&names).await.expect("answers"), [], "nothing is left");
}

async fn away(ground: &Ground, brake: Brake) -> u32 {
    let names = ["main".to_owned()];
    let rows = ground.store.lowered(&names).await.expect("answers");
    let now = ground.store.now().await.expect("answers");
    let slowed = rows.iter().flat_map(|row| &row.slowed).find(|slowed| slowed.brake == brake);
    slowed.map_or(0, |slowed| slowed.away(now))
}

#[tokio::test]
async fn fewer_slots_let_nothing_begin_and_leave_what_runs_alone() {
    let mut ground = Ground::new().await;
    let mut rooms = rooms(&[("main", 2, 0)]);
    for account in rooms.values_mut().flat_map(|room| &mut room.accounts) {
        account.lookahead = 2;
    }
    ground.store = ground.store.clone().with_rooms(rooms);
    let guard = BeginGuard { running: 2, lookahead: 2, ..FREE };
    for _ in 0..8 {
        ground.admit(record()).await;
    }
    let mut mark = 172_800;
    let mut fill = async || {
        let mut begun = 0;
        for held in ground.claim_once(SUBMIT, 9, LEASE).await.items {
            mark -= 1;
            let open = attempt(&held.stored.record, mark);
            let granted = ground.begin(&held, &open, &guard).await;
            assert!(matches!(granted, Begun::Granted { .. }), "a claim knows: {granted:?}");
            begun += 1;
        }
        begun
    };
    change(&ground, &[(LimitKind::Running, Some(1)), (LimitKind::Lookahead, Some(0))], None).await;
    assert_eq!(fill().await, 1);
    // Nothing may run: nothing to look ahead to either.
    change(&ground, &[(LimitKind::Running, Some(0)), (LimitKind::Lookahead, None)], None).await;
    assert_eq!(fill().await, 0);
    let slots = ground.store.slots().await.expect("answers");
    assert_eq!(slots.values().sum::<i64>(), 1, "what runs is left alone");
    change(&ground, &[(LimitKind::Running, None)], None).await;
    slow(&ground, Brake::Depth, 1, Duration::from_secs(3_600)).await;
    assert_eq!(fill().await, 2, "two slots and one ahead");
    // More than configured is nothing.
    change(&ground, &[(LimitKind::Running, Some(99)), (LimitKind::Lookahead, Some(99))], None)
        .await;
    assert_eq!(fill().await, 0);
    ground.sound().await;
}

#[tokio::test]
async fn begin_refuses_beyond_what_was_set_after_the_claim() {
    let ground = Ground::new().await;
    for _ in 0..2 {
        ground.admit(record()).await;
    }
    let held = ground.claim(SUBMIT, 2).await;
    change(&ground, &[(LimitKind::Running, Some(1))], None).await;
    let opens: Vec<_> =
        (0..).zip(&held).map(|(n, h)| attempt(&h.stored.record, 172_800 + n)).collect();
    let first = ground.begin(&held[0], &opens[0], &FREE).await;
    assert!(matches!(first, Begun::Granted { .. }), "{first:?}");
    assert_eq!(ground.begin(&held[1], &opens[1], &FREE).await, Begun::NoSlot);
}

#[tokio::test]
async fn a_limit_with_an_end_ends_by_itself_and_who_set_it_is_told_until_then() {
    let ground = Ground::new().await;
    let names = ["main".to_owned(), "other".to_owned()];
    let (before, lasts) = (ground.store.now().await.expect("answers"), Duration::from_millis(300));
    change(&ground, &[(LimitKind::Calls, Some(50_000))], Some(lasts)).await;
    let rows = ground.store.lowered(&names).await.expect("answers");
    let set = rows[0].set(LimitKind::Calls).expect("set");
    let till = set.at + lasts;
    assert!(set.at >= before, "from its own instant on");
    assert_eq!((rows.len(), rows[0].row, set.value, set.until), (1, ROW, 50_000, Some(till)));
    assert_eq!((set.by.as_str(), set.reason.as_str()), ("ann", "others use it"));
    until("its end", async || {
        let (_, spacing) = granted(&ground).await;
        let over = ground.store.now().await.expect("answers") >= till;
        assert!(over || spacing == 2 * PACE.interval_us, "{spacing}");
        spacing == PACE.interval_us
    })
    .await;
    assert_eq!(ground.store.lowered(&names).await.expect("answers"), []);
    change(&ground, &[(LimitKind::Calls, None)], None).await;
    change(&ground, &[(LimitKind::Calls, None)], None).await;
    let audit = ground.store.audit(9).await.expect("answers");
    let told: Vec<_> = audit.iter().map(|line| line.alarm.as_str()).collect();
    assert_eq!(told, ["limits_reset", "limits_set"], "the second time changed nothing");
    assert_eq!(audit[1].by.as_deref(), Some("ann"));
    assert_eq!(audit[1].reason.as_deref(), Some("main 2.0 create_rpm 50: others use it"));
}
