//! Redis under a running fleet: killed, in the dark, frozen, out of memory, out of disk, slow,
//! forgetful of scripts. Time passes; no job and no money is lost.

use e2e::kit::{ALICE, BOUND, Fleet, Options, PowerOptions, Reply, text};
use job::JobId;
use serde_json::json;
use std::time::Duration;

/// The workers' patience is shorter than the faults, so that they are felt.
const QUICK: [(&str, &str); 1] = [("SEEDFLEET__REDIS__RESPONSE_TIMEOUT", "500ms")];
const ROLES: [&str; 3] = ["submitter", "poller", "downloader"];

fn jobs(fleet: &Fleet, what: &str, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("through the outage, {what} {n}")).into()))
}

/// Waits for more creates, so that the next fault meets a fleet at work.
fn at_work(fleet: &Fleet, ids: &mut Vec<JobId>, what: &str) {
    // Our own door has lost its connection as well.
    fleet.until("Redis", || fleet.run(fleet.store().now()).ok());
    let before = fleet.ledger().events("create_seen").count();
    ids.extend(jobs(fleet, what, 6));
    fleet
        .until(what, || (fleet.ledger().events("create_seen").count() >= before + 2).then_some(()));
}

// covers: M22, M26, M27
#[test]
fn whatever_befalls_redis_every_job_is_bought_once_and_ends() {
    let fleet = Fleet::start(Options::empty().power(PowerOptions::default()));
    for role in ROLES {
        fleet.start_as(role, role, &QUICK);
    }
    let (power, mut ids) = (fleet.power(), Vec::new());

    at_work(&fleet, &mut ids, "scripts forgotten");
    power.flush_scripts();
    fleet.until("a script asked for in vain", || (power.refused("NOSCRIPT") > 0).then_some(()));

    at_work(&fleet, &mut ids, "memory full");
    power.low_memory(true);
    fleet.until("a write refused", || (power.refused("OOM") > 0).then_some(()));
    power.low_memory(false);

    at_work(&fleet, &mut ids, "frozen");
    power.freeze(Duration::from_millis(900));

    at_work(&fleet, &mut ids, "slow disk");
    power.slow_sync(Duration::from_millis(700));
    fleet.until("slow syncs", || (power.slowed() >= 2).then_some(()));
    power.slow_sync(Duration::ZERO);

    at_work(&fleet, &mut ids, "disk full");
    power.disk_full(true);
    assert!(power.ends_within(BOUND), "it keeps `always` or it goes");
    power.disk_full(false);
    power.restart();

    at_work(&fleet, &mut ids, "killed");
    power.kill9();
    power.restart();

    at_work(&fleet, &mut ids, "in the dark");
    power.power_cut();
    power.restart();

    fleet.wait_stored(&ids);
    for role in ROLES {
        assert!(fleet.role(role).is_running(), "{role} ended because Redis did");
    }
    fleet.audit(&ids);
}

/// Bytes that belong to nobody, so that a share of the memory is a number of megabytes.
const BALLAST: u64 = 64 << 20;

/// Sets the server's limit so that `share` of it is used now.
fn memory_used(fleet: &Fleet, share: f64) {
    let ask = |args: &[&str]| fleet.redis().command(args).expect("Redis answers");
    let info = ask(&["INFO", "memory"]);
    let used = info.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
    let used: f64 = used.and_then(|n| n.parse().ok()).expect("a number");
    ask(&["CONFIG", "SET", "maxmemory", &format!("{:.0}", used / share)]);
}

/// Refused for now, with a time to come again, and without a word about the fleet's insides.
fn is_paused(reply: &Reply) {
    assert_eq!(
        (reply.status, &reply.body["code"]),
        (503, &json!("intake-paused")),
        "{}",
        reply.body
    );
    let after = reply.headers.get("retry-after").and_then(|after| after.to_str().ok());
    assert!(after.and_then(|s| s.parse::<u64>().ok()).is_some_and(|s| s > 0), "{after:?}");
    let detail = reply.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("running jobs go on"), "{detail}");
}

#[test]
fn a_redis_short_of_memory_takes_no_new_job_in_and_running_ones_go_on() {
    let options = Options::with_gateway().simulator(&["--run-s", "2-3"]);
    let fleet = Fleet::start(options);
    let ids = jobs(&fleet, "before it is tight", 6);
    fleet.until("running tasks", || (fleet.ledger().events("running").count() >= 3).then_some(()));
    let ballast = BALLAST.to_string();
    fleet.redis().command(&["SETRANGE", "ballast", &ballast, "x"]).expect("room for it");
    memory_used(&fleet, 0.85);

    is_paused(&fleet.post_job(text("one more")));
    // Who must mend a request need not wait to hear so, and who asks is answered.
    assert_eq!(fleet.post_job(text("one more").with("duration", 99)).status, 422);
    assert_eq!(fleet.get(&format!("/v1/jobs/{}", ids[0]), ALICE).status, 200);
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().tasks_of(&record).len(), 1);
    }
    is_paused(&fleet.post_job(text("one more")));

    fleet.redis().command(&["DEL", "ballast"]).expect("Redis answers");
    let reply = fleet.until("intake goes on by itself", || {
        let reply = fleet.post_job(text("one more"));
        (reply.status != 503).then_some(reply)
    });
    let late = JobId::parse(reply.body["id"].as_str().unwrap_or_default()).expect("taken in");
    fleet.wait_stored(std::slice::from_ref(&late));
    fleet.audit(&[ids, vec![late]].concat());
}
