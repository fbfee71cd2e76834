//! The same layers a second time: what changed, and what of it a running process takes over.

use settings::{Change, Sources};
use std::fs;

fn change(key: &str, applied: bool) -> Change {
    Change { key: key.to_owned(), applied }
}

#[test]
fn changes_of_every_layer_are_seen_and_a_bad_layer_changes_nothing() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (etc, file, secret) =
        (dir.path().join("etc"), dir.path().join("own.toml"), dir.path().join("url"));
    fs::create_dir_all(etc.join("conf.d")).expect("a folder");
    fs::write(&file, "[telemetry]\nlog_level = \"warn\"\n").expect("written");
    fs::write(&secret, "redis://u:hunter2@one/0").expect("written");
    let pointed = ("SEEDFLEET__REDIS__URL_FILE".to_owned(), secret.display().to_string());
    let sources = Sources::default().etc(&etc).file(&file).env([pointed]);
    let loaded = sources.set("submit.tries_max", "4").load().expect("loads");
    let marks = loaded.marks();
    assert_eq!(loaded.marks(), marks, "nothing was touched");
    assert_eq!(loaded.changes(&loaded.reread().expect("loads")), []);

    fs::write(&file, "[telemetry]\nlog_level = \"debug\"\n[submit]\ntries_max = 5\n")
        .expect("written");
    fs::write(&secret, "redis://u:hunter3@two/0").expect("written");
    fs::write(etc.join("conf.d/a.toml"), "[pools.p]\nroute = \"byteplus\"\n").expect("written");
    assert_ne!(loaded.marks(), marks);
    let newer = loaded.reread().expect("loads");
    // The flag still stands above the file.
    let seen = [
        change("pools.p.route", false),
        change("redis.url", false),
        change("telemetry.log_level", true),
    ];
    assert_eq!(loaded.changes(&newer), seen);
    assert_eq!(newer.changes(&newer.reread().expect("loads")), []);

    fs::write(&file, "[telemetry]\nlog_level = \"inof\"\nlogs = 1\n").expect("written");
    let faults = newer.reread().err().expect("refused");
    assert!(faults.to_string().contains("telemetry.logs"), "{faults}");
}

#[test]
fn a_file_that_is_added_replaced_or_gone_leaves_another_mark() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (file, next) = (dir.path().join("own.toml"), dir.path().join("next.toml"));
    fs::write(&file, "").expect("written");
    let loaded = Sources::default().etc(dir.path()).file(&file).load().expect("loads");
    let mut seen = vec![loaded.marks()];
    fs::write(dir.path().join("seedfleet.toml"), "").expect("written");
    seen.push(loaded.marks());
    fs::write(&next, "").expect("written");
    fs::rename(&next, &file).expect("replaced by one of the same length");
    seen.push(loaded.marks());
    fs::remove_file(&file).expect("removed");
    seen.push(loaded.marks());
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
}
