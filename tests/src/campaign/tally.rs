//! What really happened in a run: how often each fault fired, and the schedule as it was played.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared by everybody who breaks or counts something.
pub(super) struct Tally {
    pub(super) began: Instant,
    fired: Mutex<BTreeMap<String, u64>>,
    schedule: Mutex<BufWriter<File>>,
    /// Programs of the fleet that ended although nobody killed them, with their last words.
    exits: Mutex<Vec<String>>,
    /// The campaign's own machinery failed.
    broken: Mutex<Vec<String>>,
    /// Programs killed, at points or at random.
    pub(super) kills: AtomicU64,
    /// Jobs that have ended or are parked, as last seen.
    pub(super) ended: AtomicU64,
    /// Jobs whose intake was acknowledged.
    pub(super) accepted: AtomicU64,
    /// Whole recounts of the pool while it worked.
    pub(super) recounts: AtomicU64,
    /// How much of the first deal of the weather has been played, in thousandths.
    pub(super) dealt: AtomicU64,
    /// Creates are frozen, and what was lost is looked for.
    pub(super) frozen: AtomicBool,
    /// No more faults: whatever is broken is mended.
    pub(super) calm: AtomicBool,
    /// Everybody goes home.
    pub(super) over: AtomicBool,
}

impl Tally {
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            fired: Mutex::default(),
            schedule: Mutex::new(BufWriter::new(File::create(dir.join("schedule.jsonl"))?)),
            exits: Mutex::default(),
            broken: Mutex::default(),
            kills: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            recounts: AtomicU64::new(0),
            dealt: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
            calm: AtomicBool::new(false),
            over: AtomicBool::new(false),
        })
    }

    /// Writes down what is ordered, before it happens.
    pub(super) fn order(&self, what: &str, detail: &Value) {
        let line =
            json!({"t_ms": self.began.elapsed().as_millis() as u64, "do": what, "with": detail});
        // A schedule that cannot be written must not end a run; the run's folder is ours.
        let _ = writeln!(hold(&self.schedule), "{line}");
    }

    /// Counts what really happened.
    pub(super) fn fired(&self, what: &str) {
        *hold(&self.fired).entry(what.to_owned()).or_default() += 1;
    }

    /// Counts several at once, as another program tells them.
    pub(super) fn fired_in_all(&self, what: &str, count: u64) {
        hold(&self.fired).insert(what.to_owned(), count);
    }

    pub(super) fn killed(&self, what: &str) {
        self.fired(what);
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn exited(&self, words: String) {
        hold(&self.exits).push(words);
    }

    pub(super) fn broke(&self, words: String) {
        hold(&self.broken).push(words);
    }

    pub(super) fn broken(&self) -> Vec<String> {
        hold(&self.broken).clone()
    }

    pub(super) fn count(&self, what: &str) -> u64 {
        hold(&self.fired).get(what).copied().unwrap_or(0)
    }

    pub(super) fn all(&self) -> BTreeMap<String, u64> {
        hold(&self.fired).clone()
    }

    pub(super) fn exits(&self) -> Vec<String> {
        hold(&self.exits).clone()
    }

    pub(super) fn flush(&self) {
        let _ = hold(&self.schedule).flush();
    }

    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until it is so, or the time is over.
pub(super) fn wait_for(bound: std::time::Duration, mut so: impl FnMut() -> bool) -> bool {
    sandbox::wait::until("a fact", bound, || so().then_some(())).is_ok()
}

/// Lets time pass: the pause itself is what was ordered, or the gap between two looks.
pub(super) fn wait_out(time: std::time::Duration) {
    std::thread::sleep(time);
}

/// As [`wait_out`], for a task among others.
pub(super) async fn wait_a_turn(time: std::time::Duration) {
    tokio::time::sleep(time).await;
}
