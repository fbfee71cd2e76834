//! Callbacks that nobody sent, by the thousand, and good ones again and again: they cost the provider nothing, they move
//! no job, and jobs are taken in meanwhile as ever.

use e2e::kit::{ALICE, Fleet, Options, StopWatch, text};
use job::{Record, State};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Nobody looks at a task unless a callback says so.
const RARE_POLLS: &str = "[poll]\nfirst = \"10m\"\nsteady = \"10m\"\nmax = \"10m\"\n";
const FORGED: usize = 4_000;
const AT_ONCE: usize = 200;
/// Jobs posted while the flood runs, one with each wave.
const WAVES: usize = FORGED / AT_ONCE;

/// A job whose task never ends, the task's id and the address that its callbacks go to.
fn stuck(fleet: &Fleet) -> (Record, String, String) {
    fleet.faults(&json!({"callback": [{"kind": "lose"}], "task": [{"kind": "stuck"}]}));
    let id = fleet.admit(text("a candle that does not burn down"));
    let record = fleet.wait(&id, "running");
    let State::Generating { task, .. } = &record.life.state else { panic!("no task") };
    let task = task.id.as_str().to_owned();
    let path = fleet.ledger().callback_path(&record).expect("an address was given");
    (record, task, path)
}

fn news(task: &str, status: &str) -> Value {
    json!({"id": task, "status": status, "model": "dreamina-seedance-2-0-260128"})
}

/// Answers by status.
fn counted(replies: &[e2e::kit::Reply]) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for reply in replies {
        *counts.entry(reply.status).or_default() += 1;
    }
    counts
}

// covers: M10
#[test]
fn a_flood_of_forged_callbacks_asks_nobody_and_delays_nobody() {
    let limits =
        "source_qps = 50\ntotal_qps = 200\n[gateway]\ntrusted_proxies = [\"127.0.0.1/32\"]\n";
    let fleet = Fleet::start(Options::with_gateway().config(limits).config(RARE_POLLS));
    let (record, task, path) = stuck(&fleet);
    let (attempt, token) = path.rsplit_once('/').expect("a path");
    let reversed: String = token.chars().rev().collect();
    let body = news(&task, "succeeded").to_string();
    let long = "[".repeat(60_000);
    let forged = |n: usize| {
        let path = match n % 3 {
            0 => format!("{attempt}/{reversed}"),
            1 => format!("/cb/v1/att_{n:026}/{token}"),
            _ => format!("/cb/v1/{n}/{n}"),
        };
        let request = fleet.ask(fleet.gateway_port(), Method::POST, &path, "");
        // From everywhere: as if each of forty sources sent a hundred.
        let request = request.header("x-forwarded-for", format!("198.51.100.{}", n % 40));
        request.body(if n.is_multiple_of(7) { long.clone() } else { body.clone() })
    };
    let watch = StopWatch::start();
    let (mut answers, mut posted) = (Vec::new(), Vec::new());
    for wave in 0..WAVES {
        let mut requests: Vec<_> = (0..AT_ONCE).map(|n| forged(wave * AT_ONCE + n)).collect();
        let honest = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", ALICE);
        requests.push(honest.json(&Value::from(text(&format!("posted in wave {wave}")))));
        let mut replies = fleet.send_all(requests);
        posted.push(replies.pop().expect("the honest one"));
        answers.extend(replies);
    }
    let elapsed_s = usize::try_from(watch.elapsed().as_secs()).expect("seconds") + 1;
    assert!(posted.iter().all(|reply| reply.status == 202), "{:?}", counted(&posted));
    let counts = counted(&answers);
    assert!(counts.keys().all(|status| [404, 429].contains(status)), "{counts:?}");
    let looked_up = counts.get(&404).copied().unwrap_or(0);
    assert!(looked_up <= 200 * (elapsed_s + 1), "{looked_up} in {elapsed_s} s: {counts:?}");
    assert_eq!(fleet.ledger().calls("retrieve", &task).len(), 0, "nobody was asked");
    assert_eq!(fleet.record(&record.id).life, record.life, "and the job stands as it stood");
    // Who has the address is heard again when the flood has passed.
    fleet.until("the provider is heard", || {
        (fleet.call_back(&path, &news(&task, "running")).status == 200).then_some(())
    });
}

// covers: M10
#[test]
fn a_good_callback_sent_again_and_again_is_read_up_on_now_and_then() {
    let limits = "source_qps = 50\nattempt_rpm = 30\n";
    let fleet = Fleet::start(Options::with_gateway().config(limits).config(RARE_POLLS));
    let (record, task, path) = stuck(&fleet);
    let replay = |status: &str, times: usize| {
        let request = || fleet.ask(fleet.gateway_port(), Method::POST, &path, "");
        fleet.send_all((0..times).map(|_| request().json(&news(&task, status))).collect())
    };
    let reads = || fleet.ledger().calls("retrieve", &task).len();
    let watch = StopWatch::start();
    // The end that it tells of has not come: one look is enough to know.
    let ended = counted(&replay("succeeded", 20));
    assert_eq!(ended, BTreeMap::from([(200, 20)]), "a provider that repeats itself is heard");
    fleet.until("the look", || (reads() > 0).then_some(()));

    // The source's own limit lets fifty a second pass, the attempt's thirty a minute, twenty of which are gone: ten are
    // left, and one more for every two seconds that have passed.
    let running = counted(&replay("running", 100));
    assert!(running.keys().all(|status| [200, 429].contains(status)), "{running:?}");
    let most = 11 + usize::try_from(watch.elapsed().as_secs() / 2).expect("seconds");
    assert!(running.get(&200).is_none_or(|heard| *heard <= most), "{running:?}");
    // What comes within two seconds is one piece of news of its kind, `callbacks.coalesce`.
    let most = 3 + usize::try_from(watch.elapsed().as_secs()).expect("seconds");
    assert!(reads() <= most, "{} reads", reads());
    let after = fleet.record(&record.id);
    assert_eq!(after.life.state.word(), record.life.state.word(), "news are not believed");
}
