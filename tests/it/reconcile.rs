//! Redis loses what it knew, under a running fleet: with the second fence every job that was sent
//! comes back and nothing is bought twice; without it creates stop until a person has looked. And the
//! comparison with the provider's list, as a person reads it.

use assets::{FenceSettings, Intents, Walked};
use e2e::kit::{BOUND, Ended, Fleet, Options, PowerOptions, text};
use futures::StreamExt;
use job::{JobId, StateWord};
use seedance::TASKS_PATH;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Losses in a row; the variable asks for more.
const LOSSES_ENV: &str = "SEEDFLEET_TEST_LOSSES";
const LOSSES: usize = 3;

/// Everybody who does not buy.
const NO_SUBMITTER: [&str; 2] = ["poller", "downloader"];

fn without_submitter() -> Options {
    Options { roles: NO_SUBMITTER.to_vec(), ..Options::default() }
}

fn jobs(fleet: &Fleet, what: &str, count: usize) -> Vec<JobId> {
    fleet.admit_many((0..count).map(|n| text(&format!("{what}, number {n}")).into()))
}

fn made(fleet: &Fleet) -> usize {
    fleet.ledger().events("task_made").count()
}

fn wait_made(fleet: &Fleet, count: usize) {
    fleet.until("tasks", || (made(fleet) >= count).then_some(()));
}

/// Loses something, and waits until that is noticed.
fn loss(fleet: &Fleet, lose: impl FnOnce()) {
    let since = fleet.clock_now();
    lose();
    fleet.until_frozen(since);
}

fn wait_thawed(fleet: &Fleet) {
    fleet.until("the thaw", || (!fleet.is_frozen()).then_some(()));
}

fn finding<'a>(report: &'a Value, kind: &str) -> Vec<&'a Value> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().filter(|finding| finding["kind"] == kind).collect()
}

/// A task made by somebody else with the fleet's key.
fn foreign_task(fleet: &Fleet) -> String {
    let body = json!({
        "model": "dreamina-seedance-2-0-260128",
        "content": [{"type": "text", "text": "somebody else's film"}],
    });
    let url = format!("http://{}/api/v3{TASKS_PATH}", fleet.api_address());
    let client = reqwest::Client::new();
    let key = std::fs::read_to_string(fleet.path("provider.key")).unwrap();
    let answer: Value = fleet.run(async {
        let sent = client.post(url).bearer_auth(key.trim()).json(&body).send().await.unwrap();
        sent.json().await.unwrap()
    });
    answer["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn reconcile(fleet: &Fleet, args: &[&str]) -> Ended {
    let mut words = vec!["reconcile", "--json", "-q"];
    words.extend(args);
    fleet.cli(&words)
}

#[test]
fn a_rolled_back_redis_is_noticed_and_with_the_fence_every_job_is_bought_once() {
    let fleet = Fleet::start(without_submitter().power(PowerOptions::default()));
    let mut ids = jobs(&fleet, "before the copy", 6);
    let copy = fleet.power().snapshot();
    fleet.start_role("submitter");
    // The copy knows nothing of these.
    ids.extend(jobs(&fleet, "after the copy", 6));
    wait_made(&fleet, 12);
    loss(&fleet, || fleet.power().rollback(&copy));
    wait_thawed(&fleet);
    let records = fleet.wait_stored(&ids);
    let back = records.iter().flat_map(|record| fleet.timeline(&record.id));
    let restored = back.filter(|line| line.contains("restored")).count();
    assert_eq!(restored, 6, "the jobs whose records were gone");
    assert_eq!(made(&fleet), 12);
    fleet.audit(&ids);
    // Nobody is afraid for ever.
    let more = jobs(&fleet, "after it all", 2);
    fleet.wait_stored(&more);
    fleet.audit(&[ids, more].concat());
}

/// The jobs that have ever sent, as the fence remembers them.
fn ever_sent(fleet: &Fleet) -> BTreeSet<JobId> {
    let url = format!("file://{}", fleet.path("bucket").display());
    let bucket = assets::Settings { url, ..assets::Settings::default() };
    let fence = Intents::open(&FenceSettings::default(), &bucket).unwrap().unwrap();
    let walk = fence.walk("sim", job::Timestamp::from_unix_s(0));
    let steps: Vec<Walked> = fleet.run(walk.collect());
    let job = |step: Walked| match step {
        Walked::Intent(intent) => intent.job,
        other => panic!("{other:?}"),
    };
    steps.into_iter().map(job).collect()
}

#[test]
fn rollbacks_in_a_row_some_to_much_older_copies_buy_nothing_twice_and_lose_nothing_sent() {
    let rounds = std::env::var(LOSSES_ENV).map_or(LOSSES, |n| n.parse().unwrap());
    let fleet = Fleet::start(Options::default().power(PowerOptions::default()));
    let (mut ids, mut copies) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        ids.extend(jobs(&fleet, &format!("round {round}, in the copy"), 3));
        copies.push(fleet.power().snapshot());
        ids.extend(jobs(&fleet, &format!("round {round}, not in the copy"), 3));
        let before = made(&fleet);
        // While creates are frozen nothing is made: the next loss then hits the quarantine itself.
        let progress = || (made(&fleet) >= before + 4).then_some(());
        // Nothing is frozen before the first loss: it meets a fleet that has bought.
        let bound = if round == 0 { BOUND } else { Duration::from_secs(2 + round as u64 % 3 * 4) };
        drop(sandbox::wait::until("tasks", bound, progress));
        let older = copies.len().saturating_sub(1 + round % 3);
        loss(&fleet, || fleet.power().rollback(&copies[older]));
        copies.truncate(older + 1);
        // The test's own connection has to find the server again.
        fleet.until("Redis", || fleet.run(fleet.store().now()).ok());
    }
    wait_thawed(&fleet);
    let sent = ever_sent(&fleet);
    let there = |id: &&JobId| fleet.run(fleet.store().load(id)).unwrap().is_some();
    let (kept, gone): (Vec<&JobId>, Vec<&JobId>) = ids.iter().partition(there);
    assert!(gone.iter().all(|id| !sent.contains(id)), "sent and gone: {gone:?}");
    assert!(sent.len() >= rounds, "{} of {} jobs were sent", sent.len(), ids.len());
    let kept: Vec<JobId> = kept.into_iter().cloned().collect();
    let records = fleet.wait_settled(&kept);
    let parked = records.iter().filter(|r| r.life.state.word() == StateWord::Parked).count();
    assert!(parked * 4 <= kept.len(), "{parked} of {} are parked", kept.len());
    fleet.audit(&kept);
}

#[test]
fn a_wiped_redis_gets_back_every_job_that_was_sent() {
    let fleet = Fleet::start(Options::default());
    let ids = jobs(&fleet, "wiped", 10);
    wait_made(&fleet, 10);
    // Some have ended by now, with their films in the bucket.
    fleet.wait(&ids[0], "succeeded");
    loss(&fleet, || drop(fleet.redis().command(&["FLUSHALL"]).unwrap()));
    wait_thawed(&fleet);
    for record in fleet.wait_stored(&ids) {
        let manifest = fleet.verified_manifest(&record);
        let billed = fleet.ledger().billed_to(&record);
        assert_eq!(manifest.output().unwrap().sha256, billed[0].video_sha256);
    }
    assert_eq!(made(&fleet), 10);
    fleet.audit(&ids);
}

#[test]
fn a_lost_job_asked_for_again_adopts_the_task_it_had_bought() {
    let fleet = Fleet::start(Options::default());
    let first = fleet.admit(text("asked for twice"));
    wait_made(&fleet, 1);
    fleet.redis().command(&["FLUSHALL"]).unwrap();
    let second = fleet.admit(text("asked for twice"));
    assert_ne!(first, second);
    let record = fleet.wait(&second, "succeeded");
    assert_eq!(fleet.ledger().events("create_seen").count(), 1);
    assert_eq!(fleet.ledger().tasks_of(&record).len(), 1);
    wait_thawed(&fleet);
    fleet.audit(&[second]);
}

#[test]
fn without_the_fence_creates_stay_frozen_until_a_person_has_reconciled() {
    let options = without_submitter().power(PowerOptions::default());
    let fleet = Fleet::start(options.config("[fence]\nenabled = false\n"));
    let id = fleet.admit(text("bought, and forgotten"));
    let copy = fleet.power().snapshot();
    fleet.start_role("submitter");
    wait_made(&fleet, 1);
    loss(&fleet, || fleet.power().rollback(&copy));
    let poller = fleet.role("poller");
    poller.wait_for_line("creates stay frozen", BOUND).unwrap_or_else(|missed| panic!("{missed}"));

    let looked = reconcile(&fleet, &["--after-restore"]);
    assert_eq!(looked.code, 3, "{looked:?}");
    let report = looked.json();
    let [orphan] = finding(&report, "orphan_task")[..] else { panic!("{report:#}") };
    let task = orphan["task"].as_str().unwrap().to_owned();
    assert!(orphan["cure"].as_str().unwrap().contains(&format!("--claim {id}={task}")), "{orphan}");
    assert_eq!(finding(&report, "frozen").len(), 1, "{report:#}");
    assert!(fleet.is_frozen());

    let claim = format!("{id}={task}");
    let asked = reconcile(&fleet, &["--claim", &claim, "--reason", "the only one"]);
    assert_eq!(asked.code, 9, "{asked:?}");
    let taken = reconcile(&fleet, &["--claim", &claim, "--reason", "the only one", "--yes"]);
    assert_eq!(taken.code, 0, "{taken:?}");

    let bare = reconcile(&fleet, &["--after-restore", "--yes"]);
    assert_eq!(bare.code, 2, "a thaw without a fence needs a reason: {bare:?}");
    let thawed =
        reconcile(&fleet, &["--after-restore", "--yes", "--reason", "every task has its job"]);
    assert_eq!(thawed.code, 0, "{thawed:?}");
    assert!(!fleet.is_frozen());
    let record = fleet.wait(&id, "succeeded");
    assert_eq!(record.life.state.task().unwrap().id.as_str(), task);
    assert_eq!(fleet.ledger().events("create_seen").count(), 1);
    let audit = fleet.run(fleet.store().audit(50)).unwrap();
    let line = audit.iter().find(|line| line.alarm == "thawed").expect("an audit line");
    assert_eq!(line.reason.as_deref(), Some("every task has its job"));
    fleet.wait_stored(&jobs(&fleet, "thawed", 2));
}

#[test]
fn a_restored_copy_under_a_stopped_fleet_is_reconciled_by_hand() {
    let fleet = Fleet::start(Options::default());
    let ids = jobs(&fleet, "restored by hand", 4);
    wait_made(&fleet, 4);
    // Nobody is left who remembers.
    for role in ["submitter", "poller", "downloader"] {
        fleet.kill9(role);
    }
    fleet.redis().command(&["FLUSHALL"]).unwrap();
    let looked = reconcile(&fleet, &["--after-restore", "--dry-run"]);
    assert_eq!(looked.code, 3, "{looked:?}");
    assert_eq!(looked.json()["recovered"]["restored"], 4, "{looked:?}");
    let done = reconcile(&fleet, &["--after-restore", "--yes"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(done.json()["recovered"]["restored"], 4, "{done:?}");
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    fleet.wait_stored(&ids);
    assert_eq!(made(&fleet), 4);
    fleet.audit(&ids);
}

#[test]
fn a_task_nobody_owns_is_told_counted_and_withdrawn_only_when_asked() {
    let options = Options::default().config("[reconcile]\nsweep_every = \"1s\"\n");
    let fleet = Fleet::start(options.simulator(&["--queue-s", "60-60"]));
    let task = foreign_task(&fleet);
    let looked = reconcile(&fleet, &[]);
    assert_eq!(looked.code, 3, "{looked:?}");
    let report = looked.json();
    let [orphan] = finding(&report, "orphan_task")[..] else { panic!("{report:#}") };
    assert_eq!(orphan["task"], *task);
    assert!(orphan["sentence"].as_str().unwrap().contains("queued"), "{orphan}");
    fleet.until("the gauge", || {
        fleet.metrics("poller").contains("seedfleet_orphan_tasks{pool=\"sim\"} 1").then_some(())
    });
    let alarm = fleet.role("poller").wait_for_line(&task, BOUND);
    alarm.unwrap_or_else(|missed| panic!("the alarm names the task: {missed}"));
    let dry = reconcile(&fleet, &["--cancel-queued", "--dry-run"]);
    assert_eq!(dry.code, 3, "{dry:?}");
    assert!(fleet.ledger().calls("delete", &task).is_empty());
    let withdrawn = reconcile(&fleet, &["--cancel-queued"]);
    assert_eq!(withdrawn.json()["deeds"][0]["kind"], "cancelled", "{withdrawn:?}");
    assert_eq!(fleet.ledger().calls("delete", &task).len(), 1);
}

#[test]
fn a_fleet_in_order_has_no_findings_and_its_tokens_agree() {
    let fleet = Fleet::start(Options::default());
    fleet.wait_stored(&jobs(&fleet, "in order", 3));
    let report = reconcile(&fleet, &[]);
    assert_eq!(report.code, 0, "{report:?}");
    let account = &report.json()["accounts"][0];
    assert_eq!(account["owned"], 3, "{account}");
    assert!(account["tokens"]["ours"].as_u64().unwrap() > 0, "{account}");
    assert_eq!(account["tokens"]["ours"], account["tokens"]["provider"], "{account}");
    let told = fleet.cli(&["reconcile"]);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(told.stdout.contains("3 owned"), "{told:?}");
}

/// What the comparison says of a job whose task the provider does not know, once the task is old enough to be missed.
fn wait_unknown(fleet: &Fleet, id: &JobId, word: &str) -> Value {
    fleet.until("the finding", || {
        let report = reconcile(fleet, &[]).json();
        let found = finding(&report, "unknown_task").into_iter().find(|f| f["job"] == id.as_str());
        let says = format!("{id} is {word} and ");
        found.filter(|f| f["sentence"].as_str().is_some_and(|s| s.starts_with(&says)))?;
        Some(report)
    })
}

/// How many of an account's tasks are missed, of waiting jobs and of those that count as paid.
fn missed(report: &Value) -> (&Value, &Value) {
    let account = &report["accounts"][0];
    (&account["unknown"], &account["unknown_paid"])
}

#[test]
fn a_job_whose_task_the_provider_has_lost_is_told_while_it_waits_and_when_it_has_ended() {
    let fleet = Fleet::start(Options { roles: vec!["submitter"], ..Options::default() });
    fleet.faults(&json!({"task": [{"kind": "gone", "times": 1}]}));
    let id = fleet.admit(text("lost by the provider"));
    fleet.until("its task is lost", || fleet.ledger().events("vanished").next().map(drop));
    fleet.wait(&id, "running");
    let report = wait_unknown(&fleet, &id, "running");
    assert_eq!(missed(&report), (&json!(1), &json!(0)), "{report:#}");
    let [lost] = finding(&report, "unknown_task")[..] else { panic!("{report:#}") };
    let record = fleet.record(&id);
    assert_eq!(lost["task"], record.life.state.task().unwrap().id.as_str());
    assert_eq!(lost["account"], "a");

    // The poller is told so too, and ends the job: nobody knows whether it was billed.
    fleet.start_role("poller");
    let ended = fleet.wait(&id, "timed_out");
    assert!(ended.spec.charge_micros(&ended.life) > 0, "it counts as paid");
    let report = wait_unknown(&fleet, &id, "timed_out");
    assert_eq!(missed(&report), (&json!(0), &json!(1)), "{report:#}");
    assert_eq!(reconcile(&fleet, &[]).code, 3);
}

#[test]
fn tasks_of_jobs_that_count_as_paid_are_looked_for_and_those_of_unbilled_ends_are_not() {
    let fleet = Fleet::start(Options::default());
    let mut failure = json!({"kind": "failed", "code": "InternalServiceError"});
    failure["match"] = json!({"text": "broken"});
    failure["message"] = json!("not today");
    fleet.faults(&json!({"task": [failure]}));
    let [stored, kept, broken] = ["stored", "kept", "broken"].map(|words| fleet.admit(text(words)));
    let mut records = fleet.wait_stored(&[stored.clone(), kept]);
    records.push(fleet.wait(&broken, "failed"));
    fleet.kill9("downloader");
    let coming = fleet.admit(text("on its way"));
    records.push(fleet.wait(&coming, "downloading"));
    let clean = reconcile(&fleet, &[]);
    assert_eq!(clean.code, 0, "{clean:?}");

    // Somebody clears the console of all but one.
    let client = reqwest::Client::new();
    let key = std::fs::read_to_string(fleet.path("provider.key")).unwrap();
    for record in [&records[0], &records[2], &records[3]] {
        let task = &record.life.state.task().unwrap().id;
        let url = format!("http://{}/api/v3{TASKS_PATH}/{task}", fleet.api_address());
        let sent = fleet.run(client.delete(url).bearer_auth(key.trim()).send()).unwrap();
        assert!(sent.status().is_success(), "{sent:?}");
    }
    wait_unknown(&fleet, &coming, "downloading");
    let report = wait_unknown(&fleet, &stored, "succeeded");
    assert_eq!(missed(&report), (&json!(1), &json!(1)), "{report:#}");
    assert_eq!(finding(&report, "unknown_task").len(), 2, "{report:#}");
    let told = fleet.cli(&["reconcile"]);
    let sums = "1 of ours unknown there, and 1 that count as paid";
    assert!(told.code == 3 && told.stdout.contains(sums), "{told:?}");
    // However short a time is asked for, who waits is looked at; ended ones were all bought before.
    let short = reconcile(&fleet, &["--since", "1s"]).json();
    assert_eq!(missed(&short), (&json!(1), &json!(0)), "{short:#}");
}

#[test]
fn a_task_that_shows_up_late_goes_to_the_job_that_was_given_up() {
    let fleet = Fleet::start(Options::default().config("[pools.sim]\npolicy = \"strict\"\n"));
    fleet.doubts(&json!({"list_lag_ms": 600_000}));
    fleet.faults(&json!({"create": [{"kind": "accept_then_drop", "times": 1}]}));
    let id = fleet.admit(text("shows up late"));
    fleet.wait_settled(std::slice::from_ref(&id));
    let order = ["doubt", "give-up", id.as_str(), "--yes", "--reason", "nothing came"];
    let given_up = fleet.cli(&order);
    assert_eq!(given_up.code, 0, "{given_up:?}");
    assert_eq!(fleet.record(&id).life.state.word(), StateWord::GivenUp);
    fleet.clock(&json!({"advance_s": 700}));
    let report = reconcile(&fleet, &[]);
    assert_eq!(report.code, 0, "{report:?}");
    assert_eq!(report.json()["deeds"][0]["kind"], "adopted", "{report:?}");
    let stored = || (fleet.record(&id).life.state.word() == StateWord::Succeeded).then_some(());
    fleet.until("the film", stored);
    fleet.audit(&[id]);
}

#[test]
fn a_person_may_stop_creates_and_let_them_go_on() {
    let fleet = Fleet::start(Options::default());
    let frozen = fleet.cli(&["freeze", "--reason", "a look at the bill", "-o", "json", "-q"]);
    assert_eq!((frozen.code, &frozen.json()["frozen"]), (0, &json!(true)), "{frozen:?}");
    let id = fleet.admit(text("waits"));
    let submitter = fleet.role("submitter");
    submitter.wait_for_line("creates are frozen", BOUND).unwrap_or_else(|e| panic!("{e}"));
    let still = sandbox::wait::until("a create", Duration::from_secs(3), || {
        fleet.ledger().events("create_seen").next().map(drop)
    });
    assert!(still.is_err(), "something was bought");
    let report = reconcile(&fleet, &[]);
    assert_eq!(finding(&report.json(), "frozen").len(), 1, "{report:?}");
    let thawed = fleet.cli(&["thaw", "--reason", "the bill is right", "-q"]);
    assert_eq!(thawed.code, 0, "{thawed:?}");
    fleet.wait(&id, "succeeded");
    let again = fleet.cli(&["thaw", "--reason", "once more", "-q"]);
    assert_eq!(again.code, 6, "{again:?}");
}
