//! The command line over the gateway: whom it talks to, the same rows as those of Redis, and what goes wrong.

mod doubts;
mod imports;
mod verbs;

use e2e::kit::{ALICE, BOB, BOUND, Fleet, Options};
use sandbox::{Process, bins, ports};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

/// A key that may decide and make keys.
const CHIEF: &str = "canary-chief-key-3d91ab";

/// A fleet whose jobs wait for ever, since nobody submits them.
fn still(config: &str) -> Fleet {
    Fleet::start(Options { roles: vec!["gateway"], ..Options::default() }.config(config))
}

/// One more configured key.
fn key(name: &str, tenant: &str, secret: &str, scopes: &str) -> String {
    let digest = Sha256::digest(secret.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "[gateway.keys.{name}]\ntenant = \"{tenant}\"\nkey_sha256 = \"{hex}\"\nscopes = {scopes}\n"
    )
}

/// The chief's.
fn chief() -> String {
    key("chief", "default", CHIEF, r#"["jobs:read", "jobs:write", "review", "admin"]"#)
}

/// The command line in the fleet's folder, which knows no configuration.
fn command(fleet: &Fleet, environment: &[(&str, &str)], args: &[&str]) -> Command {
    let mut command = Command::new(bins::path("seedfleet"));
    command.env_clear().env("SEEDFLEET_ETC", "/nonexistent").stdin(Stdio::null());
    command.env("SEEDFLEET_CONTEXTS", fleet.path("contexts.toml")).current_dir(fleet.path(""));
    command.envs(environment.iter().copied()).args(args);
    command
}

/// Run to its end.
fn remote(fleet: &Fleet, environment: &[(&str, &str)], args: &[&str]) -> Output {
    command(fleet, environment, args).output().expect("the command line starts")
}

fn server(fleet: &Fleet) -> String {
    format!("http://127.0.0.1:{}", fleet.gateway_port())
}

/// The same with a key in the environment.
fn of(fleet: &Fleet, key: &str, args: &[&str]) -> Output {
    let server = server(fleet);
    remote(fleet, &[("SEEDFLEET_SERVER", &server), ("SEEDFLEET_API_KEY", key)], args)
}

fn told(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_job_is_made_watched_and_listed_over_the_gateway_as_from_redis() {
    let fleet = Fleet::start(Options::with_gateway());
    let made = of(&fleet, ALICE, &["-o", "json", "submit", "-p", "a boat", "--wait"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let made = told(&made);
    assert_eq!(made[0]["state"], "succeeded", "{made}");
    let id = made[0]["job"].as_str().expect("an id").to_owned();

    let fields =
        ["-o", "ndjson", "--fields", "job,state,model,batch,custom_id,created_at,code,task"];
    let list = [&fields[..], &["jobs", "list", "--state", "succeeded"]].concat();
    let (over, direct) = (of(&fleet, ALICE, &list), fleet.cli(&list));
    assert_eq!(String::from_utf8_lossy(&over.stdout), direct.stdout, "{over:?}");
    assert!(direct.stdout.contains(&id), "{direct:?}");
    assert_eq!(of(&fleet, BOB, &list).stdout, b"", "another tenant has none");

    let shown = told(&of(&fleet, ALICE, &["-o", "json", "jobs", "show", &id]));
    assert!(shown["timeline"].as_array().is_some_and(|lines| lines.len() >= 4), "{shown}");
    let watched = of(&fleet, ALICE, &["jobs", "watch", &id]);
    assert_eq!(watched.status.code(), Some(0), "{watched:?}");
    assert!(String::from_utf8_lossy(&watched.stdout).contains("  succeeded  "), "{watched:?}");

    let again = told(&of(&fleet, ALICE, &["-o", "json", "submit", "-p", "a boat"]));
    assert_eq!(
        (&again["job"], &again["existing"]),
        (&id.as_str().into(), &"by its fingerprint".into())
    );
    let late = of(&fleet, ALICE, &["-o", "json", "jobs", "cancel", &id]);
    assert_eq!((late.status.code(), &told(&late)[0]["state"]), (Some(6), &"succeeded".into()));

    let by_model = ["-o", "json", "usage", "--by", "model"];
    assert_eq!(told(&of(&fleet, ALICE, &by_model)), fleet.cli(&by_model).json());
    let failed = of(&fleet, ALICE, &["-o", "json", "failed", "list"]);
    assert_eq!((failed.status.code(), told(&failed)), (Some(0), json!([])));
    let limits = told(&of(&fleet, ALICE, &["-o", "json", "limits", "show"]));
    assert!(limits["limited_by"].is_string(), "{limits}");
}

#[test]
fn what_goes_wrong_has_its_exit_code_and_its_cure() {
    let fleet = Fleet::start(Options::with_gateway());
    let nobody = of(&fleet, "canary-of-nobody", &["jobs", "list"]);
    assert_eq!(nobody.status.code(), Some(4), "{nobody:?}");
    assert!(said(&nobody).contains("SEEDFLEET_API_KEY"), "{nobody:?}");
    assert!(!said(&nobody).contains("canary-of-nobody"), "a key is never shown: {nobody:?}");

    let absent = of(&fleet, ALICE, &["jobs", "show", "job_01JB2000000000000000000000"]);
    assert_eq!(absent.status.code(), Some(5), "{absent:?}");
    let faulty = of(&fleet, ALICE, &["submit", "-p", "x", "--duration", "99"]);
    assert_eq!(faulty.status.code(), Some(3), "{faulty:?}");
    assert!(said(&faulty).contains("/duration"), "{faulty:?}");

    // What only Redis can answer says so, and goes nowhere else.
    for verb in [
        &["tenants", "list"][..],
        &["top", "--once"],
        &["doubt", "apply", "plan.jsonl", "--reason", "x"],
        &["reconcile"],
        &["freeze", "--reason", "x"],
        &["export", "--batch", "b", "--download", "there"],
    ] {
        let refused = of(&fleet, ALICE, verb);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(said(&refused).contains("--direct"), "{refused:?}");
    }
    let refused = of(&fleet, ALICE, &["freeze", "--reason", "x"]);
    for part in ["it needs ", "queue pause"] {
        assert!(said(&refused).contains(part), "why, and what to do: {refused:?}");
    }
    for (option, verb) in [
        ("--tenant", &["usage", "--tenant", "bob"][..]),
        ("--tenant", &["jobs", "list", "--tenant", "bob"]),
        ("--by", &["jobs", "cancel", "--state", "queued", "--reason", "x", "--yes", "--by", "ann"]),
        ("--pool", &["jobs", "list", "--pool", "sim"]),
    ] {
        let refused = of(&fleet, ALICE, verb);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(said(&refused).contains(option), "{refused:?}");
    }

    // A key that leaves the machine by plain HTTP is warned of, and sent: the way may be one's own.
    let plain = format!("http://0.0.0.0:{}", fleet.gateway_port());
    let sent = |server: &str| {
        let environment = [("SEEDFLEET_SERVER", server), ("SEEDFLEET_API_KEY", ALICE)];
        let listed = remote(&fleet, &environment, &["jobs", "list"]);
        assert_eq!(listed.status.code(), Some(0), "{listed:?}");
        said(&listed).lines().filter(|line| line.contains("https")).map(str::to_owned).collect()
    };
    let warned: Vec<String> = sent(&plain);
    assert!(warned.len() == 1 && warned[0].starts_with("warning: the API key"), "{warned:?}");
    assert_eq!(sent(&server(&fleet)), Vec::<String>::new());

    let nowhere = format!("http://127.0.0.1:{}", ports::free());
    let away = remote(
        &fleet,
        &[("SEEDFLEET_SERVER", &nowhere), ("SEEDFLEET_API_KEY", ALICE)],
        &["jobs", "list"],
    );
    assert_eq!(away.status.code(), Some(75), "{away:?}");
    assert!(said(&away).contains("--direct"), "{away:?}");
    let keyless = remote(&fleet, &[("SEEDFLEET_SERVER", &nowhere)], &["jobs", "list"]);
    assert_eq!(keyless.status.code(), Some(2), "{keyless:?}");
    assert!(said(&keyless).contains("--api-key-file"), "{keyless:?}");
}

#[test]
fn a_cap_on_requests_is_told_with_the_wait() {
    let caps = "[tenants.default]\nrpm = 1\n";
    let fleet = Fleet::start(Options::with_gateway().config(caps));
    let refused = (0..10).find_map(|n| {
        let made = of(&fleet, ALICE, &["submit", "-p", &format!("boat {n}")]);
        (made.status.code() != Some(0)).then_some(made)
    });
    let refused = refused.expect("ten changes do not take ten minutes");
    assert_eq!(refused.status.code(), Some(75), "{refused:?}");
    assert!(said(&refused).contains("rate-limited"), "{refused:?}");
    assert!(said(&refused).contains("repeat the command in "), "{refused:?}");
}

#[test]
fn contexts_name_gateways_and_files_of_keys() {
    let fleet = Fleet::start(Options::with_gateway());
    let run = |args: &[&str]| remote(&fleet, &[], args);
    let key = fleet.path("key");
    std::fs::write(&key, BOB).expect("the folder is ours");
    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(&key, open).expect("the folder is ours");
    let set = ["context", "set", "here", "--server", &server(&fleet), "--api-key-file", "key"];
    assert_eq!(run(&set).status.code(), Some(0));
    let file = fleet.path("contexts.toml");
    let mode = std::fs::metadata(&file).expect("it is written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).expect("it is text");
    assert!(!text.contains(BOB), "{text}");

    // The key's file is read each time: whoever rotates it writes no context.
    let list = ["-o", "id", "jobs", "list"];
    assert_eq!(of(&fleet, ALICE, &["submit", "-p", "a boat"]).status.code(), Some(0));
    assert_eq!(run(&list).stdout, b"");
    std::fs::write(&key, ALICE).expect("the folder is ours");
    let listed = run(&list);
    assert!(said(&listed).contains("chmod 600"), "everybody can read it: {listed:?}");
    let ours = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&key, ours).expect("the folder is ours");
    let listed = run(&list);
    assert!(!said(&listed).contains("chmod"), "{listed:?}");
    assert!(listed.stdout.starts_with(b"job_"), "{listed:?}");

    let talks = |args: &[&str]| {
        let version = told(&run(&[args, &["-o", "json", "version"]].concat()));
        version["talks_to"].as_str().unwrap_or_default().to_owned()
    };
    assert!(talks(&[]).ends_with("(context here)"), "{}", talks(&[]));
    assert!(talks(&["--direct"]).starts_with("redis"));
    assert!(
        talks(&["--config", "own.toml"]).starts_with("redis"),
        "a configuration means its fleet"
    );
    assert!(talks(&["--server", "http://x.example"]).ends_with("(--server)"));

    assert_eq!(run(&["context", "use", "there"]).status.code(), Some(5));
    assert_eq!(run(&["context", "remove", "here"]).status.code(), Some(0));
    assert_eq!(told(&run(&["-o", "json", "context", "list"])), json!([]));
    assert!(talks(&[]).starts_with("redis"));

    std::fs::write(&file, "current = \"a\"\n[contexts.a]\nserver = \"ftp://x\"\n").expect("ours");
    let faulty = run(&list);
    assert_eq!(faulty.status.code(), Some(3), "{faulty:?}");
    assert!(said(&faulty).contains("contexts.a.server"), "{faulty:?}");
}

#[test]
fn many_jobs_are_counted_agreed_to_and_followed_over_the_gateway() {
    let fleet = still("");
    let submit = |n: u32| of(&fleet, ALICE, &["submit", "-p", &format!("boat {n}")]);
    assert!((1..=4).all(|n| submit(n).status.success()));
    let of_queued = ["jobs", "cancel", "--where", "state=queued"];
    let with = |more: &[&str]| of(&fleet, ALICE, &[&of_queued[..], more].concat());
    let asked = with(&[]);
    assert_eq!(asked.status.code(), Some(9), "{asked:?}");
    assert!(said(&asked).contains("4 unfinished jobs would be cancelled"), "{asked:?}");
    let limited = with(&["--limit", "3"]);
    assert!(said(&limited).contains("3 unfinished jobs would be cancelled"), "{limited:?}");
    assert_eq!(with(&["--yes"]).status.code(), Some(2), "a reason is wanted");

    let some = with(&["--limit", "3", "--yes", "--reason", "wrong prompts"]);
    assert_eq!(some.status.code(), Some(0), "{some:?}");
    let line = String::from_utf8_lossy(&some.stdout).into_owned();
    assert!(line.contains("3 matched  3 asked to stop  0 skipped"), "{line}");
    let id = line.split_whitespace().nth(1).expect("its id");
    let over = |args: &[&str]| told(&of(&fleet, ALICE, &[&["-o", "json"], args].concat()));
    let listed = over(&["operations", "list"]);
    assert_eq!((&listed[0]["id"], &listed[0]["changed"]), (&json!(id), &json!(3)), "{listed}");
    let shown = over(&["operations", "show", id]);
    assert_eq!(shown, fleet.cli(&["-o", "json", "operations", "show", id]).json());
    let watched = of(&fleet, ALICE, &["operations", "watch", id]);
    assert_eq!(watched.status.code(), Some(0), "{watched:?}");
    assert_eq!(of(&fleet, BOB, &["operations", "show", id]).status.code(), Some(5));

    let left = told(&of(&fleet, ALICE, &["-o", "json", "jobs", "list", "--state", "queued"]));
    let left = left[0]["job"].as_str().expect("one is left").to_owned();
    assert_eq!(of(&fleet, BOB, &["jobs", "cancel", &left]).status.code(), Some(5));
    let named = over(&["jobs", "cancel", &left]);
    assert_eq!(named[0]["state"], "cancelled", "{named}");
    let nothing = with(&["--yes", "--reason", "again"]);
    assert_eq!(nothing.status.code(), Some(0), "{nothing:?}");
    assert!(said(&nothing).contains("nothing was begun"), "{nothing:?}");
    let priced = of(&fleet, ALICE, &["jobs", "retry", "--where", "state=cancelled"]);
    assert_eq!(priced.status.code(), Some(9), "{priced:?}");
    for part in ["4 jobs would be made again, about USD ", "4 were not"] {
        assert!(said(&priced).contains(part), "{part}: {priced:?}");
    }
    let again = of(&fleet, ALICE, &["jobs", "retry", &left, "--yes", "--reason", "after all"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains(", new"), "{again:?}");
}

#[test]
fn failures_are_shown_and_dismissed_over_the_gateway_as_from_redis() {
    let fleet = Fleet::start(Options::with_gateway());
    let code = "InternalServiceError";
    let storm = json!({"kind": "failed", "code": code, "match": {"text": "storm"}});
    fleet.faults(&json!({"task": [storm]}));
    for prompt in ["storm one", "storm two"] {
        let made = of(&fleet, ALICE, &["submit", "-p", prompt, "--wait"]);
        assert_eq!(made.status.code(), Some(1), "{made:?}");
    }
    let list = |more: &[&str]| {
        let list = [&["-o", "json", "failed", "list"], more].concat();
        let (over, direct) = (told(&of(&fleet, ALICE, &list)), fleet.cli(&list).json());
        assert_eq!(over, direct);
        over.as_array().expect("rows").iter().map(|row| row["jobs"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), [json!(2)]);
    let dismiss = ["failed", "dismiss", code, "--limit", "1", "--reason", "known", "--yes"];
    let dismissed = of(&fleet, ALICE, &dismiss);
    assert_eq!(dismissed.status.code(), Some(0), "{dismissed:?}");
    assert_eq!(
        (list(&[]), list(&["--dismissed"]), list(&["--all"])),
        (vec![json!(1)], vec![json!(1)], vec![json!(2)])
    );
    let noted = of(&fleet, ALICE, &["failed", "list"]);
    assert!(said(&noted).contains("1 more were dismissed"), "{noted:?}");

    // Whole requests with what was wrong, to be mended.
    for (form, more) in
        [("ndjson", &[code][..]), ("csv", &[]), ("json", &[]), ("id", &["--dismissed"])]
    {
        let export = [&["-o", form, "failed", "export"], more].concat();
        let over = of(&fleet, ALICE, &export);
        assert_eq!(over.status.code(), Some(0), "{over:?}");
        let over = String::from_utf8_lossy(&over.stdout).into_owned();
        assert_eq!(over, fleet.cli(&export).stdout, "{form}");
        assert!(over.contains(if form == "id" { "job_" } else { "storm " }), "{over}");
    }
    let none = of(&fleet, BOB, &["failed", "export"]);
    assert_eq!((none.status.code(), none.stdout.len()), (Some(0), 0), "not his: {none:?}");
    imports::mends(&fleet);
}

#[test]
fn keys_reviews_and_events_go_over_the_gateway() {
    let fleet = still(&(chief() + "[review]\nrequire = \"always\"\n"));
    let create =
        ["keys", "create", "--name", "till", "--mode", "test", "--scope", "jobs:write,jobs:read"];
    assert_eq!(of(&fleet, ALICE, &create).status.code(), Some(4), "it wants the scope admin");
    let made = of(&fleet, CHIEF, &[&["-o", "json"], &create[..]].concat());
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let made = told(&made);
    let (id, key) = (made["id"].as_str().expect("id"), made["key"].as_str().expect("the key"));
    let listed = String::from_utf8_lossy(&of(&fleet, CHIEF, &["keys", "list"]).stdout).into_owned();
    assert!(listed.contains(id) && !listed.contains(key), "{listed}");

    let held = told(&of(&fleet, key, &["-o", "json", "submit", "-p", "a boat"]));
    assert_eq!(held["state"], "held", "{held}");
    let held = held["job"].as_str().expect("an id");
    let waits = told(&of(&fleet, CHIEF, &["-o", "json", "review", "list"]));
    assert_eq!(waits[0]["job"], held, "{waits}");
    assert_eq!(of(&fleet, key, &["review", "approve", held]).status.code(), Some(4));
    assert_eq!(of(&fleet, CHIEF, &["review", "approve", held]).status.code(), Some(0));
    let twice = of(&fleet, CHIEF, &["review", "reject", held, "--reason", "no"]);
    assert_eq!(twice.status.code(), Some(6), "{twice:?}");

    let server = server(&fleet);
    let environment = [("SEEDFLEET_SERVER", server.as_str()), ("SEEDFLEET_API_KEY", ALICE)];
    let tail = ["-o", "ndjson", "events", "tail", "--since", "1h"];
    let child = Process::spawn("tail", command(&fleet, &environment, &tail)).expect("it starts");
    let hears = |kind: &str| {
        let part = format!("\"type\":\"{kind}\"");
        fleet.until(&part, || child.log().contains(&part).then_some(()));
    };
    hears("job.queued");
    assert_eq!(of(&fleet, ALICE, &["jobs", "cancel", held]).status.code(), Some(0));
    hears("job.cancelled");
    child.signal("INT").expect("it runs");
    let ended = child.wait_bounded(BOUND).and_then(|status| status.code());
    assert_eq!(ended, Some(130), "{}", child.log());

    assert_eq!(of(&fleet, CHIEF, &["keys", "revoke", id]).status.code(), Some(0));
    fleet.until("the key has ended everywhere", || {
        (of(&fleet, key, &["jobs", "list"]).status.code() == Some(4)).then_some(())
    });
}
