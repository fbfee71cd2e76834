//! Wall clocks that are wrong. Every instant that matters is Redis's own, so a worker ten minutes ahead
//! or behind decides as the others do.

use e2e::kit::{Clock, Fleet, Options, text};
use serde_json::json;

/// Set by `tests/verify/clocks.sh`: the tool is there, so its absence is a failure.
const NEEDED_ENV: &str = "SEEDFLEET_TEST_FAKETIME";
const TEN_MINUTES_S: i64 = 600;

// covers: M22
#[test]
fn workers_ten_minutes_ahead_and_behind_work_as_one_fleet() {
    let Some(clock) = Clock::find() else {
        assert!(
            std::env::var_os(NEEDED_ENV).is_none(),
            "libfaketime is not found, or does not work"
        );
        return;
    };
    let fleet = Fleet::start(Options::empty());
    let maybe = |kind: &str, probability: f64| json!({"kind": kind, "probability": probability});
    fleet.faults(&json!({
        "create": [maybe("accept_then_drop", 0.2), maybe("500_without_create", 0.1)],
        "media": [maybe("truncated", 0.1)],
    }));
    for (side, shift_s) in [("ahead", TEN_MINUTES_S), ("behind", -TEN_MINUTES_S)] {
        let env = clock.shifted(shift_s);
        let env: Vec<(&str, &str)> =
            env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for role in ["submitter", "poller", "downloader"] {
            fleet.start_as(&format!("{role}-{side}"), role, &env);
        }
    }
    let ids = fleet.admit_many((0..20).map(|n| text(&format!("out of time {n}")).into()));
    // One of the two goes: what it held is taken over by a clock twenty minutes off.
    fleet.until("creates", || (fleet.ledger().events("create_seen").count() >= 4).then_some(()));
    fleet.kill9("submitter-ahead");
    for record in fleet.wait_settled(&ids) {
        assert!(fleet.ledger().tasks_of(&record).len() <= 1, "{}", record.id);
    }
    fleet.audit(&ids);
}
