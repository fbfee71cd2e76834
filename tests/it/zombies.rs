//! Submitters that stand still and wake up late: the last byte of a request leaves in time or never.

use e2e::kit::{BOUND, Fleet, Line, Options, TcpProxy, text};
use job::mutant::{self, Mutant};
use job::{Attempt, AttemptOutcome, JobId, Record};
use sandbox::Process;
use std::sync::Arc;
use std::time::Duration;
use worker::fault::{self, PAUSE_ENV, Point};

const SINGLE_FILE: &str = "[submit]\nconcurrency = 1\n";

fn jobs(fleet: &Fleet, what: &str, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("a sleeper, {what} {n}")).into()))
}

/// Starts a submitter that stands still at its first pass of `point`.
fn sleeper(fleet: &Fleet, name: &str, point: Point, ms: u32, env: &[(&str, &str)]) -> Arc<Process> {
    let pause = format!("{}:1:{ms}", point.name());
    fleet.start_as(name, "submitter", &[&[(PAUSE_ENV, pause.as_str())], env].concat())
}

fn pauses(process: &Process) {
    process
        .wait_for_line("fault point: pausing", BOUND)
        .unwrap_or_else(|missed| panic!("{missed}"));
}

// covers: M6, M26
#[test]
fn submitters_stopped_past_their_lease_wake_up_and_send_nothing() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options.config(SINGLE_FILE));
    let points = [fault::SUBMIT_BEGUN, fault::SUBMIT_BEFORE_LAST_BYTE, fault::SUBMIT_SENT];
    let (mut zombies, mut held) = (Vec::new(), Vec::new());
    // One after the other, so that each finds a job; the pause lasts until a busy machine has stopped it.
    for point in points {
        let zombie = sleeper(&fleet, point.name(), point, 5_000, &[]);
        held.extend(jobs(&fleet, &format!("held at {}", point.name()), 1));
        pauses(&zombie);
        zombie.signal("STOP").expect("a signal");
        zombies.push(zombie);
    }
    // The leases pass, another submitter and the scans clear up.
    fleet.start_role("submitter");
    fleet.wait_stored(&held);
    fleet.role("submitter").stop();

    for zombie in &zombies {
        zombie.signal("CONT").expect("a signal");
    }
    // They have come to their senses when they work again.
    let later = jobs(&fleet, "later", 6);
    fleet.wait_stored(&later);
    for zombie in &zombies {
        zombie.signal("TERM").expect("a signal");
        let status = zombie.wait_bounded(BOUND).expect("it ends");
        assert!(status.success(), "{status}:\n{}", zombie.log_tail(20));
    }
    let ids = [held, later].concat();
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().creates_of(&record), 1, "{}", record.id);
    }
    fleet.audit(&ids);
}

/// A fleet in which a slot's instant may be used for longer than a slow start takes, so that nothing but
/// the deadline shuts the gate.
fn patient_fleet() -> Fleet {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let patient = "[limits]\nuse_within = \"1s\"\n[submit]\nsend_deadline = \"900ms\"\n";
    Fleet::start(options.config(patient))
}

/// One job by a submitter whose Begin is slow and which then stands still: clock and Begin take 600 ms,
/// the pause 450, more than the deadline together and less each. Tells the job and whether the create
/// of its first attempt came all the same.
fn slow_start(fleet: &Fleet, name: &str, env: &[(&str, &str)]) -> (Record, bool) {
    let id = fleet.admit(text(&format!("a slow start, {name}")));
    let slow = TcpProxy::start(&format!("127.0.0.1:{}", fleet.redis().port()));
    slow.set(Line::Delay(Duration::from_millis(150)));
    let url = format!("redis://{}/", slow.addr());
    let env = [&[("SEEDFLEET__REDIS__URL", url.as_str())], env].concat();
    let submitter = sleeper(fleet, name, fault::SUBMIT_BEGUN, 450, &env);
    pauses(&submitter);
    slow.set(Line::Pass);
    fleet.wait_stored(std::slice::from_ref(&id));
    submitter.stop();
    let record = fleet.record(&id);
    let first = record.life.attempts.first().map(|attempt| attempt.open.id.clone());
    let first = first.unwrap_or_else(|| panic!("{id} had no attempt"));
    let ledger = fleet.ledger();
    let sent = ledger.events("create_seen").any(|l| l["client_request_id"] == first.as_str());
    (record, sent)
}

/// The deadline runs from before Redis was asked: a slow Begin uses it up as well.
// covers: M6, M26
#[test]
fn a_submitter_paused_past_its_send_deadline_reports_that_it_sent_nothing() {
    let fleet = patient_fleet();
    let (record, sent) = slow_start(&fleet, "submitter", &[]);
    let way = fleet.timeline(&record.id);
    assert!(!sent, "{way:#?}");
    let outcome = &record.life.attempts[0].outcome;
    assert!(matches!(outcome, AttemptOutcome::NotSent { .. }), "{way:#?}");
    assert_eq!(fleet.ledger().creates_of(&record), 1);
    fleet.audit(&[record.id]);
}

/// The instant of a create is a slot in a row that the whole fleet shares: one that is reached too late is
/// another's, however long the deadline is.
// covers: M6, M28
#[test]
fn a_submitter_paused_past_its_slot_sends_nothing_and_the_job_goes_again() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options);
    let points = [fault::SUBMIT_BEGUN, fault::SUBMIT_FENCED, fault::SUBMIT_BEFORE_LAST_BYTE];
    let mut ids = Vec::new();
    for point in points {
        let id = fleet.admit(text(&format!("too late for {}", point.name())));
        // Longer than lead, horizon and slot of this fleet together, and less than its deadline.
        let submitter = sleeper(&fleet, point.name(), point, 1_500, &[]);
        fleet.wait_stored(std::slice::from_ref(&id));
        submitter.stop();
        let record = fleet.record(&id);
        let [late @ .., again] = &record.life.attempts[..] else {
            panic!("{:#?}", fleet.timeline(&id));
        };
        // A busy machine may be too late for another slot as well.
        let not_sent = |a: &Attempt| matches!(a.outcome, AttemptOutcome::NotSent { .. });
        assert!(!late.is_empty() && late.iter().all(not_sent), "{late:?}");
        assert!(matches!(again.outcome, AttemptOutcome::Accepted { .. }), "{again:?}");
        assert_eq!(fleet.ledger().creates_of(&record), 1, "{}", point.name());
        ids.push(id);
    }
    fleet.audit(&ids);
}

/// What `a_submitter_paused_past_its_send_deadline` proves is no accident of its timing.
#[test]
fn a_deadline_that_runs_from_begins_answer_or_none_at_all_is_noticed() {
    let fleet = patient_fleet();
    for mutant in [Mutant::DeadlineAfterBegin, Mutant::GateRemoved] {
        // On a busy machine a mutant may be late by its own rule: it gets another chance.
        let noticed = (0..8).any(|n| {
            let name = format!("{}-{n}", mutant.name());
            slow_start(&fleet, &name, &[(mutant::ENV, mutant.name())]).1
        });
        assert!(noticed, "{} sends in time", mutant.name());
    }
}
