//! A pool as an earlier version of the program left it is worked to its end by this one.
//!
//! `crates/store/tests/fixtures/pool-v<N>.jsonl` is all that a real server held after a busy day of version N, as the
//! commands that bring it back, one a line. `cargo xtask fixtures` writes that of this version anew; files of older
//! versions are never touched again.

use crate::ground::{self, FREE, Ground, LEASE, SUBMIT, accepted, stored, succeeded};
use crate::history;
use job::{By, Event, Filing, FoundVia, JobId, Record, SCHEMA_VERSION, State};
use sandbox::Redis;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use store::{Begun, Held, Queue, Writer};

/// The variable with which `cargo xtask fixtures` asks for the file to be written.
const WRITE_ENV: &str = "SEEDFLEET_TEST_WRITE_FIXTURES";
const QUEUES: [Queue; 4] = [SUBMIT, Queue::Settle, Queue::Poll, Queue::Download];
/// Rounds over all queues; a job needs about eight steps.
const ROUNDS_MAX: usize = 40;

type Words = Vec<String>;

fn file(version: u32) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    folder.join(format!("pool-v{version}.jsonl"))
}

fn ask(redis: &Redis, words: &[&str]) -> Vec<String> {
    let told = redis.command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    told.split('\n').map(str::to_owned).collect()
}

fn keys(redis: &Redis) -> BTreeSet<String> {
    let (mut keys, mut cursor) = (BTreeSet::new(), "0".to_owned());
    loop {
        let mut lines = ask(redis, &["SCAN", &cursor, "COUNT", "1000"]).into_iter();
        cursor = lines.next().expect("a cursor");
        keys.extend(lines.filter(|key| !key.is_empty()));
        if cursor == "0" {
            return keys;
        }
    }
}

/// The commands that bring a key back.
fn dumped(redis: &Redis, key: &str) -> Vec<Words> {
    let kind = redis.command(&["TYPE", key]).expect("answers");
    let whole = |command: &str, parts: Vec<String>| -> Words {
        [command.to_owned(), key.to_owned()].into_iter().chain(parts).collect()
    };
    let mut commands = match kind.as_str() {
        "string" => vec![whole("SET", vec![redis.command(&["GET", key]).expect("answers")])],
        "hash" => vec![whole("HSET", ask(redis, &["HGETALL", key]))],
        "list" => vec![whole("RPUSH", ask(redis, &["LRANGE", key, "0", "-1"]))],
        "zset" => {
            let told = ask(redis, &["ZRANGE", key, "0", "-1", "WITHSCORES"]);
            let pairs = told.chunks_exact(2).flat_map(|pair| [pair[1].clone(), pair[0].clone()]);
            vec![whole("ZADD", pairs.collect())]
        }
        "stream" => {
            let told = ask(redis, &["XRANGE", key, "-", "+"]);
            let begins = |line: &String| {
                let parts = line.split_once('-');
                let digits =
                    |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                parts.is_some_and(|(ms, n)| ms.len() == 13 && digits(ms) && digits(n))
            };
            let entries = told.chunk_by(|_, next| !begins(next));
            entries.map(|entry| whole("XADD", entry.to_vec())).collect()
        }
        other => panic!("{key} is a {other}"),
    };
    let ttl_ms = redis.command(&["PTTL", key]).expect("answers");
    if !ttl_ms.starts_with('-') {
        commands.push(whole("PEXPIRE", vec![ttl_ms]));
    }
    commands
}

/// Not a test: writes the file of this version when `cargo xtask fixtures` asks for it.
#[tokio::test]
async fn writes_the_fixtures_of_this_version_when_asked() {
    if std::env::var_os(WRITE_ENV).is_none() {
        return;
    }
    let ground = Ground::new().await;
    history::a_busy_day(&ground).await;
    let commands = keys(&ground.redis).into_iter().flat_map(|key| dumped(&ground.redis, &key));
    let lines = commands.map(|words| serde_json::to_string(&words).expect("text") + "\n");
    std::fs::write(file(SCHEMA_VERSION), lines.collect::<String>()).expect("the folder is ours");
}

/// Brings the pool back. What waited for an instant waits no longer, whatever this machine's clock shows.
async fn brought_back(version: u32) -> Ground {
    let ground = Ground::new().await;
    let file = file(version);
    let text = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask fixtures`", file.display()));
    let tag = ground.store.keys().lsn().replace("lsn", "");
    for line in text.lines() {
        let mut words: Words = serde_json::from_str(line).expect("a line of ours");
        let rest = words[1].strip_prefix(&tag).expect("a key of the pool").to_owned();
        let waits = ["due:", "lease:"].iter().any(|head| rest.starts_with(head));
        if waits && words[0] == "ZADD" {
            words.iter_mut().skip(2).step_by(2).for_each(|score| *score = "1".to_owned());
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        ground.redis.command(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }
    // The day may have ended in a frozen pool.
    ground.store.thaw("somebody", "another day").await.expect("answers");
    ground
}

fn jobs(ground: &Ground) -> Vec<JobId> {
    let all = ask(&ground.redis, &["ZRANGE", &ground.store.keys().ix_all(), "0", "-1"]);
    all.iter().map(|id| JobId::parse(id).expect("an id")).collect()
}

/// Nothing of what is stored gets lost on the way through this program.
fn assert_kept(ground: &Ground, record: &Record) {
    let key = ground.store.keys().job(&record.id);
    let (spec, life) = record.to_parts().expect("plain data");
    for (field, ours) in [("spec", spec), ("life", life)] {
        let theirs = ground.redis.command(&["HGET", &key, field]).expect("answers");
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(read(&theirs), read(&ours), "{field} of {}", record.id);
    }
}

/// The next thing that a worker learns in a world in which all goes well.
async fn step(ground: &Ground, held: &Held, n: u32) {
    let name = format!("cgt-older-{n}");
    let event = match &held.stored.record.life.state {
        State::Queued { .. } => {
            // An account that was never stopped.
            let open = ground::attempt_on("third", &held.stored.record, 1_000 + n);
            let begun = ground.begin(held, &open, &FREE).await;
            assert!(matches!(begun, Begun::Granted { .. }), "{begun:?}");
            accepted(&open, &name)
        }
        State::Submitting { .. } => Event::SubmitLeasePassed,
        State::InDoubt { attempt, .. } | State::Parked { attempt, .. } => Event::TaskFound {
            attempt: attempt.id.clone(),
            task: ground::task(&name),
            via: FoundVia::List,
            said: None,
        },
        State::Generating { task, .. } | State::Overdue { task, .. } => succeeded(task.id.as_str()),
        State::Downloading { task, .. } => stored(task.id.as_str()),
        State::Finished { .. } => Event::PayloadFiled,
        State::Held { .. } => Event::StepLeft,
    };
    ground.work(held, &event).await;
}

/// Works every ticket off; tells how many steps that were.
async fn worked_off(ground: &Ground, steps: &mut u32) {
    for _ in 0..ROUNDS_MAX {
        let before = *steps;
        for queue in QUEUES {
            for held in ground.claim_once(queue, 100, LEASE).await.items {
                *steps += 1;
                step(ground, &held, *steps).await;
            }
        }
        if *steps == before {
            return;
        }
    }
    panic!("{steps} steps, and still tickets");
}

#[tokio::test]
async fn a_pool_of_every_earlier_version_is_worked_to_its_end() {
    for version in 1..=SCHEMA_VERSION {
        let ground = brought_back(version).await;
        let ids = jobs(&ground);
        assert!(ids.len() >= 20, "version {version}: {} jobs", ids.len());
        let tally = ground.store.tally_versions(0, u64::MAX).await.expect("answers");
        assert_eq!(tally.by_version.get(&version).copied(), Some(ids.len() as u64), "{tally:?}");
        ground.sound().await;
        let mut words = BTreeSet::new();
        for id in &ids {
            let Record { life, .. } = ground.load(id).await.record;
            words.insert(life.state.word());
            if version == SCHEMA_VERSION {
                assert_kept(&ground, &ground.load(id).await.record);
            }
        }
        assert!(words.len() >= 7, "version {version} has jobs in many states: {words:?}");

        let mut steps = 0;
        worked_off(&ground, &mut steps).await;
        for id in &ids {
            if matches!(ground.load(id).await.record.life.state, State::Held { .. }) {
                let event = Event::Approved { by: By::named("somebody") };
                ground.report(id, Writer::Outside, &event).await;
            }
        }
        worked_off(&ground, &mut steps).await;
        assert!(steps as usize > ids.len() / 2, "{steps} steps");
        for id in &ids {
            let state = ground.load(id).await.record.life.state;
            let filed =
                matches!(&state, State::Finished { filing, .. } if *filing != Filing::Pending);
            assert!(filed, "version {version}: {id} has not ended: {state:?}");
        }
        ground.sound().await;
        // What was written on the way is of this version.
        let tally = ground.store.tally_versions(0, u64::MAX).await.expect("answers");
        assert_eq!(tally.newer_than(SCHEMA_VERSION), 0);
    }
}
