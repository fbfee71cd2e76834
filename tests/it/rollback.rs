//! Redis forgets: older data under a running fleet, or none at all. Creates stop within two seconds,
//! the intents outside Redis tell what was sent, and nothing is bought twice.

use e2e::kit::{BOUND, Fleet, Kept, Options, PowerOptions, text};
use job::{JobId, StateWord};
use sandbox::wait;
use serde_json::{Value, json};
use std::time::Duration;
use worker::fault::{self, PAUSE_ENV};

/// Losses in a run; `tests/verify/rollback.sh` asks for a hundred.
const ROLLBACKS_ENV: &str = "SEEDFLEET_TEST_ROLLBACKS";
const ROLLBACKS: usize = 5;
const JOBS_PER_ROUND: u32 = 5;
/// Every so many rounds nothing at all is left.
const WIPE_EVERY: u32 = 6;
/// From a server that answers to a pool that begins nothing.
const NOTICED_MAX: Duration = Duration::from_secs(2);
/// A quarantine reads every intent, and settles every job that was forgotten.
const THAW_MAX: Duration = Duration::from_secs(90);

/// Short horizons: what a quarantine waits for is over in about two seconds.
const SHORT: &str = "[submit]\nsend_deadline = \"600ms\"\nlease = \"1500ms\"\nrenew = \"300ms\"\n\
                     [provider]\nconnect_timeout = \"500ms\"\ncreate_timeout = \"1s\"\n[reconcile]\nwatch_every = \"200ms\"\n";

/// A request that its task in the ledger can be traced back to, whoever asks for it and how often.
fn body(round: u32, number: u32) -> Value {
    text(&format!("{} drifts back in time", mark(round, number))).into()
}

fn mark(round: u32, number: u32) -> String {
    format!("mark-{round}-{number}")
}

fn admit(fleet: &Fleet, round: u32) -> Vec<JobId> {
    fleet.admit_many((0..JOBS_PER_ROUND).map(|number| body(round, number)))
}

/// How long the fleet took to notice, from when the server answered.
fn noticed(fleet: &Fleet, lose: impl FnOnce()) -> Duration {
    let since = fleet.clock_now();
    lose();
    let answers = fleet.clock_now();
    fleet.until_frozen(since).since(answers)
}

fn thawed(fleet: &Fleet) {
    let thawed = wait::until("the thaw", THAW_MAX, || (!fleet.is_frozen()).then_some(()));
    thawed.unwrap_or_else(|missed| panic!("{missed}"));
}

// covers: M6, M22, M26
#[test]
fn a_redis_rolled_back_or_wiped_under_a_running_fleet_buys_nothing_twice() {
    let rollbacks = std::env::var(ROLLBACKS_ENV).map_or(ROLLBACKS, |count| count.parse().unwrap());
    let everysec = PowerOptions { appendfsync: "everysec", ..PowerOptions::default() };
    let fleet = Fleet::start(Options::default().config(SHORT).power(everysec));
    let (mut delays, mut round) = (Vec::new(), 0);
    while delays.len() < rollbacks {
        let older = fleet.power().snapshot();
        admit(&fleet, round);
        let before = fleet.ledger().bought().len();
        let some = 1 + round as usize % JOBS_PER_ROUND as usize;
        fleet.until("purchases to forget", || {
            (fleet.ledger().bought().len() >= before + some).then_some(())
        });
        // In every other round the second loss comes in the middle of the first one's quarantine.
        for _ in 0..=round % 2 {
            delays.push(noticed(&fleet, || {
                if round % WIPE_EVERY == WIPE_EVERY - 1 {
                    fleet.power().wipe();
                } else {
                    fleet.power().rollback(&older);
                }
            }));
        }
        thawed(&fleet);
        // Our own door has lost its connection as well.
        fleet.until("Redis", || fleet.run(fleet.store().now()).ok());
        // What was never begun is nobody's but the caller's, who asks again with the same words.
        fleet.wait_settled(&admit(&fleet, round));
        round += 1;
    }
    let ids: Vec<JobId> = (0..round).flat_map(|round| admit(&fleet, round)).collect();
    let records = fleet.wait_settled(&ids);

    let marks = (0..round).flat_map(|round| (0..JOBS_PER_ROUND).map(move |n| mark(round, n)));
    let Kept { stored, parked } = fleet.kept(marks.zip(&records));
    delays.sort();
    let (median, slowest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!(
        "{} rollbacks: {} requests, {} tasks bought, 0 twice, {stored} stored, {parked} parked; \
         noticed after {median:?} (median), {slowest:?} (slowest)",
        delays.len(),
        records.len(),
        fleet.ledger().bought().len(),
    );
    // Beside other tests a process that has to notice may wait for a processor, though not each time; who asks for more
    // losses has the machine to himself.
    let judged = if std::env::var_os(ROLLBACKS_ENV).is_some() { slowest } else { median };
    assert!(judged <= NOTICED_MAX, "noticed after {delays:?}");
}

/// The server falls back to before a refusal, after which the job was sent again and bought. Waiting for
/// the refused attempt would park the job, and leave the task of the other to nobody.
// covers: M6, M22, M26
#[test]
fn a_purchase_after_a_forgotten_refusal_is_taken_in_under_the_strict_policy() {
    let options = Options { roles: vec!["poller", "downloader"], ..Options::default() };
    let strict = format!("{SHORT}[pools.sim]\npolicy = \"strict\"\n");
    let fleet = Fleet::start(options.config(&strict).power(PowerOptions::default()));
    fleet.faults(&json!({"create": [{"kind": "answer", "code": "ServerOverloaded", "times": 1}]}));
    // Long enough for a busy machine to take its copy meanwhile.
    let pause = format!("{}:1:5000", fault::WORKER_BEFORE_COMMIT.name());
    let submitter = fleet.start_as("submitter", "submitter", &[(PAUSE_ENV, &pause)]);
    let id = fleet.admit(text("bought at the second try"));
    let paused = submitter.wait_for_line("fault point: pausing", BOUND);
    paused.unwrap_or_else(|missed| panic!("{missed}"));
    assert_eq!(fleet.record(&id).life.state.word(), StateWord::Submitting);
    let older = fleet.power().snapshot();
    fleet.until("the second attempt's task", || fleet.record(&id).life.state.task().map(drop));
    noticed(&fleet, || fleet.power().rollback(&older));
    thawed(&fleet);
    fleet.until("Redis", || fleet.run(fleet.store().now()).ok());
    let record = fleet.wait_stored(std::slice::from_ref(&id)).remove(0);
    let way = fleet.timeline(&id);
    assert_eq!(fleet.ledger().tasks_of(&record).len(), 1, "{way:#?}");
    assert!(way.iter().any(|line| line.contains("intent-forgotten")), "{way:#?}");
    fleet.audit(&[id]);
}
