//! What people see: values with their origin, secrets masked, the manual of a key.

use settings::{Layer, Sources, env_names, explain};

#[test]
fn show_tells_values_and_origins_in_the_order_of_the_manual() {
    let loaded = Sources::default().set("submit.lease", "40s").load().expect("loads");
    let page = loaded.show(true);
    assert!(
        page.starts_with("redis.url = \"redis://127.0.0.1:6379/0\"  # built-in; needs a restart\n"),
        "{page}"
    );
    assert!(page.contains("submit.lease = \"40s\"  # flag; needs a restart\n"), "{page}");
    assert!(!loaded.show(false).contains('#'));
    assert_eq!(loaded.origin("submit.lease"), Some(&Layer::Flag));
    assert_eq!(loaded.origin("submit.leese"), None);
    // What is shown can be loaded again.
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("again.toml");
    std::fs::write(&path, &page).expect("a file is written");
    let again = Sources::default().file(&path).load().expect("the page is a configuration");
    assert_eq!(again.show(false), loaded.show(false));
}

#[test]
fn no_secret_is_shown() {
    let loaded = Sources::default()
        .set("redis.url", "rediss://fleet:hunter2@redis.example:6380/0")
        .set("provider.proxy", "http://p:hunter2/@proxy.example:3128")
        .set("store.s3.secret_access_key_file", "/run/secrets/s3")
        .set("pools.main.accounts.a.api_key_file", "/run/secrets/a")
        .load()
        .expect("loads");
    let page = loaded.show(true);
    assert!(!page.contains("hunter2"), "{page}");
    assert!(page.contains("rediss://***@redis.example:6380/0"), "{page}");
    assert!(page.contains("/run/secrets/s3") && page.contains("/run/secrets/a"), "{page}");
    assert!(page.contains("store.gcs.service_account_file = \"\""), "unset is shown as unset");
}

#[test]
fn explain_is_the_comment() {
    let told = explain("submit.tries_max").expect("a known key");
    for part in ["provably sent nothing", "1 to 20", "default: 3", "SEEDFLEET__SUBMIT__TRIES_MAX"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    let told = explain("pools.main.route").expect("a key below a name");
    assert!(told.contains("SEEDFLEET__POOLS__MAIN__ROUTE"), "{told}");
    let fault = explain("submit.tries_mx").expect_err("unknown");
    assert!(fault.cure.contains("submit.tries_max"), "{fault}");
}

#[test]
fn names_of_the_environment_are_listed() {
    let names = env_names();
    for name in ["SEEDFLEET__REDIS__URL", "SEEDFLEET__POOLS__<POOL>__ROUTE"] {
        assert!(names.iter().any(|known| known.name == name), "{name} is missing");
    }
}

#[test]
fn which_keys_a_running_process_takes_over_is_told_everywhere() {
    let loaded = Sources::default().load().expect("loads");
    let shown = loaded.shown();
    let applied = |key: &str| shown.iter().find(|line| line.key == key).expect("shown").applied;
    assert!(applied("telemetry.log_level") && !applied("redis.url"));
    let page = loaded.show(true);
    assert!(
        page.contains("telemetry.log_level = \"info\"  # built-in; applied at reload\n"),
        "{page}"
    );
    let told = explain("telemetry.log_level").expect("a known key");
    assert!(told.ends_with("  reload: applied at reload\n") && !told.contains("Reload:"), "{told}");
    assert!(explain("redis.url").expect("a known key").contains("reload: needs a restart"));
    let names = env_names();
    let env = names.iter().find(|env| env.name == "SEEDFLEET__TELEMETRY__LOG_LEVEL");
    assert!(env.expect("listed").applied);
}
