//! Results and their files on somebody's own disk: whole or not there, whatever breaks the export off.

use crate::bucket_s3::S3;
use e2e::kit::{BOUND, Ended, Fleet, Options, text};
use job::{JobId, Record};
use sandbox::Process;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::path::Path;

/// Names of the files in a folder, hidden ones apart.
fn names(dir: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let entries = std::fs::read_dir(dir).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.partition(|name| !name.starts_with('.'))
}

/// How many whole videos lie in a folder.
fn videos(dir: &Path) -> usize {
    names(dir).0.iter().filter(|name| name.ends_with(".mp4")).count()
}

/// Files under a temporary name.
fn halves(dir: &Path) -> usize {
    names(dir).1.iter().filter(|name| name.ends_with(".part")).count()
}

fn sha256(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file with a name of its own is, byte for byte, what the provider made.
fn check(fleet: &Fleet, records: &[Record], dir: &Path) {
    for name in names(dir).0 {
        let record = records.iter().find(|record| name.starts_with(record.id.as_str()));
        let billed = fleet.ledger().billed_to(record.unwrap_or_else(|| panic!("whose is {name}")));
        let made = if name.ends_with(".mp4") {
            Some(billed[0].video_sha256.clone())
        } else {
            billed[0].last_frame_sha256.clone()
        };
        assert_eq!(Some(sha256(&dir.join(&name))), made, "{name}");
    }
}

fn rows(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn row<'a>(rows: &'a [Value], id: &JobId) -> &'a Value {
    rows.iter().find(|row| row["job_id"] == id.as_str()).unwrap_or_else(|| panic!("no row of {id}"))
}

#[test]
fn an_export_that_is_broken_off_goes_on_and_fetches_nothing_twice() {
    let s3 = S3::start();
    let fleet = Fleet::start(Options::default().config(&s3.config()));
    let ids = fleet.admit_many((0..6).map(|n| text(&format!("a boat {n}")).into()));
    let records = fleet.wait_stored(&ids);
    let dir = fleet.path("films");
    let into = dir.to_str().unwrap();
    let args = ["export", "--download", into, "--parallel", "3"];
    let begin = |whole: usize, more: u32| {
        let (_, held) = s3.videos();
        s3.give_videos(Some(more));
        let export = Process::spawn("export", fleet.command(&args)).unwrap();
        // As many as may be are whole, and another has begun.
        fleet.until("the export stands still", || {
            let stands = videos(&dir) == whole && s3.videos().1 > held && halves(&dir) > 0;
            assert!(export.is_running(), "{}", export.log());
            stands.then_some(())
        });
        export
    };

    let export = begin(2, 2);
    let second = fleet.cli(&args);
    assert_eq!(second.code, 6, "one export for a folder: {second:?}");
    export.kill9();
    let hung_up = || (s3.videos_waiting() == 0).then_some(());
    fleet.until("the bucket has seen the end", hung_up);
    check(&fleet, &records, &dir);

    let export = begin(3, 1);
    export.signal("INT").unwrap();
    let status = export.wait_bounded(BOUND).expect("it ends when it is asked to");
    assert_eq!(status.code(), Some(130), "{}", export.log());
    assert!(export.log().contains("interrupted: fetched"), "{}", export.log());
    assert_eq!((videos(&dir), halves(&dir)), (3, 0), "{}", export.log());
    check(&fleet, &records, &dir);
    fleet.until("the bucket has seen the end", hung_up);

    s3.give_videos(None);
    let (read, _) = s3.videos();
    let ended = fleet.cli(&args);
    assert_eq!(ended.code, 0, "{ended:?}");
    check(&fleet, &records, &dir);
    assert_eq!((videos(&dir), names(&dir).0.len(), halves(&dir)), (6, 12, 0), "{:?}", names(&dir));
    let rows = rows(&ended);
    for (id, record) in ids.iter().zip(&records) {
        let row = row(&rows, id);
        let file = row["file"].as_str().unwrap_or_else(|| panic!("{row}"));
        assert!(file.starts_with(record.id.as_str()), "{row}");
        assert_eq!(row["sha256"], sha256(&dir.join(file)).as_str());
        assert!(dir.join(row["last_frame_file"].as_str().unwrap()).is_file(), "{row}");
    }
    assert_eq!(s3.videos().0 - read, 3, "those that lacked");
    let again = fleet.cli(&args);
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.stderr.contains("fetched 0 files, 0 B; kept 12 files"), "{again:?}");
    assert!(ended.stderr.contains("jobs that failed 0, without a video 0"), "{ended:?}");
    let kept = ended.stderr.split("kept ").nth(1).and_then(|told| told.split(' ').next());
    let kept: usize = kept.and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{ended:?}"));
    assert!(kept >= 3, "the three whole videos were kept: {ended:?}");
    assert_eq!(s3.videos().0 - read, 3, "the bucket was not asked again");
}

#[test]
fn each_file_that_cannot_be_had_is_told_with_its_reason() {
    let fleet = Fleet::start(Options::default());
    let named = |n: usize| text(&format!("film {n}")).with("custom_id", format!("../../{n} x"));
    let ids = fleet.admit_many((0..5).map(|n| named(n).into()));
    let records = fleet.wait_stored(&ids);
    let paused = fleet.cli(&["queue", "pause", "--reason", "a look", "--yes"]);
    assert_eq!(paused.code, 0, "{paused:?}");
    let waits = fleet.admit(text("not made yet"));
    let manifest = |n: usize| fleet.verified_manifest(&records[n]);
    let stored = |path: &str| fleet.path("bucket").join(path);
    let video = |n: usize| stored(&manifest(n).output().unwrap().path);
    let (gone, changed) = (video(1), video(2));
    let payload = stored(&manifest(3).task.path);
    let unreadable = payload.ancestors().nth(2).unwrap().join("manifest.json");
    std::fs::remove_file(&gone).unwrap();
    let mut bytes = std::fs::read(&changed).unwrap();
    let whole = bytes.clone();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&changed, &bytes).unwrap();
    let good = std::fs::read(&unreadable).unwrap();
    std::fs::write(&unreadable, "{}").unwrap();
    let dir = fleet.path("films");
    let name = |n: usize| format!("{}-.._.._{n}_x.mp4", ids[n]);
    std::fs::create_dir_all(dir.join(name(4))).unwrap();

    let args = ["export", "--download", dir.to_str().unwrap()];
    let ended = fleet.cli(&args);
    assert_eq!(ended.code, 7, "{ended:?}");
    let told = rows(&ended);
    for (n, why) in [
        (1, "is not in the bucket"),
        (2, "is damaged: the stored bytes have sha256"),
        (3, "not a manifest"),
        (4, "no plain file lies there"),
    ] {
        let line = ended.stderr.lines().find(|line| line.starts_with(ids[n].as_str()));
        assert!(line.is_some_and(|line| line.contains(why)), "{why}: {}", ended.stderr);
        let row = row(&told, &ids[n]);
        assert!(row["download_error"].as_str().is_some_and(|told| told.contains(why)), "{row}");
        assert!(row["file"].is_null(), "{row}");
    }
    assert!(ended.stderr.contains("jobs that failed 4, without a video 1"), "{}", ended.stderr);
    assert_eq!(row(&told, &ids[0])["file"], name(0).as_str());
    assert!(row(&told, &waits)["download_error"].is_null());
    let above: BTreeSet<String> = names(&fleet.path("")).0;
    assert!(!above.iter().any(|name| name.ends_with(".mp4")), "nothing left the folder: {above:?}");

    // What a person mends is fetched by the same command; what stays broken stays told.
    std::fs::write(&changed, &whole).unwrap();
    std::fs::write(&unreadable, &good).unwrap();
    std::fs::remove_dir(dir.join(name(4))).unwrap();
    let ended = fleet.cli(&args);
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.stderr.contains("jobs that failed 1, without a video 1"), "{}", ended.stderr);
    assert_eq!(videos(&dir), 4, "{:?}", names(&dir));
    check(&fleet, &records, &dir);

    let csv = fleet.cli(&["export", "-o", "csv", "--download", dir.to_str().unwrap()]).stdout;
    let head = csv.lines().next().unwrap_or_default();
    assert!(head.ends_with("stored_at,retry_of,file,last_frame_file,download_error"), "{csv}");
    let wrong = fleet.cli(&["export", "--download", fleet.path("fleet.toml").to_str().unwrap()]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert_eq!(fleet.cli(&["export", "--parallel", "4"]).code, 2, "only with --download");
}
