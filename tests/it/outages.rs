//! Redis under a running fleet: killed, in the dark, frozen, out of memory, out of disk, slow,
//! forgetful of scripts. Time passes; no job and no money is lost.

use e2e::kit::{BOUND, Fleet, Options, PowerOptions, text};
use job::JobId;
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
