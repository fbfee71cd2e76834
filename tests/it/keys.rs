//! The provider's keys change under a working fleet: by SIGHUP, by themselves, and not by a bad file.

use e2e::kit::{BOUND, Fleet, Options, text};
use job::{JobId, StateWord};
use serde_json::json;

/// The provider's next key: a word no log may hold.
const NEXT_KEY: &str = "canary-next-provider-key-5e21";
/// Who calls the provider, and with it holds its keys.
const CALLERS: [&str; 3] = ["submitter", "poller", "downloader"];

fn films(fleet: &Fleet, what: &str, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("{what}, number {n}")).into()))
}

/// Every caller has started, and with it read its keys: a film has gone through all of them.
fn warm_up(fleet: &Fleet) -> Vec<JobId> {
    let ids = films(fleet, "with the first key", 1);
    fleet.wait_stored(&ids);
    ids
}

/// Waits until every caller has said this.
fn until_told(fleet: &Fleet, words: &str) {
    for role in CALLERS {
        fleet.role(role).wait_for_line(words, BOUND).unwrap_or_else(|missed| panic!("{missed}"));
    }
}

/// Calls go out with the next key before the old one ends, as a person would see to.
fn revoke_the_old_key(fleet: &Fleet) -> Vec<JobId> {
    let seen = fleet.ledger().events("create_seen").count();
    let more = films(fleet, "between two keys", 4);
    fleet.until("creates with the next key", || {
        (fleet.ledger().events("create_seen").count() >= seen + more.len()).then_some(())
    });
    fleet.provider_keys(&[NEXT_KEY]);
    more
}

/// Every job stored, once, without a doubt; nobody ever came with a wrong key.
fn all_is_well(fleet: &Fleet, ids: &[JobId]) {
    for record in fleet.wait_stored(ids) {
        assert_eq!(fleet.ledger().tasks_of(&record).len(), 1, "{}", record.id);
        let lines = fleet.run(fleet.store().timeline(&record.id)).expect("Redis answers");
        let bad = [StateWord::InDoubt, StateWord::Parked];
        let seen = lines.iter().find(|line| bad.contains(&line.to));
        assert!(seen.is_none(), "{}: {:#?}", record.id, fleet.timeline(&record.id));
    }
    let stats = fleet.stats();
    assert!(stats["calls"].get("unauthorized").is_none(), "{}", stats["calls"]);
    assert!(!fleet.logs().contains(NEXT_KEY), "a key is never logged");
    fleet.audit(ids);
}

// covers: M24
#[test]
fn a_key_is_rotated_by_sighup_under_running_tasks() {
    let flags = ["--api-key", NEXT_KEY, "--run-s", "2-4"];
    let fleet = Fleet::start(Options::default().simulator(&flags));
    let mut ids = warm_up(&fleet);
    // Some creates are always on the wire.
    fleet.faults(&json!({"create": [{"kind": "delay_reply", "ms": 300}]}));
    ids.extend(films(&fleet, "under an old key", 40));
    fleet.until("running tasks", || (fleet.ledger().events("running").count() >= 8).then_some(()));
    std::fs::write(fleet.path("provider.key"), NEXT_KEY).unwrap();
    for role in CALLERS {
        fleet.role(role).signal("HUP").expect("a signal");
    }
    until_told(&fleet, "a new key was read");
    ids.extend(revoke_the_old_key(&fleet));
    ids.extend(films(&fleet, "under the next key", 10));
    all_is_well(&fleet, &ids);
    for role in CALLERS {
        assert!(fleet.role(role).is_running(), "{role}");
        let metrics = fleet.metrics(role);
        let taken = metrics.lines().find(|line| {
            line.starts_with("seedfleet_keys_read_total") && line.contains("\"taken\"")
        });
        assert!(taken.is_some_and(|line| line.ends_with(" 1")), "{role}: {taken:?}");
    }
}

// covers: M24
#[test]
fn a_missing_key_file_changes_nothing_and_a_new_one_is_found_without_being_asked() {
    let flags = ["--api-key", NEXT_KEY, "--run-s", "1-2"];
    let fleet = Fleet::start(Options::default().simulator(&flags));
    let bad = |role: &str| {
        let metrics = fleet.metrics(role);
        let line = metrics.lines().find(|line| line.starts_with("seedfleet_key_files_bad"));
        line.and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
    };
    let mut ids = warm_up(&fleet);
    std::fs::remove_file(fleet.path("provider.key")).unwrap();
    until_told(&fleet, "the key stays as it was");
    for role in CALLERS {
        fleet.until("a gauge", || (bad(role).as_deref() == Some("1")).then_some(()));
    }
    ids.extend(films(&fleet, "with the key it had", 4));
    fleet.wait_stored(&ids);
    std::fs::write(fleet.path("provider.key"), NEXT_KEY).unwrap();
    until_told(&fleet, "a new key was read");
    ids.extend(revoke_the_old_key(&fleet));
    ids.extend(films(&fleet, "with the key it found", 4));
    all_is_well(&fleet, &ids);
    for role in CALLERS {
        fleet.until("a gauge", || (bad(role).as_deref() == Some("0")).then_some(()));
    }
}
