//! Another server takes over: Sentinel makes a replica the primary; `cluster.rs` has the same of a Redis Cluster. What
//! the replica had not received is forgotten; the intents outside Redis tell what was sent, callers ask again
//! for the rest, and nothing is bought twice. All of it over TLS, each program, replica and Sentinel as its own user.

use e2e::kit::{Fleet, Options, Walls, login, text};
use job::JobId;
use sandbox::redis::{CommandError, Sentinel, Watch};
use sandbox::{Redis, wait};
use serde_json::Value;
use std::time::Duration;
use store::{Finding, Severity};

/// From the end of a primary to another that everybody knows, however slow the machine: a vote that comes to
/// nothing is repeated after some seconds.
pub const TAKEN_OVER_MAX: Duration = Duration::from_secs(120);
/// A quarantine reads every intent, and settles every job that was forgotten.
const HEALED_MAX: Duration = Duration::from_secs(120);
pub const JOBS: u32 = 12;

/// Short horizons, as in the tests of rollbacks.
pub const SHORT: &str = "[submit]\nsend_deadline = \"600ms\"\nlease = \"1500ms\"\nrenew = \"300ms\"\n\
                     [provider]\nconnect_timeout = \"500ms\"\ncreate_timeout = \"1s\"\n";

/// One primary, its replicas, and three Sentinels.
struct Watched {
    primary: Redis,
    replicas: Vec<Redis>,
    sentinels: Vec<Sentinel>,
    walls: Walls,
}

impl Watched {
    fn start() -> Self {
        let walls = Walls::new();
        let primary = server(&walls, &[]);
        let port = primary.peer_port().to_string();
        let replica = |_| server(&walls, &["--replicaof", "127.0.0.1", &port]);
        let replicas: Vec<Redis> = (0..2).map(replica).collect();
        let watch = Watch {
            name: "fleet".to_owned(),
            port: primary.peer_port(),
            quorum: 2,
            // Longer than a busy machine keeps a server from its turn.
            down_after: Duration::from_secs(4),
            failover_timeout: Duration::from_secs(3),
            tls: Some(walls.tls()),
            lines: walls.sentinel_lines("fleet"),
        };
        let start = |_| Sentinel::start(&watch).unwrap_or_else(|error| panic!("{error}"));
        let sentinels: Vec<Sentinel> = (0..3).map(start).collect();
        let watched = Self { primary, replicas, sentinels, walls };
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

    fn url(&self) -> String {
        let hosts = self.sentinels.iter().map(|one| format!("127.0.0.1:{}", one.peer_port()));
        format!("rediss://{}/0", hosts.collect::<Vec<_>>().join(","))
    }

    fn section(&self) -> String {
        let rest = self.walls.sentinel_settings();
        format!("[redis]\ntopology = \"sentinel\"\nprimary_name = \"fleet\"\n{rest}")
    }

    /// Nobody of the fleet, of the replicas and of the Sentinels was refused anything, and the fleet may ask
    /// Sentinels and not steer them.
    fn no_right_is_missing_and_none_is_too_many(&self) {
        for server in self.replicas.iter().chain([&self.primary]) {
            assert_eq!(server.command(&["ACL", "LOG"]).expect("it runs"), "");
        }
        let (user, password) = login("fleet");
        let more: [&[&str]; 5] = [
            &["SENTINEL", "FAILOVER", "fleet"],
            &["SENTINEL", "REMOVE", "fleet"],
            &["SENTINEL", "SET", "fleet", "quorum", "1"],
            &["ACL", "LIST"],
            &["SHUTDOWN"],
        ];
        for sentinel in &self.sentinels {
            assert_eq!(sentinel.command(&["ACL", "LOG"]).expect("it runs"), "");
            for words in more {
                let answer = sentinel.command_as(&user, &password, words);
                let is_refused = matches!(&answer, Err(CommandError::Refused(said)) if said.starts_with("NOPERM"));
                assert!(is_refused, "{words:?} was answered {answer:?}");
            }
        }
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

fn server(walls: &Walls, words: &[&str]) -> Redis {
    let mut options = walls.server();
    let soon = ["--repl-diskless-sync-delay", "0"];
    options.extra_args.extend(soon.iter().chain(words).map(|word| (*word).to_owned()));
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

pub fn none_twice(fleet: &Fleet) {
    let bought = fleet.ledger().bought();
    let twice: Vec<_> = bought.into_iter().filter(|(_, tasks)| *tasks > 1).collect();
    assert!(twice.is_empty(), "bought twice: {twice:?}");
}

/// The self-check refuses such servers, unless intents outside Redis stand behind every create.
pub fn needs_the_fence(fleet: &Fleet, check: &str) {
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
    let options = Options::default().users().elsewhere(&watched.url(), &watched.section());
    let fleet = Fleet::start(options.config(SHORT));
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
    watched.no_right_is_missing_and_none_is_too_many();
    println!("{stored} of {JOBS} jobs of the failover are stored");
}
