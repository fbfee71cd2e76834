//! The network splits in the middle of a create: worker from Redis, worker from provider, one way or
//! both. Whatever was bought is found, and nothing is bought twice.

use e2e::kit::{Fleet, Line, Options, TcpProxy, Way, text};
use job::{AttemptOutcome, JobId};
use serde_json::json;
use std::time::Duration;

/// One job per submitter, so that each line carries one create.
const SINGLE_FILE: &str = "[submit]\nconcurrency = 1\n";

fn jobs(fleet: &Fleet, what: &str, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("across the gap, {what} {n}")).into()))
}

fn seen(fleet: &Fleet, creates: usize) {
    fleet.until("creates under way", || {
        (fleet.ledger().events("create_seen").count() >= creates).then_some(())
    });
}

/// A submitter whose way to Redis leads over a line of its own.
fn behind_redis(fleet: &Fleet, name: &str) -> TcpProxy {
    let proxy = TcpProxy::start(&format!("127.0.0.1:{}", fleet.redis().port()));
    let url = format!("redis://{}/", proxy.addr());
    let quick = ("SEEDFLEET__REDIS__RESPONSE_TIMEOUT", "500ms");
    fleet.start_as(name, "submitter", &[("SEEDFLEET__REDIS__URL", &url), quick]);
    proxy
}

/// A submitter whose way to the provider leads over a line of its own; so do the reads of what it buys.
fn behind_provider(fleet: &Fleet, name: &str, line: Line) -> TcpProxy {
    let proxy = TcpProxy::start(fleet.api_address());
    proxy.set(line);
    let url = format!("http://{}/api/v3", proxy.addr());
    fleet.start_as(name, "submitter", &[("SEEDFLEET__POOLS__SIM__BASE_URL", &url)]);
    proxy
}

// covers: M6, M22, M26
#[test]
fn a_submitter_cut_off_from_redis_in_the_middle_of_a_create_buys_once() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options.config(SINGLE_FILE));
    fleet.faults(&json!({"create": [{"kind": "delay_reply", "ms": 800, "times": 4}]}));
    let lines = [Line::OneWay(Way::Up), Line::OneWay(Way::Down), Line::BlackHole, Line::Stall];
    let proxies: Vec<TcpProxy> =
        (0..lines.len()).map(|n| behind_redis(&fleet, &format!("submitter-{n}"))).collect();
    let first = jobs(&fleet, "first", lines.len());
    seen(&fleet, first.len());
    for (proxy, line) in proxies.iter().zip(lines) {
        proxy.set(line);
    }
    // Nobody hears of the four answers. Somebody else finds four leases passed.
    fleet.start_as("submitter-well", "submitter", &[]);
    fleet.wait_stored(&first);
    let [up, down, dark, stalled] = &proxies[..] else { panic!() };
    assert!(up.counts().one_way > 0 && down.counts().one_way > 0, "{:?}", up.counts());
    assert!(dark.counts().black_holed > 0 && stalled.counts().stalled > 0, "{:?}", dark.counts());

    // What stalled arrives now: reports about attempts that are settled.
    for proxy in &proxies {
        proxy.set(Line::Pass);
    }
    fleet.role("submitter-well").stop();
    let later = jobs(&fleet, "later", 8);
    for record in fleet.wait_stored(&[first.clone(), later.clone()].concat()) {
        assert_eq!(fleet.ledger().creates_of(&record), 1, "{}", record.id);
    }
    fleet.audit(&[first, later].concat());
}

// covers: M6, M22, M24
#[test]
fn a_line_to_the_provider_that_breaks_around_a_create_leaves_one_task_per_job() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let quick = "[provider]\ncreate_timeout = \"3s\"\n";
    let fleet = Fleet::start(options.config(SINGLE_FILE).config(quick));
    fleet.faults(&json!({"create": [{"kind": "delay_reply", "ms": 1000, "times": 6}]}));
    // These break while the provider works on the answer.
    let after = [
        Line::Cut,
        Line::BlackHole,
        Line::OneWay(Way::Down),
        Line::HalfClose(Way::Down),
        Line::HalfClose(Way::Up),
        Line::Stall,
    ];
    let mut proxies: Vec<TcpProxy> = (0..after.len())
        .map(|n| behind_provider(&fleet, &format!("submitter-{n}"), Line::Pass))
        .collect();
    let mut ids = jobs(&fleet, "after", after.len());
    seen(&fleet, ids.len());
    for (proxy, line) in proxies.iter().zip(after) {
        proxy.set(line);
    }
    fleet.until("every line to have struck", || {
        let counts: Vec<_> = proxies.iter().map(TcpProxy::counts).collect();
        let struck = [
            counts[0].cut,
            counts[1].black_holed,
            counts[2].one_way,
            counts[3].half_closed,
            counts[4].half_closed,
            counts[5].stalled,
        ];
        struck.iter().all(|count| *count > 0).then_some(())
    });
    // They would take the other jobs as well: a create that is cut at once ends at once.
    for n in 0..after.len() {
        fleet.role(&format!("submitter-{n}")).stop();
    }
    // And these are bad before anything is sent.
    let before = [Line::OneWay(Way::Up), Line::Refuse, Line::Delay(Duration::from_millis(100))];
    for (n, line) in before.into_iter().enumerate() {
        proxies.push(behind_provider(&fleet, &format!("submitter-bad-{n}"), line));
    }
    ids.extend(jobs(&fleet, "before", 9));
    fleet.until("the bad lines to have struck as well", || {
        let struck = proxies[6].counts().one_way > 0 && proxies[8].counts().delayed > 0;
        let refused = |id: &JobId| {
            let attempts = fleet.record(id).life.attempts;
            attempts.iter().any(|a| matches!(a.outcome, AttemptOutcome::NotSent { .. }))
        };
        (struck && ids.iter().any(refused)).then_some(())
    });
    for proxy in &proxies {
        proxy.set(Line::Pass);
    }
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
}
