//! Wall clocks that are wrong. Every instant that matters is Redis's own, so a worker ten minutes ahead
//! or behind decides as the others do.

use e2e::kit::{Clock, Fleet, Options, StopWatch, text};
use serde_json::json;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Whoever judges how the fleet keeps to limits asks when a create came. A provider's program that has to wait for
/// a processor sees together what came apart, and its ledger tells both.
#[test]
fn a_create_is_stamped_when_it_comes_and_not_when_a_stalled_provider_gets_round_to_it() {
    let fleet = Fleet::start(Options::empty());
    let key = std::fs::read_to_string(fleet.path("provider.key")).unwrap();
    fleet.simulator().signal("STOP").unwrap();
    let mut line = TcpStream::connect(fleet.api_address()).unwrap();
    write!(
        line,
        "POST /api/v3/contents/generations/tasks HTTP/1.1\r\nhost: provider\r\n\
         authorization: Bearer {}\r\ncontent-length: 2\r\n\r\n{{}}",
        key.trim()
    )
    .unwrap();
    let (stalls, half_a_second) = (StopWatch::start(), Duration::from_millis(500));
    fleet.until("half a second", || (stalls.elapsed() >= half_a_second).then_some(()));
    let goes_on = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let goes_on_ms = i64::try_from(goes_on).unwrap();
    fleet.simulator().signal("CONT").unwrap();
    let seen = fleet.until("the create", || fleet.ledger().events("create_seen").next().cloned());
    let (arrived_us, at_ms) = (seen["arrived_us"].as_i64(), seen["at_ms"].as_i64().unwrap());
    assert!(at_ms >= goes_on_ms - 5, "{seen}");
    if cfg!(target_os = "linux") {
        assert!(arrived_us.is_some_and(|us| us / 1_000 <= goes_on_ms - 100), "{goes_on_ms} {seen}");
    }
}
