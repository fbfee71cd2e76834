//! The configuration changes under running programs: what is safe is taken over, the rest is told, and a faulty
//! file changes nothing.

use e2e::kit::{BOUND, Fleet, Options, Reply, text};
use job::JobId;

const ROLES: [&str; 2] = ["gateway", "submitter"];

fn options() -> Options {
    let scaling = "[scaling]\nevery = \"100ms\"\n";
    Options { roles: ROLES.to_vec(), ..Options::default() }.config(scaling)
}

/// The line of level debug that ends each reading.
const READ: &str = "the configuration was read again";

/// The value of a metric without labels.
fn gauge(fleet: &Fleet, role: &str, name: &str) -> Option<f64> {
    let page = fleet.metrics(role);
    let line =
        page.lines().find(|line| line.strip_prefix(name).is_some_and(|r| r.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
}

fn until_gauge(fleet: &Fleet, name: &str, value: f64) {
    for role in ROLES {
        fleet.until(&format!("{name} {value} of {role}"), || {
            (gauge(fleet, role, name) == Some(value)).then_some(())
        });
    }
}

fn hup(fleet: &Fleet) {
    ROLES.iter().for_each(|role| fleet.role(role).signal("HUP").expect("a signal"));
}

fn until_told(fleet: &Fleet, role: &str, words: &str) -> String {
    fleet.role(role).wait_for_line(words, BOUND).unwrap_or_else(|missed| panic!("{missed}"))
}

#[test]
fn a_level_is_taken_over_a_lease_waits_for_a_restart_and_a_fault_changes_nothing() {
    let fleet = Fleet::start(options());
    for role in ROLES {
        until_told(&fleet, role, "admin listener");
    }
    until_gauge(&fleet, "seedfleet_config_reload_success", 1.0);
    until_gauge(&fleet, "seedfleet_config_restart_needed", 0.0);
    assert!(!fleet.logs().contains("DEBUG"), "info is the level they start with");

    fleet.reconfigure("[telemetry]\nlog_level = \"debug\"\n[submit]\ntries_max = 7\n");
    hup(&fleet);
    for role in ROLES {
        let line = until_told(&fleet, role, "taken over from the configuration");
        assert!(line.contains("telemetry.log_level"), "{line}");
        // The last line of a reading, and of a level that is in force only now.
        until_told(&fleet, role, READ);
        let own = fleet.role(role).log();
        let waits = |key: &str| {
            own.lines().any(|line| line.contains("needs a restart") && line.contains(key))
        };
        // The test's own section of scaling is gone from the file.
        assert!(waits("submit.tries_max") && waits("scaling.every"), "{own}");
        assert!(!waits("telemetry.log_level"), "{own}");
    }
    until_gauge(&fleet, "seedfleet_config_restart_needed", 2.0);

    // Nobody asks this time: the file itself is noticed.
    fleet.reconfigure("[telemetry]\nlog_level = \"loud\"\nlog_levels = 3\n");
    until_gauge(&fleet, "seedfleet_config_reload_success", 0.0);
    for role in ROLES {
        let line = until_told(&fleet, role, "the configuration is faulty");
        assert!(line.contains("telemetry.log_levels"), "every fault is named: {line}");
        assert!(fleet.role(role).is_running(), "{role}");
    }
    until_gauge(&fleet, "seedfleet_config_restart_needed", 2.0);

    fleet.reconfigure("[scaling]\nevery = \"100ms\"\n");
    hup(&fleet);
    until_gauge(&fleet, "seedfleet_config_reload_success", 1.0);
    until_gauge(&fleet, "seedfleet_config_restart_needed", 0.0);
    // Back at info: what is read now is told as unchanged, and the line of level debug is not written again.
    let read = |role: &str| fleet.role(role).log().matches(READ).count();
    let before = ROLES.map(read);
    hup(&fleet);
    for role in ROLES {
        until_told(&fleet, role, "the configuration is as it was");
    }
    assert_eq!(ROLES.map(read), before);
}

#[test]
fn the_door_and_the_autoscaler_follow_the_file() {
    let fleet = Fleet::start(options());
    fleet.redis().command(&["CONFIG", "SET", "maxmemory", "200mb"]).unwrap();
    let post = |n: u32| fleet.post_job(text(&format!("film {n}")));
    assert_eq!(post(0).status, 202);
    fleet.until("the processes that are configured at least", || {
        let Reply { status, body, .. } = fleet.scaling("");
        (status == 200 && body["notifier"]["desired"] == 2).then_some(())
    });

    let base = "[scaling]\nevery = \"100ms\"\n";
    fleet.reconfigure(&format!(
        "{base}[scaling.notifier]\nmin = 5\n[redis]\nintake_stop_ratio = 0.0001\n"
    ));
    fleet.until("a door that is closed", || {
        let reply = post(1);
        (reply.status == 503).then_some(())
    });
    fleet.until("as many as are configured now", || {
        (fleet.scaling("").body["notifier"]["desired"] == 5).then_some(())
    });

    fleet.reconfigure(base);
    until_told(&fleet, "submitter", "admin listener");
    hup(&fleet);
    let id = fleet.until("an open door", || {
        let reply = post(2);
        (reply.status != 503).then(|| reply.body["id"].as_str().unwrap_or_default().to_owned())
    });
    assert!(JobId::parse(&id).is_ok(), "{id}");
    until_gauge(&fleet, "seedfleet_config_restart_needed", 0.0);
}
