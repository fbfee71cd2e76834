//! What every backend must do alike.

use crate::beds::{ATTEMPT, Bed, JOB, PART_BYTES, TASK, manifest, payload, place};
use crate::films::{JPEG, PNG, film};
use assets::{
    Adopted, Assets, Error, Expected, Filed, Folder, ManifestLinks, MediaPut, Mp4Fault, Published,
    SaveError, Saved, StoredObject, StoredVideo, WrittenOutput, sha256_hex,
};
use bytes::Bytes;
use futures::TryStreamExt;

macro_rules! suite {
    ($($test:ident),* $(,)?) => {
        mod memory { $(#[tokio::test] async fn $test() { super::$test(super::Bed::memory().await).await; })* }
        mod file { $(#[tokio::test] async fn $test() { super::$test(super::Bed::file().await).await; })* }
        mod remote { $(#[tokio::test] async fn $test() { super::$test(super::Bed::remote().await).await; })* }
    };
}

suite![
    check_leaves_nothing_behind,
    media_is_kept_once_and_proven,
    media_under_a_false_name_is_refused,
    one_part_is_copied,
    many_parts_are_copied_in_order,
    a_copy_that_fails_its_checks_is_invisible,
    a_given_up_copy_is_invisible,
    a_result_is_published_read_and_verified,
    publishing_twice_is_publishing_once,
    another_task_is_a_conflict,
    another_outcome_is_a_conflict,
    eight_publish_and_one_is_first,
    a_copy_without_manifest_is_adopted,
    a_foreign_or_broken_copy_is_not_adopted,
    a_task_without_video_is_filed,
    damage_is_found,
    a_range_is_read,
    a_saved_copy_is_whole_or_not_there,
];

/// Copies `body` the way a download does, in pieces that fit no boundary.
pub async fn copy(
    assets: &Assets,
    folder: &Folder,
    attempt: &str,
    body: &[u8],
    expected: Expected,
) -> Result<WrittenOutput, Error> {
    let mut writer = assets.write_output(folder, attempt)?;
    for piece in body.chunks(100_003) {
        writer.write(piece).await?;
    }
    writer.finish(expected).await
}

/// A whole result with everything but its manifest.
pub async fn store(bed: &Bed, attempt: &str, body: &[u8]) -> (StoredObject, WrittenOutput) {
    let folder = bed.folder();
    let task = bed.assets.put_task(&folder, attempt, payload()).await.unwrap();
    let expected = Expected { length_bytes: Some(body.len() as u64), duration_s: Some(5) };
    (task, copy(&bed.assets, &folder, attempt, body, expected).await.unwrap())
}

pub fn filed(attempt: &str, output: &WrittenOutput) -> Filed {
    Filed::Stored(Box::new(StoredVideo {
        download_attempt_id: attempt.into(),
        output: output.object.clone(),
        last_frame: None,
        video_duration_ms: output.video.duration_ms,
        source: ManifestLinks {
            output_host: Some("bucket.example".into()),
            ..ManifestLinks::default()
        },
    }))
}

pub async fn bytes_of(assets: &Assets, path: &str) -> Result<Vec<u8>, Error> {
    let (_, stream) = assets.read(path, None).await?;
    let pieces: Vec<Bytes> = stream.try_collect().await?;
    Ok(pieces.concat())
}

async fn check_leaves_nothing_behind(bed: Bed) {
    bed.assets.check().await.unwrap();
    if let Some(files) = &bed.files {
        let left = std::fs::read_dir(files.join("_check")).map(|d| d.count()).unwrap_or(0);
        assert_eq!(left, 0);
    }
}

async fn media_is_kept_once_and_proven(bed: Bed) {
    let bytes = Bytes::from_static(PNG);
    let sha256 = sha256_hex(&bytes);
    let put = || bed.assets.put_media("acme", &sha256, "image/png", bytes.clone());
    assert_eq!(put().await.unwrap(), MediaPut::New);
    assert_eq!(put().await.unwrap(), MediaPut::Already);
    assert_eq!(bed.assets.get_media("acme", &sha256).await.unwrap(), bytes);
    let other = bed.assets.get_media("other", &sha256).await;
    assert!(matches!(other, Err(Error::Missing { .. })), "{other:?}");
}

async fn media_under_a_false_name_is_refused(bed: Bed) {
    let sha256 = sha256_hex(b"something else");
    let bytes = Bytes::from_static(JPEG);
    let put = bed.assets.put_media("acme", &sha256, "image/jpeg", bytes.clone()).await;
    assert!(matches!(put, Err(Error::Damaged { .. })), "{put:?}");
    let put = bed.assets.put_media("acme", "../../x", "image/jpeg", bytes.clone()).await;
    assert!(matches!(put, Err(Error::Damaged { .. })), "{put:?}");
    let put = bed.assets.put_media("..", &sha256_hex(&bytes), "image/jpeg", bytes).await;
    assert!(matches!(put, Err(Error::Layout(_))), "{put:?}");
}

async fn one_part_is_copied(bed: Bed) {
    let body = film(5, 300_000);
    let (_, output) = store(&bed, ATTEMPT, &body).await;
    assert_eq!(output.object.path, format!("{}/{ATTEMPT}/output.mp4", bed.folder()));
    assert_eq!(output.object.length_bytes, body.len() as u64);
    assert_eq!(output.object.sha256, sha256_hex(&body));
    assert_eq!(output.video.duration_ms, Some(5_000));
    assert!(bytes_of(&bed.assets, &output.object.path).await.unwrap() == body);
    if let Some(server) = &bed.server {
        assert_eq!(server.watch.parts_stored.load(std::sync::atomic::Ordering::SeqCst), 0);
    }
}

async fn many_parts_are_copied_in_order(bed: Bed) {
    let body = film(5, 3 * PART_BYTES + 12_345);
    let (_, output) = store(&bed, ATTEMPT, &body).await;
    assert_eq!(output.object.sha256, sha256_hex(&body));
    assert!(bytes_of(&bed.assets, &output.object.path).await.unwrap() == body);
    if let Some(server) = &bed.server {
        let watch = &server.watch;
        assert_eq!(watch.parts_stored.load(std::sync::atomic::Ordering::SeqCst), 4);
        let at_once = watch.parts_running_max.load(std::sync::atomic::Ordering::SeqCst);
        assert!((1..=2).contains(&at_once), "{at_once} parts at once");
    }
}

async fn a_copy_that_fails_its_checks_is_invisible(bed: Bed) {
    let folder = bed.folder();
    let body = film(5, 2 * PART_BYTES);
    let whole = body.len() as u64;
    let ordered = |duration_s| Expected { length_bytes: None, duration_s: Some(duration_s) };
    let announced = |length_bytes| Expected { length_bytes: Some(length_bytes), duration_s: None };

    let short = copy(&bed.assets, &folder, "a", &body[..body.len() - 1], announced(whole)).await;
    assert!(matches!(short, Err(Error::WrongLength { .. })), "{short:?}");
    let cut = copy(&bed.assets, &folder, "a", &body[..body.len() - 1], ordered(5)).await;
    assert!(matches!(cut, Err(Error::NotVideo(Mp4Fault::Truncated { .. }))), "{cut:?}");
    let other = copy(&bed.assets, &folder, "a", &body, ordered(10)).await;
    assert!(matches!(other, Err(Error::NotVideo(Mp4Fault::WrongDuration { .. }))), "{other:?}");
    let page = b"<html><body>AccessDenied</body></html>";
    let page = copy(&bed.assets, &folder, "a", page, Expected::default()).await;
    assert!(matches!(page, Err(Error::NotVideo(Mp4Fault::Text { .. }))), "{page:?}");

    let path = folder.attempt_path("a", "output.mp4").unwrap();
    let read = bed.assets.read(&path, None).await.map(|_| ());
    assert!(matches!(read, Err(Error::Missing { .. })), "{read:?}");
    if let Some(server) = &bed.server {
        assert_eq!(server.watch.uploads_aborted.load(std::sync::atomic::Ordering::SeqCst), 3);
    }
}

async fn a_given_up_copy_is_invisible(bed: Bed) {
    let folder = bed.folder();
    let body = film(5, 2 * PART_BYTES);
    let mut writer = bed.assets.write_output(&folder, "a").unwrap();
    writer.write(&body[..body.len() - 9]).await.unwrap();
    assert_eq!(writer.length_bytes(), body.len() as u64 - 9);
    writer.abort().await;
    let path = folder.attempt_path("a", "output.mp4").unwrap();
    let read = bed.assets.read(&path, None).await.map(|_| ());
    assert!(matches!(read, Err(Error::Missing { .. })), "{read:?}");
    if let Some(files) = &bed.files {
        let left = walk(files);
        assert!(left.iter().all(|name| !name.contains("output.mp4")), "{left:?}");
    }
}

async fn a_result_is_published_read_and_verified(bed: Bed) {
    let folder = bed.folder();
    assert_eq!(bed.assets.read_manifest(&folder).await.unwrap(), None);
    let (task, output) = store(&bed, ATTEMPT, &film(5, 70_000)).await;
    let frame = bed.assets.put_last_frame(&folder, ATTEMPT, Bytes::from_static(PNG)).await.unwrap();
    assert_eq!(frame.path, format!("{folder}/{ATTEMPT}/last-frame.png"));
    let mut filed = filed(ATTEMPT, &output);
    if let Filed::Stored(video) = &mut filed {
        video.last_frame = Some(frame);
    }
    let ours = manifest(task.clone(), filed);
    assert_eq!(bed.assets.publish(&folder, &ours).await.unwrap(), Published::New);

    let read = bed.assets.read_manifest(&folder).await.unwrap().unwrap();
    assert_eq!(read, ours);
    let verified = bed.assets.verify(&read).await.unwrap();
    assert_eq!(verified.objects, 3);
    assert_eq!(verified.bytes, ours.objects().map(|o| o.length_bytes).sum::<u64>());
    assert_eq!(bytes_of(&bed.assets, &task.path).await.unwrap(), payload());
}

async fn publishing_twice_is_publishing_once(bed: Bed) {
    let folder = bed.folder();
    let body = film(5, 70_000);
    let (task, output) = store(&bed, "first", &body).await;
    let ours = manifest(task, filed("first", &output));
    assert_eq!(bed.assets.publish(&folder, &ours).await.unwrap(), Published::New);
    let again = bed.assets.publish(&folder, &ours).await.unwrap();
    assert_eq!(again, Published::Already(Box::new(ours.clone())));

    // A second worker with the same ticket copied everything once more and comes too late.
    let (task, output) = store(&bed, "second", &body).await;
    let late = manifest(task, filed("second", &output));
    let late = bed.assets.publish(&folder, &late).await.unwrap();
    assert_eq!(late, Published::Already(Box::new(ours.clone())));
    let orphan = bed.assets.read(&output.object.path, None).await.map(|_| ());
    assert!(matches!(orphan, Err(Error::Missing { .. })), "{orphan:?}");
    bed.assets.verify(&ours).await.unwrap();
}

async fn another_task_is_a_conflict(bed: Bed) {
    let folder = bed.folder();
    let (task, output) = store(&bed, "first", &film(5, 7_000)).await;
    let ours = manifest(task, filed("first", &output));
    bed.assets.publish(&folder, &ours).await.unwrap();
    let mut other = ours.clone();
    other.task_id = "cgt-another".into();
    let answer = bed.assets.publish(&folder, &other).await;
    assert!(matches!(answer, Err(Error::Conflict { .. })), "{answer:?}");
    assert_eq!(bed.assets.read_manifest(&folder).await.unwrap(), Some(ours));
}

async fn another_outcome_is_a_conflict(bed: Bed) {
    let folder = bed.folder();
    let (task, output) = store(&bed, "first", &film(5, 7_000)).await;
    let ours = manifest(task.clone(), filed("first", &output));
    bed.assets.publish(&folder, &ours).await.unwrap();
    let answer = bed.assets.publish(&folder, &manifest(task, Filed::Expired)).await;
    assert!(matches!(answer, Err(Error::Conflict { .. })), "{answer:?}");
    bed.assets.verify(&ours).await.unwrap();
}

async fn eight_publish_and_one_is_first(bed: Bed) {
    let folder = bed.folder();
    let body = film(5, 7_000);
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let attempt = format!("attempt-{n}");
        let (task, output) = store(&bed, &attempt, &body).await;
        let ours = manifest(task, filed(&attempt, &output));
        let (assets, folder) = (bed.assets.clone(), folder.clone());
        racers.spawn(async move { (ours.clone(), assets.publish(&folder, &ours).await.unwrap()) });
    }
    let ends = racers.join_all().await;
    let firsts: Vec<_> = ends.iter().filter(|(_, end)| *end == Published::New).collect();
    assert_eq!(firsts.len(), 1);
    let winner = &firsts[0].0;
    for (_, end) in &ends {
        if let Published::Already(theirs) = end {
            assert_eq!(&**theirs, winner);
        }
    }
    bed.assets.verify(winner).await.unwrap();
    assert_eq!(bed.assets.read_manifest(&folder).await.unwrap().as_ref(), Some(winner));
}

async fn a_copy_without_manifest_is_adopted(bed: Bed) {
    let folder = bed.folder();
    let none = bed.assets.find_unpublished(&folder, TASK, Some(5)).await.unwrap();
    assert_eq!(none, None);
    let (task, output) = store(&bed, ATTEMPT, &film(5, PART_BYTES + 7)).await;
    let frame =
        bed.assets.put_last_frame(&folder, ATTEMPT, Bytes::from_static(JPEG)).await.unwrap();
    // Here the process dies. Its successor knows the job and the task, nothing else.
    let assets = bed.assets.clone();
    let Adopted { download_attempt_id, output: found, video, last_frame, task: payload } =
        assets.find_unpublished(&folder, TASK, Some(5)).await.unwrap().unwrap();
    assert_eq!(download_attempt_id, ATTEMPT);
    assert_eq!((&found.sha256, &found.path), (&output.object.sha256, &output.object.path));
    assert_eq!(video, output.video);
    assert_eq!(last_frame.unwrap().sha256, frame.sha256);
    assert_eq!((&payload.sha256, &payload.path), (&task.sha256, &task.path));
    let adopted = WrittenOutput { object: found, video };
    let ours = manifest(payload, filed(&download_attempt_id, &adopted));
    assert_eq!(assets.publish(&folder, &ours).await.unwrap(), Published::New);
    assets.verify(&ours).await.unwrap();
}

async fn a_foreign_or_broken_copy_is_not_adopted(bed: Bed) {
    let folder = bed.folder();
    let expected = Expected { length_bytes: None, duration_s: None };
    // No payload beside it: nobody can say whose it is.
    copy(&bed.assets, &folder, "nameless", &film(5, 9), expected).await.unwrap();
    // A payload of another task.
    let foreign = Bytes::from_static(b"{\"id\":\"cgt-other\"}");
    bed.assets.put_task(&folder, "foreign", foreign).await.unwrap();
    copy(&bed.assets, &folder, "foreign", &film(5, 9), expected).await.unwrap();
    // The right task, but not the film that was ordered.
    bed.assets.put_task(&folder, "odd", payload()).await.unwrap();
    copy(&bed.assets, &folder, "odd", &film(9, 9), expected).await.unwrap();
    let found = bed.assets.find_unpublished(&folder, TASK, Some(5)).await.unwrap();
    assert_eq!(found, None);
    let found = bed.assets.find_unpublished(&folder, TASK, None).await.unwrap();
    assert_eq!(found.map(|f| f.download_attempt_id), Some("odd".to_owned()));
}

async fn a_task_without_video_is_filed(bed: Bed) {
    let folder = bed.folder();
    let first = bed.assets.put_final_task(&folder, TASK, payload()).await.unwrap();
    assert_eq!(first.path, format!("{folder}/task.json"));
    let filed = Filed::Failed { code: Some("OutputVideoSensitive".into()), message: None };
    let ours = manifest(first.clone(), filed);
    assert_eq!(bed.assets.publish(&folder, &ours).await.unwrap(), Published::New);

    // A repeat reads the task anew and may see other bytes; the first payload stays.
    let later = Bytes::from(format!("{{\"id\":\"{TASK}\",\"status\":\"failed\"}}"));
    let second = bed.assets.put_final_task(&folder, TASK, later).await.unwrap();
    assert_eq!((&second.sha256, second.length_bytes), (&first.sha256, first.length_bytes));
    let again = bed.assets.publish(&folder, &ours).await.unwrap();
    assert_eq!(again, Published::Already(Box::new(ours.clone())));
    assert_eq!(bed.assets.verify(&ours).await.unwrap().objects, 1);

    let foreign = Bytes::from_static(b"{\"id\":\"cgt-other\"}");
    let answer = bed.assets.put_final_task(&folder, "cgt-other", foreign).await;
    assert!(matches!(answer, Err(Error::Conflict { .. })), "{answer:?}");
}

async fn damage_is_found(bed: Bed) {
    let folder = bed.folder();
    let (task, output) = store(&bed, ATTEMPT, &film(5, 7_000)).await;
    let ours = manifest(task, filed(ATTEMPT, &output));
    bed.assets.publish(&folder, &ours).await.unwrap();
    // The same length with other pictures: only the hash can tell.
    let mut other = film(5, 7_000);
    *other.last_mut().unwrap() ^= 1;
    copy(&bed.assets, &folder, ATTEMPT, &other, Expected::default()).await.unwrap();
    bed.assets.verify_lengths(&ours).await.unwrap();
    let verified = bed.assets.verify(&ours).await;
    assert!(matches!(verified, Err(Error::Damaged { .. })), "{verified:?}");
    copy(&bed.assets, &folder, ATTEMPT, &film(5, 7_001), Expected::default()).await.unwrap();
    let replay = bed.assets.publish(&folder, &ours).await;
    assert!(matches!(replay, Err(Error::Damaged { .. })), "{replay:?}");
}

async fn a_range_is_read(bed: Bed) {
    let body = film(5, PART_BYTES + 100);
    let (_, output) = store(&bed, ATTEMPT, &body).await;
    let range = 10..(PART_BYTES as u64 + 50);
    let (length_bytes, stream) = bed.assets.read(&output.object.path, Some(range)).await.unwrap();
    let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert_eq!(length_bytes, body.len() as u64);
    assert!(pieces.concat() == body[10..PART_BYTES + 50]);
    let other = bed.assets.layout().folder(&place("job_other")).unwrap();
    assert_ne!(other, bed.folder());
    assert!(bed.folder().as_str().ends_with(JOB));
}

/// Names of all files below a directory.
fn walk(directory: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = Vec::new();
    for path in entries {
        if path.is_dir() {
            names.extend(walk(&path));
        } else {
            names.push(path.display().to_string());
        }
    }
    names.sort();
    names
}

async fn a_saved_copy_is_whole_or_not_there(bed: Bed) {
    // More than one piece, so that it is put together.
    let body = film(5, PART_BYTES + 4_321);
    let (task, WrittenOutput { object, .. }) = store(&bed, ATTEMPT, &body).await;
    let dir = tempfile::TempDir::new().unwrap();
    let (to, part) = (dir.path().join("a.mp4"), dir.path().join(".a.part"));
    let save = |object: StoredObject| {
        let (assets, to, part) = (bed.assets.clone(), to.clone(), part.clone());
        async move { assets.save(&object, &to, &part).await }
    };
    let other = StoredObject { sha256: sha256_hex(b"other"), ..object.clone() };
    let longer = StoredObject { length_bytes: object.length_bytes + 1, ..object.clone() };
    let nowhere = StoredObject { path: format!("{}/none.mp4", bed.folder()), ..object.clone() };
    for wrong in [other, longer, nowhere] {
        let saved = save(wrong).await;
        assert!(matches!(saved, Err(SaveError::Bucket(_))), "{saved:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing half is left");
    }
    // What another try left, and a file that is no copy of it, give way.
    std::fs::write(&part, "half").unwrap();
    std::fs::write(&to, vec![7; body.len()]).unwrap();
    assert_eq!(save(object.clone()).await.unwrap(), Saved::Fetched);
    assert!(std::fs::read(&to).unwrap() == body && !part.exists());
    bed.assets.sweep(&bed.folder(), &mut assets::Swept::default()).await.unwrap();
    let read = bed.assets.read(&task.path, None).await.map(|_| ());
    assert!(matches!(read, Err(Error::Missing { .. })), "{read:?}");
    assert_eq!(save(object.clone()).await.unwrap(), Saved::Kept, "the bucket is not asked");
    std::fs::remove_file(&to).unwrap();
    std::fs::create_dir(&to).unwrap();
    let saved = save(object).await;
    assert!(matches!(&saved, Err(SaveError::Local { path, .. }) if *path == to), "{saved:?}");
}
