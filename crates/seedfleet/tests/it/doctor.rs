//! `doctor` against a real far side, and what it says when something is wrong.

use crate::bench::Bench;
use simulator::{Options, Running, Simulator};
use tokio::runtime::Runtime;

/// A simulator and the threads it lives on.
pub struct Far {
    running: Option<Running>,
    runtime: Runtime,
}

impl Far {
    pub fn start() -> Self {
        let runtime = Runtime::new().expect("threads");
        let running = runtime.block_on(Simulator::start(Options::default())).expect("free ports");
        Self { running: Some(running), runtime }
    }

    pub fn base_url(&self) -> String {
        self.running.as_ref().expect("runs until dropped").base_url()
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.shutdown());
        }
    }
}

#[test]
fn a_sound_fleet_passes() {
    let far = Far::start();
    let bench = Bench::over(&far.base_url(), "sim-key");
    let ended = bench.run(&["doctor", "-o", "ndjson"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let about: Vec<String> =
        ended.lines().iter().map(|line| line["about"].as_str().unwrap().to_owned()).collect();
    for expected in ["config", "store", "callbacks", "redis", "provider sim/a", "schema", "records"]
    {
        assert!(about.iter().any(|about| about == expected), "{expected}: {about:?}");
    }
}

#[test]
fn a_wrong_key_is_said_in_a_sentence() {
    let far = Far::start();
    let bench = Bench::over(&far.base_url(), "another-key");
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = ended.stdout.lines().find(|line| line.starts_with("FAIL")).expect("a failure");
    assert!(line.contains("provider sim/a") && line.contains("list-tasks"), "{ended:?}");
    assert!(ended.stdout.contains("volcengine"), "the other route is named: {ended:?}");
    assert!(!ended.stdout.contains("another-key"), "the key stays secret: {ended:?}");
}

#[test]
fn an_unsafe_redis_is_refused_with_the_fix() {
    let bench = Bench::new();
    bench.redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).unwrap();
    bench.redis.command(&["CONFIG", "SET", "appendfsync", "no"]).unwrap();
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    for words in ["eviction", "appendfsync", "CONFIG SET maxmemory-policy noeviction"] {
        assert!(ended.stdout.contains(words), "{words}: {ended:?}");
    }
}

/// A queued job, and damage done to its ticket and to a counter.
fn damaged() -> Bench {
    let bench = Bench::new();
    let queued = bench.run(&["submit", "--prompt", "a lighthouse"]);
    assert_eq!(queued.code, 0, "{queued:?}");
    let find = |pattern: &str| {
        let keys = bench.redis.command(&["KEYS", pattern]).expect("Redis answers");
        keys.lines().next().expect("a key").to_owned()
    };
    bench.redis.command(&["DEL", &find("*due:submit*")]).expect("Redis answers");
    bench.redis.command(&["HINCRBY", &find("*counts"), "queued", "4"]).expect("Redis answers");
    bench
}

#[test]
fn damage_is_told_with_its_kind_and_its_cure() {
    let bench = damaged();
    let ended = bench.run(&["doctor", "--json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let rows: serde_json::Value = serde_json::from_str(&ended.stdout).expect("JSON");
    for kind in ["ticket", "counter"] {
        let row = rows.as_array().unwrap().iter().find(|row| row["kind"] == kind);
        let row = row.unwrap_or_else(|| panic!("{kind}: {ended:?}"));
        assert!(row["hint"].as_str().unwrap().contains("--repair"), "{row}");
    }
}

#[test]
fn repairs_need_a_reason_and_a_yes_and_leave_a_line() {
    let bench = damaged();
    assert_eq!(bench.run(&["doctor", "--repair"]).code, 2, "no reason");
    let shown = bench.run(&["doctor", "--repair", "--reason", "a test"]);
    assert_eq!(shown.code, 9, "nobody said yes: {shown:?}");
    assert!(shown.stderr.contains("ticket") && shown.stderr.contains("--yes"), "{shown:?}");
    let args = ["doctor", "--repair", "--reason", "a test", "--by", "somebody", "--yes"];
    let mended = bench.run(&args);
    assert!(mended.stdout.contains("2 differences repaired"), "{mended:?}");
    assert!(mended.stdout.contains("1 records agree"), "{mended:?}");
    let audit = bench.redis.command(&["KEYS", "*audit"]).unwrap();
    let lines = bench.redis.command(&["LRANGE", audit.trim(), "0", "-1"]).unwrap();
    assert_eq!(lines.matches("repaired").count(), 2, "{lines}");
    assert!(lines.contains("somebody") && lines.contains("a test"), "{lines}");
}

#[test]
fn a_frozen_pool_is_told() {
    let bench = Bench::new();
    let frozen = bench.run(&["freeze", "--reason", "price check"]);
    assert_eq!(frozen.code, 0, "{frozen:?}");
    let ended = bench.run(&["doctor"]);
    assert!(ended.stdout.contains("creates are frozen"), "{ended:?}");
    assert!(ended.stdout.contains("seedfleet thaw"), "{ended:?}");
}

#[test]
fn a_bucket_that_cannot_be_written_is_named() {
    let bench = Bench::new();
    bench.write("store", "a file where a folder should be");
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let line = ended.stdout.lines().find(|line| line.starts_with("FAIL  store"));
    assert!(line.is_some(), "{ended:?}");
}

#[test]
fn a_missing_key_file_and_a_far_side_that_is_away_are_told() {
    let bench = Bench::new();
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.stdout.contains("can be reached from here"), "{ended:?}");
    std::fs::remove_file(bench.path("key")).unwrap();
    let ended = bench.run(&["doctor"]);
    assert!(ended.stdout.contains("api_key_file"), "{ended:?}");
}

#[test]
fn without_redis_the_rest_is_told_and_the_exit_is_75() {
    let bench = Bench::new();
    bench.redis.kill9();
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 75, "{ended:?}");
    assert!(ended.stdout.contains("FAIL  redis"), "{ended:?}");
    assert!(ended.stdout.contains("ok    store"), "{ended:?}");
    std::fs::remove_file(bench.path("key")).unwrap();
    let ended = bench.run(&["doctor"]);
    assert!(ended.stdout.contains("api_key_file"), "keys are looked at all the same: {ended:?}");
}

#[test]
fn a_machine_without_certificates_is_told_so() {
    let bench = Bench::new();
    let text = bench.read("config.toml");
    let real =
        text.lines().filter(|line| !line.starts_with("simulated") && !line.starts_with("base_url"));
    bench.write("config.toml", &real.collect::<Vec<_>>().join("\n"));
    // An empty folder and an empty file in place of the system's certificates. Redis is away, so
    // that nothing is sent to the real route.
    bench.redis.kill9();
    std::fs::create_dir(bench.path("certs")).unwrap();
    let (file, dir) = (bench.write("none.pem", ""), bench.path("certs"));
    let env = [("SSL_CERT_FILE", file.as_path()), ("SSL_CERT_DIR", dir.as_path())];
    let ended = bench.run_with(&env, &["doctor"]);
    assert!(ended.stdout.contains("FAIL  provider sim"), "{ended:?}");
    assert!(ended.stdout.contains("ca-certificates"), "{ended:?}");
}

#[test]
fn callbacks_nobody_answers_are_a_warning() {
    let far = Far::start();
    let bench = Bench::over(&far.base_url(), "sim-key");
    let key = bench.write("cb", &"k".repeat(40));
    let more = format!(
        "[callbacks]\nenabled = true\nbase_url = \"http://127.0.0.1:9\"\n\n[callbacks.token_keys]\nk = \"{}\"",
        key.display()
    );
    bench.configure(&far.base_url(), &more);
    let ended = bench.run(&["doctor"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("warn  callbacks"), "{ended:?}");
}
