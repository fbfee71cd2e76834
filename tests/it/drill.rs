//! Outputs that must not be lost: a bucket that is down for half a day, and a file that is too big.

use crate::bucket_s3::S3;
use e2e::kit::{BOUND, Fleet, Options, StopWatch, text};
use job::{JobId, StateWord};
use sandbox::machine::peak_bytes;
use sandbox::wait;
use std::time::Duration;

/// One hour of the drill.
const HOUR: Duration = Duration::from_millis(1_000);
const OUTAGE_HOURS: u32 = 12;
const MIB: u64 = 1 << 20;

/// Seconds until the first link dies, as the downloader's alarm says; infinite without one.
fn tightest_s(fleet: &Fleet) -> Option<f64> {
    let page = fleet.metrics("downloader");
    let name = "seedfleet_download_tightest_deadline_seconds{";
    let line = page.lines().find(|line| line.starts_with(name))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// The bucket is down for the time of the drill, while jobs go on being bought before it and finished
/// within it; afterwards every one of them is stored. Links live for so many hours.
fn drill(signing: &str, link_hours: u32) {
    let s3 = S3::start();
    let life_s = HOUR.as_secs() * u64::from(link_hours);
    let life = format!("link_life_s={life_s}");
    let signing = format!("links={signing}");
    let options = Options::default().config(&s3.config());
    let fleet = Fleet::start(
        options.simulator(&["--doubt", &life, "--doubt", &signing, "--run-s", "0.3-6"]),
    );
    let before = fleet.admit(text("before the outage"));
    fleet.wait(&before, "succeeded");
    let mut ids: Vec<JobId> =
        (0..16).map(|n| fleet.admit(text(&format!("film {n} of the drill")))).collect();
    for id in &ids {
        fleet.until("every task is bought", || fleet.record(id).life.state.task().map(drop));
    }

    s3.be_ill(true);
    let outage = StopWatch::start();
    fleet
        .until("half a day has passed", || (outage.elapsed() >= HOUR * OUTAGE_HOURS).then_some(()));
    for id in &ids {
        let word = fleet.record(id).life.state.word();
        let waits = matches!(word, StateWord::Downloading | StateWord::Succeeded);
        assert!(waits, "{id} is {}", word.as_str());
    }
    assert!(s3.refused() > 0);
    let left_s = tightest_s(&fleet).expect("the alarm is there");
    assert!(left_s <= life_s as f64, "{left_s} s of {life_s}");
    s3.be_ill(false);

    ids.push(before);
    let records = fleet.wait_stored(&ids);
    for record in &records {
        let billed = fleet.ledger().billed_to(record);
        let manifest = fleet.verified_manifest(record);
        assert_eq!(manifest.output().unwrap().sha256, billed[0].video_sha256);
    }
    fleet.audit(&ids);
}

// covers: M11
#[test]
fn half_a_day_without_a_bucket_loses_nothing() {
    drill("at_success", 24);
}

// covers: M11
#[test]
fn links_that_die_while_the_bucket_is_down_are_renewed_as_often_as_need_be() {
    drill("each_read", 3);
}

/// Length of the big file, MiB; by hand more.
const BIG_ENV: &str = "SEEDFLEET_TEST_BIG_MIB";
const BIG_MIB: u32 = 256;

// covers: M11, M24/download
#[test]
fn a_file_of_any_size_takes_a_few_parts_of_memory_and_is_resumed_where_it_broke() {
    let config = "[download]\nconcurrency = 1\nidle_timeout = \"20s\"\n";
    let options = Options::default().config(config);
    let fleet = Fleet::start(options);
    let small = fleet.admit(text("a small one"));
    fleet.wait(&small, "succeeded");
    let pid = fleet.role("downloader").pid();
    let idle_bytes = peak_bytes(pid).unwrap();
    assert!(idle_bytes > MIB);
    drop(fleet);

    let big_mib = std::env::var(BIG_ENV).map_or(BIG_MIB, |n| n.parse().expect("a number of MiB"));
    let big_bytes = u64::from(big_mib) * MIB;
    let options = Options::default().config(config);
    let fleet = Fleet::start(options.simulator(&["--clip-bytes-min", &big_bytes.to_string()]));
    // Five breaks, each in the middle of what was left: more than a turn forgives without progress.
    fleet.faults(&serde_json::json!({"media": [
        {"kind": "truncated", "times": 5, "match": {"file": "mp4"}}
    ]}));
    let big = fleet.admit(text("a big one"));
    let stored = wait::until("a big video", BOUND * 4 * big_mib.div_ceil(BIG_MIB), || {
        fleet.record(&big).life.state.word().is_finished().then_some(())
    });
    assert!(stored.is_ok(), "{:#?}", fleet.timeline(&big));
    let record = fleet.wait(&big, "succeeded");
    let peak_bytes = peak_bytes(fleet.role("downloader").pid()).unwrap();
    let grown_bytes = peak_bytes.saturating_sub(idle_bytes);
    assert!(grown_bytes <= 32 * MIB, "{} MiB more than for a small file", grown_bytes / MIB);

    let manifest = fleet.verified_manifest(&record);
    let ledger = fleet.ledger();
    let output = manifest.output().unwrap();
    assert!(output.length_bytes >= big_bytes);
    assert_eq!(output.sha256, ledger.billed_to(&record)[0].video_sha256);
    let of_task = |line: &&serde_json::Value| line["task"] == manifest.task_id.as_str();
    let media = ledger.events("call").filter(of_task).filter(|line| line["call"] == "media");
    let announced = media.map(|line| line["bytes"].as_u64().unwrap());
    // The last frame is none of it.
    let announced: Vec<u64> = announced.filter(|bytes| *bytes >= MIB).collect();
    assert_eq!(announced.len(), 6, "{announced:?}");
    // A fetch that broke sent half of what it announced, the last one all of it.
    let (last, broken) = announced.split_last().unwrap();
    let sent_bytes: u64 = broken.iter().map(|bytes| bytes / 2).sum::<u64>() + last;
    let twice_bytes = sent_bytes.saturating_sub(output.length_bytes);
    assert!(twice_bytes <= 8 * MIB, "{twice_bytes} bytes came twice: {announced:?}");
    fleet.audit(&[big]);
}
