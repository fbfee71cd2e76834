//! `deploy/redis/backup.sh` by itself: what it copies amid rewrites loads and lacks nothing, and what is damaged or
//! would overwrite something is refused. The whole drill is `tests/verify/backup.sh`.

use e2e::kit::BOUND;
use sandbox::{Options, Redis, TempDir, wait};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Copies of one server that is never at rest.
const COPIES: usize = 3;
const KEY: &str = "written";
/// Writes before the first rewrite amid a copy. Each later one of the same copy comes after twice as many: how many a
/// copy needs is the machine's affair.
const WRITES_BETWEEN: u64 = 150;

fn script(words: &[&OsStr]) -> Output {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new("sh");
    command.arg(clone.join("deploy/redis/backup.sh")).args(words);
    command.output().unwrap_or_else(|error| panic!("sh: {error}"))
}

/// Its line, where it must work.
fn done(words: &[&OsStr]) -> PathBuf {
    let output = script(words);
    assert!(output.status.success(), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// What it says, where it must refuse.
fn refused(words: &[&OsStr]) -> String {
    let output = script(words);
    assert!(!output.status.success(), "{words:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn count(redis: &Redis) -> u64 {
    let answer = redis.command(&["GET", KEY]).unwrap();
    answer.parse().unwrap_or(0)
}

fn server_in(dir: &Path) -> Redis {
    let options = Options { dir: Some(dir.to_owned()), ..Options::default() };
    Redis::start(options).unwrap_or_else(|error| panic!("no private Redis: {error}"))
}

#[test]
fn a_copy_taken_amid_rewrites_has_all_that_was_acknowledged_before_it() {
    let redis = Redis::start(Options::default()).unwrap();
    let (target, over) = (TempDir::new("backups").unwrap(), AtomicBool::new(false));
    let between = AtomicU64::new(WRITES_BETWEEN);
    let copies: Vec<(u64, PathBuf, u64)> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                redis.command(&["INCR", KEY]).unwrap();
            }
        });
        // One rewrite after the other, with so many writes in between that a copy has its turn.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let then = count(&redis);
                // Refused while an earlier one runs.
                drop(redis.command(&["BGREWRITEAOF"]));
                let writes = between.load(Ordering::Relaxed);
                between.store(writes.saturating_mul(2), Ordering::Relaxed);
                let more = || count(&redis) >= then + writes || over.load(Ordering::Relaxed);
                drop(wait::until("more writes", BOUND, || more().then_some(())));
            }
        });
        let copy = |n: usize| {
            between.store(WRITES_BETWEEN, Ordering::Relaxed);
            let before = count(&redis);
            let place = target.path().join(n.to_string());
            let copy = script(&["take".as_ref(), redis.dir().as_os_str(), place.as_os_str()]);
            (before, copy, count(&redis))
        };
        let copies: Vec<_> = (0..COPIES).map(copy).collect();
        // The threads end before anything is judged: a panic here would leave them running.
        over.store(true, Ordering::Relaxed);
        let judged = copies.into_iter().map(|(before, copy, after)| {
            assert!(copy.status.success(), "{copy:?}");
            (before, PathBuf::from(String::from_utf8(copy.stdout).unwrap().trim()), after)
        });
        judged.collect()
    });
    for (before, backup, after) in copies {
        let dir = TempDir::new("restored").unwrap();
        done(&["restore".as_ref(), backup.as_os_str(), dir.path().as_os_str()]);
        let found = count(&server_in(dir.path()));
        assert!((before..=after).contains(&found), "{before} before, {found} in it, {after} after");
    }
}

#[test]
fn what_is_damaged_or_would_overwrite_something_is_refused() {
    let redis = Redis::start(Options::default()).unwrap();
    redis.command(&["SET", KEY, "7"]).unwrap();
    let (target, empty) = (TempDir::new("backups").unwrap(), TempDir::new("empty").unwrap());
    let (data, into) = (redis.dir().as_os_str(), empty.path().as_os_str());
    let backup = done(&["take".as_ref(), data, target.path().as_os_str()]);
    let kept = std::fs::read_dir(target.path()).unwrap().count();
    assert_eq!(kept, 1, "nothing half is left beside it");

    let told = refused(&["restore".as_ref(), backup.as_os_str(), data]);
    assert!(told.contains("still holds"), "{told}");
    let told = refused(&["take".as_ref(), into, target.path().as_os_str()]);
    assert!(told.contains("appendonly yes"), "{told}");
    let told = refused(&["restore".as_ref(), into, data]);
    assert!(told.contains("is no backup"), "{told}");
    let told = refused(&["take".as_ref()]);
    assert!(told.contains("backup.sh restore BACKUP DATA"), "{told}");

    let manifest = backup.join("appendonlydir/appendonly.aof.manifest");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let grown = text.lines().next().unwrap().split(' ').nth(1).unwrap();
    let file = backup.join("appendonlydir").join(grown);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
    let told = refused(&["restore".as_ref(), backup.as_os_str(), into]);
    assert!(told.contains("is damaged"), "{told}");
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing was put there");

    std::fs::write(&file, whole).unwrap();
    done(&["restore".as_ref(), backup.as_os_str(), into]);
    assert_eq!(count(&server_in(empty.path())), 7);
}
