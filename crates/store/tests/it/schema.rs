//! Versions side by side: who reads what, what is in force, and records that are too new for this program.

use crate::ground::{self, FREE, Ground, LEASE, SUBMIT, attempt, connect, record};
use job::{Event, JobId, Misfit, SCHEMA_VERSION};
use sandbox::redis::CommandError;
use std::collections::BTreeMap;
use store::{
    ALIVE_FOR, About, Around, Begun, FleetStore, Ill, InForce, Raised, ReportError, StoreError,
    Writer,
};

/// A version of which nobody here knows anything.
const BEYOND: u32 = SCHEMA_VERSION + 98;

fn about(role: &str, oldest: u32, newest: u32) -> About {
    let (role, program) = (role.into(), "0.0.0".into());
    About { role, program, oldest, newest, ill: BTreeMap::new() }
}

async fn enter(fleet: &FleetStore, name: &str, oldest: u32, newest: u32) -> Result<u32, Misfit> {
    fleet.beat(name, &about("poller", oldest, newest)).await.expect("answers")
}

async fn names(fleet: &FleetStore) -> Vec<String> {
    let live = fleet.live_processes().await.expect("answers");
    live.into_iter().map(|process| process.name).collect()
}

async fn raise(fleet: &FleetStore, to: u32) -> Raised {
    fleet.raise_schema(to, "ann", "all are new").await.expect("answers")
}

#[tokio::test]
async fn a_version_comes_into_force_when_every_live_process_reads_it_and_there_is_no_way_back() {
    let ground = Ground::new().await;
    let fleet = ground.store.fleet();
    assert_eq!(fleet.schema_in_force().await.expect("answers"), InForce::default());
    assert_eq!(enter(&fleet, "old-1", 1, 1).await, Ok(1), "the first one says what is written");
    assert_eq!(enter(&fleet, "old-2", 1, 1).await, Ok(1));
    assert_eq!(enter(&fleet, "new-1", 1, 2).await, Ok(1), "both kinds write what both read");
    assert_eq!(raise(&fleet, 1).await, Raised::Already(1));
    assert_eq!(raise(&fleet, 2).await, Raised::Held(vec!["old-1".into(), "old-2".into()]));
    assert_eq!(fleet.schema_in_force().await.expect("answers").version, Some(1));

    // One ends of its own accord, the other was killed long ago.
    fleet.sign_off("old-1").await.expect("answers");
    assert_eq!(raise(&fleet, 2).await, Raised::Held(vec!["old-2".into()]));
    let long_ago = ground.store.now().await.expect("answers") - ALIVE_FOR;
    let ms = long_ago.unix_ms().to_string();
    ground.redis.command(&["ZADD", &fleet.keys().workers(), &ms, "old-2"]).expect("answers");
    assert_eq!(names(&fleet).await, ["new-1"], "who is silent for a minute counts no more");
    assert_eq!(raise(&fleet, 2).await, Raised::Done { from: Some(1) });
    assert_eq!(raise(&fleet, 2).await, Raised::Already(2), "a lost answer is asked for again");
    let InForce { version, raised } = fleet.schema_in_force().await.expect("answers");
    let (_, by, reason) = raised.expect("somebody did");
    assert_eq!((version, by.as_str(), reason.as_str()), (Some(2), "ann", "all are new"));

    // It wakes up, or somebody starts one of before, or one that left a version out.
    let behind = enter(&fleet, "old-2", 1, 1).await.expect_err("it cannot read 2");
    assert!(matches!(behind, Misfit::Behind { in_force: 2, .. }), "{behind}");
    let ahead = enter(&fleet, "newest-1", 3, 4).await.expect_err("it does not write 2");
    assert!(matches!(ahead, Misfit::Ahead { in_force: 2, .. }), "{ahead}");
    assert_eq!(enter(&fleet, "new-1", 1, 2).await, Ok(2), "those who fit hear of it");
    assert_eq!(names(&fleet).await, ["new-1"], "and nobody else is entered");
    let about = ["HLEN", &fleet.keys().workers_about()];
    assert_eq!(ground.redis.command(&about).expect("answers"), "1", "nothing is left of them");
}

#[tokio::test]
async fn a_process_that_tells_what_nobody_understands_holds_a_version_back() {
    let ground = Ground::new().await;
    let fleet = ground.store.fleet();
    assert_eq!(enter(&fleet, "new-1", 1, 2).await, Ok(1));
    for strange in ["no JSON", "[]", "{\"newest\":\"many\"}"] {
        let set = ["HSET", &fleet.keys().workers_about(), "new-1", strange];
        ground.redis.command(&set).expect("answers");
        assert_eq!(raise(&fleet, 2).await, Raised::Held(vec!["new-1".into()]), "{strange}");
    }
    assert_eq!(fleet.live_processes().await.expect("answers")[0].about, None);
}

#[tokio::test]
async fn a_store_hears_at_its_start_and_writes_what_it_can() {
    let ground = Ground::new().await;
    let fleet = ground.store.fleet();
    assert_eq!((ground.store.writes_version(), ground.store.fits()), (1, Ok(())));
    assert_eq!(raise(&fleet, BEYOND).await, Raised::Done { from: None }, "nobody lives here");
    let late = connect(&ground.redis).await;
    assert!(matches!(late.fits(), Err(Misfit::Behind { in_force: BEYOND, .. })));
    assert_eq!(late.writes_version(), SCHEMA_VERSION, "never a form it does not know");
}

/// Fields and values in an order of their own: the server's may change while they stay.
fn hash(ground: &Ground, id: &JobId) -> Vec<String> {
    let all = ground.redis.command(&["HGETALL", &ground.store.keys().job(id)]).expect("answers");
    let lines: Vec<&str> = all.lines().collect();
    let mut pairs: Vec<String> = lines.chunks(2).map(|pair| pair.join(" = ")).collect();
    pairs.sort_unstable();
    pairs
}

/// As a newer program would have written this part of it.
fn make_newer(ground: &Ground, id: &JobId, part: &str) {
    let key = ground.store.keys().job(id);
    let text = ground.redis.command(&["HGET", &key, part]).expect("answers");
    let rest = match part {
        "spec" => text.strip_prefix(&format!("{{\"schema\":{SCHEMA_VERSION},")),
        _ => text.strip_prefix('{'),
    };
    let rest = rest.unwrap_or_else(|| panic!("{part}: {text}"));
    let newer = format!("{{\"schema\":{BEYOND},{rest}");
    ground.redis.command(&["HSET", &key, part, &newer]).expect("answers");
}

#[tokio::test]
async fn a_record_beyond_this_program_is_left_alone_told_and_counted() {
    for part in ["spec", "life"] {
        let ground = Ground::new().await;
        let (newer, ours) = (ground.admit(record()).await, ground.admit(record()).await);
        make_newer(&ground, &newer.id, part);
        let before = hash(&ground, &newer.id);

        let claimed = ground.claim_once(SUBMIT, 2, LEASE).await;
        let ids: Vec<&JobId> = claimed.items.iter().map(|held| &held.claim.id).collect();
        assert_eq!((ids, claimed.unreadable), (vec![&ours.id], 1), "{part}");
        let open = attempt(&ours, 172_800);
        let begun = ground.begin(&claimed.items[0], &open, &FREE).await;
        assert!(matches!(begun, Begun::Granted { .. }), "the others go on: {begun:?}");
        let again = ground.claim_once(SUBMIT, 2, LEASE).await;
        assert_eq!((again.items.len(), again.unreadable), (0, 0), "its ticket is put aside");
        let ticket = ["ZSCORE", &ground.store.keys().lease(SUBMIT), newer.id.as_str()];
        assert_ne!(ground.redis.command(&ticket).expect("answers"), "", "and not lost");

        let says = |error: &StoreError| {
            let words = error.to_string();
            let told = [newer.id.as_str(), &format!("version {BEYOND}"), "upgrade it"];
            told.iter().all(|word| words.contains(word))
        };
        let error = ground.store.load(&newer.id).await.expect_err("too new");
        assert!(says(&error), "{error}");
        let events =
            [ground::cancel(), Event::GaveUp { by: job::By::named("x"), reason: "y".into() }];
        for event in events {
            let told =
                ground.store.report(&newer.id, Writer::Outside, &event, &ground.policy).await;
            let Err(ReportError::Store(error)) = told else { panic!("{event:?}: {told:?}") };
            assert!(says(&error), "{error}");
        }

        let recount = ground.store.recount().await.expect("answers");
        assert_eq!((recount.records, recount.unreadable), (1, 1), "{recount:?}");
        ground.store.mend(&recount.drifts, "ann", "a test").await.expect("answers");
        assert_eq!(hash(&ground, &newer.id), before, "nothing of it was touched");
        let tally = ground.store.tally_versions(0, u64::MAX).await.expect("answers");
        let of = |version: u32| tally.by_version.get(&version).copied();
        assert_eq!((tally.looked, tally.jobs, tally.cursor), (2, 2, 0), "{tally:?}");
        assert_eq!((of(SCHEMA_VERSION), of(BEYOND)), (Some(1), Some(1)), "{tally:?}");
        assert_eq!((tally.newer_than(SCHEMA_VERSION), tally.older_than(BEYOND)), (1, 1));
    }
}

#[tokio::test]
async fn a_walk_over_versions_has_a_bound_and_goes_on_where_it_ended() {
    let ground = Ground::new().await;
    let jobs: Vec<_> =
        (0..700).map(|_| store::NewJob { record: record(), idempotency: None }).collect();
    for jobs in jobs.chunks(store::ADMIT_MAX) {
        let admitted = ground.store.admit(jobs).await.expect("few enough");
        assert!(admitted.iter().all(Result::is_ok), "{admitted:?}");
    }
    let first = ground.store.tally_versions(0, 1).await.expect("answers");
    assert!(first.cursor != 0 && first.looked >= 1 && first.looked < 700, "{first:?}");
    assert_eq!(first.jobs, 700);
    let rest = ground.store.tally_versions(first.cursor, u64::MAX).await.expect("answers");
    assert_eq!(rest.cursor, 0);
    assert!(first.looked + rest.looked >= 700, "{first:?}, {rest:?}");
    assert_eq!(rest.by_version.get(&SCHEMA_VERSION).copied(), Some(rest.looked));
}

/// A rolling upgrade brings two texts of one script to one server. Each side calls its own by its hash.
#[tokio::test]
async fn two_versions_of_a_script_live_side_by_side_and_survive_a_server_that_forgets_both() {
    let ground = Ground::new().await;
    let fleet = ground.store.fleet();
    let to_come = concat!(include_str!("../../lua/beat.lua"), "\n-- The version to come.\n");
    let load = || ground.redis.command(&["SCRIPT", "LOAD", to_come]).expect("loaded");
    let sha = load();
    assert_eq!(store::script_of(&sha), None, "another text has another name");
    let (schema, workers) = (fleet.keys().schema(), fleet.keys().workers());
    let about = fleet.keys().workers_about();
    let other = |name: &str| {
        let text = "{\"role\":\"poller\",\"program\":\"9\",\"oldest\":1,\"newest\":2}";
        let call = ["EVALSHA", &sha, "3", &schema, &workers, &about, name, text, "1", "2", "60000"];
        ground.redis.command(&call)
    };
    assert_eq!(enter(&fleet, "ours-1", 1, 1).await, Ok(1));
    assert_eq!(other("theirs-1").expect("it knows both"), "ok\n1");
    assert_eq!(enter(&fleet, "ours-2", 1, 1).await, Ok(1));

    ground.redis.command(&["SCRIPT", "FLUSH"]).expect("flushed");
    assert_eq!(enter(&fleet, "ours-3", 1, 1).await, Ok(1), "loaded again, and called once");
    let forgotten = other("theirs-2").expect_err("nobody has loaded theirs");
    assert!(matches!(&forgotten, CommandError::Refused(said) if said.starts_with("NOSCRIPT")));
    assert_eq!(load(), sha);
    assert_eq!(other("theirs-2").expect("it knows both"), "ok\n1");
    assert_eq!(enter(&fleet, "ours-1", 1, 1).await, Ok(1));
    let all = ["ours-1", "ours-2", "ours-3", "theirs-1", "theirs-2"];
    assert_eq!(names(&fleet).await, all);
}

#[tokio::test]
async fn what_a_process_finds_ill_around_itself_is_heard_until_it_tells_otherwise() {
    let ground = Ground::new().await;
    let fleet = ground.store.fleet();
    let mut told = about("submitter", 1, 1);
    // A newer program may know more parts.
    let parts = [("bucket", "no permission"), ("moon", "behind a cloud")];
    let parts = parts.map(|(part, why)| (part.to_owned(), why.to_owned()));
    told.ill = BTreeMap::from([("main".to_owned(), BTreeMap::from(parts))]);
    fleet.beat("one", &told).await.expect("answers").expect("it fits");
    enter(&fleet, "two", 1, 1).await.expect("it fits");
    let heard = async || -> Vec<Ill> {
        let live = fleet.live_processes().await.expect("answers");
        live.iter().flat_map(store::LiveProcess::ill).collect()
    };
    let (role, pool, why) = ("submitter".into(), "main".into(), "no permission".into());
    assert_eq!(heard().await, [Ill { role, pool, part: Around::Bucket, why }]);
    told.ill.clear();
    fleet.beat("one", &told).await.expect("answers").expect("it fits");
    assert_eq!(heard().await, []);
}
