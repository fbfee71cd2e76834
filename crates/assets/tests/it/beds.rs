//! The three buckets every conformance test runs on, and the job they all file. The remote one is S3 by a server of our
//! own, or whatever bucket the environment names: then the same tests judge a server that is not ours.

use crate::s3_server::{BUCKET, KEY_ID, S3Server, SECRET};
use assets::{Assets, Folder, Frozen, Manifest, Place, S3Settings, Settings};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

pub const TENANT: &str = "acme";
pub const JOB: &str = "job_01JB2AAAAAAAAAAAAAAAAAAAAA";
pub const TASK: &str = "cgt-20261122081530-abcde";
pub const ATTEMPT: &str = "01JB2DDDDDDDDDDDDDDDDDDDDD";
/// 2026-11-22T08:15:30Z.
pub const CREATED_AT_MS: i64 = 1_795_335_330_000;

/// Section `store` as JSON, for a bucket on a server that is not ours: `{"url": "az://…", "azure": {…}}`. The suites
/// of `tests/verify` set it, and the end-to-end tests read it too.
const NAMED_ENV: &str = "SEEDFLEET_TEST_STORE";

/// The smallest part S3 takes, so that a multipart copy stays quick.
pub const PART_BYTES: usize = 5 << 20;

pub struct Bed {
    pub assets: Assets,
    pub settings: Settings,
    pub server: Option<S3Server>,
    /// Where the backend keeps its files, to break them behind its back.
    pub files: Option<PathBuf>,
    _directory: TempDir,
}

impl Bed {
    pub async fn memory() -> Self {
        let directory = TempDir::new().unwrap();
        let settings = Settings { url: "memory:///".into(), ..small_parts() };
        Self::open(settings, None, None, directory)
    }

    pub async fn file() -> Self {
        let directory = TempDir::new().unwrap();
        let files = directory.path().join("deep/er");
        let settings = Settings { url: format!("file://{}", files.display()), ..small_parts() };
        Self::open(settings, None, Some(files), directory)
    }

    pub async fn s3() -> Self {
        let directory = TempDir::new().unwrap();
        let server = S3Server::start(&directory.path().join("served")).await;
        let settings = Settings {
            url: format!("s3://{BUCKET}/fleet/one"),
            retry_for: Duration::from_secs(10),
            s3: s3_settings(&format!("http://{}", server.address), directory.path()),
            ..small_parts()
        };
        let files = directory.path().join("served").join(BUCKET).join("fleet/one");
        Self::open(settings, Some(server), Some(files), directory)
    }

    /// The bucket that [`NAMED_ENV`] names, or else our own on S3. Each bed has a prefix to itself there.
    pub async fn remote() -> Self {
        let Ok(named) = std::env::var(NAMED_ENV) else { return Self::s3().await };
        let named: Settings = serde_json::from_str(&named).expect("section `store` as JSON");
        let settings = Settings {
            url: format!("{}/{}", named.url, ulid::Ulid::generate()),
            part_size_bytes: PART_BYTES as u64,
            retry_for: Duration::from_secs(10),
            ..named
        };
        Self::open(settings, None, None, TempDir::new().unwrap())
    }

    /// A second process's view of the same bucket.
    pub fn assets_again(&self) -> Assets {
        Assets::open(&self.settings).unwrap()
    }

    fn open(
        settings: Settings,
        server: Option<S3Server>,
        files: Option<PathBuf>,
        directory: TempDir,
    ) -> Self {
        let assets = Assets::open(&settings).unwrap();
        Self { assets, settings, server, files, _directory: directory }
    }

    pub fn folder(&self) -> Folder {
        self.assets.layout().folder(&place(JOB)).unwrap()
    }
}

pub fn place(job_id: &str) -> Place<'_> {
    Place { tenant: TENANT, job_id, created_at_ms: CREATED_AT_MS, prefix: Some("orders/991/") }
}

pub fn payload() -> bytes::Bytes {
    format!("{{\"id\":\"{TASK}\", \"status\":\"succeeded\",\"odd\" : 1.50}}\n").into()
}

/// A manifest without its outcome's objects, to be completed by struct update.
pub fn manifest(task: assets::StoredObject, filed: assets::Filed) -> Manifest {
    Manifest {
        manifest_version: assets::MANIFEST_VERSION,
        job_id: JOB.into(),
        tenant: TENANT.into(),
        task_id: TASK.into(),
        attempt_id: None,
        frozen: Frozen { route: Some("byteplus".into()), ..Frozen::default() },
        facts: assets::TaskFacts { seed: Some(48_213), ..assets::TaskFacts::default() },
        task,
        filed,
        findings: Vec::new(),
        stored_at_ms: CREATED_AT_MS + 90_000,
    }
}

fn small_parts() -> Settings {
    Settings { part_size_bytes: PART_BYTES as u64, ..Settings::default() }
}

fn s3_settings(endpoint: &str, directory: &Path) -> S3Settings {
    let secret = |name: &str, text: &str| {
        let file = directory.join(name);
        std::fs::write(&file, format!("{text}\n")).unwrap();
        Some(file)
    };
    S3Settings {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".into()),
        allow_http: true,
        access_key_id_file: secret("key-id", KEY_ID),
        secret_access_key_file: secret("secret", SECRET),
        ..S3Settings::default()
    }
}
