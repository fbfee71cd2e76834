//! Fair and urgent, behind a backlog of a hundred thousand: bounds in creates, whatever the time they take.

use crate::ground::{CLASS, FREE, Ground, SUBMIT, attempt, record_of};
use job::{Priority, Record};
use std::time::Duration;
use store::Begun;

const BACKLOG: u32 = 100_000;
/// Instants long past, so that the backlog has aged as far as anything can.
const LONG_AGO_MS: u32 = 1_000;
/// Nothing that was claimed comes back within a test, however busy the machine is.
const LEASE: Duration = Duration::from_secs(3_600);

/// A backlog of one tenant, all of it due: readable copies of one job, put down faster than admitting them.
async fn backlog(ground: &Ground, tenant: &str) {
    let sample = ground.admit(record_of(tenant, Priority::Normal, None)).await;
    let (spec, life) = ground.load(&sample.id).await.record.to_parts().expect("plain data");
    let keys = ground.store.keys();
    let job = keys.job(&sample.id);
    let stem = &sample.id.as_str()[..sample.id.as_str().len() - 6];
    let before = job.split_once(sample.id.as_str()).expect("the key ends with the id").0;
    let script = "for i = 1, ARGV[1] do local id = ARGV[2] .. string.format('%06d', i) \
                  redis.call('HSET', ARGV[3] .. id, 'spec', ARGV[4], 'life', ARGV[5], 'rev', 1) \
                  redis.call('ZADD', KEYS[1], ARGV[6] + i, id) end return ARGV[1]";
    let (n, from) = (BACKLOG.to_string(), LONG_AGO_MS.to_string());
    let lane = keys.lane_of(CLASS, tenant, Priority::Normal);
    let words = ["EVAL", script, "1", &lane, &n, stem, before, &spec, &life, &from];
    assert_eq!(ground.redis.command(&words).expect("the server takes it"), n);
}

/// Claims one create and begins it.
async fn next(ground: &Ground, mark: &mut u32) -> Record {
    let held = ground.claim(SUBMIT, 1).await.remove(0);
    *mark += 1;
    let open = attempt(&held.stored.record, 100_000 + *mark);
    let begun = ground.begin(&held, &open, &FREE).await;
    assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
    held.stored.record
}

// covers: M28
#[tokio::test]
async fn one_job_behind_a_hundred_thousand_of_another_tenant_starts_within_its_share() {
    let ground = Ground::new().await;
    let mut mark = 0;
    backlog(&ground, "many").await;
    for _ in 0..5 {
        assert_eq!(next(&ground, &mut mark).await.spec.tenant, "many", "nobody else waits");
    }
    // By name before and behind the other: a tie may go either way.
    for tenant in ["a few", "one", "some"] {
        let mut small = record_of(tenant, Priority::Low, None);
        small.created_at = ground.store.now().await.expect("answers");
        let small = ground.admit(small).await;
        let mut before = 0;
        while next(&ground, &mut mark).await.id != small.id {
            before += 1;
        }
        assert!(before <= 1, "{tenant} waited for {before} creates; two tenants take turns");
    }
    // Dear jobs come in turn as well: the share is one of cost.
    for tenant in ["dear", "cheap"] {
        for _ in 0..8 {
            let mut job = record_of(tenant, Priority::Normal, None);
            job.spec.estimate_tokens = if tenant == "dear" { 400_000 } else { 100_000 };
            ground.admit(job).await;
        }
    }
    let mut bought = Vec::new();
    while bought.len() < 27 {
        bought.push(next(&ground, &mut mark).await.spec.tenant);
    }
    let count = |name: &str| bought.iter().filter(|tenant| *tenant == name).count();
    assert!((3..=5).contains(&count("dear")), "a quarter of the others' number: {bought:?}");
    assert_eq!(count("cheap"), 8, "{bought:?}");
}

// covers: M28
#[tokio::test]
async fn an_urgent_job_is_the_next_create_999_times_in_a_thousand() {
    const URGENT: usize = 1_100;
    let ground = Ground::new().await;
    backlog(&ground, "many").await;
    let mut at_once = 0;
    for _ in 0..URGENT {
        let mut urgent = record_of("many", Priority::High, None);
        urgent.created_at = ground.store.now().await.expect("answers");
        let urgent = ground.admit(urgent).await;
        let claimed = ground.claim_once(SUBMIT, 1, LEASE).await.items;
        at_once += usize::from(claimed[0].claim.id == urgent.id);
        if claimed[0].claim.id != urgent.id {
            // The one claim in 1,024 that goes by age alone, so that nothing waits for ever.
            assert_eq!(claimed[0].claim.fence % 1_024, 0);
            let next = ground.claim_once(SUBMIT, 1, LEASE).await.items;
            assert_eq!(next[0].claim.id, urgent.id);
        }
    }
    assert!(at_once * 1_000 >= URGENT * 999, "{at_once} of {URGENT}");
}
