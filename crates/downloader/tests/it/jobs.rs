//! A job whose output is due, a film for it, and a bucket.

use assets::{Assets, Settings};
use egress::{FetchTimeouts, GuardedClient, Rules, Trust};
use job::{Links, Record, State, TaskRef, Timestamp};
use tempfile::TempDir;

use crate::host::Host;

pub const TASK: &str = "cgt-20261122081530-abcde";
pub const NOW: Timestamp = Timestamp::from_unix_ms(1_795_335_400_000);

pub struct Bed {
    pub assets: Assets,
    pub directory: TempDir,
}

pub fn bed() -> Bed {
    let directory = TempDir::new().unwrap();
    let url = format!("file://{}", directory.path().display());
    let assets = Assets::open(&Settings { url, ..Settings::default() }).unwrap();
    Bed { assets, directory }
}

pub fn client(host: &Host) -> GuardedClient {
    let rules = Rules::for_outputs(&egress::Settings::default(), &[host.origin()]).unwrap();
    GuardedClient::new(rules, FetchTimeouts::default(), Trust::Nobody).unwrap()
}

pub fn payload() -> String {
    serde_json::json!({
        "id": TASK, "model": "dreamina-seedance-2-0-260128", "status": "succeeded",
        "seed": 48_213, "ratio": "16:9", "resolution": "720p", "duration": 5,
        "generate_audio": true, "usage": { "completion_tokens": 108_900, "total_tokens": 108_900 }
    })
    .to_string()
}

fn task() -> TaskRef {
    serde_json::from_value(serde_json::json!({
        "id": TASK,
        "attempt": "att_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "known_at": 1_795_335_330_000_i64,
        "expires_at": 1_795_421_730_000_i64,
        "facts": {
            "route": "byteplus",
            "create_url": "https://ark.example/api/v3/contents/generations/tasks",
            "retrieve_url": "https://ark.example/api/v3/contents/generations/tasks",
            "model_id": "dreamina-seedance-2-0-260128",
            "account": "main",
            "class": "2.0",
            "price_version": "2026-10-01"
        }
    }))
    .unwrap()
}

pub fn links(host: &Host, last_frame: Option<String>) -> Links {
    Links { video: host.link(), last_frame, die_at: NOW }
}

/// A job in `Downloading`.
pub fn record(links: &Links) -> (Record, TaskRef) {
    let task = task();
    let state = State::Downloading {
        task: task.clone(),
        links: links.clone(),
        tries: 0,
        bucket_troubles: 0,
        renewed: false,
        dead_reads: 0,
        since: NOW,
    };
    let record = serde_json::json!({
        "schema": 1,
        "id": "job_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "created_at": 1_795_335_330_000_i64,
        "spec": {
            "tenant": "acme", "pool": "main", "priority": "normal", "take": 1,
            "output_prefix": "orders/991/", "source": "api",
            "fingerprint": fingerprint(), "estimate_tokens": 108_900,
            "request": request(),
        },
        "life": {
            "state": serde_json::to_value(&state).unwrap(),
            "updated_at": NOW.unix_ms(),
            "payload": payload(),
        }
    });
    (serde_json::from_value(record).unwrap(), task)
}

fn request() -> serde_json::Value {
    let body = serde_json::json!({
        "model": "dreamina-seedance-2-0-260128",
        "content": [{ "type": "text", "text": "a boat" }],
        "duration": 5
    });
    let checked = seedance::validate(seedance::Route::Byteplus, &body, &seedance::Rules::default());
    serde_json::to_value(checked.unwrap().request).unwrap()
}

fn fingerprint() -> String {
    format!("f1_{}", "0".repeat(64))
}

fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 8).unwrap();
    [&size.to_be_bytes()[..], kind, body].concat()
}

/// A whole film with `mdat_bytes` of pictures.
pub fn film(duration_s: u32, mdat_bytes: usize) -> Vec<u8> {
    let mut mvhd = vec![0; 100];
    mvhd[12..16].copy_from_slice(&1_000_u32.to_be_bytes());
    mvhd[16..20].copy_from_slice(&(duration_s * 1_000).to_be_bytes());
    let moov = [boxed(b"mvhd", &mvhd), boxed(b"trak", &[])].concat();
    let pictures: Vec<u8> = (0..mdat_bytes).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
    [boxed(b"ftyp", b"isom\0\0\x02\0"), boxed(b"moov", &moov), boxed(b"mdat", &pictures)].concat()
}
