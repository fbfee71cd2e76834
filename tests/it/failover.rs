//! Another server takes over: Sentinel makes a replica the primary, a Redis Cluster does so by itself. What
//! the replica had not received is forgotten; the intents outside Redis tell what was sent, callers ask again
//! for the rest, and nothing is bought twice.

use e2e::kit::{ALICE, BOB, Fleet, Options, text};
use job::JobId;
use reqwest::Method;
use sandbox::redis::{Cluster, Sentinel, Watch};
use sandbox::{Redis, wait};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;
use store::keys::Keys;
use store::{Finding, Severity};

/// From the end of a primary to another that everybody knows, however slow the machine: a vote that comes to
/// nothing is repeated after some seconds.
const TAKEN_OVER_MAX: Duration = Duration::from_secs(120);
/// A quarantine reads every intent, and settles every job that was forgotten.
const HEALED_MAX: Duration = Duration::from_secs(120);
const JOBS: u32 = 12;
const CAROL: &str = "canary-carol-key-5b1e66";

/// Short horizons, as in the tests of rollbacks.
const SHORT: &str = "[submit]\nsend_deadline = \"600ms\"\nlease = \"1500ms\"\nrenew = \"300ms\"\n\
                     [provider]\nconnect_timeout = \"500ms\"\ncreate_timeout = \"1s\"\n";

/// One primary, its replicas, and three Sentinels.
struct Watched {
    primary: Redis,
    replicas: Vec<Redis>,
    sentinels: Vec<Sentinel>,
}

impl Watched {
    fn start() -> Self {
        let primary = server(&[]);
        let port = primary.port().to_string();
        let replica = |_| server(&[("--replicaof", "127.0.0.1"), (&port, "")]);
        let replicas: Vec<Redis> = (0..2).map(replica).collect();
        let watch = Watch {
            name: "fleet".to_owned(),
            port: primary.port(),
            quorum: 2,
            down_after: Duration::from_secs(1),
            failover_timeout: Duration::from_secs(3),
        };
        let start = |_| Sentinel::start(&watch).unwrap_or_else(|error| panic!("{error}"));
        let sentinels: Vec<Sentinel> = (0..3).map(start).collect();
        let watched = Self { primary, replicas, sentinels };
        watched.until("Sentinels that know everybody", || {
            watched.sentinels.iter().all(|sentinel| {
                let is = |field, value: &str| {
                    sentinel.told(field).is_ok_and(|told| told.as_deref() == Some(value))
                };
                is("num-slaves", "2") && is("num-other-sentinels", "2")
            })
        });
        watched
    }

    fn section(&self) -> String {
        let hosts: Vec<String> =
            self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.port())).collect();
        format!(
            "[redis]\nurl = \"redis://{}/0\"\ntopology = \"sentinel\"\nprimary_name = \"fleet\"\n",
            hosts.join(",")
        )
    }

    fn until(&self, what: &str, mut is: impl FnMut() -> bool) {
        let seen = wait::until(what, TAKEN_OVER_MAX, || is().then_some(()));
        let tails = self.sentinels.iter().map(|one| one.log_tail(15)).collect::<Vec<_>>();
        seen.unwrap_or_else(|missed| panic!("{missed}:\n{}", tails.join("\n---\n")));
    }

    /// From here on the replicas hear nothing of what is written.
    fn cut_replicas_off(&self) {
        self.replicas.iter().for_each(|one| one.pause().expect("our own process"));
        self.primary.command(&["CLIENT", "KILL", "TYPE", "replica"]).expect("it runs");
    }

    /// The primary ends, and the replicas are there again.
    fn lose_primary(&self) {
        self.primary.kill9();
        self.replicas.iter().for_each(|one| one.resume().expect("our own process"));
        self.until("another primary", || {
            self.replicas.iter().any(|one| role(one).starts_with("master"))
        });
    }
}

fn server(words: &[(&str, &str)]) -> Redis {
    let soon = [("--repl-diskless-sync-delay", "0")];
    let words = soon.iter().chain(words).flat_map(|(name, value)| [*name, *value]);
    let extra_args = words.filter(|word| !word.is_empty()).map(str::to_owned).collect();
    let options = sandbox::Options { extra_args, ..sandbox::Options::default() };
    Redis::start(options).unwrap_or_else(|error| panic!("no private Redis: {error}"))
}

fn role(redis: &Redis) -> String {
    redis.command(&["ROLE"]).unwrap_or_default()
}

/// A request that its task in the ledger can be traced back to.
fn body(group: &str, number: u32) -> Value {
    text(&format!("mark-{group}-{number} changes hands")).into()
}

/// A caller asks again when a connection breaks on the way to a new primary.
fn admit(fleet: &Fleet, group: &str) -> Vec<JobId> {
    let one = |number| {
        fleet.until("a job taken in", || match fleet.try_admit(body(group, number)) {
            Ok(admitted) => Some(admitted.id),
            Err(refusal) if refusal.is_retryable() => None,
            Err(refusal) => panic!("refused: {refusal}"),
        })
    };
    (0..JOBS).map(one).collect()
}

fn none_twice(fleet: &Fleet) {
    let bought = fleet.ledger().bought();
    let twice: Vec<_> = bought.into_iter().filter(|(_, tasks)| *tasks > 1).collect();
    assert!(twice.is_empty(), "bought twice: {twice:?}");
}

/// The self-check refuses such servers, unless intents outside Redis stand behind every create.
fn needs_the_fence(fleet: &Fleet, check: &str) {
    let found = |fence| fleet.run(fleet.store().self_check(&[], fence)).expect("it answers");
    let refuses = |finding: &Finding| finding.severity == Severity::Refuse;
    let without = found(false);
    assert!(without.iter().any(|f| f.check == check && refuses(f)), "{without:?}");
    let with = found(true);
    assert!(with.iter().any(|f| f.check == check) && !with.iter().any(refuses), "{with:?}");
}

/// Every job of the group has its video; one that waits for a person has bought nothing.
fn settled(fleet: &Fleet, group: &str) -> usize {
    let records = fleet.wait_settled(&admit(fleet, group));
    let marks = (0..JOBS).map(|number| format!("mark-{group}-{number}"));
    fleet.kept(marks.zip(&records)).stored
}

// covers: M6, M22, M26
#[test]
fn a_fleet_follows_a_failover_and_heals_what_the_replica_had_not_received() {
    let watched = Watched::start();
    let fleet = Fleet::start(Options::default().elsewhere(&watched.section()).config(SHORT));
    needs_the_fence(&fleet, "sentinel");
    fleet.wait_stored(&admit(&fleet, "before"));

    watched.cut_replicas_off();
    admit(&fleet, "amid");
    let some = JOBS as usize + 4;
    fleet.until("purchases to forget", || (fleet.ledger().bought().len() >= some).then_some(()));
    watched.lose_primary();

    // Nobody restarts anything: programs and this test's own door find the new primary.
    let healed = wait::until("the end of the quarantine", HEALED_MAX, || {
        let watch = fleet.run(fleet.store().watch()).ok()?;
        let lines = fleet.run(fleet.store().audit(100)).ok()?;
        let noticed = lines.iter().any(|line| line.alarm == "frozen");
        (noticed && watch.frozen.is_none()).then_some(())
    });
    healed.unwrap_or_else(|missed| panic!("{missed}"));
    assert_eq!(settled(&fleet, "before"), JOBS as usize, "what was replicated is there");
    let stored = settled(&fleet, "amid");
    none_twice(&fleet);

    // The old primary comes back, is made a replica, and nobody listens to it.
    watched.primary.restart().unwrap_or_else(|error| panic!("{error}"));
    watched.until("a primary that has become a replica", || {
        role(&watched.primary).starts_with("slave")
    });
    assert_eq!(settled(&fleet, "after"), JOBS as usize, "it goes on");
    none_twice(&fleet);
    println!("{stored} of {JOBS} jobs of the failover are stored");
}

/// Three pools, each on a primary of its own, and the tenant of each.
const POOLS: [(&str, &str); 3] = [("sim", ALICE), ("east", BOB), ("west", CAROL)];

fn provider_key(pool: &str) -> String {
    format!("canary-provider-key-of-{pool}")
}

/// The pools beside the kit's own, each with a key of its own at the provider, and who uses which.
fn pools(fleet: &Fleet) -> String {
    let digest = Sha256::digest(CAROL.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = format!(
        "[tenants.default]\npool = \"sim\"\n[tenants.bob]\npool = \"east\"\n[tenants.carol]\npool = \"west\"\n\
         [gateway.keys.carol]\ntenant = \"carol\"\nkey_sha256 = \"{hash}\"\nscopes = [\"jobs:write\", \"jobs:read\"]\n"
    );
    for pool in ["east", "west"] {
        let file = fleet.path(&format!("{pool}.key"));
        std::fs::write(&file, provider_key(pool)).expect("the folder is ours");
        let (api, media) = (fleet.api_address(), fleet.media_address());
        text.push_str(&format!(
            "[pools.{pool}]\nroute = \"byteplus\"\nsimulated = true\nbase_url = \"http://{api}/api/v3\"\n\
             output_origins = [\"http://{media}\"]\n[pools.{pool}.accounts.{pool}]\napi_key_file = \"{}\"\n\
             tier = \"enterprise\"\n[pools.{pool}.accounts.{pool}.limits]\nretrieve_qps = 200\nlist_qps = 20\n",
            file.display()
        ));
    }
    text
}

/// What a caller does who wants a video and hears nothing: asks again with the same words, until it is there.
fn is_stored(fleet: &Fleet, key: &str, body: &Value) -> bool {
    let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", key);
    let reply = fleet.send(request.json(body));
    let Some(id) = reply.body["id"].as_str() else { return false };
    fleet.get(&format!("/v1/jobs/{id}"), key).body["state"] == "succeeded"
}

// covers: M6, M22, M26
#[test]
fn pools_spread_over_a_cluster_lose_a_primary_under_load_and_nothing_else() {
    let cluster = Cluster::start(3, Duration::from_secs(2));
    let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
    let hosts: Vec<String> =
        cluster.nodes().iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    let redis = format!("[redis]\nurl = \"redis://{}\"\ntopology = \"cluster\"\n", hosts.join(","));
    let keys = ["east", "west"].map(provider_key);
    let options = Options::empty().elsewhere(&redis).config(SHORT);
    let fleet = Fleet::start(options.simulator(&["--api-key", &keys[0], "--api-key", &keys[1]]));
    fleet.reconfigure(&format!("{redis}{SHORT}{}", pools(&fleet)));
    fleet.start_gateway();
    for role in ["submitter", "poller", "downloader"] {
        fleet.start_role(role);
    }
    let port_of = |pool: &str| {
        let slot = Keys::new("e2e", pool).slot();
        cluster.primary_of(slot).map(Redis::port)
    };
    let ports: BTreeSet<_> = POOLS.iter().map(|(pool, _)| port_of(pool)).collect();
    assert_eq!(ports.len(), POOLS.len(), "each pool has a primary of its own: {ports:?}");

    needs_the_fence(&fleet, "cluster");

    let mut left: Vec<(&str, Value)> = POOLS
        .iter()
        .flat_map(|(pool, key)| (0..JOBS).map(|number| (*key, body(pool, number))))
        .collect();
    for (key, body) in &left {
        let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", key);
        let reply = fleet.send(request.json(body));
        assert_eq!(reply.status, 202, "{}", reply.body);
    }
    fleet.until("some purchases", || (fleet.ledger().bought().len() > 6).then_some(()));
    let lost = port_of("sim").expect("it runs");
    let node = cluster.nodes().iter().find(|node| node.port() == lost).expect("one of them");
    node.kill9();

    let stored = wait::until("every video", TAKEN_OVER_MAX, || {
        left.retain(|(key, body)| !is_stored(&fleet, key, body));
        left.is_empty().then_some(())
    });
    stored.unwrap_or_else(|missed| panic!("{missed}: {left:#?}"));
    assert!(port_of("sim").is_some_and(|port| port != lost), "its replica has taken over");
    none_twice(&fleet);
    assert_eq!(fleet.ledger().bought().len(), POOLS.len() * JOBS as usize);
}
