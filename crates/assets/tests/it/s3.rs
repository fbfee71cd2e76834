//! What only a remote bucket can do to us.

use crate::beds::{ATTEMPT, Bed, PART_BYTES, manifest};
use crate::conformance::{copy, filed, store};
use crate::films::film;
use assets::{Assets, Error, Expected, Published};
use std::sync::atomic::Ordering::SeqCst;

#[tokio::test]
async fn a_lost_reply_to_the_manifest_is_no_conflict() {
    let bed = Bed::s3().await;
    let watch = &bed.server.as_ref().unwrap().watch;
    let (task, output) = store(&bed, ATTEMPT, &film(5, 900)).await;
    let ours = manifest(task, filed(ATTEMPT, &output));
    watch.lose_create_replies.store(1, SeqCst);
    let published = bed.assets.publish(&bed.folder(), &ours).await.unwrap();
    assert_eq!(published, Published::Already(Box::new(ours.clone())));
    assert_eq!(watch.lose_create_replies.load(SeqCst), 0, "a reply was lost");
    assert_eq!(watch.creates_seen.load(SeqCst), 2, "and the request came again");
    bed.assets.verify(&ours).await.unwrap();
}

#[tokio::test]
async fn another_process_sees_the_same_bucket() {
    let bed = Bed::s3().await;
    let (task, output) = store(&bed, ATTEMPT, &film(5, 900)).await;
    let ours = manifest(task, filed(ATTEMPT, &output));
    bed.assets.publish(&bed.folder(), &ours).await.unwrap();
    let read = bed.assets_again().read_manifest(&bed.folder()).await.unwrap();
    assert_eq!(read, Some(ours));
    assert_eq!(bed.assets.root(), "s3://videos/fleet/one");
}

#[tokio::test]
async fn a_refused_part_gives_the_upload_up() {
    let bed = Bed::s3().await;
    let watch = &bed.server.as_ref().unwrap().watch;
    watch.parts_allowed.store(1, SeqCst);
    let mut writer = bed.assets.write_output(&bed.folder(), ATTEMPT).unwrap();
    let body = film(5, 6 * PART_BYTES);
    let mut failed = None;
    for piece in body.chunks(1 << 20) {
        if let Err(error) = writer.write(piece).await {
            failed = Some(error);
            break;
        }
    }
    assert!(matches!(failed, Some(Error::Denied { .. })), "{failed:?}");
    // Bytes are missing in the middle now, so nothing may make this copy visible any more.
    let more = writer.write(b"more").await;
    assert!(more.is_err());
    assert!(writer.finish(Expected::default()).await.is_err());
    assert_eq!(watch.uploads_aborted.load(SeqCst), 1);
}

#[tokio::test]
async fn a_dropped_copy_is_given_up_in_the_background() {
    let bed = Bed::s3().await;
    let watch = bed.server.as_ref().unwrap().watch.clone();
    let mut writer = bed.assets.write_output(&bed.folder(), ATTEMPT).unwrap();
    writer.write(&film(5, 2 * PART_BYTES)).await.unwrap();
    drop(writer);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while watch.uploads_aborted.load(SeqCst) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "the upload was never given up");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_bucket_we_may_not_write_is_named_with_a_cure() {
    let bed = Bed::s3().await;
    bed.server.as_ref().unwrap().watch.read_only.store(1, SeqCst);
    let error = bed.assets.check().await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("s3://videos/fleet/one") && text.contains("is not writable"), "{text}");
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_a_matter_of_settings() {
    let bed = Bed::s3().await;
    let mut settings = bed.settings.clone();
    settings.url = "s3://nobody-made-this".into();
    let error = Assets::open(&settings).unwrap().check().await.unwrap_err();
    assert!(matches!(error, Error::Settings(_)), "{error:?}");
    assert!(error.to_string().contains("s3://nobody-made-this"), "{error}");
}

#[tokio::test]
async fn a_server_without_conditional_writes_is_refused() {
    let bed = Bed::s3().await;
    bed.server.as_ref().unwrap().watch.ignore_conditions.store(1, SeqCst);
    let error = bed.assets.check().await.unwrap_err();
    assert!(
        matches!(&error, Error::Settings(text) if text.contains("create-if-absent")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_wrong_key_is_denied_and_an_absent_server_is_unavailable() {
    let bed = Bed::s3().await;
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "another-secret").unwrap();
    let mut settings = bed.settings.clone();
    settings.s3.secret_access_key_file = Some(file);
    let error = Assets::open(&settings).unwrap().check().await.unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert!(!error.to_string().contains("another-secret"));

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = bed.settings.clone();
    settings.s3.endpoint = Some(format!("http://{gone}"));
    settings.retries_max = 0;
    let error = Assets::open(&settings).unwrap().check().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn more_than_the_limit_stops_at_once() {
    let bed = Bed::s3().await;
    let mut settings = bed.settings.clone();
    settings.output_bytes_max = PART_BYTES as u64 + 10;
    let assets = Assets::open(&settings).unwrap();
    let body = film(5, 2 * PART_BYTES);
    let answer = copy(&assets, &bed.folder(), ATTEMPT, &body, Expected::default()).await;
    assert!(matches!(answer, Err(Error::TooBig { .. })), "{answer:?}");
}
