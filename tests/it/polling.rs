//! How often tasks are looked at, how soon their end is seen, and what happens when the list does not serve.

use e2e::kit::{BOUND, Fleet, Ledger, Options, text};
use job::JobId;
use serde_json::json;
use worker::fault::{self, KILL_ENV};

/// A tenth of the shipped waits; tasks take a tenth of what they take out there. Nobody else lists.
const TENTH: &str = "[settle]\nlag_sample_every = \"0s\"\n\
                     [poll]\nfirst = \"500ms\"\nsteady = \"1500ms\"\nmax = \"6s\"\n";
const TASKS: [&str; 2] = ["--run-s", "5-20"];

/// What watching cost, and how late the ends were seen.
#[derive(Debug)]
struct Watched {
    singles: usize,
    pages: usize,
    lags_ms: Vec<i64>,
}

impl Watched {
    fn lag_ms(&self, share: f64) -> i64 {
        let at = ((self.lags_ms.len() - 1) as f64 * share).round() as usize;
        self.lags_ms[at]
    }
}

fn calls(ledger: &Ledger, call: &str) -> usize {
    ledger.events("call").filter(|line| line["call"] == call).count()
}

/// Runs `tasks` tasks at a time to their end.
fn watch(fleet: &Fleet, wave: &str, tasks: usize) -> (Watched, Vec<JobId>) {
    let before = fleet.ledger();
    let ids = fleet.admit_many((0..tasks).map(|n| text(&format!("{wave} {n}")).into()));
    let mut lags_ms: Vec<i64> = Vec::new();
    for record in fleet.wait_stored(&ids) {
        let lines = fleet.run(fleet.store().timeline(&record.id)).expect("Redis answers");
        let seen = lines.iter().find(|line| line.what == "succeeded at the provider").unwrap().at;
        let ledger = fleet.ledger();
        let task = ledger.tasks_of(&record)[0].clone();
        let ended = ledger.events("billed").find(|line| line["task"] == task.as_str()).unwrap();
        lags_ms.push(seen.unix_ms() - ended["at_ms"].as_i64().unwrap());
    }
    lags_ms.sort_unstable();
    let after = fleet.ledger();
    let more = |call| calls(&after, call) - calls(&before, call);
    (Watched { singles: more("retrieve"), pages: more("list"), lags_ms }, ids)
}

impl Watched {
    fn reads(&self) -> usize {
        self.singles + self.pages
    }
}

/// What a wave of so many tasks may cost in reads, and what was measured.
#[allow(clippy::print_stderr, reason = "what was measured is told with --no-capture")]
fn within(watched: &Watched, tasks: usize, per_task_max: f64) {
    let per_task = watched.reads() as f64 / tasks as f64;
    let (p50, p95) = (watched.lag_ms(0.5), watched.lag_ms(0.95));
    eprintln!(
        "{tasks} tasks: {} singly, {} pages, {per_task:.2} each; lag {p50} ms, p95 {p95} ms",
        watched.singles, watched.pages
    );
    assert!(per_task <= per_task_max, "{per_task:.2} reads for each of {tasks}: {watched:?}");
    // A tenth of fifteen seconds, and what a busy machine takes for a claim, a page and a commit.
    assert!(watched.lag_ms(0.95) <= 1_500 + 1_000, "{watched:?}");
}

// covers: M8
#[test]
fn what_was_learned_of_times_makes_looks_few_for_many_tasks_and_for_one() {
    let fleet = Fleet::start(Options::default().config(TENTH).simulator(&TASKS));
    let (many, mut ids) = watch(&fleet, "unknown", 40);
    assert!(many.pages >= 5, "{many:?}");
    within(&many, 40, 1.5);
    for (tasks, per_task_max) in [(40, 1.5), (12, 1.5), (3, 7.0), (1, 12.0)] {
        let (watched, others) = watch(&fleet, &format!("learned {tasks}"), tasks);
        within(&watched, tasks, per_task_max);
        // A minute after the start a sweep of the records reads the list once.
        assert!(tasks > 2 || watched.pages <= 1, "one is read singly: {watched:?}");
        ids.extend(others);
    }
    fleet.audit(&ids);
}

// covers: M8, M9
#[test]
fn looks_are_repairs_while_callbacks_come_and_return_when_they_stop() {
    let patience = "callback_grace = \"1s\"\ncallback_silence = \"4s\"\n";
    let config = format!("{TENTH}{patience}");
    // All alike: of times that differ, one in 33 ends behind the instant at which a look repairs.
    let fleet = Fleet::start(Options::with_gateway().config(&config).simulator(&["--run-s", "6"]));
    let (_, mut ids) = watch(&fleet, "first", 40);
    fleet.until("trust in callbacks", || {
        fleet.role("poller").log().contains("looks become rare").then_some(())
    });
    // A poller keeps for ten seconds that it knows no times, and looks early until then. This task ends later than that:
    // with the look that its callback asks for, the poller reads what the first ones taught.
    ids.extend(watch(&fleet, "between", 1).1);
    let (told, others) = watch(&fleet, "told", 12);
    ids.extend(others);
    within(&told, 12, 1.2);
    // Each callback is confirmed by one read.
    let own = told.reads().saturating_sub(12);
    assert!(own <= 2, "{own} reads that no callback asked for: {told:?}");
    assert!(told.lag_ms(0.95) <= 1_500, "{told:?}");

    fleet.faults(&json!({"callback": [{"kind": "lose"}]}));
    let (silent, others) = watch(&fleet, "silent", 12);
    ids.extend(others);
    fleet.until("the silence to be noticed", || {
        fleet.role("poller").log().contains("looks are as usual").then_some(())
    });
    assert!(silent.lag_ms(0.5) <= 20_000, "and the tasks in flight were looked at: {silent:?}");
    let (after, others) = watch(&fleet, "after", 12);
    ids.extend(others);
    within(&after, 12, 2.0);
    fleet.audit(&ids);
}

// covers: M8, M24/poll
#[test]
fn a_list_that_does_not_serve_costs_single_reads_and_no_task() {
    let young = json!({"retrieve": [{"kind": "not_found_at_first", "ms": 900}]});
    let worlds = [
        (json!({"list": [{"kind": "500"}]}), "list_lag_ms=0", false),
        (json!({"list": [{"kind": "cut_body"}]}), "list_lag_ms=0", true),
        (json!({}), "list_model=denied", true),
        (young, "list_lag_ms=1500", true),
    ];
    for (plan, doubt, answered) in worlds {
        let flags = ["--run-s", "2", "--doubt", doubt];
        let fleet = Fleet::start(Options::default().simulator(&flags));
        fleet.faults(&plan);
        let ids = fleet.admit_many((0..6).map(|n| text(&format!("unlisted {n}")).into()));
        fleet.wait_stored(&ids);
        let ledger = fleet.ledger();
        let lists = ledger.events("call").filter(|line| line["call"] == "list");
        let good = lists.filter(|line| line["http_status"] == 200).count();
        assert_eq!(good > 0, answered, "{plan} {doubt}: {good} pages");
        fleet.audit(&ids);
    }
}

// covers: M7, M8
#[test]
fn words_nobody_knows_are_watched_on_in_pages_as_well() {
    let fleet = Fleet::start(Options::default().simulator(&["--run-s", "2"]));
    let strange = json!([{"kind": "unknown_status", "times": 3}]);
    fleet.faults(&json!({"list": strange, "retrieve": strange}));
    let ids = fleet.admit_many((0..5).map(|n| text(&format!("strange {n}")).into()));
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
}

// covers: M4, M8
#[test]
fn a_poller_killed_between_a_page_and_its_commits_loses_nothing() {
    let options = Options { roles: vec!["submitter", "downloader"], ..Options::default() };
    let fleet = Fleet::start(options.simulator(&["--run-s", "1-3"]));
    let ids = fleet.admit_many((0..12).map(|n| text(&format!("swept {n}")).into()));
    for passes in [3, 9] {
        let order = format!("{}:{passes}", fault::POLL_READ.name());
        let name = format!("poller-{passes}");
        fleet.start_as(&name, "poller", &[(KILL_ENV, &order)]);
        fleet.wait_killed(&name, BOUND);
    }
    fleet.start_role("poller");
    fleet.wait_stored(&ids);
    assert!(calls(&fleet.ledger(), "list") > 0, "pages were read");
    fleet.audit(&ids);
}

// covers: M6, M8
#[test]
fn while_a_scan_has_the_list_tasks_are_read_singly() {
    let fleet = Fleet::start(Options::default().simulator(&["--run-s", "2"]));
    fleet.until("the submitter's own look at the list", || {
        fleet.role("submitter").log().contains("knows this key").then_some(())
    });
    let before = calls(&fleet.ledger(), "list");
    // As a scan of account `a` does that goes on for long.
    let lock = "scan-a";
    assert!(fleet.run(fleet.store().lock(lock, BOUND)).expect("Redis answers"));
    let ids = fleet.admit_many((0..6).map(|n| text(&format!("behind a scan {n}")).into()));
    fleet.wait_stored(&ids);
    assert_eq!(calls(&fleet.ledger(), "list"), before, "no sweep took the list");
    fleet.run(fleet.store().unlock(lock)).expect("Redis answers");
    let more = fleet.admit_many((0..6).map(|n| text(&format!("after it {n}")).into()));
    fleet.wait_stored(&more);
    assert!(calls(&fleet.ledger(), "list") > before, "and now one does");
    fleet.audit(&[ids, more].concat());
}
