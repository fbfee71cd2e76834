//! `seedfleet probe` against every answer the simulator can give, and what the fleet measures by
//! itself on ordinary jobs.

use e2e::kit::{Fleet, Options, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Lists are few on both sides, so that too many at once are refused, and a task takes long enough to
/// be looked at while it runs.
fn fleet(config: &str) -> Fleet {
    let limits = "[pools.sim.accounts.a.limits]\nlist_qps = 4\n";
    let options = Options::with_gateway().config(limits).config(config);
    Fleet::start(options.simulator(&["--limits", "list_qps=4", "--run-s", "4-4"]))
}

fn answers(report: &Value) -> BTreeMap<String, Value> {
    let rows = report["answers"].as_array().unwrap();
    rows.iter()
        .map(|row| (row["name"].as_str().unwrap().to_owned(), row["answer"].clone()))
        .collect()
}

/// The simulator's answers, and the report's where it says the same in other words.
fn worlds() -> [(Value, &'static [(&'static str, &'static str)]); 4] {
    [
        (
            json!({}),
            &[
                ("nonce", "echoed"),
                ("nonce_in_list", "echoed"),
                ("identifier", "always"),
                ("list_order", "newest_first"),
                ("list_model", "optional"),
                ("seed", "accepted"),
                ("service_tier", "refused"),
                ("unknown_task_get", "ResourceNotFound"),
                ("unknown_task_delete", "ResourceNotFound"),
                ("delete_cancelled", "conflict"),
                ("expired_filter", "works"),
                ("rate_header", "nothing"),
                ("link", "same"),
                ("last_frame", "png"),
                ("references_max", "15"),
                ("image_bounds", "closed"),
            ],
        ),
        (
            json!({"nonce": "clamped", "identifier": "not_in_list", "list_lag_ms": 1500,
                   "list_order": "oldest_first", "list_model": "denied", "seed": "refused",
                   "service_tier": "accepted", "unknown_task": "not_found",
                   "delete_cancelled": "not_found", "expired_filter": "refused",
                   "rate_header": "retry_after", "callback_order": "before_reply", "links": "each_read",
                   "last_frame": "jpeg", "references_max": 12, "image_bounds": "open"}),
            &[
                ("nonce", "clamped"),
                ("nonce_in_list", "clamped"),
                ("identifier", "not_in_list"),
                ("list_order", "oldest_first"),
                ("list_model", "denied"),
                ("seed", "refused"),
                ("service_tier", "accepted"),
                ("unknown_task_get", "NotFound.Task"),
                ("unknown_task_delete", "NotFound.Task"),
                ("delete_cancelled", "not_found"),
                ("expired_filter", "refused"),
                ("rate_header", "retry_after"),
                ("callback_order", "before_reply"),
                ("link", "signed_anew"),
                ("last_frame", "jpeg"),
                ("references_max", "12"),
                ("image_bounds", "open"),
            ],
        ),
        (
            json!({"nonce": "absent", "identifier": "at_success", "unknown_task": "bare",
                   "list_model": "missing_parameter", "callback_order": "after_reply",
                   "delete_cancelled": "done"}),
            &[
                ("nonce", "absent"),
                ("nonce_in_list", "absent"),
                ("identifier", "at_success"),
                ("list_model", "missing_parameter"),
                ("unknown_task_get", "http-404"),
                ("unknown_task_delete", "http-404"),
                ("callback_order", "after_reply"),
                ("delete_cancelled", "done"),
            ],
        ),
        (json!({"identifier": "never"}), &[("identifier", "never"), ("nonce", "echoed")]),
    ]
}

// covers: M6
#[test]
fn the_probe_reads_every_answer_and_buys_one_video_each_time() {
    let fleet = fleet("");
    fleet.faults(&json!({"task": [{"kind": "cancelled", "times": 1}]}));
    let mini = |prompt| text(prompt).with("model", "seedance-2.0-mini");
    let withdrawn = fleet.admit(mini("to be withdrawn"));
    fleet.wait(&withdrawn, "cancelled");
    fleet.clock(&json!({"advance_s": 2}));
    let younger = fleet.admit(mini("two seconds younger"));
    fleet.wait(&younger, "succeeded");
    let mut ids = vec![withdrawn, younger];
    for (n, (doubts, expected)) in worlds().into_iter().enumerate() {
        fleet.doubts(&doubts);
        let out = fleet.path(&format!("probe-{n}.json"));
        let ended = fleet.cli(&["probe", "--yes", "--json", "--out", out.to_str().unwrap()]);
        assert_eq!(ended.code, 0, "{doubts}: {ended:?}");
        let report = ended.json();
        let told = answers(&report);
        for (name, answer) in expected {
            assert_eq!(told[*name], *answer, "{name} under {doubts}: {report:#}");
        }
        let lag = told["list_lag"].as_str().unwrap();
        assert!(lag.starts_with("<= "), "{report:#}");

        let saved: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
        assert_eq!(saved, report);
        let for_people = std::fs::read_to_string(out.with_extension("txt")).unwrap();
        assert!(for_people.contains("newest_first") || n > 0, "{for_people}");
        let id = job::JobId::parse(report["job"].as_str().unwrap()).unwrap();
        let record = fleet.wait(&id, "succeeded");
        assert_eq!(fleet.ledger().creates_of(&record), 1, "one video, sent once");
        assert_eq!(fleet.ledger().billed_to(&record)[0].tokens, 40_594, "the cheapest there is");
        assert_eq!(report["tokens"], 40_594);
        ids.push(id);
    }
    let bought = fleet.ledger().events("task_made").count();
    assert_eq!(bought, ids.len(), "no create that was to be refused made a task");
    let evidence = evidence(&fleet);
    assert_eq!((evidence.echoes_ok, evidence.echoes_bad), (4, 2), "each task once: {evidence:?}");
    assert_eq!(evidence.lags, 4, "{evidence:?}");
    assert!(evidence.lag_max.as_millis() >= 1_000, "{evidence:?}");
    assert!(evidence.callbacks_before > 0 && evidence.callbacks_after > 0, "{evidence:?}");
    fleet.audit(&ids);
}

fn evidence(fleet: &Fleet) -> store::Evidence {
    let store = fleet.store();
    let found = async { store.evidence("a", store.now().await.unwrap()).await.unwrap() };
    fleet.run(found)
}

#[test]
fn nothing_is_asked_before_the_bill_is_agreed_to() {
    let fleet = Fleet::start(Options::empty());
    let ended = fleet.cli(&["probe"]);
    assert_eq!(ended.code, 9, "{ended:?}");
    assert!(ended.stderr.contains("USD 0.142079"), "the bill comes first: {ended:?}");
    let ended = fleet.cli(&["probe", "--yes", "--max-usd", "0.1"]);
    assert_eq!(ended.code, 9, "{ended:?}");
    assert!(ended.stderr.contains("--max-usd"), "{ended:?}");
    assert_eq!(fleet.cli(&["probe", "--yes", "--account", "b"]).code, 2);
    assert_eq!(fleet.stats()["calls"], json!({}), "the provider heard nothing");
}

#[test]
fn free_questions_make_no_task_and_need_no_fleet() {
    let fleet = Fleet::start(Options::empty());
    let ended = fleet.cli(&["probe", "--free-only", "--yes"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("ResourceNotFound"), "{ended:?}");
    assert_eq!(fleet.ledger().events("create_seen").count(), 4);
    assert_eq!(fleet.ledger().events("task_made").count(), 0);
    let saved = std::fs::read_dir(fleet.path("")).unwrap();
    let names: Vec<String> =
        saved.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let dated = |end: &str| {
        names.iter().any(|name| name.starts_with("probe-sim-a-20") && name.ends_with(end))
    };
    assert!(dated(".json") && dated(".txt"), "{names:?}");
    let poor = fleet.cli(&["probe", "--free-only", "--yes", "--max-usd", "0.2"]);
    assert_eq!(poor.code, 0, "{poor:?}");
    assert_eq!(fleet.ledger().events("create_seen").count(), 4, "no room for a mistake");
}

#[test]
fn without_a_submitter_the_job_is_cancelled_and_nothing_is_bought() {
    let fleet = Fleet::start(Options::empty());
    let ended = fleet.cli(&["probe", "--yes", "--json", "--start-max", "1s", "--out", "p.json"]);
    assert_eq!(ended.code, 7, "{ended:?}");
    let report = ended.json();
    assert!(report["remarks"].to_string().contains("start a submitter"), "{report:#}");
    let id = job::JobId::parse(report["job"].as_str().unwrap()).unwrap();
    fleet.wait(&id, "cancelled");
    fleet.start_role("submitter");
    fleet.start_role("poller");
    fleet.start_role("downloader");
    let other = fleet.admit(text("afterwards"));
    fleet.wait(&other, "succeeded");
    assert_eq!(
        fleet.ledger().events("task_made").count(),
        1,
        "a submitter that comes late buys nothing"
    );
    fleet.audit(&[id, other]);
}

// covers: M6
#[test]
fn an_unclear_refusal_ends_the_probe_before_the_video() {
    let fleet = Fleet::start(Options::empty());
    // A success without a task id: nobody can say what it made.
    let odd = json!({"kind": "answer", "code": "InvalidParameter", "status": 200, "times": 1});
    fleet.faults(&json!({"create": [odd]}));
    let ended = fleet.cli(&["probe", "--yes", "--json", "--out", "p.json"]);
    assert_eq!(ended.code, 7, "{ended:?}");
    let report = ended.json();
    assert_eq!(report["job"], Value::Null, "{report:#}");
    assert!(report["remarks"].to_string().contains("ended unclear"), "{report:#}");
    assert_eq!(fleet.ledger().events("create_seen").count(), 1, "and no further create is sent");
}

/// Ended, with a person, or looked for often enough to show that nothing rash is done.
fn is_quiet(record: &job::Record) -> bool {
    let word = record.life.state.word();
    let looked = match &record.life.state {
        job::State::InDoubt { looks, .. } => looks.count >= 6,
        _ => false,
    };
    looked || word.is_finished() || word == job::StateWord::Parked
}

// covers: M6, M26
#[test]
fn an_unclear_create_is_sent_once_under_every_answer() {
    let fleet = fleet("[pools.sim]\npolicy = \"strict\"\n");
    let mut adopted = 0;
    for (n, (doubts, _)) in worlds().into_iter().enumerate() {
        fleet.doubts(&doubts);
        let fault = |kind| json!({"kind": kind, "times": 2});
        let faults = ["accept_then_drop", "500_after_create", "drop_after_read"].map(fault);
        fleet.faults(&json!({"create": faults}));
        let job = |k| Value::from(text(&format!("world {n}, job {k}")));
        let ids = fleet.admit_many((0..8).map(job));
        for id in &ids {
            fleet.until("quiet", || is_quiet(&fleet.record(id)).then_some(()));
            let record = fleet.record(id);
            assert_eq!(fleet.ledger().creates_of(&record), 1, "{doubts}: {:?}", record.life.state);
            let made = fleet.ledger().tasks_of(&record).len();
            adopted += usize::from(made == 1 && record.life.state.word().is_finished());
        }
    }
    assert!(adopted >= 14, "{adopted}: the clear ones, and the unclear ones where the mark shows");
}

// covers: M6
#[test]
fn ordinary_jobs_are_the_evidence() {
    // Room for a second look at the list: one look that does not show the task is a lower bound only.
    let every = "[settle]\nlag_sample_every = \"1s\"\nlist_lag_max = \"3s\"\n\
                 [submit]\nidentifier_suffix = true\n";
    let fleet = fleet(every);
    fleet.doubts(&json!({"nonce": "absent", "list_lag_ms": 700}));
    let mut ids = vec![fleet.admit(text("seen by nobody"))];
    let found = fleet.until("a measured lag", || {
        let found = evidence(&fleet);
        if found.lags == 0 {
            ids.push(fleet.admit(text(&format!("one more {}", ids.len()))));
        }
        (found.lags > 0 && found.echoes_bad > 0).then_some(found)
    });
    assert_eq!(found.echoes_ok, 0, "{found:?}");
    assert!(found.lag_max.as_millis() >= 700, "{found:?}");
    let told = fleet.metrics("poller");
    let bad =
        told.lines().find(|line| line.contains("nonce_echo_total") && line.contains("\"bad\""));
    assert!(bad.is_some_and(|line| !line.ends_with(" 0")), "{bad:?}");
    assert!(told.contains("seedfleet_list_lag_seconds_count"), "{told}");
    assert!(fleet.logs().contains("hides our mark"), "said aloud");
    let records = fleet.wait_stored(&ids);
    for record in &records {
        let attempt = &record.life.attempts[0].open;
        let own = attempt.id.as_str().trim_start_matches("att_");
        assert_eq!(attempt.safety_identifier, Some(format!("sf-{own}")));
        told_apart(attempt, fleet.policy());
    }
    fleet.audit(&ids);
}

/// Where the identifier is shown it must be the attempt's own; where it is not, the mark decides.
fn told_apart(attempt: &job::OpenAttempt, policy: &job::Policy) {
    let shows = |identifier: Option<&str>| job::settle::Sighting {
        id: job::TaskId::parse("cgt-1").unwrap(),
        model_id: attempt.facts.model_id.clone(),
        nonce_s: Some(attempt.nonce_s),
        created_at: Some(attempt.begun_at),
        safety_identifier: identifier.map(str::to_owned),
    };
    let own = attempt.safety_identifier.as_deref();
    for (identifier, is_ours) in [(own, true), (None, true), (Some("sf-another"), false)] {
        let seen = shows(identifier);
        assert_eq!(job::settle::fits(attempt, &seen, policy), is_ours, "{seen:?}");
        assert_eq!(job::settle::could_be(attempt, &seen, policy), is_ours, "{seen:?}");
    }
}

/// Words of a command line; double quotes hold some together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (n, part) in line.split('"').enumerate() {
        match n % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_owned)),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// Lines of the page's blocks in one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(word), None) => inside = Some(word),
            (None, Some(word)) if word == language => lines.push(line.to_owned()),
            (None, _) => {}
        }
    }
    lines
}

#[test]
fn every_command_of_the_page_about_going_live_works() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/going-live.md");
    let page = std::fs::read_to_string(path).unwrap();
    let fleet = fleet("");
    std::fs::write(fleet.path("ten.jsonl"), blocks(&page, "json").join("\n")).unwrap();
    let commands = blocks(&page, "sh");
    assert!(commands.len() >= 10, "{commands:?}");
    for command in commands {
        let words = words(command.strip_prefix("seedfleet ").unwrap());
        let ended = fleet.cli(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ended.code, 0, "{command}: {ended:?}");
    }
    assert_eq!(fleet.ledger().events("task_made").count(), 12, "one, one, and ten");
}
