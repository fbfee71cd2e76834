//! Bad surroundings: wrong keys, silent servers, tight limits; and what must never be told.

use e2e::kit::{ALICE, BOB, BOUND, Fleet, Options, item, text};
use job::StateWord;
use serde_json::{Value, json};

// covers: M24
#[test]
fn a_wrong_key_makes_jobs_wait_and_none_fail() {
    let fleet = Fleet::start(Options::empty());
    let good = std::fs::read_to_string(fleet.path("provider.key")).unwrap();
    std::fs::write(fleet.path("provider.key"), "canary-wrong-key-55aa10").unwrap();
    let ids = fleet.admit_many((0..3).map(|n| text(&format!("locked out {n}")).into()));
    fleet.start_role("submitter");
    let stopped = |row: store::StopRow| row.class == "auth" && row.in_row >= 2;
    fleet.until("a second probe", || {
        fleet.run(fleet.store().stops()).ok()?.into_iter().any(stopped).then_some(())
    });
    for id in &ids {
        let word = fleet.record(id).life.state.word();
        assert!(matches!(word, StateWord::Queued | StateWord::Submitting), "{word:?}");
    }
    fleet.kill9("submitter");
    std::fs::write(fleet.path("provider.key"), good).unwrap();
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    for record in fleet.wait_stored(&ids) {
        assert_eq!(fleet.ledger().tasks_of(&record).len(), 1);
    }
    fleet.audit(&ids);
}

// covers: M24
#[test]
fn an_account_that_is_stopped_leaves_its_work_to_the_others_of_the_pool() {
    let fleet =
        Fleet::start(Options::empty().simulator(&["--api-key", "canary-second-key-9d3e=b"]));
    std::fs::write(fleet.path("second.key"), "canary-second-key-9d3e").unwrap();
    let account = format!(
        "[pools.sim.accounts.b]\napi_key_file = \"{}\"\n",
        fleet.path("second.key").display()
    );
    fleet.reconfigure(&account);
    let overdue =
        json!({"kind": "answer", "code": "AccountOverdueError", "match": {"account": "main"}});
    fleet.faults(&json!({"create": [overdue]}));
    let ids = fleet.admit_many((0..6).map(|n| text(&format!("moved over {n}")).into()));
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    for record in fleet.wait_stored(&ids) {
        let task = record.life.state.task().expect("a task");
        assert_eq!(task.facts.account, "b");
    }
    fleet.audit(&ids);
}

// covers: M24
#[test]
fn two_accounts_share_a_backlog_in_proportion_to_their_slots() {
    let flags = ["--api-key", "canary-second-key-9d3e=b", "--run-s", "2"];
    let fleet = Fleet::start(Options::empty().simulator(&flags));
    std::fs::write(fleet.path("second.key"), "canary-second-key-9d3e").unwrap();
    let classes = |account: &str, running: u32| {
        format!(
            "[pools.sim.accounts.{account}.limits.classes]\n\
             \"2.0\" = {{ create_rpm = 6000, running = {running} }}\n"
        )
    };
    let second = fleet.path("second.key");
    fleet.reconfigure(&format!(
        "[pools.sim.accounts.b]\napi_key_file = \"{}\"\n{}{}[submit]\nlookahead = 0\n",
        second.display(),
        classes("a", 10),
        classes("b", 3),
    ));
    let ids = fleet.admit_many((0..39).map(|n| text(&format!("shared {n}")).into()));
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    let mut most = std::collections::BTreeMap::new();
    fleet.until("all slots in use", || {
        for (slot, n) in fleet.run(fleet.store().slots()).ok()? {
            let seen = most.entry(slot.account).or_insert(n);
            *seen = n.max(*seen);
        }
        (most.values().sum::<i64>() == 13).then_some(())
    });
    assert_eq!(most.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 10), ("b".to_owned(), 3)]);
    let on_second =
        |record: &job::Record| record.life.state.task().expect("a task").facts.account == "b";
    let n = fleet.wait_stored(&ids).iter().filter(|record| on_second(record)).count();
    assert!((6..=12).contains(&n), "3 of 13 slots made {n} of 39 videos");
    fleet.audit(&ids);
}

// covers: M22
#[test]
fn a_redis_that_falls_silent_pauses_the_fleet_and_loses_nothing() {
    let fleet = Fleet::start(Options::empty());
    // The workers' patience, and not that of who takes the jobs in on a busy machine.
    let quick = ("SEEDFLEET__REDIS__RESPONSE_TIMEOUT", "500ms");
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_as(role, role, &[quick]);
    }
    let ids = fleet.admit_many((0..8).map(|n| text(&format!("patient {n}")).into()));
    fleet.until("creates", || (fleet.ledger().events("create_seen").count() >= 2).then_some(()));
    fleet.redis().pause().expect("a signal");
    let poller = fleet.role("poller");
    poller.wait_for_line("work is paused", BOUND).unwrap_or_else(|missed| panic!("{missed}"));
    fleet.redis().resume().expect("a signal");
    fleet.wait_stored(&ids);
    fleet.audit(&ids);
}

/// Most calls of a kind that ever came within one of its windows: as the kernel had them, whenever the provider's
/// program got round to them.
fn fullest(stats: &Value, name: &str) -> u64 {
    let tallies = stats["windows"][name].as_object().into_iter().flat_map(|scopes| scopes.values());
    tallies.filter_map(|tally| tally["came_max"].as_u64()).max().unwrap_or(0)
}

/// When a create came, by the kernel's clock where it tells.
fn came_ms(line: &Value) -> i64 {
    let arrived_us = line["arrived_us"].as_i64();
    arrived_us.map(|us| us / 1_000).or_else(|| line["at_ms"].as_i64()).unwrap()
}

// covers: M28
#[test]
fn two_of_each_worker_together_stay_within_the_accounts_limits() {
    let limits = "[pools.sim.accounts.a.limits]\nretrieve_qps = 5\n\
                  [pools.sim.accounts.a.limits.classes]\n\
                  \"2.0\" = { create_rpm = 120, running = 3 }\n\
                  [submit]\nlookahead = 2\n[poll]\nfirst = \"50ms\"\nsteady = \"50ms\"\n\
                  [limits]\nuse_within = \"200ms\"\nnetwork_spread = \"500ms\"\n";
    let words = ["create_rpm=120", "retrieve_qps=5", "running=3"];
    let mut flags: Vec<&str> = words.iter().flat_map(|word| ["--limits", word]).collect();
    flags.extend(["--run-s", "2"]);
    let fleet = Fleet::start(Options::default().config(limits).simulator(&flags));
    for role in ["submitter", "poller"] {
        fleet.start_as(&format!("{role}-2"), role, &[]);
    }
    // A list that serves would spare the single reads.
    fleet.faults(&json!({"list": [{"kind": "500"}]}));
    let ids = fleet.admit_many((0..9).map(|n| text(&format!("in line {n}")).into()));
    fleet.wait_stored(&ids);
    let stats = fleet.stats();
    let most = fullest(&stats, "retrieve_qps");
    assert!(most >= 3, "a limit nobody comes near proves nothing: {stats}");
    assert!(most <= 5, "{stats}");
    assert!(fullest(&stats, "create_rpm") <= 120, "{stats}");
    let ledger = fleet.ledger();
    let mut sent: Vec<i64> = ledger.events("create_seen").map(came_ms).collect();
    sent.sort_unstable();
    // Half a second apart, less what a busy machine may shift them against each other.
    assert!(sent[8] - sent[0] >= 8 * 500 - 450, "creates are paced: {sent:?}");
    let queued = stats["queued"].as_object().unwrap().values().next().unwrap();
    assert!(queued["max"].as_u64() <= Some(5), "running and lookahead together: {queued}");
    fleet.audit(&ids);
}

#[test]
fn no_secret_and_no_prompt_is_ever_logged() {
    let loud = "[telemetry]\nlog_level = \"debug\"\n";
    let fleet = Fleet::start(Options::with_gateway().config(loud));
    let canary = "canary-prompt-of-the-violet-heron";
    fleet.faults(&json!({
        "create": [
            {"kind": "accept_then_drop", "times": 1},
            {"kind": "answer", "code": "InvalidParameter", "times": 1, "message":
             format!("{canary}: cannot fetch https://user:canary-pass@m.example.com/a?sig=canary-query")},
        ],
        "retrieve": [{"kind": "502_html", "times": 2}],
        "media": [{"kind": "truncated", "times": 1}, {"kind": "expired", "times": 1, "skip": 4}],
    }));
    let picture = "https://media.example.com/a.png?X-Signature=canary-signed-reference";
    let bodies = (0..4).map(|n| {
        let body = text(&format!("{canary} {n}"));
        body.and(item("image_url", picture, "first_frame")).with("end_user", "canary-end-user")
    });
    let ids: Vec<_> = bodies
        .map(|body| job::JobId::parse(fleet.post_job(body).body["id"].as_str().unwrap()).unwrap())
        .collect();
    fleet.post_job(text(canary).with("duration", 99));
    let records = fleet.wait_settled(&ids);

    let mut secrets: Vec<String> = [
        canary,
        "canary-pass",
        "canary-query",
        "canary-signed-reference",
        "canary-end-user",
        ALICE,
        BOB,
        "X-Tos-Signature",
    ]
    .map(str::to_owned)
    .to_vec();
    for key in ["provider.key", "callback.key"] {
        secrets.push(std::fs::read_to_string(fleet.path(key)).unwrap());
    }
    let ledger = fleet.ledger();
    let paths = records.iter().filter_map(|record| ledger.callback_path(record));
    secrets.extend(paths.map(|path| path.rsplit('/').next().unwrap().to_owned()));
    assert!(secrets.len() >= 13, "callback tokens are among them");
    let logs = fleet.logs();
    assert!(logs.contains("DEBUG"), "the fleet was loud");
    for secret in &secrets {
        let told = logs.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(told, None, "{secret}");
    }
}
