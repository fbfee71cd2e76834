//! What is refused, and whether the refusal helps.

use secrecy::ExposeSecret;
use serde::Deserialize;
use settings::{Fault, Layer, SettingsError, Sources, secret_file};
use std::fs;
use std::time::Duration;

fn faults(sources: Sources) -> Vec<SettingsError> {
    match sources.load() {
        Ok(_) => Vec::new(),
        Err(errors) => errors.faults().to_vec(),
    }
}

fn only(sources: Sources) -> SettingsError {
    let mut found = faults(sources);
    assert_eq!(found.len(), 1, "{found:#?}");
    found.remove(0)
}

fn file_with(text: &str) -> (tempfile::TempDir, Sources, Layer) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("x.toml");
    fs::write(&path, text).expect("a file is written");
    (dir, Sources::default().file(&path), Layer::File(path))
}

fn env(name: &str, value: &str) -> Sources {
    Sources::default().env([(name.to_owned(), value.to_owned())])
}

#[test]
fn an_unknown_key_in_a_file_names_file_key_and_nearest() {
    let (_dir, sources, layer) = file_with("[submit]\nconcurency = 4\n");
    let fault = only(sources);
    assert_eq!(fault.layer, layer);
    assert_eq!(fault.field, "submit.concurency");
    let nearest = Some("submit.concurrency".to_owned());
    assert_eq!(&fault.fault, &Fault::UnknownKey { nearest });
    assert!(fault.to_string().contains("Did you mean `submit.concurrency`?"), "{fault}");
}

#[test]
fn an_unknown_name_in_the_environment_is_refused_with_the_name_to_use() {
    let fault = only(env("SEEDFLEET__STORE__S3__REGON", "x"));
    assert_eq!(fault.layer, Layer::Env("SEEDFLEET__STORE__S3__REGON".to_owned()));
    assert!(fault.cure.contains("SEEDFLEET__STORE__S3__REGION"), "{fault}");
    let fault = only(env("SEEDFLEET__REDIS__UL_FILE", "/x"));
    assert!(matches!(fault.fault, Fault::UnknownKey { .. }), "{fault}");
}

#[test]
fn a_key_below_an_operators_name_is_checked_too() {
    let fault = only(Sources::default().set("pools.main.acounts.a.tier", "enterprise"));
    let nearest = Some("pools.main.accounts.a.tier".to_owned());
    assert_eq!(&fault.fault, &Fault::UnknownKey { nearest });
    let far = only(Sources::default().set("weather.today", "rain"));
    assert_eq!(far.fault, Fault::UnknownKey { nearest: None });
}

#[test]
fn all_faults_of_all_layers_are_told_at_once() {
    let (_dir, sources, _) = file_with("[poll]\nfrist = \"1s\"\nsteady = 15\n[empty_one]\n");
    let sources = sources
        .env([("SEEDFLEET__POLL".to_owned(), "x".to_owned())])
        .set("store.part_size_bytes", "many");
    let told: Vec<String> = faults(sources).iter().map(|f| f.field.clone()).collect();
    let wanted = ["empty_one", "poll.frist", "poll.steady", "poll", "store.part_size_bytes"];
    assert_eq!(told, wanted);
}

#[test]
fn wrong_types_say_what_belongs_there() {
    for (text, wanted) in [
        ("[poll]\nsteady = 15", "a duration in quotes"),
        ("[poll]\nsteady = \"15\"", "no duration"),
        ("[poll]\nconcurrency = \"8\"", "a whole number"),
        ("[store]\nfsync = \"yes\"", "true or false"),
        ("[redis]\nallow_unsafe = [1]", "something else than texts"),
        ("poll = 3", "a section"),
        ("[poll.steady]\nx = 1", "a duration"),
    ] {
        let (_dir, sources, layer) = file_with(text);
        let fault = only(sources);
        assert_eq!((&fault.fault, &fault.layer), (&Fault::BadValue, &layer), "{text}");
        assert!(fault.to_string().contains(wanted), "{text}: {fault}");
    }
}

#[test]
fn bounds_of_the_comment_are_enforced_even_between_keys() {
    let fault = only(Sources::default().set("poll.concurrency", "0"));
    assert!(fault.problem.contains("at least 1"), "{fault}");
    let both = Sources::default().set("poll.lease", "1h").set("poll.renew", "1h");
    assert_eq!(faults(both).len(), 2);
    // Each is within its own range; only together they are wrong.
    let fault = faults(Sources::default().set("settle.renew", "16s"));
    assert!(fault.iter().any(|f| f.field == "settle.renew"), "{fault:#?}");
    assert!(faults(Sources::default().set("settle.renew", "15s")).is_empty());
    assert_eq!(faults(Sources::default().set("redis.intake_stop_ratio", "1")), []);
    assert_eq!(
        only(Sources::default().set("redis.intake_stop_ratio", "80")).fault,
        Fault::BadValue
    );
}

#[test]
fn a_broken_file_tells_its_line_and_not_its_content() {
    let (_dir, sources, _) = file_with("[store.s3]\n\nsecret_access_key = hunter2\n");
    let fault = only(sources);
    assert_eq!(fault.fault, Fault::Unreadable);
    assert!(fault.problem.contains("line 3"), "{fault}");
    assert!(!format!("{fault} {fault:?}").contains("hunter2"), "{fault}");
}

#[test]
fn missing_files_are_refused_by_name() {
    let fault = only(Sources::default().file("/nowhere/x.toml"));
    assert_eq!((&fault.fault, fault.field.as_str()), (&Fault::Unreadable, "/nowhere/x.toml"));
    let fault = only(env("SEEDFLEET__REDIS__URL_FILE", "/nowhere/url"));
    assert_eq!((&fault.fault, fault.field.as_str()), (&Fault::Unreadable, "redis.url"));
    assert!(fault.layer.to_string().contains("SEEDFLEET__REDIS__URL_FILE"));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Review {
    #[serde(rename = "require")]
    _require: Require,
    #[serde(rename = "four_eyes")]
    _four_eyes: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Require {
    Off,
    Always,
}

#[test]
fn a_section_that_does_not_fit_names_the_full_key_and_who_said_it() {
    let loaded = Sources::default().set("review.require", "somtimes").load().expect("loads");
    let fault = loaded.section::<Review>("review").expect_err("no such word");
    assert_eq!((fault.field.as_str(), &fault.layer), ("review.require", &Layer::Flag));
    assert!(fault.problem.contains("somtimes"), "{fault}");
    assert!(fault.allowed.contains("any_image_or_video"), "{fault}");
    let loaded = Sources::default().load().expect("loads");
    loaded.section::<Review>("review").expect("the default fits");
}

#[derive(Debug, Deserialize)]
struct Narrow {
    #[serde(rename = "part_size_bytes")]
    _part_size_bytes: u8,
    #[serde(with = "humantime_serde", rename = "retry_for")]
    _retry_for: Duration,
}

#[test]
fn a_number_too_large_for_its_field_names_the_key() {
    let loaded = Sources::default().load().expect("loads");
    let fault = loaded.section::<Narrow>("store").expect_err("8 MiB is no u8");
    assert_eq!(fault.field, "store.part_size_bytes");
}

/// Model classes hold a dot, which must neither end a word of a path nor make one.
#[test]
fn dots_within_a_word_stay_within_it() {
    #[derive(Debug, Deserialize)]
    struct Class {
        #[serde(rename = "create_rpm")]
        _create_rpm: u32,
        #[serde(rename = "running")]
        _running: u8,
    }
    type Classes = std::collections::BTreeMap<String, Class>;
    const AT: &str = "pools.main.accounts.a.limits.classes";
    let (_dir, sources, layer) = file_with(&format!("[{AT}.\"2.0\"]\ncreate_rpm = 60\n"));
    let wide = sources.clone().set(&format!("{AT}.\"2.0\".running"), "300");
    for (sources, layer) in [(sources, layer), (wide, Layer::Flag)] {
        let loaded = sources.load().expect("loads");
        let fault = loaded.section::<Classes>(AT).expect_err("missing, then no u8");
        assert_eq!(fault.field, format!("{AT}.\"2.0\".running"), "{fault}");
        assert!(fault.allowed.contains("1 to 1000000"), "{fault}");
        assert_eq!(fault.layer, layer, "{fault}");
    }
    // Nor is a quoted word a path, or a word in capitals its small form.
    for text in ["\"submit.lease\" = \"20s\"", "\"poll[0]\" = 1", "[Submit]\nlease = \"20s\""] {
        let (_dir, sources, _) = file_with(text);
        let fault = only(sources);
        assert!(matches!(fault.fault, Fault::UnknownKey { .. }), "{text}: {fault}");
    }
}

#[test]
fn only_the_file_that_was_named_is_read() {
    let (dir, _, _) = file_with("");
    let path = dir.path().join("y.toml");
    fs::write(dir.path().join("y.toml.toml"), "").expect("a file is written");
    assert_eq!(only(Sources::default().file(&path)).fault, Fault::Unreadable);
    fs::write(&path, b"# \xff").expect("a file is written");
    assert_eq!(only(Sources::default().file(&path)).fault, Fault::Unreadable, "not UTF-8");
}

#[test]
fn secret_files_are_trimmed_and_never_empty() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("key");
    fs::write(&path, "\n s3cret \n").expect("a file is written");
    let secret = secret_file("pools.main.accounts.a.api_key_file", &path).expect("a secret");
    assert_eq!(secret.expose_secret(), "s3cret");
    fs::write(&path, " \n").expect("a file is written");
    let fault = secret_file("pools.main.accounts.a.api_key_file", &path).expect_err("empty");
    assert_eq!(fault.field, "pools.main.accounts.a.api_key_file");
    fs::write(&path, "x".repeat(70_000)).expect("a file is written");
    secret_file("a", &path).expect_err("too long");
}
