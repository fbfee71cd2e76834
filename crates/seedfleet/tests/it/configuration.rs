//! Faulty configurations and command lines.

use crate::bench::{Bench, run};

#[test]
fn an_unknown_key_is_refused_with_the_nearest_match() {
    let bench = Bench::new();
    bench.configure(
        "http://127.0.0.1:9/api/v3",
        "[submit]\nconcurency = 3\n\n[poll]\nsteady = \"no\"",
    );
    let ended = bench.run(&["config", "check"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("submit.concurrency"), "{ended:?}");
    assert!(ended.stderr.contains("poll.steady"), "every fault at once: {ended:?}");
    let ended = bench.run(&["jobs", "list"]);
    assert_eq!(ended.code, 3, "every verb refuses it: {ended:?}");
}

#[test]
fn a_sound_configuration_is_told_so() {
    let bench = Bench::new();
    let ended = bench.run(&["config", "check", "-o", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json()["pools"], "sim");
}

#[test]
fn a_missing_key_file_is_found_by_the_check() {
    let bench = Bench::new();
    std::fs::remove_file(bench.path("key")).unwrap();
    let ended = bench.run(&["config", "check"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("pools.sim.accounts.a.api_key_file"), "{ended:?}");
}

#[test]
fn secrets_are_masked_and_origins_told() {
    let bench = Bench::new();
    let ended = bench.run(&["config", "show", "-o", "ndjson"]);
    let rows = ended.lines();
    let of =
        |key: &str| rows.iter().find(|row| row["key"] == key).unwrap_or_else(|| panic!("{key}"));
    assert!(of("redis.url")["origin"].as_str().unwrap().ends_with("config.toml"));
    assert_eq!(of("submit.tries_max")["origin"], "built-in");
}

#[test]
fn a_key_is_explained_or_the_nearest_named() {
    let bench = Bench::new();
    let ended = bench.run(&["config", "explain", "submit.lease"]);
    assert_eq!(ended.code, 0);
    assert!(ended.stdout.contains("SEEDFLEET__SUBMIT__LEASE"), "{ended:?}");
    let ended = bench.run(&["config", "explain", "submit.leese"]);
    assert_eq!(ended.code, 5);
    assert!(ended.stderr.contains("submit.lease"), "{ended:?}");
}

#[test]
fn without_a_pool_nothing_begins() {
    let bench = Bench::new();
    bench.write("config.toml", "");
    let ended = bench.run(&["jobs", "list"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("[pools.<name>]"), "{ended:?}");
}

#[test]
fn what_the_command_line_gets_wrong_ends_with_2() {
    let bench = Bench::new();
    for args in [
        &["jobs", "show", "job_x"][..],
        &["jobs", "list", "--state", "done"],
        &["jobs", "cancel"],
        &["--pool", "other", "jobs", "list"],
        &["frobnicate"],
        &["doubt", "resend", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV"],
    ] {
        let ended = bench.run(args);
        assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{args:?}: {ended:?}");
    }
    let ended = run(&bench.path(""), &["--config", "nowhere.toml", "config", "check"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stderr.contains("nowhere.toml"), "{ended:?}");
}
