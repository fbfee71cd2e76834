//! Claims: order, leases, fences, lanes.

use crate::ground::{
    Ground, LEASE, SUBMIT, attempt, record, record_of, rooms, running, succeeded_until, until,
};
use job::{Priority, Record};
use std::time::Duration;
use store::{Begun, Claim, Queue, Released, Reported, Writer};

async fn leased(ground: &Ground, queue: Queue) -> u64 {
    let depths = ground.store.depths().await.expect("Redis answers");
    depths.iter().find(|d| d.queue == queue).expect("every queue is told").leased
}

#[tokio::test]
async fn due_order_and_nothing_beyond_what_was_asked_for() {
    let ground = Ground::new().await;
    let mut expected = Vec::new();
    for n in [30, 10, 20] {
        let mut record = record();
        record.created_at = job::Timestamp::from_unix_ms(1_790_000_000_000 + n);
        expected.push((n, ground.admit(record).await.id));
    }
    expected.sort();
    let ids: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    let first = ground.claim_once(SUBMIT, 2, LEASE).await;
    let got: Vec<_> = first.items.iter().map(|h| h.claim.id.clone()).collect();
    assert_eq!(got, ids[..2]);
    assert_eq!(first.next_due, Some(Duration::ZERO), "one more is due");
    let rest = ground.claim_once(SUBMIT, 2, LEASE).await;
    assert_eq!(rest.items[0].claim.id, ids[2]);
    assert_eq!(rest.next_due, None);
    assert!(rest.items[0].claim.fence > first.items[1].claim.fence);
}

#[tokio::test]
async fn a_later_ticket_waits_and_says_for_how_long() {
    let ground = Ground::new().await;
    let (record, _) = ground.generating(record(), "cgt-later").await;
    let held = ground.claim(Queue::Poll, 1).await.remove(0);
    let delay = Duration::from_secs(40);
    assert_eq!(ground.store.release(&held.claim, delay).await.expect("ours"), Released::Done);
    let claimed = ground.claim_once(Queue::Poll, 9, LEASE).await;
    assert_eq!(claimed.items, []);
    let wait = claimed.next_due.expect("one ticket waits");
    assert!(wait > Duration::from_secs(30) && wait <= delay, "{wait:?}");
    assert_eq!(ground.load(&record.id).await.record.id, record.id);
    ground.sound().await;
}

/// Item by item, whatever the order in which they became due: a dead link is a paid video less.
#[tokio::test]
async fn of_due_downloads_the_one_whose_link_dies_first() {
    let ground = Ground::new().await;
    assert_eq!(ground.store.tightest_deadline().await.expect("answers"), None);
    let mut by_deadline = Vec::new();
    for (n, hour) in [30_i64, 10, 40, 20, 50].into_iter().enumerate() {
        let name = format!("cgt-{n}");
        let (record, _) = ground.generating(record(), &name).await;
        let held = ground.claim(Queue::Poll, 1).await.remove(0);
        let die_at_ms = 4_000_000_000_000 + hour * 3_600_000;
        ground.work(&held, &succeeded_until(&name, die_at_ms)).await;
        by_deadline.push((die_at_ms, record.id));
    }
    by_deadline.sort();
    let tightest = ground.store.tightest_deadline().await.expect("answers").expect("five wait");
    assert_eq!(tightest.0.unix_ms(), by_deadline[0].0);
    assert!(tightest.1 < tightest.0, "the server's clock comes with it");

    let urgent = ground.claim(Queue::Download, 2).await;
    let ids = |held: &[store::Held]| held.iter().map(|h| h.claim.id.clone()).collect::<Vec<_>>();
    let expected: Vec<_> = by_deadline.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids(&urgent), expected[..2]);
    // The most urgent one waits for its next try; it comes back in its turn, not behind the others.
    // Longer than a busy machine keeps this test from its next claim.
    let pause = Duration::from_secs(2);
    assert_eq!(ground.store.release(&urgent[0].claim, pause).await.expect("ours"), Released::Done);
    let mut rest = ground.claim(Queue::Download, 1).await;
    assert_eq!(ids(&rest), expected[2..3]);
    until("the pause is over", async || {
        let depths = ground.store.depths().await.expect("answers");
        depths.iter().any(|depth| depth.queue == Queue::Download && depth.due == 3)
    })
    .await;
    rest = ground.claim(Queue::Download, 3).await;
    assert_eq!(ids(&rest), [&expected[..1], &expected[3..]].concat());
    ground.sound().await;
}

#[tokio::test]
async fn an_expired_lease_comes_back_first_and_its_old_holder_is_fenced() {
    let ground = Ground::new().await;
    ground.generating(record(), "cgt-old").await;
    let late = ground.claim_once(Queue::Poll, 1, Duration::ZERO).await.items.remove(0);
    assert!(!late.reclaimed);
    ground.generating(record(), "cgt-new").await;
    let now = ground.claim(Queue::Poll, 2).await;
    assert_eq!(now[0].claim.id, late.claim.id);
    assert!(now[0].reclaimed && !now[1].reclaimed);
    assert!(now[0].claim.fence > late.claim.fence);

    let writer = Writer::Worker(&late.claim);
    let seen = running("cgt-old");
    assert_eq!(ground.report(&late.claim.id, writer, &seen).await, Reported::Fenced);
    let lost = ground.store.renew(std::slice::from_ref(&late.claim), LEASE).await.expect("answers");
    assert_eq!(lost, std::slice::from_ref(&late.claim));
    let released = ground.store.release(&late.claim, Duration::ZERO).await.expect("answers");
    assert_eq!(released, Released::Fenced);
    // The new holder noticed nothing.
    let ours: Vec<Claim> = now.iter().map(|h| h.claim.clone()).collect();
    assert_eq!(ground.store.renew(&ours, LEASE).await.expect("answers"), []);
    ground.work(&now[0], &seen).await;
    ground.sound().await;
}

#[tokio::test]
async fn renewing_keeps_a_lease_and_release_repeats_harmlessly() {
    let ground = Ground::new().await;
    ground.generating(record(), "cgt-1").await;
    let held = ground.claim_once(Queue::Poll, 1, Duration::ZERO).await.items.remove(0);
    let claims = [held.claim.clone()];
    assert_eq!(ground.store.renew(&claims, LEASE).await.expect("answers"), []);
    assert_eq!(ground.store.renew(&claims, LEASE).await.expect("answers"), []);
    assert_eq!(ground.claim_once(Queue::Poll, 1, LEASE).await.items, [], "it is held again");
    let release = || ground.store.release(&held.claim, Duration::ZERO);
    assert_eq!(release().await.expect("answers"), Released::Done);
    assert_eq!(release().await.expect("answers"), Released::Fenced);
    ground.sound().await;
    assert_eq!(ground.claim(Queue::Poll, 1).await[0].claim.id, held.claim.id);
}

/// Puts `n` readable copies of a record behind a queue, faster than admitting them.
fn flood(ground: &Ground, sample: &Record, queue: Queue, n: u32) {
    let (spec, life) = sample.to_parts().expect("plain data");
    let key = ground.store.keys().job(&sample.id);
    let stem = &sample.id.as_str()[..sample.id.as_str().len() - 5];
    let before = key.split_once(sample.id.as_str()).expect("the key ends with the id").0;
    let script = "for i = 1, ARGV[1] do local id = ARGV[2] .. string.format('%05d', i) \
                  redis.call('HSET', ARGV[3] .. id, 'spec', ARGV[4], 'life', ARGV[5], 'rev', 1) \
                  redis.call('ZADD', KEYS[1], i, id) end return ARGV[1]";
    let (n, due) = (n.to_string(), ground.store.keys().due(queue));
    let words = ["EVAL", script, "1", &due, &n, stem, before, &spec, &life];
    assert_eq!(ground.redis.command(&words).expect("the server takes it"), n);
}

#[tokio::test]
async fn twenty_thousand_due_tickets_are_claimed_in_bounded_batches() {
    let ground = Ground::new().await;
    let (record, _) = ground.generating(record(), "cgt-sample").await;
    let held = ground.claim(Queue::Poll, 1).await.remove(0);
    flood(&ground, &ground.load(&record.id).await.record, Queue::Poll, 20_000);
    let mut claims = Vec::new();
    while claims.len() < 20_000 {
        let claimed = ground.claim_once(Queue::Poll, 50_000, LEASE).await;
        assert_eq!(claimed.items.len(), store::CLAIM_MAX, "whole batches, never more");
        claims.extend(claimed.items.into_iter().map(|h| h.claim));
    }
    let ids: std::collections::HashSet<_> = claims.iter().map(|c| &c.id).collect();
    let fences: std::collections::HashSet<_> = claims.iter().map(|c| c.fence).collect();
    assert_eq!((ids.len(), fences.len()), (20_000, 20_000));
    assert!(!ids.contains(&held.claim.id));
    assert_eq!(ground.claim_once(Queue::Poll, 9, LEASE).await.items, []);
    assert_eq!(ground.store.renew(&claims, LEASE).await.expect("answers"), []);
    assert_eq!(leased(&ground, Queue::Poll).await, 20_001);
}

#[tokio::test]
async fn a_ticket_without_a_record_goes_and_an_unreadable_record_stays() {
    let ground = Ground::new().await;
    let (gone, _) = ground.generating(record(), "cgt-a").await;
    let (newer, _) = ground.generating(record(), "cgt-b").await;
    let (well, _) = ground.generating(record(), "cgt-c").await;
    let keys = ground.store.keys();
    ground.redis.command(&["DEL", &keys.job(&gone.id)]).expect("deleted");
    let spec = r#"{"schema":99,"created_at":1}"#;
    ground.redis.command(&["HSET", &keys.job(&newer.id), "spec", spec]).expect("written");
    let claimed = ground.claim_once(Queue::Poll, 9, Duration::ZERO).await;
    let ids: Vec<_> = claimed.items.iter().map(|h| &h.claim.id).collect();
    assert_eq!(ids, [&well.id]);
    // Readable or not, it is not lost: it stays lent for a while, and nobody spins on it.
    assert_eq!(leased(&ground, Queue::Poll).await, 2);
    let again = ground.claim_once(Queue::Poll, 9, LEASE).await;
    assert_eq!(again.items.len(), 1, "only the readable one, whose lease was over");
    assert!(ground.store.load(&newer.id).await.is_err());
    assert_eq!(ground.store.recount().await.expect("answers").unreadable, 1);
}

#[tokio::test]
async fn one_idle_claimer_is_woken_for_what_is_due_now() {
    let ground = Ground::new().await;
    let wake = ground.store.keys().wake(SUBMIT);
    let tokens = || ground.redis.command(&["LLEN", &wake]).expect("answers");
    assert_eq!(tokens(), "0");
    for _ in 0..3 {
        ground.admit(record()).await;
    }
    assert_eq!(tokens(), "1", "one token however many tickets");
    ground.redis.command(&["LPOP", &wake]).expect("taken");
    ground.claim_once(SUBMIT, 1, LEASE).await;
    assert_eq!(tokens(), "1", "passed on while more is due");
    ground.redis.command(&["LPOP", &wake]).expect("taken");
    ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!(tokens(), "0");
}

#[tokio::test]
async fn a_full_class_hands_out_nothing_until_a_slot_frees() {
    let mut ground = Ground::new().await;
    ground.store = ground.store.with_rooms(rooms(&[("main", 2, 0)]));
    for _ in 0..4 {
        ground.admit(record()).await;
    }
    let held = ground.claim_once(SUBMIT, 9, LEASE).await.items;
    assert_eq!(held.len(), 2, "open leases count");
    let full = ground.claim_once(SUBMIT, 9, LEASE).await;
    assert_eq!((full.items.len(), full.next_due), (0, None));
    let open = attempt(&held[0].stored.record, 172_800);
    assert!(matches!(
        ground.begin(&held[0], &open, &crate::ground::FREE).await,
        Begun::Granted { .. }
    ));
    ground.work(&held[0], &crate::ground::accepted(&open, "cgt-1")).await;
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items.len(), 0, "a slot and a lease");

    let wake = ground.store.keys().wake(SUBMIT);
    ground.redis.command(&["DEL", &wake]).expect("answers");
    let poll = ground.claim(Queue::Poll, 1).await.remove(0);
    ground.work(&poll, &crate::ground::succeeded("cgt-1")).await;
    assert_eq!(ground.redis.command(&["LLEN", &wake]).expect("answers"), "1");
    assert_eq!(ground.claim_once(SUBMIT, 9, LEASE).await.items.len(), 1, "the freed slot");
    ground.sound().await;
}

#[tokio::test]
async fn tenants_share_by_cost_and_priorities_are_strict_inside_one() {
    let ground = Ground::new().await;
    for _ in 0..6 {
        let mut dear = record_of("dear", Priority::Normal, None);
        dear.spec.estimate_tokens = 300_000;
        ground.admit(dear).await;
    }
    for priority in [
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Normal,
        Priority::Low,
        Priority::High,
    ] {
        let mut record = record_of("cheap", priority, None);
        // Recent, so that nothing has aged.
        record.created_at = ground.store.now().await.expect("answers");
        ground.admit(record).await;
    }
    let mut order = Vec::new();
    for n in 0..8 {
        let held = ground.claim(SUBMIT, 1).await.remove(0);
        let record = held.stored.record.clone();
        let open = attempt(&record, 172_800 + n);
        assert!(matches!(
            ground.begin(&held, &open, &crate::ground::FREE).await,
            Begun::Granted { .. }
        ));
        order.push((record.spec.tenant, record.spec.priority));
    }
    let dear = order.iter().filter(|(tenant, _)| tenant == "dear").count();
    assert_eq!(dear, 2, "three cheap ones for each dear one: {order:?}");
    let cheap: Vec<Priority> =
        order.into_iter().filter(|(tenant, _)| tenant == "cheap").map(|(_, p)| p).collect();
    use Priority::{High, Low, Normal};
    assert_eq!(cheap, [High, High, Normal, Normal, Low, Low]);
}

/// Claims one create and begins it: that is when its tenant is charged.
async fn buy(ground: &Ground, nonce_s: u32) -> String {
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    let open = attempt(&held.stored.record, nonce_s);
    let begun = ground.begin(&held, &open, &crate::ground::FREE).await;
    assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
    held.stored.record.spec.tenant
}

#[tokio::test]
async fn a_tenant_that_goes_and_comes_back_still_owes_what_it_bought() {
    let ground = Ground::new().await;
    let mut dear = record_of("a", Priority::Normal, None);
    dear.spec.estimate_tokens = 250_000;
    ground.admit(dear).await;
    for _ in 0..4 {
        ground.admit(record_of("b", Priority::Normal, None)).await;
    }
    assert_eq!([buy(&ground, 1).await, buy(&ground, 2).await], ["a", "b"]);
    ground.admit(record_of("a", Priority::Normal, None)).await;
    // b stands at 100,000 tokens of a's 250,000.
    assert_eq!(
        [buy(&ground, 3).await, buy(&ground, 4).await, buy(&ground, 5).await],
        ["b", "b", "a"]
    );
}

#[tokio::test]
async fn a_heavy_tenant_gets_its_share_and_a_light_one_is_not_starved() {
    let mut ground = Ground::new().await;
    let own = |weight: u32| serde_json::from_value(serde_json::json!({"weight": weight}));
    let caps = store::TenantCaps {
        own: [("heavy", 3), ("light", 1)]
            .map(|(name, weight)| (name.to_owned(), own(weight).expect("a weight")))
            .into(),
        ..store::TenantCaps::default()
    };
    ground.store = ground.store.clone().with_caps(caps);
    for _ in 0..12 {
        for tenant in ["heavy", "light"] {
            ground.admit(record_of(tenant, Priority::Normal, None)).await;
        }
    }
    let mut bought = Vec::new();
    for n in 0..12 {
        bought.push(buy(&ground, 1_000 + n).await);
    }
    assert_eq!(bought.iter().filter(|tenant| *tenant == "heavy").count(), 9, "{bought:?}");
    // Who waits alone gets everything, and what is left of the other is bought as well.
    let light = bought.iter().rposition(|tenant| tenant == "light");
    assert!(light.is_some_and(|at| at >= 8), "its turns are spread: {bought:?}");
    ground.sound().await;
}

#[tokio::test]
async fn a_newcomer_starts_beside_the_others_and_not_before_them() {
    let ground = Ground::new().await;
    for _ in 0..4 {
        ground.admit(record_of("b", Priority::Normal, None)).await;
    }
    assert_eq!([buy(&ground, 1).await, buy(&ground, 2).await], ["b", "b"]);
    for _ in 0..4 {
        ground.admit(record_of("c", Priority::Normal, None)).await;
    }
    let next = [buy(&ground, 3).await, buy(&ground, 4).await];
    assert_eq!(next, ["b", "c"], "having been away earns nothing");
}

/// A tenant whose own bucket is down hands back what it is given. It has had its turn all the same.
#[tokio::test]
async fn who_hands_its_ticket_back_has_had_its_turn() {
    let ground = Ground::new().await;
    for _ in 0..4 {
        for tenant in ["a", "b"] {
            ground.admit(record_of(tenant, Priority::Normal, None)).await;
        }
    }
    let wake = ground.store.keys().wake(SUBMIT);
    let mut tried = Vec::new();
    for n in 0..4 {
        let held = ground.claim(SUBMIT, 1).await.remove(0);
        let tenant = held.stored.record.spec.tenant.clone();
        if tenant == "b" {
            let open = attempt(&held.stored.record, 172_800 + n);
            let begun = ground.begin(&held, &open, &crate::ground::FREE).await;
            assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
        } else {
            ground.redis.command(&["DEL", &wake]).expect("answers");
            ground.store.release(&held.claim, LEASE).await.expect("answers");
            let woken = ground.redis.command(&["LLEN", &wake]).expect("answers");
            assert_eq!(woken, "1", "the next one is due already");
        }
        tried.push(tenant);
    }
    assert_eq!(tried, ["a", "b", "a", "b"]);
    ground.sound().await;
}

/// However long its bucket is down, a tenant owes no more than one turn when it is up again.
#[tokio::test]
async fn turns_without_a_purchase_do_not_add_up() {
    let ground = Ground::new().await;
    for n in 0..12 {
        let tenant = if n < 8 { "a" } else { "b" };
        let mut record = record_of(tenant, Priority::Normal, None);
        if tenant == "b" {
            // Not due for now: the other one is tried alone.
            record.created_at = ground.store.now().await.expect("answers") + LEASE;
        }
        ground.admit(record).await;
    }
    for _ in 0..6 {
        let held = ground.claim(SUBMIT, 1).await.remove(0);
        assert_eq!(held.stored.record.spec.tenant, "a");
        ground.store.release(&held.claim, LEASE).await.expect("answers");
    }
    for _ in 0..2 {
        ground.admit(record_of("b", Priority::Normal, None)).await;
    }
    let bought = [buy(&ground, 1).await, buy(&ground, 2).await, buy(&ground, 3).await];
    assert_eq!(bought, ["b", "a", "b"], "one turn behind");
    // What was given back at once was never tried.
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    assert_eq!(held.stored.record.spec.tenant, "a");
    ground.store.release(&held.claim, Duration::ZERO).await.expect("answers");
    assert_eq!(ground.claim(SUBMIT, 1).await[0].stored.record.spec.tenant, "a");
    ground.sound().await;
}

/// One job of a tenant with each priority: an old low one, an old normal one, and fresh ones.
async fn old_and_fresh(ground: &Ground) -> [Record; 4] {
    let now = ground.store.now().await.expect("answers");
    let old_low = ground.admit(record_of("t", Priority::Low, None)).await;
    let mut old_normal = record_of("t", Priority::Normal, None);
    old_normal.created_at = old_low.created_at + Duration::from_secs(1);
    let mut fresh = [record_of("t", Priority::Normal, None), record_of("t", Priority::High, None)];
    fresh.iter_mut().for_each(|record| record.created_at = now);
    let [normal, high] = fresh;
    let (old_normal, normal) = (ground.admit(old_normal).await, ground.admit(normal).await);
    [old_low, old_normal, normal, ground.admit(high).await]
}

#[tokio::test]
async fn an_urgent_job_goes_before_an_old_backlog_and_below_it_age_goes_first() {
    let ground = Ground::new().await;
    let [old_low, old_normal, normal, high] = old_and_fresh(&ground).await;
    let held = ground.claim(SUBMIT, 4).await;
    let ids: Vec<_> = held.iter().map(|held| &held.claim.id).collect();
    assert_eq!(ids, [&high.id, &old_low.id, &old_normal.id, &normal.id]);
}

#[tokio::test]
async fn one_claim_in_1024_is_the_oldest_of_all() {
    let ground = Ground::new().await;
    let [old_low, .., high] = old_and_fresh(&ground).await;
    let mut later = record_of("t", Priority::High, None);
    later.created_at = ground.store.now().await.expect("answers");
    let later = ground.admit(later).await;
    ground.redis.command(&["SET", &ground.store.keys().fence(), "1022"]).expect("written");
    let held = ground.claim(SUBMIT, 3).await;
    let ids: Vec<_> = held.iter().map(|held| (held.claim.fence, &held.claim.id)).collect();
    assert_eq!(ids, [(1_023, &high.id), (1_024, &old_low.id), (1_025, &later.id)]);
}

#[tokio::test]
async fn many_tenants_are_all_reached() {
    let ground = Ground::new().await;
    let mut tickets = Vec::new();
    for n in 0..40 {
        tickets
            .push(ground.admit(record_of(&format!("tenant {n}"), Priority::Normal, None)).await.id);
    }
    let claimed = ground.claim_once(SUBMIT, 100, LEASE).await;
    assert_eq!(claimed.items.len(), 40, "three groups of tenants, one claim");
    for held in &claimed.items {
        ground.store.release(&held.claim, Duration::ZERO).await.expect("answers");
    }
    ground.sound().await;
}

#[tokio::test]
async fn what_is_no_ticket_keeps_no_ticket_of_its_batch_back() {
    let ground = Ground::new().await;
    let (job, _) = ground.generating(record(), "cgt-1").await;
    let keys = ground.store.keys();
    let (due, lease, holder) =
        (keys.due(Queue::Poll), keys.lease(Queue::Poll), keys.holder(Queue::Poll));
    for strange in ["nonsense", "job_of nobody"] {
        ground.redis.command(&["ZADD", &due, "1", strange]).expect("answers");
    }
    let mut held = Vec::new();
    while held.is_empty() {
        held = ground.claim_once(Queue::Poll, 5, LEASE).await.items;
    }
    assert_eq!(held[0].claim.id, job.id);
    ground.work(&held[0], &running("cgt-1")).await;
    for (command, key) in [("ZCARD", &lease), ("HLEN", &holder)] {
        assert_eq!(ground.redis.command(&[command, key]).expect("answers"), "0");
    }
    ground.sound().await;
}
