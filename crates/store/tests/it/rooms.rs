//! Rooms: a ticket leaves its lane only for an account that can begin it.

use crate::ground::{
    CLASS, FREE, Ground, LEASE, SUBMIT, accepted, attempt_on, record, rooms, until,
};
use job::{Event, OpenAttempt, Priority, Refusal};
use seedance::Class;
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Begun, Claimed, Held, Released};

const HOUR: Duration = Duration::from_secs(3_600);

async fn pool(accounts: &[(&str, u32, u64)], jobs: usize) -> Ground {
    let mut ground = Ground::new().await;
    ground.store = ground.store.clone().with_rooms(rooms(accounts));
    for _ in 0..jobs {
        ground.admit(record()).await;
    }
    ground
}

/// How many tickets were handed out for each account.
fn by_account(claimed: &Claimed) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for held in &claimed.items {
        *counts.entry(held.account.as_deref().unwrap_or("nobody")).or_default() += 1;
    }
    counts
}

async fn begun(ground: &Ground, account: &str, held: &Held, nonce_s: u32) -> OpenAttempt {
    let open = attempt_on(account, &held.stored.record, nonce_s);
    let begun = ground.begin(held, &open, &FREE).await;
    assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
    open
}

/// What the lane of the tests' tenant holds, with its scores.
fn lane(ground: &Ground) -> String {
    let key = ground.store.keys().lane_of(CLASS, "default", Priority::Normal);
    ground.redis.command(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]).expect("answers")
}

async fn stop(ground: &Ground, account: &str, class: Class, pause: Duration) {
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = begun(ground, account, &held, 170_000).await;
    let until = ground.store.now().await.expect("answers") + pause;
    let refusal = Refusal {
        class,
        code: "SomethingSaidNo".into(),
        message: "no".into(),
        not_before: Some(until),
        stops_in_row: 0,
    };
    ground.work(&held, &Event::AttemptRefused { attempt: open.id, refusal }).await;
}

#[tokio::test]
async fn a_stopped_account_is_no_room_and_no_ticket_moves() {
    let ground = pool(&[("main", 4, 0)], 3).await;
    stop(&ground, "main", Class::Auth, HOUR).await;
    // The refused one comes back too; the policy of these tests lets it wait for nothing.
    let before = lane(&ground);
    let claimed = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(claimed.items, []);
    let wait = claimed.next_due.expect("the stop ends by itself");
    assert!(wait > HOUR - Duration::from_secs(60) && wait <= HOUR, "{wait:?}");
    assert_eq!(lane(&ground), before);
    ground.sound().await;
}

#[tokio::test]
async fn the_other_accounts_take_what_they_can_and_no_more() {
    let ground = pool(&[("main", 9, 0), ("second", 2, 0)], 6).await;
    stop(&ground, "main", Class::Account, HOUR).await;
    let claimed = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(by_account(&claimed), BTreeMap::from([("second", 2)]));
    let full = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(full.items, [], "offers count");
    // Handed back, it is nobody's room any more.
    let back = ground.store.release(&claimed.items[0].claim, Duration::ZERO).await;
    assert_eq!(back.expect("answers"), Released::Done);
    assert_eq!(by_account(&ground.claim_once(SUBMIT, 9, LEASE).await).values().sum::<usize>(), 1);
    ground.sound().await;
}

#[tokio::test]
async fn accounts_fill_in_proportion_to_their_slots() {
    let ground = pool(&[("large", 10, 0), ("small", 3, 0)], 20).await;
    let few = ground.claim_once(SUBMIT, 4, LEASE).await;
    assert_eq!(by_account(&few), BTreeMap::from([("large", 3), ("small", 1)]));
    let rest = ground.claim_once(SUBMIT, 20, LEASE).await;
    assert_eq!(by_account(&rest), BTreeMap::from([("large", 7), ("small", 2)]));
}

#[tokio::test]
async fn a_begun_job_counts_once() {
    let ground = pool(&[("main", 3, 0)], 4).await;
    let first = ground.claim_once(SUBMIT, 2, LEASE).await.items;
    for (n, held) in (0..).zip(&first) {
        begun(&ground, "main", held, 172_800 - n).await;
    }
    // Two slots and two leases are two jobs.
    let third = ground.claim_once(SUBMIT, 9, LEASE).await.items;
    assert_eq!(third.len(), 1);
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items, []);
    ground.sound().await;
}

#[tokio::test]
async fn where_the_row_has_no_instant_no_ticket_moves() {
    let ground = pool(&[("main", 9, 20_000_000)], 3).await;
    // Never used: the row is held for an interval.
    let claimed = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(claimed.items, []);
    let wait = claimed.next_due.expect("an instant comes");
    assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
    let row = ground.store.keys().creates("main", CLASS);
    ground.redis.command(&["HINCRBY", &row, "tat", "-20000000"]).expect("time passes");
    let one = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(one.items.len(), 1, "its instant is there");
    let none = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(none.items, [], "and it is promised");
    let wait = none.next_due.expect("the next one comes");
    assert!(wait > Duration::from_secs(15) && wait <= Duration::from_secs(20), "{wait:?}");
}

#[tokio::test]
async fn after_a_stop_one_ticket_goes_first() {
    let ground = pool(&[("main", 9, 0)], 4).await;
    stop(&ground, "main", Class::Auth, Duration::from_millis(50)).await;
    let mut probe = Vec::new();
    until("the stop is over", async || {
        probe = ground.claim_once(SUBMIT, 9, LEASE).await.items;
        !probe.is_empty()
    })
    .await;
    assert_eq!(probe.len(), 1, "it finds out for the others");
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items, []);
    let open = begun(&ground, "main", &probe[0], 172_800).await;
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items, [], "no answer yet");
    ground.work(&probe[0], &accepted(&open, "cgt-1")).await;
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items.len(), 3);
    ground.sound().await;
}

#[tokio::test]
async fn an_offer_whose_holder_is_silent_ends_with_its_lease() {
    let ground = pool(&[("main", 1, 0)], 2).await;
    let lost = ground.claim_once(SUBMIT, 1, Duration::ZERO).await.items.remove(0);
    let again = ground.claim_once(SUBMIT, 9, LEASE).await.items;
    assert_eq!(again.len(), 1);
    assert_eq!((&again[0].claim.id, again[0].reclaimed), (&lost.claim.id, true));
    assert_eq!(again[0].account.as_deref(), Some("main"), "it has not begun");
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items, []);
}
