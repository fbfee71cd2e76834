//! The start-up check against servers set up in unsafe ways, and the printed page of keys.

use crate::ground::{Ground, record};
use crate::history;
use sandbox::Options;
use store::{Finding, Severity};

async fn check(options: Options, allow: &[&str]) -> Vec<Finding> {
    let ground = Ground::on(options).await;
    let allow: Vec<String> = allow.iter().map(|name| (*name).to_owned()).collect();
    ground.store.self_check(&allow).await.expect("Redis answers")
}

fn with(args: &[&str]) -> Options {
    Options { extra_args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Options::default() }
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.check).collect()
}

#[tokio::test]
async fn a_durable_server_passes() {
    assert_eq!(check(Options::default(), &[]).await, []);
}

#[tokio::test]
async fn each_unsafe_setting_is_refused_with_its_fix() {
    let cases: [(&[&str], &str, &str); 5] = [
        (&["--appendonly", "no", "--save", "60 1"], "appendonly", "appendonly yes"),
        (&["--maxmemory-policy", "allkeys-lru"], "eviction", "maxmemory-policy noeviction"),
        (&["--appendfsync", "everysec"], "appendfsync", "appendfsync always"),
        (
            &["--no-appendfsync-on-rewrite", "yes"],
            "no-appendfsync-on-rewrite",
            "no-appendfsync-on-rewrite no",
        ),
        // A replica of nobody: it never syncs, and takes no writes.
        (&["--replicaof", "127.0.0.1 1"], "role", "primary"),
    ];
    for (args, name, fix) in cases {
        let findings = check(with(args), &[]).await;
        assert!(names(&findings).contains(&name), "{args:?}: {findings:?}");
        for finding in &findings {
            assert_eq!(finding.severity, Severity::Refuse, "{finding:?}");
        }
        let finding = findings.iter().find(|f| f.check == name).expect("just seen");
        assert!(finding.fix.contains(fix), "{finding:?}");
    }
}

#[tokio::test]
async fn little_memory_is_told_and_stops_nobody() {
    let ground = Ground::new().await;
    let info = ground.redis.command(&["INFO", "memory"]).expect("answers");
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("told");
    let used: u64 = used.trim().parse().expect("bytes");
    // A tenth above what is used: ten percent are free, twenty are wanted.
    let max = (used + used / 10).to_string();
    ground.redis.command(&["CONFIG", "SET", "maxmemory", &max]).expect("set");
    let findings = ground.store.self_check(&[]).await.expect("answers");
    assert_eq!(names(&findings), ["memory"]);
    assert_eq!(findings[0].severity, Severity::Warn);
    assert!(findings[0].fix.contains("maxmemory"), "{findings:?}");
}

#[tokio::test]
async fn the_operator_accepts_by_name_and_only_what_was_named() {
    let options = with(&["--maxmemory-policy", "allkeys-lru", "--appendfsync", "everysec"]);
    let findings = check(options, &["appendfsync"]).await;
    let of = |name| findings.iter().find(|f| f.check == name).map(|f| f.severity);
    assert_eq!(of("appendfsync"), Some(Severity::Warn));
    assert_eq!(of("eviction"), Some(Severity::Refuse));
    assert_eq!(findings[0].check, "eviction", "the worst first");
}

#[tokio::test]
async fn a_server_that_forgot_acknowledged_attempts_is_refused() {
    let ground = Ground::new().await;
    ground.generating(record(), "cgt-1").await;
    assert_eq!(ground.store.self_check(&[]).await.expect("answers"), []);
    ground.redis.command(&["FLUSHALL"]).expect("a restored backup looks like this");
    let findings = ground.store.self_check(&[]).await.expect("answers");
    assert_eq!(names(&findings), ["rollback"]);
}

#[tokio::test]
async fn every_key_on_a_real_server_is_documented() {
    let ground = Ground::new().await;
    history::a_busy_day(&ground).await;
    let mut cursor = "0".to_owned();
    let mut kinds = std::collections::BTreeSet::new();
    loop {
        let answer = ground.redis.command(&["SCAN", &cursor, "COUNT", "1000"]).expect("answers");
        let mut lines = answer.lines();
        cursor = lines.next().expect("a cursor").to_owned();
        for key in lines.filter(|key| !key.is_empty()) {
            let (shape, kind) = store::keys::documented(ground.store.keys(), key)
                .unwrap_or_else(|| panic!("{key} is not in docs/keys.md"));
            assert_eq!(ground.redis.command(&["TYPE", key]).expect("answers"), kind, "{key}");
            kinds.insert(shape);
        }
        if cursor == "0" {
            break;
        }
    }
    assert!(kinds.len() >= 20, "the day touched most of them: {kinds:?}");
}

#[test]
fn the_page_of_keys_is_what_the_code_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/keys.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let printed = store::keys::markdown();
    assert!(
        page == printed,
        "docs/keys.md is not what the code prints; it should read:\n{printed}"
    );
}
