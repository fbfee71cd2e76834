//! The start-up check against servers set up in unsafe ways, and the printed page of keys.

use crate::ground::{Ground, record};
use crate::history;
use sandbox::{Options, Redis, wait};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use store::{Finding, Settings, Severity, Store};

/// The fence outside Redis.
const ON: bool = true;
const OFF: bool = false;
const SOON: Duration = Duration::from_secs(20);

async fn check(options: Options, allow: &[&str], fence: bool) -> Vec<Finding> {
    let ground = Ground::on(options).await;
    let allow: Vec<String> = allow.iter().map(|name| (*name).to_owned()).collect();
    ground.store.self_check(&allow, fence).await.expect("Redis answers")
}

fn with(args: &[&str]) -> Options {
    Options { extra_args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..Options::default() }
}

fn names(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.check).collect()
}

/// The one finding of this name is of this severity and its fix names the remedy.
fn finds(findings: &[Finding], name: &str, severity: Severity, remedy: &str) {
    let found: Vec<_> = findings.iter().filter(|finding| finding.check == name).collect();
    assert_eq!(found.len(), 1, "{name}: {findings:?}");
    assert_eq!(found[0].severity, severity, "{findings:?}");
    assert!(found[0].fix.contains(remedy), "{remedy:?}: {findings:?}");
    assert!(!found[0].sentence.is_empty(), "{findings:?}");
}

/// Behind the fence it is told with what it may cost, without the fence it is refused.
async fn needs_the_fence(store: &Store, name: &str, remedy: &str) {
    let refused = store.self_check(&[], OFF).await.expect("Redis answers");
    finds(&refused, name, Severity::Refuse, remedy);
    finds(&refused, name, Severity::Refuse, "fence.enabled = true");
    let told = store.self_check(&[], ON).await.expect("Redis answers");
    finds(&told, name, Severity::Warn, remedy);
    let told = told.iter().find(|finding| finding.check == name).expect("just seen");
    assert!(told.sentence.contains("callers must send them again"), "{told:?}");
}

#[tokio::test]
async fn a_durable_server_passes() {
    assert_eq!(check(Options::default(), &[], OFF).await, []);
}

#[tokio::test]
async fn what_no_fence_makes_good_is_always_refused_with_its_fix() {
    let cases: [(&[&str], &str, &str); 8] = [
        (&["--appendonly", "no"], "appendonly", "appendonly yes"),
        (&["--appendonly", "no", "--save", "60 1"], "appendonly", "appendonly yes"),
        (&["--maxmemory-policy", "allkeys-lru"], "eviction", "maxmemory-policy noeviction"),
        (&["--maxmemory-policy", "allkeys-random"], "eviction", "maxmemory-policy noeviction"),
        // Marks of closed attempts expire, so this one too would forget what a callback asks for.
        (&["--maxmemory-policy", "volatile-ttl"], "eviction", "maxmemory-policy noeviction"),
        (&["--appendfsync", "no"], "appendfsync", "appendfsync always"),
        (
            &["--no-appendfsync-on-rewrite", "yes"],
            "no-appendfsync-on-rewrite",
            "no-appendfsync-on-rewrite no",
        ),
        // A replica of nobody: it never syncs, and takes no writes.
        (&["--replicaof", "127.0.0.1 1"], "role", "primary"),
    ];
    for (args, name, fix) in cases {
        for fence in [ON, OFF] {
            let findings = check(with(args), &[], fence).await;
            finds(&findings, name, Severity::Refuse, fix);
            assert_eq!(findings.len(), 1, "{args:?}: {findings:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_may_lose_its_last_writes_needs_the_fence() {
    let ground = Ground::on(with(&["--appendfsync", "everysec"])).await;
    needs_the_fence(&ground.store, "appendfsync", "appendfsync always").await;
}

#[tokio::test]
async fn a_followed_server_needs_the_fence() {
    let ground = Ground::new().await;
    let of = format!("127.0.0.1 {}", ground.redis.port());
    let _replica = Redis::start(with(&["--replicaof", &of])).expect("a replica");
    wait::until("the replica", SOON, || {
        let info = ground.redis.command(&["INFO", "replication"]).ok()?;
        info.contains("connected_slaves:1").then_some(())
    })
    .expect("it connects");
    needs_the_fence(&ground.store, "replicas", "without replicas").await;
}

#[tokio::test]
async fn a_server_that_sentinels_watch_needs_the_fence() {
    let ground = Ground::new().await;
    // What makes a Sentinel visible is this subscription.
    let mut sentinel = TcpStream::connect(("127.0.0.1", ground.redis.port())).expect("connects");
    sentinel.write_all(b"SUBSCRIBE __sentinel__:hello\r\n").expect("writes");
    let mut confirmed = [0; 16];
    sentinel.read_exact(&mut confirmed).expect("the server confirms");
    needs_the_fence(&ground.store, "sentinel", "without Sentinel").await;
}

#[tokio::test]
async fn a_node_of_a_cluster_needs_the_fence() {
    let redis = Redis::start(with(&["--cluster-enabled", "yes"])).expect("a node");
    redis.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).expect("takes all slots");
    wait::until("the cluster", SOON, || {
        let info = redis.command(&["CLUSTER", "INFO"]).ok()?;
        info.contains("cluster_state:ok").then_some(())
    })
    .expect("it is whole");
    let settings = Settings { url: redis.url(), ..Settings::default() };
    let store = Store::connect(&settings, "main").await.expect("connects");
    needs_the_fence(&store, "cluster", "single server").await;
}

/// A user of that name, with these rights.
async fn as_user(ground: &Ground, rights: &[&str]) -> Store {
    let acl = ["ACL", "SETUSER", "shy", "on", ">secret", "~*", "&*", "+@all"];
    ground.redis.command(&[&acl[..], rights].concat()).expect("a user");
    let url = format!("redis://shy:secret@127.0.0.1:{}/", ground.redis.port());
    let settings = Settings { url, ..Settings::default() };
    Store::connect(&settings, "main").await.expect("connects")
}

#[tokio::test]
async fn what_the_server_does_not_tell_counts_as_the_worse() {
    let ground = Ground::new().await;
    let store = as_user(&ground, &["-config"]).await;
    needs_the_fence(&store, "appendfsync", "grant CONFIG GET").await;
    let renamed = Ground::on(with(&["--rename-command", "CONFIG", ""])).await;
    needs_the_fence(&renamed.store, "appendfsync", "grant CONFIG GET").await;
    let ground = Ground::new().await;
    let store = as_user(&ground, &["-info"]).await;
    for fence in [ON, OFF] {
        let findings = store.self_check(&[], fence).await.expect("Redis answers");
        finds(&findings, "info", Severity::Refuse, "+info");
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
    let findings = ground.store.self_check(&[], OFF).await.expect("answers");
    assert_eq!(names(&findings), ["memory"]);
    assert_eq!(findings[0].severity, Severity::Warn);
    assert!(findings[0].fix.contains("maxmemory"), "{findings:?}");
}

#[tokio::test]
async fn the_operator_accepts_by_name_and_only_what_was_named() {
    let options = with(&["--maxmemory-policy", "allkeys-lru", "--appendfsync", "everysec"]);
    let findings = check(options, &["appendfsync"], OFF).await;
    let of = |name| findings.iter().find(|f| f.check == name).map(|f| f.severity);
    assert_eq!(of("appendfsync"), Some(Severity::Warn));
    assert_eq!(of("eviction"), Some(Severity::Refuse));
    assert_eq!(findings[0].check, "eviction", "the worst first");
}

#[tokio::test]
async fn a_server_that_forgot_acknowledged_attempts_is_refused() {
    let ground = Ground::new().await;
    ground.generating(record(), "cgt-1").await;
    assert_eq!(ground.store.self_check(&[], OFF).await.expect("answers"), []);
    ground.redis.command(&["FLUSHALL"]).expect("a restored backup looks like this");
    let findings = ground.store.self_check(&[], OFF).await.expect("answers");
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
