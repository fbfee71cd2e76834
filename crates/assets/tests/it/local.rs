//! Local directories, and settings that cannot work.

use crate::beds::{ATTEMPT, Bed};
use crate::conformance::store;
use crate::films::film;
use assets::{Assets, Error, S3Settings, Settings};
use std::time::Duration;

fn open(url: &str) -> Result<Assets, Error> {
    Assets::open(&Settings { url: url.into(), ..Settings::default() })
}

fn sentence(result: Result<Assets, Error>) -> String {
    match result {
        Err(Error::Settings(text)) => text,
        other => panic!("expected a fault of the settings, got {other:?}"),
    }
}

#[tokio::test]
async fn files_are_flushed_unless_told_otherwise() {
    let directory = tempfile::TempDir::new().unwrap();
    let mut settings = Settings {
        url: format!("file://{}/a/b/c", directory.path().display()),
        ..Settings::default()
    };
    let flushed = Assets::open(&settings).unwrap();
    assert!(format!("{flushed:?}").contains("fsync: true"), "{flushed:?}");
    flushed.check().await.unwrap();
    settings.fsync = false;
    let quick = Assets::open(&settings).unwrap();
    assert!(format!("{quick:?}").contains("fsync: false"), "{quick:?}");
    quick.check().await.unwrap();
}

#[tokio::test]
async fn a_relative_directory_is_beside_the_working_directory() {
    let name = format!("./target-of-test-{}", std::process::id());
    let assets = open(&format!("file://{name}")).unwrap();
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    let expected = here.join(name.trim_start_matches("./"));
    assert_eq!(assets.root(), format!("file://{}", expected.display()));
    assert_eq!(assets.address("a/b"), format!("file://{}/a/b", expected.display()));
    std::fs::remove_dir(&expected).unwrap();
}

#[tokio::test]
async fn a_second_opening_finds_what_the_first_stored() {
    let bed = Bed::file().await;
    let (task, output) = store(&bed, ATTEMPT, &film(5, 900)).await;
    let again = bed.assets_again();
    let found = again.find_unpublished(&bed.folder(), crate::beds::TASK, Some(5)).await.unwrap();
    assert_eq!(found.unwrap().output.sha256, output.object.sha256);
    assert!(bed.files.unwrap().join(task.path).is_file());
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_one_sentence() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let text = sentence(open(&format!("file://{}/sub", file.display())));
    assert!(text.contains("store.url") && text.contains("cannot create"), "{text}");
}

#[test]
fn a_url_nobody_can_open_names_what_can_be() {
    assert!(sentence(open("file://data")).contains("file://./data"));
    assert!(sentence(open("data")).contains("s3://bucket/prefix"));
    assert!(sentence(open("ftp://host/x")).contains("unknown scheme `ftp`"));
    assert!(sentence(open("s3://")).contains("bucket name"));
    assert!(sentence(open("s3://key:secret@bucket/x")).contains("bucket name"));
    assert!(!sentence(open("s3://key:hunter2@bucket/x")).contains("hunter2"));
}

#[test]
fn azure_and_gcs_open_without_a_network() {
    let directory = tempfile::TempDir::new().unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "c2VjcmV0LWtleQ==\n").unwrap();
    let mut settings = Settings { url: "az://videos/fleet".into(), ..Settings::default() };
    settings.azure.account = Some("acme".into());
    settings.azure.access_key_file = Some(key.clone());
    assert_eq!(Assets::open(&settings).unwrap().root(), "az://videos/fleet");
    settings.url = "azure://videos".into();
    assert_eq!(Assets::open(&settings).unwrap().root(), "az://videos");

    let account = directory.path().join("account.json");
    let json =
        r#"{"private_key":"k","private_key_id":"i","client_email":"e","disable_oauth":true}"#;
    std::fs::write(&account, json).unwrap();
    let mut settings = Settings { url: "gs://videos".into(), ..Settings::default() };
    settings.gcs.service_account_file = Some(account);
    assert_eq!(Assets::open(&settings).unwrap().root(), "gs://videos");
}

#[test]
fn numbers_are_checked_against_each_other() {
    let broken = |change: fn(&mut Settings)| {
        let mut settings = Settings { url: "memory:///".into(), ..Settings::default() };
        change(&mut settings);
        sentence(Assets::open(&settings))
    };
    assert!(broken(|s| s.part_size_bytes = 1024).contains("store.part_size_bytes"));
    assert!(broken(|s| s.parts_in_flight_max = 0).contains("store.parts_in_flight_max"));
    assert!(broken(|s| s.output_bytes_max = u64::MAX).contains("store.output_bytes_max"));
    assert!(broken(|s| s.retries_max = 1000).contains("store.retries_max"));
}

#[test]
fn a_credential_file_that_is_not_there_is_named() {
    let mut settings = Settings { url: "s3://videos".into(), ..Settings::default() };
    settings.s3.secret_access_key_file = Some("/nowhere/at/all".into());
    let text = sentence(Assets::open(&settings));
    assert!(text.contains("store.s3.secret_access_key_file = /nowhere/at/all"), "{text}");
}

#[test]
fn unknown_keys_are_refused_and_durations_are_words() {
    let read = |json: &str| serde_json::from_str::<Settings>(json);
    let settings = read(r#"{"url":"memory:///","retry_for":"5s","s3":{"region":"x"}}"#).unwrap();
    assert_eq!(settings.retry_for, Duration::from_secs(5));
    assert_eq!(settings.part_size_bytes, 8 << 20);
    let settings = read(r#"{"s3":{"endpoint":"","region":"x","session_token_file":""}}"#).unwrap();
    assert_eq!(settings.s3, S3Settings { region: Some("x".into()), ..S3Settings::default() });
    assert!(read(r#"{"urll":"memory:///"}"#).is_err());
    assert!(read(r#"{"s3":{"regio":"x"}}"#).is_err());
}
