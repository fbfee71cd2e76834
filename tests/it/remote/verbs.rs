//! Each verb that the API has, against the same verb on Redis, and what becomes of an import whose gateway goes away.

use super::{CHIEF, chief, command, key, of, remote, said, server, still, told};
use e2e::kit::{ALICE, BOB, Fleet, text};
use reqwest::Method;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Output, Stdio};

/// A key of the fleet's operators.
const ROOT: &str = "canary-operator-key-5ba201";

/// As Alice, with this exit code.
fn alice(fleet: &Fleet, args: &[&str], exit: i32) -> Output {
    let ended = of(fleet, ALICE, args);
    assert_eq!(ended.status.code(), Some(exit), "{args:?}: {ended:?}");
    ended
}

fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn batches_are_listed_paused_and_cancelled_as_from_redis() {
    let fleet = still("");
    let rows = [1, 2].map(|n| format!("{}\n", Value::from(text(&format!("boat {n}")))));
    std::fs::write(fleet.path("spring.jsonl"), rows.concat()).expect("the folder is ours");
    alice(&fleet, &["import", "spring.jsonl", "--priority", "low", "--buy-total-max", "40"], 0);
    let same = |args: &[&str]| {
        let over = text_of(&alice(&fleet, args, 0));
        assert_eq!(over, fleet.cli(args).stdout, "{args:?}");
        over
    };
    let (list, wide) =
        (["-o", "csv", "batch", "list"], ["-o", "csv", "--fields", "id,budget", "batch", "list"]);
    assert!(same(&list).contains("spring,running,2,0,"), "{}", same(&list));
    assert!(same(&wide).contains("40.000000"), "{}", same(&wide));

    edits(&fleet);
    let asked = alice(&fleet, &["batch", "pause", "spring"], 9);
    assert!(said(&asked).contains("pause would touch 2 jobs of spring"), "{asked:?}");
    alice(&fleet, &["batch", "pause", "spring", "--reason", "odd prompts", "--yes"], 0);
    fleet.until("its jobs are paused", || {
        let shown = told(&alice(&fleet, &["-o", "json", "batch", "show", "spring"], 0));
        (shown["counts"]["held"] == 2).then_some(())
    });
    assert!(same(&list).contains("by alice since "), "{}", same(&list));
    alice(
        &fleet,
        &["batch", "budget", "spring", "--buy-day-max", "2", "--reason", "r", "--yes"],
        0,
    );
    assert!(same(&wide).contains("2.000000"), "{}", same(&wide));
    alice(&fleet, &["batch", "resume", "spring", "--reason", "they are fine", "--yes"], 0);
    alice(&fleet, &["batch", "cancel", "spring", "--reason", "no more boats", "--yes"], 0);
    // A held job waits for a person, so that a watch would not wait for it: its end first.
    fleet.until("its jobs have ended", || {
        let shown = told(&alice(&fleet, &["-o", "json", "batch", "show", "spring"], 0));
        (shown["finished"] == 2).then_some(())
    });
    // None of them succeeded.
    alice(&fleet, &["batch", "watch", "spring", "--timeout", "60s"], 1);
    alice(&fleet, &["jobs", "wait", "--batch", "spring", "--timeout", "60s"], 1);
    assert!(same(&list).contains("spring,completed_with_failures,2,2,"), "{}", same(&list));
    alice(&fleet, &["batch", "show", "autumn"], 5);
}

/// What waits of a batch is edited over the gateway and from Redis alike.
fn edits(fleet: &Fleet) {
    let edit = ["-o", "json", "batch", "edit", "spring", "--set", "priority=high"];
    let asked = alice(fleet, &edit, 9);
    let would = "2 waiting jobs of spring would be changed, 0 that have begun or ended stay";
    assert!(said(&asked).contains(would), "{asked:?}");
    assert!(fleet.cli(&edit).stderr.contains(would), "the same words");
    let why = ["--reason", "they are late", "--yes"];
    let low = ["--where", "priority=low", "--set", "budget=41"];
    let told_over = told(&alice(fleet, &[&edit[..], &low, &why].concat(), 0));
    assert_eq!(told_over, json!({"batch": "spring", "changed": 2, "unchanged": 0, "begun": 0}));
    let direct = fleet.cli(&[&edit[..], &why].concat()).json();
    assert_eq!(direct, json!({"batch": "spring", "changed": 0, "unchanged": 2, "begun": 0}));
    let shown = told(&alice(fleet, &["-o", "json", "batch", "show", "spring"], 0));
    assert_eq!(shown["budget"]["total"]["max"], "41.000000", "{shown}");
    let audit = fleet.cli(&["audit"]).stdout;
    assert!(audit.contains("edited") && audit.contains("they are late"), "{audit}");
    for (wrong, word) in [
        (&["--set", "useful_until=2001-01-01"][..], "has passed"),
        (&["--set", "priority=low", "--set", "priority=high"], "twice"),
        (&["--set", "budget=1", "--where", "priority=low"], "leave --where out"),
    ] {
        let refused = alice(fleet, &[&["batch", "edit", "spring"], wrong, &why].concat(), 2);
        assert!(said(&refused).contains(word), "{wrong:?}: {refused:?}");
    }
}

#[test]
fn endpoints_erasures_and_adopted_tasks_are_reached_by_their_verbs() {
    let fleet = still("[webhooks]\nallow_origins = [\"http://127.0.0.1:9\"]\n");
    let wish = json!({"url": "http://127.0.0.1:9/told", "types": ["job.succeeded"]});
    let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/webhook-endpoints", ALICE);
    let made = fleet.send(request.json(&wish));
    assert_eq!(made.status, 201, "{}", made.body);
    let id = made.body["id"].as_str().expect("an id");
    let list = ["-o", "json", "webhooks", "list"];
    assert_eq!(told(&alice(&fleet, &list, 0)), fleet.cli(&list).json());
    assert_eq!(told(&of(&fleet, BOB, &list)), json!([]));
    let tested = told(&alice(&fleet, &["-o", "json", "webhooks", "test", id], 0));
    assert!(tested["event"].is_string(), "{tested}");
    let replay = ["-o", "json", "webhooks", "replay", id, "--since", "1h"];
    assert_eq!(told(&alice(&fleet, &replay, 0))["events"], 0, "nothing succeeded yet");
    alice(&fleet, &["webhooks", "test", "whe_none"], 5);

    let body = Value::from(text("a boat").with("end_user", "customer-7"));
    std::fs::write(fleet.path("one.json"), body.to_string()).expect("the folder is ours");
    alice(&fleet, &["submit", "--file", "one.json"], 0);
    let erase =
        ["-o", "json", "erase", "end-user", "customer-7", "--reason", "asked for", "--cancel"];
    alice(&fleet, &erase, 9);
    let erased = of(&fleet, ALICE, &[&erase[..], &["--yes"]].concat());
    assert!(matches!(erased.status.code(), Some(0 | 7)), "{erased:?}");
    let id = told(&erased)["id"].as_str().expect("an id").to_owned();
    let receipt = fleet.until("its receipt", || {
        let shown = of(&fleet, ALICE, &["-o", "json", "erase", "show", &id]);
        (shown.status.code() == Some(0)).then(|| told(&shown))
    });
    assert_eq!((&receipt["progress"], &receipt["jobs"]), (&json!("done"), &json!(1)), "{receipt}");
    let direct = fleet.cli(&["-o", "json", "erase", "show", &id]).json();
    for (name, value) in receipt.as_object().expect("a receipt") {
        assert_eq!(value, &direct[name], "{name}");
    }
    erases_one(&fleet);

    let adopt = ["-o", "json", "jobs", "adopt", "cgt-20261127-elsewhere", "--account", "a"];
    let first = told(&alice(&fleet, &adopt, 0));
    assert_eq!((&first["new"], &first["task"]), (&json!(true), &json!("cgt-20261127-elsewhere")));
    let again = told(&alice(&fleet, &adopt, 0));
    assert_eq!((&again["new"], &again["job"]), (&json!(false), &first["job"]));
}

/// A job alone is erased over the gateway with the same questions, and with its reason.
fn erases_one(fleet: &Fleet) {
    let made = told(&alice(fleet, &["-o", "json", "submit", "-p", "a boat at night"], 0));
    let job = made["job"].as_str().expect("an id");
    let erase = ["-o", "json", "erase", "job", job, "--reason", "she asked: §17 & more"];
    let same = |more: &[&str], exit: i32| {
        let args = [&erase[..], more].concat();
        let (over, direct) = (alice(fleet, &args, exit), fleet.cli(&args));
        assert_eq!(direct.code, exit, "{args:?}: {direct:?}");
        assert!(direct.stderr.ends_with(&said(&over)), "{direct:?}, {over:?}");
        said(&over)
    };
    assert!(same(&[], 6).contains("has not ended: it is queued"));
    assert!(same(&["--cancel"], 9).contains("(queued) would go"));
    let blank = ["erase", "job", job, "--cancel", "--yes", "--reason", " "];
    assert!(said(&alice(fleet, &blank, 2)).contains("--reason is empty"));
    let yes = ["--cancel", "--yes"];
    assert_eq!(of(fleet, BOB, &[&erase[..], &yes].concat()).status.code(), Some(5));
    let named = alice(fleet, &[&erase[..], &yes, &["--by", "ann"]].concat(), 2);
    assert!(said(&named).contains("--by"), "{named:?}");
    let broken = ["erase", "job", job, "--cancel", "--yes", "--reason", "two\nlines"];
    assert!(said(&alice(fleet, &broken, 2)).contains("on one line"));

    let erased = of(fleet, ALICE, &[&erase[..], &yes].concat());
    assert!(matches!(erased.status.code(), Some(0 | 7)), "{erased:?}");
    let id = told(&erased)["id"].as_str().expect("an id").to_owned();
    let receipt = fleet.until("its receipt", || {
        let shown = fleet.cli(&["-o", "json", "erase", "show", &id]);
        (shown.code == 0).then(|| shown.json())
    });
    assert_eq!(
        (&receipt["by"], &receipt["reason"], &receipt["jobs"]),
        (&json!("alice"), &json!("she asked: §17 & more"), &json!(1)),
        "{receipt}"
    );
}

#[test]
fn limits_are_lowered_and_keys_rotated_by_who_may() {
    let root = key("root", "*", ROOT, r#"["jobs:read", "admin"]"#);
    let fleet = still(&(chief() + &root));
    let set = [
        "limits",
        "set",
        "--account",
        "a",
        "--class",
        "2.0",
        "--running",
        "1",
        "--reason",
        "others use it",
    ];
    alice(&fleet, &set, 4);
    let lowered = of(&fleet, ROOT, &set);
    assert_eq!(lowered.status.code(), Some(0), "{lowered:?}");
    let page = text_of(&lowered);
    for part in ["1 of 60", "a 2.0: running 1, set by root at ", "others use it."] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let direct = fleet.cli(&["limits", "show"]).stdout;
    let sentence =
        |page: &str| page.lines().find(|line| line.contains("set by root")).map(str::to_owned);
    assert_eq!(sentence(&page), sentence(&direct));
    let nameless = of(&fleet, ROOT, &["limits", "reset", "--reason", "done"]);
    assert_eq!(nameless.status.code(), Some(2), "{nameless:?}");
    let reset = of(&fleet, ROOT, &["limits", "reset", "--account", "a", "--reason", "done"]);
    assert_eq!(reset.status.code(), Some(0), "{reset:?}");
    assert_eq!(sentence(&text_of(&reset)), None);

    operators(&fleet);
    let create = [
        "-o",
        "json",
        "keys",
        "create",
        "--name",
        "till",
        "--mode",
        "test",
        "--scope",
        "jobs:read",
    ];
    let made = told(&of(&fleet, CHIEF, &create));
    let rotate =
        ["-o", "json", "keys", "rotate", made["id"].as_str().expect("an id"), "--overlap", "1h"];
    let newer = told(&of(&fleet, CHIEF, &rotate));
    assert_eq!(newer["rotated_from"], made["id"], "{newer}");
    assert!(newer["old_ends_at"].is_string(), "{newer}");
    let fields = [
        "-o",
        "json",
        "--fields",
        "id,name,tenant,mode,scopes,state,ends_at,created_by",
        "keys",
        "list",
    ];
    assert_eq!(told(&of(&fleet, CHIEF, &fields)), fleet.cli(&fields).json());
    // An operator's key that names no tenant makes one of the default tenant, and none of all of them.
    let by_root = told(&of(&fleet, ROOT, &create));
    assert_eq!(by_root["tenant"], "default", "{by_root}");
}

/// Whole pools are looked at and paused over the gateway as from Redis, by operators alone.
fn operators(fleet: &Fleet) {
    let root = |args: &[&str], exit: i32| {
        let ended = of(fleet, ROOT, args);
        assert_eq!(ended.status.code(), Some(exit), "{args:?}: {ended:?}");
        ended
    };
    // Ages go on between two looks, so that these are the same only when they come close together.
    let same = |args: &[&str]| {
        fleet.until(&format!("the same by either way: {args:?}"), || {
            let over = text_of(&root(args, 0));
            (over == fleet.cli(args).stdout).then_some(over)
        })
    };
    for args in [&["queue", "status"][..], &["workers"], &["audit"]] {
        alice(fleet, args, 4);
        same(args);
        same(&[&["-o", "json"], args].concat());
    }
    let why = ["--stage", "download", "--reason", "a look", "--yes"];
    let with = |verb: &[&'static str]| [&["-o", "json", "queue"], verb, &why].concat();
    root(&["queue", "pause"], 9);
    alice(fleet, &with(&["pause"]), 4);
    let paused = root(&with(&["pause", "--until-resumed"]), 0);
    assert!(said(&paused).contains("are made all the same"), "{paused:?}");
    let paused = told(&paused);
    assert_eq!(
        (&paused["scope"], &paused["by"], &paused["until"]),
        (&json!("downloads"), &json!("root"), &Value::Null)
    );
    let page = same(&["queue", "status"]);
    assert!(page.contains("Paused: downloads by root until it is resumed (a look)."), "{page}");
    let drained = told(&root(&with(&["drain", "--until-resumed", "--timeout", "60s"]), 0));
    assert_eq!(drained["paused"], true, "{drained}");
    assert_eq!(told(&root(&with(&["resume"]), 0))["paused"], false);
    let twice = root(&with(&["resume"]), 6);
    assert!(said(&twice).contains("nobody paused that"), "{twice:?}");
    root(&["queue", "pause", "--stage", "poll", "--until-resumed", "--reason", "x", "--yes"], 2);
    let audit = same(&["-o", "csv", "audit", "--since", "1h", "--limit", "5"]);
    assert!(audit.contains("downloads: a look"), "{audit}");
    root(&["audit", "--limit", "0"], 2);
}

#[test]
fn an_import_whose_gateway_dies_is_told_how_to_go_on() {
    let fleet = still("");
    let server = server(&fleet);
    let environment = [("SEEDFLEET_SERVER", server.as_str()), ("SEEDFLEET_API_KEY", ALICE)];
    let row = |n: u32| format!("{}\n", Value::from(text(&format!("boat {n}"))));
    let mut child = command(&fleet, &environment, &["import", "-", "--batch", "pipe"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command line starts");
    let mut rows = child.stdin.take().expect("a pipe");
    rows.write_all(row(1).as_bytes()).expect("it reads");
    fleet.until("the upload has begun", || {
        (fleet.get("/v1/batches/pipe", ALICE).status == 200).then_some(())
    });
    fleet.role("gateway").kill9();
    // Its standard input stays open: it must not wait for that.
    let ended = fleet.until("its end", || child.try_wait().expect("our child"));
    drop(rows);
    let output = child.wait_with_output().expect("our child");
    assert_eq!(ended.code(), Some(75), "{output:?}");
    assert!(said(&output).contains("seedfleet import - --batch pipe"), "{output:?}");

    fleet.start_gateway();
    let file = fleet.path("pipe.jsonl");
    std::fs::write(&file, [row(1), row(2)].concat()).expect("the folder is ours");
    let again = ["-o", "json", "import", "pipe.jsonl", "--batch", "pipe"];
    let taken = fleet.until("the gateway is back", || {
        let taken = remote(&fleet, &environment, &again);
        (taken.status.code() != Some(75)).then_some(taken)
    });
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    assert_eq!(told(&taken)["rows"], 2, "{taken:?}");

    // Nothing behind the gateway: it says so, and so does the command line.
    fleet.redis().kill9();
    let away = remote(&fleet, &environment, &["submit", "-p", "a boat"]);
    assert_eq!(away.status.code(), Some(75), "{away:?}");
    assert!(said(&away).contains("hint: "), "{away:?}");
}
