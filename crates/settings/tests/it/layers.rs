//! Who wins, and what a room receives.

use serde::Deserialize;
use settings::{Layer, Sources};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;

#[derive(Debug, Deserialize)]
struct Poll {
    concurrency: u16,
    jitter_ratio: f64,
    #[serde(with = "humantime_serde")]
    first: Duration,
    #[serde(with = "humantime_serde")]
    lease: Duration,
}

fn var(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

/// A folder as installed: main file, two drop-ins, one file for `--config`.
fn installed() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join(name), text).expect("a file is written");
    };
    fs::create_dir(dir.path().join("conf.d")).expect("conf.d is made");
    let poll = |n: u8| format!("[poll]\nconcurrency = {n}\n");
    write("seedfleet.toml", &format!("{}first = \"1s\"\n", poll(1)));
    write("conf.d/20-b.toml", &poll(3));
    write("conf.d/10-a.toml", &format!("{}lease = \"9s\"\n", poll(2)));
    write("conf.d/notes.txt", "not TOML, not read");
    write("extra.toml", &poll(4));
    write("secret", " 6 \n");
    let extra = dir.path().join("extra.toml");
    (dir, extra)
}

fn concurrency(sources: Sources) -> (u16, Layer) {
    let loaded = sources.load().expect("the layers are good");
    let poll: Poll = loaded.section("poll").expect("the section fits");
    (poll.concurrency, loaded.origin("poll.concurrency").expect("the key is set").clone())
}

#[test]
fn each_layer_wins_over_those_before_it() {
    const NAME: &str = "SEEDFLEET__POLL__CONCURRENCY";
    let (dir, extra) = installed();
    let secret = dir.path().join("secret");
    let sources = Sources::default();
    assert_eq!(concurrency(sources.clone()), (256, Layer::BuiltIn));
    let sources = sources.etc(dir.path());
    let last = dir.path().join("conf.d/20-b.toml");
    assert_eq!(concurrency(sources.clone()), (3, Layer::File(last)));
    let sources = sources.file(&extra);
    assert_eq!(concurrency(sources.clone()), (4, Layer::File(extra)));
    let sources = sources.env(var(NAME, "5"));
    assert_eq!(concurrency(sources.clone()), (5, Layer::Env(NAME.to_owned())));
    let name = format!("{NAME}_FILE");
    let sources = sources.env(var(&name, &secret.display().to_string()));
    assert_eq!(concurrency(sources.clone()), (6, Layer::EnvFile { name, path: secret }));
    assert_eq!(concurrency(sources.set("poll.concurrency", "7")), (7, Layer::Flag));
}

#[test]
fn layers_merge_key_by_key() {
    let (dir, _) = installed();
    let loaded = Sources::default().etc(dir.path()).load().expect("the layers are good");
    let poll: Poll = loaded.section("poll").expect("the section fits");
    assert_eq!(poll.first, Duration::from_secs(1), "from seedfleet.toml");
    assert_eq!(poll.lease, Duration::from_secs(9), "from conf.d/10-a.toml");
    assert!((poll.jitter_ratio - 0.1).abs() < f64::EPSILON, "built in");
}

#[test]
fn an_absent_etc_folder_is_no_fault_and_foreign_variables_are_not_ours() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let sources = Sources::default()
        .etc(dir.path().join("nowhere"))
        .env(var("SEEDFLEET_SERVICE_PORT", "tcp://10.0.0.1:80"))
        .env(var("PATH", "/bin"));
    assert_eq!(concurrency(sources), (256, Layer::BuiltIn));
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pool {
    route: String,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    output_origins: Vec<String>,
    accounts: BTreeMap<String, Account>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    api_key_file: PathBuf,
    #[serde(default)]
    limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    classes: BTreeMap<String, BTreeMap<String, u32>>,
}

#[test]
fn pools_come_from_files_environment_and_flags_alike() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("pools.toml");
    let text = "[pools.main]\nroute = \"byteplus\"\naccounts.a.api_key_file = \"/k/a\"\n\
                [pools.main.accounts.a.limits.classes.\"2.0\"]\ncreate_rpm = 60\n";
    fs::write(&file, text).expect("a file is written");
    let loaded = Sources::default()
        .file(&file)
        .env(var("SEEDFLEET__POOLS__MAIN__SIMULATED", "true"))
        .env(var("SEEDFLEET__POOLS__MAIN__OUTPUT_ORIGINS", "http://a:1, http://b:2"))
        .env(var("SEEDFLEET__POOLS__MAIN__ACCOUNTS__B__API_KEY_FILE", "/k/b"))
        .set("pools.main.accounts.a.limits.classes.\"2.0\".running", "2")
        .load()
        .expect("the layers are good");
    let pools: BTreeMap<String, Pool> = loaded.section("pools").expect("the section fits");
    let main = &pools["main"];
    assert!(main.simulated);
    assert_eq!(main.route, "byteplus");
    assert_eq!(main.output_origins, ["http://a:1", "http://b:2"]);
    assert_eq!(main.accounts["b"].api_key_file, PathBuf::from("/k/b"), "the path, not its content");
    let class = &main.accounts["a"].limits.classes["2.0"];
    assert_eq!((class["create_rpm"], class["running"]), (60, 2));
}

#[test]
fn sections_nobody_wrote_are_empty() {
    let loaded = Sources::default().load().expect("the defaults are good");
    let pools: BTreeMap<String, Pool> = loaded.section("pools").expect("an empty map");
    assert!(pools.is_empty());
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Azure {
    endpoint: Option<String>,
    account: String,
}

#[test]
fn an_empty_text_is_not_set() {
    let sources = Sources::default().set("store.azure.account", "a");
    let read = |sources: Sources| {
        let loaded = sources.load().expect("the layers are good");
        loaded.section::<Azure>("store.azure").expect("the section fits")
    };
    let azure = read(sources.clone());
    assert_eq!((azure.endpoint, azure.account.as_str()), (None, "a"));
    let azure =
        read(sources.set("store.azure.endpoint", "http://x").set("store.azure.account", ""));
    assert_eq!((azure.endpoint.as_deref(), azure.account.as_str()), (Some("http://x"), ""));
}

/// A default stands in the file and in the room's struct; this is how a room holds the two together.
#[test]
fn the_defaults_of_the_file_are_those_of_the_room() {
    let loaded = Sources::default().load().expect("the defaults are good");
    let read: telemetry::Settings = loaded.section("telemetry").expect("the section fits");
    assert_eq!(read, telemetry::Settings::default());
}
