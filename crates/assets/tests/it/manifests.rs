//! What a manifest must never carry, and what its reader must refuse.

use crate::beds::{ATTEMPT, Bed, manifest};
use crate::conformance::{filed, store};
use crate::films::film;
use assets::{Error, Filed, Manifest, host_of};

#[tokio::test]
async fn a_signed_link_never_reaches_a_manifest() {
    let bed = Bed::memory().await;
    let (task, output) = store(&bed, ATTEMPT, &film(5, 900)).await;
    let link = "https://bucket.example/a.mp4?X-Tos-Signature=deadbeef";
    assert_eq!(host_of(link).as_deref(), Some("bucket.example"));
    assert_eq!(host_of("not a link"), None);

    let mut ours = manifest(task, filed(ATTEMPT, &output));
    if let Filed::Stored(video) = &mut ours.filed {
        video.source.output_host = Some(link.into());
    }
    let answer = bed.assets.publish(&bed.folder(), &ours).await;
    assert!(matches!(answer, Err(Error::Damaged { .. })), "{answer:?}");
    assert_eq!(bed.assets.read_manifest(&bed.folder()).await.unwrap(), None);
}

#[tokio::test]
async fn a_manifest_vouches_for_its_own_folder_only() {
    let bed = Bed::memory().await;
    let (task, output) = store(&bed, ATTEMPT, &film(5, 900)).await;
    for stray in ["media/acme/x", "acme/2026/11/22/elsewhere/output.mp4"] {
        let mut ours = manifest(task.clone(), filed(ATTEMPT, &output));
        ours.task.path = stray.into();
        let answer = bed.assets.publish(&bed.folder(), &ours).await;
        assert!(matches!(answer, Err(Error::Damaged { .. })), "{answer:?}");
    }
}

#[tokio::test]
async fn a_newer_or_foreign_manifest_is_refused() {
    let bed = Bed::file().await;
    let folder = bed.folder();
    let (task, output) = store(&bed, ATTEMPT, &film(5, 900)).await;
    let mut ours = manifest(task, filed(ATTEMPT, &output));
    let file = bed.files.as_ref().unwrap().join(folder.manifest_path());
    ours.manifest_version += 1;
    std::fs::write(&file, serde_json::to_vec(&ours).unwrap()).unwrap();
    let read = bed.assets.read_manifest(&folder).await;
    assert!(matches!(&read, Err(Error::Damaged { why, .. }) if why.contains("newer")), "{read:?}");
    std::fs::write(&file, "{\"hello\":1}").unwrap();
    let read = bed.assets.read_manifest(&folder).await;
    assert!(matches!(read, Err(Error::Damaged { .. })), "{read:?}");
}

/// The form others read: pinned by name, because a renamed field is a broken export.
#[tokio::test]
async fn the_written_form_is_pinned() {
    let bed = Bed::memory().await;
    let (task, output) = store(&bed, ATTEMPT, &film(5, 900)).await;
    let ours = manifest(task, filed(ATTEMPT, &output));
    let json = serde_json::to_value(&ours).unwrap();
    assert_eq!(json["outcome"], "stored");
    assert_eq!(json["output"]["sha256"], serde_json::json!(output.object.sha256));
    assert_eq!(json["source"]["output_host"], "bucket.example");
    assert_eq!(json["facts"]["seed"], 48_213);
    assert_eq!(json["download_attempt_id"], ATTEMPT);
    assert_eq!(json["manifest_version"], 1);
    let back: Manifest = serde_json::from_value(json).unwrap();
    assert_eq!(back, ours);
}
