//! Jobs that wait, are stopped, come late or must be looked at by a person first.

use e2e::kit::{Fleet, Options, StopWatch, item, text};
use job::{By, Event, JobId, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;

fn seen(fleet: &Fleet, id: &JobId, word: &str) {
    fleet.until(word, || {
        let way = fleet.timeline(id);
        way.iter().any(|line| line.contains(&format!("provider says {word}"))).then_some(())
    });
}

fn deletes(fleet: &Fleet) -> usize {
    let ledger = fleet.ledger();
    ledger.events("call").filter(|line| line["call"] == "delete").count()
}

// covers: M7/cancelled, M7/running
#[test]
fn a_cancel_deletes_only_what_a_read_has_just_called_queued() {
    let fleet = Fleet::start(Options::empty());
    let unpaid = fleet.admit(text("never begun"));
    fleet.cancel(&unpaid);
    fleet.wait(&unpaid, "cancelled");
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    fleet.faults(&json!({"task": [
        {"kind": "stuck_queued", "match": {"text": "in the queue"}},
        {"kind": "runs_for", "ms": 3_000_000, "match": {"text": "running"}},
    ]}));
    let queued = fleet.admit(text("still in the queue"));
    let running = fleet.admit(text("already running"));

    seen(&fleet, &queued, "queued");
    fleet.cancel(&queued);
    let record = fleet.wait(&queued, "cancelled");
    let ledger = fleet.ledger();
    let task = ledger.tasks_of(&record)[0].clone();
    let calls: Vec<&Value> = ledger.events("call").filter(|l| l["task"] == task.as_str()).collect();
    let [.., read, delete] = calls[..] else { panic!("{calls:?}") };
    assert_eq!((&read["call"], &read["http_status"]), (&json!("retrieve"), &json!(200)));
    assert_eq!(delete["call"], "delete", "the read comes first, and nothing after the delete");

    // The delete is done and its answer lost: the next read tells.
    fleet.faults(&json!({
        "task": [{"kind": "stuck_queued"}],
        "delete": [{"kind": "done_then_drop", "times": 1}],
    }));
    let unheard = fleet.admit(text("queued as well"));
    seen(&fleet, &unheard, "queued");
    fleet.cancel(&unheard);
    fleet.wait(&unheard, "cancelled");

    seen(&fleet, &running, "running");
    fleet.cancel(&running);
    fleet.until("the answer", || {
        let way = fleet.timeline(&running);
        way.iter().any(|line| line.contains("too late to cancel")).then_some(())
    });
    fleet.clock(&json!({"advance_s": 3_100}));
    let record = fleet.wait(&running, "succeeded");
    let way = fleet.timeline(&running);
    assert!(way.iter().any(|line| line.contains("too late to cancel")), "{way:#?}");
    fleet.cancel(&running);
    assert_eq!(fleet.record(&running), record, "a finished job does not move");
    assert_eq!(deletes(&fleet), 2, "neither a running nor a finished task is deleted");
    assert_eq!(fleet.ledger().events("create_seen").count(), 3);
    fleet.audit(&[unpaid, queued, unheard, running]);
}

// covers: M7/expired
#[test]
fn a_job_whose_time_has_passed_is_not_bought() {
    let fleet = Fleet::start(Options::empty());
    let now = fleet.run(fleet.store().now()).expect("Redis answers");
    // Long enough for a busy machine to take the job in before.
    let until = (now + Duration::from_secs(4)).rfc3339();
    let late = fleet.admit(text("for tonight").with("useful_until", until.clone()));
    let until = Timestamp::parse_rfc3339(&until).unwrap();
    fleet
        .until("its time to pass", || (fleet.run(fleet.store().now()).ok()? > until).then_some(()));
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    fleet.wait(&late, "not_useful");
    let useful = fleet.admit(text("for any night").with("useful_until", "2099-01-01T00:00:00Z"));
    fleet.wait(&useful, "succeeded");
    assert_eq!(fleet.ledger().events("create_seen").count(), 1, "the late one cost nothing");
    fleet.audit(&[late, useful]);
}

// covers: M8
#[test]
fn polling_starts_late_backs_off_and_ends_at_our_own_limit_without_losing_the_video() {
    let poll =
        "[poll]\nfirst = \"400ms\"\nsteady = \"800ms\"\njitter_ratio = 0.0\ndeadline = \"2s\"\n";
    let options = Options::default().config(poll).simulator(&["--run-s", "4"]);
    let fleet = Fleet::start(options);
    let watch = StopWatch::start();
    let id = fleet.admit(text("a long one"));
    fleet.wait(&id, "overdue");
    assert!(watch.elapsed() >= Duration::from_secs(2), "told overdue before its time");
    let record = fleet.wait(&id, "succeeded");
    let ledger = fleet.ledger();
    let task = &ledger.tasks_of(&record)[0];
    let at = |line: &Value| line["at_ms"].as_i64().unwrap();
    let accepted = ledger.events("create_answered").map(at).next().unwrap();
    let reads: Vec<i64> = ledger
        .events("call")
        .filter(|line| line["call"] == "retrieve" && line["task"] == task.as_str())
        .map(at)
        .collect();
    assert!(reads[0] - accepted >= 390, "the first check is not at once: {reads:?}");
    // The second wait brings the task into step with its account's rounds: from then on there is a round between any two,
    // however late a machine is for one of them.
    let in_step = &reads[1..];
    let rounds = i64::try_from(in_step.len()).unwrap() - 2;
    let took = in_step[in_step.len() - 1] - in_step[0];
    assert!(rounds >= 1 && took >= rounds * 690, "checks back off to the steady pace: {reads:?}");
    fleet.audit(&[id]);
}

// covers: M21
#[test]
fn what_shows_people_waits_for_a_person_before_anything_is_bought() {
    let review = "[review]\nrequire = \"any_image_or_video\"\n";
    let fleet = Fleet::start(Options::default().config(review));
    let picture = |n: u8| {
        let url = format!("https://media.example.com/{n}.png");
        text("a portrait").and(item("image_url", &url, "first_frame"))
    };
    let refusal = fleet.try_admit(picture(0).with("people", true)).expect_err("no consent");
    assert!(refusal.faults().iter().any(|fault| fault.pointer == "/consent_ref"), "{refusal}");
    assert!(fleet.run(fleet.store().counts()).expect("Redis answers").is_empty());

    let consented = picture(1).with("people", true).with("consent_ref", "contract 7");
    let (approved, rejected) = (fleet.admit(consented), fleet.admit(picture(2)));
    let words_only = fleet.admit(text("nobody is here"));
    fleet.wait(&words_only, "succeeded");
    for id in [&approved, &rejected] {
        fleet.wait(id, "held");
    }
    assert_eq!(fleet.ledger().events("create_seen").count(), 1, "held jobs buy nothing");

    let by = By::named("reviewer");
    fleet.report(&approved, &Event::Approved { by: by.clone() });
    let reason = "not ours to show".to_owned();
    fleet.report(&rejected, &Event::ReviewRejected { by, reason });
    fleet.wait(&approved, "succeeded");
    fleet.wait(&rejected, "rejected");
    assert_eq!(fleet.ledger().events("create_seen").count(), 2);
    fleet.audit(&[approved, rejected, words_only]);
}

// covers: M3
#[test]
fn a_task_is_read_where_it_was_bought_whatever_the_configuration_says_since() {
    let fleet = Fleet::start(Options::default().simulator(&["--run-s", "3"]));
    let id = fleet.admit(text("begun under the old address"));
    fleet.wait(&id, "running");
    for role in ["submitter", "poller", "downloader"] {
        fleet.kill9(role);
    }
    // Nobody listens there: a job that were sent or read at the new address could not end.
    fleet.reconfigure("[pools.sim]\nbase_url = \"http://127.0.0.1:1/api/v3\"\n");
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    let later = fleet.admit(text("begun under the new address"));
    let record = fleet.wait(&id, "succeeded");
    let manifest = fleet.verified_manifest(&record);
    let old = format!("http://{}/api/v3/contents/generations/tasks", fleet.api_address());
    assert_eq!(manifest.frozen.create_url.as_deref(), Some(old.as_str()));
    let tried = fleet.until("the new address to be tried", || {
        let record = fleet.record(&later);
        let tried = record.life.attempts.first()?;
        Some(tried.open.facts.create_url.clone())
    });
    assert!(tried.starts_with("http://127.0.0.1:1/"), "{tried}");
    assert_eq!(fleet.ledger().events("create_seen").count(), 1, "routes do not mix");
}
