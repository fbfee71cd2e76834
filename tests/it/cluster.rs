//! A Redis Cluster of six nodes over which pools are spread: a primary dies under load, and a pool moves to another
//! under load. All of it over TLS, each program and replica as its own user.

use crate::failover::{JOBS, SHORT, TAKEN_OVER_MAX, needs_the_fence, none_twice};
use e2e::kit::{ALICE, BOB, Fleet, Options, Reply, Walls, text};
use reqwest::Method;
use sandbox::redis::Cluster;
use sandbox::{Redis, wait};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;
use store::keys::Keys;

const CAROL: &str = "canary-carol-key-5b1e66";
/// Silence after which a replica takes over; longer than a busy machine keeps a node from its turn.
const NODE_TIMEOUT: Duration = Duration::from_secs(5);

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

/// A job that was asked for.
#[derive(Debug)]
struct Asked {
    pool: &'static str,
    /// The caller's.
    key: &'static str,
    id: String,
    body: Value,
}

/// A fleet of three pools on a cluster of three primaries, each pool on one of its own.
struct Spread {
    fleet: Fleet,
    cluster: Cluster,
    /// Declared last: the certificates go after those who show them.
    _walls: Walls,
}

impl Spread {
    /// `simulator`: more of its flags.
    fn start(simulator: &[&str]) -> Self {
        let walls = Walls::new();
        let cluster = Cluster::start(3, NODE_TIMEOUT, &walls.server());
        let cluster = cluster.unwrap_or_else(|error| panic!("{error}"));
        let hosts = cluster.nodes().iter().map(|node| format!("127.0.0.1:{}", node.peer_port()));
        let url = format!("rediss://{}", hosts.collect::<Vec<_>>().join(","));
        let redis = format!("[redis]\ntopology = \"cluster\"\n{}", walls.settings());
        let keys = ["east", "west"].map(provider_key);
        let options = Options::empty().users().elsewhere(&url, &redis).config(SHORT);
        let options = options.simulator(&["--api-key", &keys[0], "--api-key", &keys[1]]);
        let fleet = Fleet::start(options.simulator(simulator));
        fleet.reconfigure(&format!("{redis}{SHORT}{}", pools(&fleet)));
        fleet.start_gateway();
        for role in ["submitter", "poller", "downloader"] {
            fleet.start_role(role);
        }
        let spread = Self { fleet, cluster, _walls: walls };
        let ports: BTreeSet<_> = POOLS.iter().map(|(pool, _)| spread.port_of(pool)).collect();
        assert_eq!(ports.len(), POOLS.len(), "each pool has a primary of its own: {ports:?}");
        spread
    }

    fn port_of(&self, pool: &str) -> Option<u16> {
        self.cluster.primary_of(slot(pool)).map(Redis::port)
    }

    /// Asks every pool for videos, and waits until some are bought.
    fn ask(&self) -> Vec<Asked> {
        let mut asked = Vec::new();
        for (pool, key) in POOLS {
            for number in 0..JOBS {
                let body = body(pool, number);
                let reply = self.post(key, &body);
                assert_eq!(reply.status, 202, "{}", reply.body);
                let id = reply.body["id"].as_str().expect("an id").to_owned();
                asked.push(Asked { pool, key, id, body });
            }
        }
        let fleet = &self.fleet;
        fleet.until("some purchases", || (fleet.ledger().bought().len() > 6).then_some(()));
        asked
    }

    fn post(&self, key: &str, body: &Value) -> Reply {
        let request = self.fleet.ask(self.fleet.gateway_port(), Method::POST, "/v1/jobs", key);
        self.fleet.send(request.json(body))
    }

    /// Whether a caller who asks again with the same words finds the video.
    fn is_stored(&self, key: &str, body: &Value) -> bool {
        let reply = self.post(key, body);
        let Some(id) = reply.body["id"].as_str() else { return false };
        self.fleet.get(&format!("/v1/jobs/{id}"), key).body["state"] == "succeeded"
    }

    /// Every caller asks again until the video is there.
    fn until_stored(&self, mut left: Vec<Asked>) {
        let stored = wait::until("every video", TAKEN_OVER_MAX, || {
            left.retain(|Asked { key, body, .. }| !self.is_stored(key, body));
            left.is_empty().then_some(())
        });
        stored.unwrap_or_else(|missed| panic!("{missed}: {left:#?}"));
    }

    /// Each job has bought one video and no program or replica was refused anything.
    fn is_as_it_should_be(&self) {
        none_twice(&self.fleet);
        assert_eq!(self.fleet.ledger().bought().len(), POOLS.len() * JOBS as usize);
        for node in self.cluster.nodes().iter().filter(|node| node.is_running()) {
            assert_eq!(node.command(&["ACL", "LOG"]).expect("it runs"), "");
        }
    }
}

fn slot(pool: &str) -> u16 {
    Keys::new("e2e", pool).slot()
}

/// A request that its task in the ledger can be traced back to.
fn body(pool: &str, number: u32) -> Value {
    text(&format!("mark-{pool}-{number} changes hands")).into()
}

// covers: M6, M22, M26
#[test]
fn pools_spread_over_a_cluster_lose_a_primary_under_load_and_nothing_else() {
    let spread = Spread::start(&[]);
    needs_the_fence(&spread.fleet, "cluster");
    let asked = spread.ask();
    let lost = spread.port_of("sim").expect("it runs");
    let node = spread.cluster.nodes().iter().find(|node| node.port() == lost).expect("one of them");
    node.kill9();

    spread.until_stored(asked);
    assert!(spread.port_of("sim").is_some_and(|port| port != lost), "its replica has taken over");
    spread.is_as_it_should_be();
}

// covers: M6, M22
#[test]
fn a_pool_moves_to_another_primary_under_load_and_nothing_is_lost() {
    // Long enough that most tasks end while the slot is on its way.
    let spread = Spread::start(&["--run-s", "2-3"]);
    let (fleet, before) = (&spread.fleet, spread.port_of("sim"));
    let asked = spread.ask();
    let (on_its_way, others): (Vec<Asked>, Vec<Asked>) =
        asked.into_iter().partition(|one| one.pool == "sim");

    let moving = spread.cluster.open(slot("sim")).expect("two primaries");
    let (all, _) = moving.keys().expect("they answer");
    moving.hand_over(all / 2).expect("they answer");
    // Every job is read, whichever node has it now; a new one is asked to come again.
    for Asked { key, id, .. } in &on_its_way {
        let reply = fleet.get(&format!("/v1/jobs/{id}"), key);
        assert_eq!((reply.status, reply.body["id"].as_str()), (200, Some(id.as_str())));
    }
    let late = body("late", 0);
    let reply = spread.post(ALICE, &late);
    assert_eq!((reply.status, &reply.body["retryable"]), (503, &Value::Bool(true)));
    // The other pools go on; nothing of this one begins or ends.
    spread.until_stored(others);
    moving.hand_over(0).expect("they answer");
    moving.close().expect("they answer");

    spread.until_stored(on_its_way);
    assert!(spread.port_of("sim").is_some_and(|port| Some(port) != before), "it has moved");
    spread.is_as_it_should_be();
    // This process has not asked since: its first question may still go to the node that has given the slot away.
    let watch = fleet.until("the pool's watch", || fleet.run(fleet.store().watch()).ok());
    assert!(watch.frozen.is_none(), "{watch:?}");
    fleet.until("what came too early", || spread.is_stored(ALICE, &late).then_some(()));
    none_twice(fleet);
}
