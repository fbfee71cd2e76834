//! A fleet whose bucket is on a server, whatever that speaks: our own of S3, or the one that the environment names.
//! `tests/verify` names moto, SeaweedFS and Azurite.

use crate::bucket_s3::S3;
use assets::{Assets, Place};
use e2e::kit::{BOUND, Fleet, Options, text};
use job::{JobId, Record};
use serde_json::json;
use worker::fault::{self, KILL_ENV};

/// Section `store` as JSON, as the bucket room's own tests read it.
const NAMED_ENV: &str = "SEEDFLEET_TEST_STORE";
/// Two whole parts and a bit.
const CLIP_BYTES: &str = "12000000";
const PART_BYTES: u32 = 5 << 20;
/// Bodies that break in the middle.
const BREAKS: usize = 2;

/// The fleet's section `store`, and the server behind it where that is ours.
fn store() -> (String, Option<S3>) {
    let Ok(named) = std::env::var(NAMED_ENV) else {
        let s3 = S3::start();
        return (s3.config(), Some(s3));
    };
    let mut section: toml::Table = serde_json::from_str(&named).expect("section `store` as JSON");
    let url = section["url"].as_str().expect("a bucket").to_owned();
    section.insert("url".into(), format!("{url}/fleet-{}", ulid::Ulid::generate()).into());
    section.insert("part_size_bytes".into(), i64::from(PART_BYTES).into());
    let whole = toml::Table::from_iter([("store".to_owned(), toml::Value::Table(section))]);
    (toml::to_string(&whole).unwrap(), None)
}

/// Whether the whole video of a job lies there, and nobody has published it.
fn is_unpublished(fleet: &Fleet, record: &Record) -> bool {
    let bucket: &Assets = fleet.assets();
    let place = Place {
        tenant: &record.spec.tenant,
        job_id: record.id.as_str(),
        created_at_ms: record.created_at.unix_ms(),
        prefix: None,
    };
    let folder = bucket.layout().folder(&place).unwrap();
    let Some(task) = record.life.tasks().next() else { return false };
    let copy = fleet.run(bucket.find_unpublished(&folder, task.as_str(), None)).unwrap();
    copy.is_some() && fleet.run(bucket.read_manifest(&folder)).unwrap().is_none()
}

// covers: M11, M24/download
#[test]
fn videos_come_in_parts_go_on_after_breaks_and_manifests_come_last_in_any_bucket() {
    let (section, _server) = store();
    let options = Options { roles: vec!["submitter", "poller"], ..Options::default() };
    let options = options.config(&section).config("[download]\nconcurrency = 1\n");
    let fleet = Fleet::start(options.simulator(&["--clip-bytes-min", CLIP_BYTES]));
    let broken = json!({"kind": "truncated", "times": BREAKS, "match": {"file": "mp4"}});
    fleet.faults(&json!({"media": [broken]}));
    let ids: Vec<JobId> =
        (0..3).map(|n| fleet.admit(text(&format!("film {n} in parts")))).collect();
    for point in [fault::DOWNLOAD_PART, fault::DOWNLOAD_BEFORE_MANIFEST, fault::DOWNLOAD_STORED] {
        let name = format!("downloader-{}", point.name());
        fleet.start_as(&name, "downloader", &[(KILL_ENV, &format!("{}:1", point.name()))]);
        fleet.wait_killed(&name, BOUND);
        if point == fault::DOWNLOAD_BEFORE_MANIFEST {
            let waiting = ids.iter().filter(|id| is_unpublished(&fleet, &fleet.record(id)));
            assert_eq!(waiting.count(), 1, "the output lies there, and no reader trusts it yet");
        }
    }
    fleet.start_role("downloader");
    for record in fleet.wait_stored(&ids) {
        let manifest = fleet.verified_manifest(&record);
        let billed = fleet.ledger().billed_to(&record);
        assert_eq!(manifest.output().unwrap().sha256, billed[0].video_sha256);
        assert!(manifest.output().unwrap().length_bytes > 2 * u64::from(PART_BYTES));
    }
    let ledger = fleet.ledger();
    let broken = ledger.events("call").filter(|line| line["fault"] == "truncated");
    assert_eq!(broken.count(), BREAKS);
    fleet.audit(&ids);
}
