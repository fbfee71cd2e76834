//! Change by plan leaves nothing behind: SIGTERM, a rolling restart and scale-in under load bring no job
//! into doubt, and neither do connections that the provider closes. Sudden death costs one lease.

use e2e::kit::{Fleet, Options, text};
use job::{AttemptOutcome, JobId, Record, StateWord};
use seedance::SlotClass;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use store::Queue;
use store::keys::Keys;

/// Tasks in flight at the provider while the fleet is changed under them.
const IN_FLIGHT: u64 = 60;
/// The longest the fleet may stand still while something is replaced.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// What a worker may take to stop: its longest call, and its commits.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Leases as they ship: a plan that needs a short lease to come true is none.
const SHIPPED_LEASES: &str = "[submit]\nlease = \"30s\"\nrenew = \"10s\"\n\
                              [settle]\nlease = \"30s\"\nrenew = \"10s\"\n\
                              [poll]\nlease = \"6s\"\nrenew = \"2s\"\n\
                              [download]\nlease = \"6s\"\nrenew = \"2s\"\n";

fn films(fleet: &Fleet, count: usize) -> Vec<JobId> {
    named(fleet, "a film in motion", count)
}

fn named(fleet: &Fleet, name: &str, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("{name}, number {n}")).into()))
}

/// Asks a worker to stop and waits until it has, which must be its own doing.
fn stop(fleet: &Fleet, name: &str) {
    let process = fleet.role(name);
    process.signal("TERM").expect("a signal");
    let Some(status) = process.wait_bounded(STOP_MAX) else {
        panic!("{name} does not stop; its last lines:\n{}", process.log_tail(20));
    };
    assert!(status.success(), "{name} ended by {status}:\n{}", process.log_tail(20));
}

/// Jobs in one of these states.
fn standing(fleet: &Fleet, words: &[StateWord]) -> Option<u64> {
    let counts = fleet.run(fleet.store().counts()).ok()?;
    Some(words.iter().filter_map(|word| counts.get(word)).sum())
}

/// Waits until this many creates are on the wire, or none is left to wait for.
fn until_sending(fleet: &Fleet, creates: u64) {
    fleet.until("creates on the wire", || {
        let sending = standing(fleet, &[StateWord::Submitting])?;
        let waiting = standing(fleet, &[StateWord::Queued])?;
        (sending >= creates || waiting == 0).then_some(())
    });
}

/// No attempt of the job ever ended without a clear answer.
fn never_in_doubt(fleet: &Fleet, record: &Record) {
    let lines = fleet.run(fleet.store().timeline(&record.id)).expect("Redis answers");
    let bad = [StateWord::InDoubt, StateWord::Parked, StateWord::Failed];
    let seen = lines.iter().find(|line| bad.contains(&line.to));
    assert!(seen.is_none(), "{}: {:#?}", record.id, fleet.timeline(&record.id));
    for attempt in &record.life.attempts {
        let clear = match &attempt.outcome {
            AttemptOutcome::NotSent { .. } | AttemptOutcome::Accepted { .. } => true,
            AttemptOutcome::Refused { .. }
            | AttemptOutcome::Absent
            | AttemptOutcome::Abandoned { .. } => false,
        };
        assert!(clear, "{}: {attempt:?}", record.id);
    }
}

/// The longest time between two tasks made, the last `but` of them left out.
fn longest_gap(fleet: &Fleet, but: usize) -> Duration {
    let ledger = fleet.ledger();
    let mut made: Vec<u64> =
        ledger.events("task_made").map(|line| line["at_ms"].as_u64().unwrap()).collect();
    made.truncate(made.len().saturating_sub(but));
    let gap = made.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max();
    Duration::from_millis(gap.unwrap_or(0))
}

/// Every create takes a while, so that a stop always meets some that are on the wire.
fn slow_creates(fleet: &Fleet) {
    fleet.faults(&json!({"create": [{"kind": "delay_reply", "ms": 400}]}));
}

// covers: M6, M24/create-no-id, M26
#[test]
fn a_rolling_restart_of_every_worker_and_of_redis_brings_no_job_into_doubt() {
    let options = Options { roles: vec!["gateway"], ..Options::with_gateway() };
    let fleet = Fleet::start(options.config(SHIPPED_LEASES).simulator(&["--run-s", "3-4"]));
    slow_creates(&fleet);
    let workers: Vec<(String, &str)> = ["submitter", "poller", "downloader"]
        .into_iter()
        .flat_map(|role| ["a", "b"].map(|twin| (format!("{role}-{twin}"), role)))
        .collect();
    for (name, role) in &workers {
        fleet.start_as(name, role, &[]);
    }
    let ids = films(&fleet, 240);
    fleet.until("a full house", || {
        let open = standing(&fleet, &[StateWord::Submitting, StateWord::Running])?;
        (open >= IN_FLIGHT).then_some(())
    });

    for (name, role) in &workers {
        until_sending(&fleet, 3);
        stop(&fleet, name);
        fleet.start_as(name, role, &[]);
    }
    stop(&fleet, "gateway");
    fleet.start_gateway();
    until_sending(&fleet, 3);
    fleet.redis().stop();
    fleet.redis().restart().expect("it starts again on its data");

    until_sending(&fleet, 3);
    for (name, _) in workers.iter().filter(|(name, _)| name.ends_with('b')) {
        stop(&fleet, name);
    }
    for record in fleet.wait_stored(&ids) {
        never_in_doubt(&fleet, &record);
    }
    // Tickets whose claim was answered by a Redis that went away come back with their lease, which may
    // be behind everybody else: what two submitters may have asked for at that moment.
    let gap = longest_gap(&fleet, 2 * 16);
    assert!(gap <= PAUSE_MAX, "nothing was sent for {gap:?}");
    fleet.audit(&ids);
}

// covers: M6, M24/create-no-id
#[test]
fn a_submitter_that_is_stopped_again_and_again_finishes_what_it_has_begun() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options.config("[submit]\nconcurrency = 8\n"));
    slow_creates(&fleet);
    let mut ids = films(&fleet, 90);
    let mut stops = 0;
    loop {
        fleet.start_role("submitter");
        // Each stop meets another moment between a claim and its commit.
        until_sending(&fleet, 1 + stops % 8);
        stop(&fleet, "submitter");
        stops += 1;
        let left = standing(&fleet, &[StateWord::Queued, StateWord::Submitting]);
        if left == Some(0) && stops >= 5 {
            break;
        }
        if left == Some(0) {
            // A test that was kept from its look let too many go.
            ids.extend(named(&fleet, &format!("after {stops} stops"), 30));
        }
        assert!(stops < 60, "no progress: {left:?}");
    }
    for record in fleet.wait_stored(&ids) {
        never_in_doubt(&fleet, &record);
    }
    fleet.audit(&ids);
}

// covers: M6, M24/create-no-id
#[test]
fn connections_that_the_provider_closes_bring_no_create_into_doubt() {
    let fleet = Fleet::start(Options::default().simulator(&["--run-s", "0.1-0.2"]));
    // Closed the moment an answer is out: a client that keeps connections for creates loses the race.
    fleet.faults(&json!({"connect": [{"kind": "close_idle", "ms": 0}]}));
    let ids = films(&fleet, 150);
    for record in fleet.wait_stored(&ids) {
        never_in_doubt(&fleet, &record);
        assert_eq!(fleet.ledger().creates_of(&record), 1);
    }
    let closed = &fleet.stats()["calls"]["connect"]["closeidle"];
    assert!(closed.as_u64() >= Some(150), "the fault was there: {closed}");
    fleet.audit(&ids);
}

/// Who holds each ticket of a queue: job id to claim fence.
fn holders(fleet: &Fleet, queue: Queue) -> BTreeMap<String, String> {
    let key = Keys::new("e2e", "sim").holder(queue);
    let told = fleet.redis().command(&["HGETALL", &key]).expect("Redis answers");
    let words: Vec<&str> = told.lines().collect();
    words.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

/// Kills `victim`, and measures how long each ticket of the queue that it alone held stays where it is.
fn waits_after_death(fleet: &Fleet, victim: &str, queue: Queue, at_least: usize) -> Vec<Duration> {
    let held = fleet.until("tickets in its hands", || {
        let held = holders(fleet, queue);
        (held.len() >= at_least).then_some(held)
    });
    fleet.kill9(victim);
    let died = Instant::now();
    // What kept them in its hands; the heir is to be held up by nothing but the lease.
    fleet.faults(&json!({}));
    // What it gave back between the look and its death waits for nobody.
    let mut left: BTreeMap<String, String> = holders(fleet, queue);
    left.retain(|id, fence| held.get(id) == Some(fence));
    let mut waits = Vec::with_capacity(left.len());
    fleet.start_as(&format!("{victim}-heir"), victim, &[]);
    fleet.until("every ticket in other hands", || {
        let now = holders(fleet, queue);
        left.retain(|id, fence| {
            let stays = now.get(id) == Some(fence);
            if !stays {
                waits.push(died.elapsed());
            }
            stays
        });
        left.is_empty().then_some(())
    });
    assert!(!waits.is_empty(), "{victim} died with nothing in its hands");
    waits.sort_unstable();
    waits
}

/// Kills once more where the machine stood still for so long that nobody could have been in time; it does not each time.
fn within(bound: Duration, waits: impl Fn() -> Vec<Duration>) {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let waits = waits();
        if waits.last().is_some_and(|worst| *worst <= bound) {
            return;
        }
        seen.push(waits);
    }
    panic!("above {bound:?} each time: {seen:?}");
}

#[test]
fn what_a_dead_poller_held_moves_on_within_ten_seconds_at_the_shipped_leases() {
    within(Duration::from_secs(10), a_dead_poller);
}

fn a_dead_poller() -> Vec<Duration> {
    let options = Options { roles: vec!["submitter", "poller"], ..Options::default() };
    let fleet = Fleet::start(options.config(SHIPPED_LEASES));
    let slow = json!([{"kind": "slow", "ms": 2500}]);
    fleet.faults(&json!({"retrieve": slow, "list": slow}));
    let ids = films(&fleet, 60);
    let waits = waits_after_death(&fleet, "poller", Queue::Poll, 40);
    fleet.start_role("downloader");
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
    waits
}

#[test]
fn what_a_dead_downloader_held_moves_on_within_ten_seconds_at_the_shipped_leases() {
    within(Duration::from_secs(10), a_dead_downloader);
}

fn a_dead_downloader() -> Vec<Duration> {
    let options = Options { roles: vec!["submitter", "poller"], ..Options::default() };
    let fleet = Fleet::start(options.config(SHIPPED_LEASES));
    let slow = json!({"kind": "slow", "bytes_per_s": 2000, "match": {"file": "mp4"}});
    fleet.faults(&json!({"media": [slow]}));
    // As many as one downloader copies at a time: the heir has room for all of them.
    let ids = films(&fleet, 8);
    for id in &ids {
        fleet.wait(id, "downloading");
    }
    fleet.start_role("downloader");
    let waits = waits_after_death(&fleet, "downloader", Queue::Download, 8);
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
    waits
}

#[test]
fn what_a_dead_submitter_held_moves_on_within_its_lease_and_five_seconds() {
    within(Duration::from_secs(4 + 5), a_dead_submitter);
}

fn a_dead_submitter() -> Vec<Duration> {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options.config("[submit]\nlease = \"4s\"\nrenew = \"1s\"\n"));
    fleet.faults(&json!({"create": [{"kind": "delay_reply", "ms": 3000}]}));
    let ids = films(&fleet, 16);
    fleet.start_role("submitter");
    let waits = waits_after_death(&fleet, "submitter", Queue::Submit(SlotClass::V20), 12);
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().creates_of(&record), 1, "adopted, not sent again");
    }
    fleet.audit(&ids);
    waits
}

/// Differences that two scans in a row agree on, so that no commit between two reads is blamed.
fn standing_faults(fleet: &Fleet, before: &[String]) -> (Vec<String>, Vec<String>) {
    let recount = fleet.run(fleet.store().recount()).expect("Redis answers");
    let told = recount.drifts.iter().filter(|drift| drift.what.starts_with("ticket of "));
    let now: Vec<String> = told.map(|drift| format!("{drift:?}")).collect();
    let both = now.iter().filter(|drift| before.contains(drift)).cloned().collect();
    (now, both)
}

// covers: M22, M27
#[test]
fn whatever_dies_every_open_job_has_its_ticket() {
    let fleet = Fleet::start(Options::default());
    let maybe = |kind: &str, probability: f64| json!({"kind": kind, "probability": probability});
    fleet.faults(&json!({
        "create": [maybe("accept_then_drop", 0.2), maybe("drop_before", 0.1)],
        "retrieve": [maybe("drop", 0.1)],
        "media": [maybe("reset", 0.2)],
    }));
    let ids = films(&fleet, 60);
    let victims = ["submitter", "poller", "downloader"];
    let mut before = Vec::new();
    let mut scans = 0;
    for round in 0..9 {
        fleet.kill9(victims[round % 3]);
        for _ in 0..4 {
            let (now, both) = standing_faults(&fleet, &before);
            assert!(both.is_empty(), "without a deadline: {both:#?}");
            before = now;
            scans += 1;
        }
        fleet.start_role(victims[round % 3]);
    }
    assert_eq!(scans, 36);
    // A job whose submitter died twice may be parked: its automatic re-send is spent.
    for record in fleet.wait_settled(&ids) {
        let word = record.life.state.word();
        assert!(matches!(word, StateWord::Succeeded | StateWord::Parked), "{word:?}");
    }
    fleet.audit(&ids);
}
