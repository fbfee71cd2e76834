//! Each program as its own user of Redis, with the rights of `deploy/redis/users.acl` and no others, over TLS with
//! certificates on both sides.

use e2e::kit::{ALICE, Fleet, Options, Receiver, Walls, login, text};
use e2e::users::PROGRAMS;
use job::JobId;
use reqwest::Method;
use sandbox::Redis;
use sandbox::redis::CommandError;
use serde_json::json;

/// What the server refused to users that exist, in its own words; empty where it refused nothing.
fn refusals(redis: &Redis) -> String {
    redis.command(&["ACL", "LOG"]).expect("it answers")
}

fn refused(redis: &Redis, program: &str, words: &[&str]) {
    let (user, password) = login(program);
    let answer = redis.command_as(&user, &password, words);
    let is_refused =
        matches!(&answer, Err(CommandError::Refused(said)) if said.starts_with("NOPERM"));
    assert!(is_refused, "{program}: {words:?} was answered {answer:?}");
}

fn no_user_may_do_more(redis: &Redis, key: &str) {
    let others = format!("x{key}");
    for (program, _) in PROGRAMS {
        let (user, password) = login(program);
        let own = redis.command_as(&user, &password, &["EXISTS", key]);
        assert_eq!(own.expect("its own prefix"), "1");
        let more: [&[&str]; 18] = [
            &["FLUSHALL"],
            &["FLUSHDB"],
            &["KEYS", "*"],
            &["CONFIG", "SET", "appendonly", "no"],
            &["DEBUG", "SLEEP", "0"],
            &["SHUTDOWN"],
            &["REPLICAOF", "NO", "ONE"],
            &["SCRIPT", "FLUSH"],
            &["EVAL", "return 1", "0"],
            &["ACL", "LIST"],
            &["MONITOR"],
            &["GET", &others],
            &["SET", &others, "1"],
            &["PUBLISH", "news", "x"],
            &["CLUSTER", "RESET"],
            &["CLUSTER", "FAILOVER"],
            &["CLUSTER", "SETSLOT", "0", "STABLE"],
            &["MIGRATE", "127.0.0.1", "1", key, "0", "1"],
        ];
        more.iter().for_each(|words| refused(redis, program, words));
    }
    for program in ["gateway", "submitter", "downloader"] {
        refused(redis, program, &["LPOP", key]);
    }
}

#[test]
fn a_whole_fleet_works_with_a_user_for_each_program_and_no_user_may_do_more() {
    let receiver = Receiver::start();
    let walls = Walls::new();
    let redis = Redis::start(walls.server()).unwrap_or_else(|error| panic!("{error}"));
    let url = format!("rediss://127.0.0.1:{}/", redis.peer_port());
    let section = format!("[redis]\n{}", walls.settings());
    let mut options = Options::with_gateway().users().elsewhere(&url, &section).config(&format!(
        "[webhooks]\nallow_origins = [\"{}\"]\n[caps]\nrpm = 1000\n[tenants.default]\nweight = 2\n",
        receiver.origin()
    ));
    options.roles.push("notifier");
    let fleet = Fleet::start(options);

    let body = json!({"url": receiver.url("/told"), "types": ["job.succeeded"]});
    let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/webhook-endpoints", ALICE);
    assert_eq!(fleet.send(request.json(&body)).status, 201);
    let jobs: Vec<JobId> = (0..12)
        .map(|n| {
            let reply = fleet.post_job(text(&format!("a street with {n} lamps")));
            assert_eq!(reply.status, 202, "{}", reply.body);
            JobId::parse(reply.body["id"].as_str().expect("an id")).expect("an id")
        })
        .collect();
    fleet.wait_stored(&jobs);
    fleet.until("every webhook", || (receiver.at("/told").len() >= jobs.len()).then_some(()));
    assert_eq!(fleet.get("/v1/jobs?limit=5", ALICE).status, 200);
    let verbs: [&[&str]; 9] = [
        &["jobs", "list"],
        &["jobs", "show", jobs[0].as_str()],
        &["limits", "show"],
        &["queue", "status"],
        &["usage"],
        &["workers"],
        &["keys", "list"],
        &["freeze", "--reason", "a look", "--by", "ann"],
        &["thaw", "--reason", "all is well", "--by", "ann", "--yes"],
    ];
    for verb in verbs {
        let ended = fleet.cli(verb);
        assert_eq!(ended.code, 0, "{verb:?}: {ended:?}");
    }
    let told = fleet.cli(&["doctor"]);
    assert!(!told.stdout.contains("NOPERM") && !told.stderr.contains("NOPERM"), "{told:?}");
    fleet.audit(&jobs);
    assert_eq!(refusals(&redis), "", "a right is missing");

    no_user_may_do_more(&redis, &fleet.store().keys().lsn());
}
