//! The keys of a pool's accounts, as their files hold them, and how a new one comes into use.
//!
//! A key is rotated under running work: the file's content is replaced, and from then on every call
//! carries the new key. A file that cannot be used changes nothing, for a key that may still work is
//! worth more than a stopped account.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use egress::{Secret, SecretError};
use job::PoolSettings;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the files are looked at without being asked. A change is taken at the second look that
/// shows it, so a new key is in use after twice this at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The accounts' keys. Cheap to ask; the files are read when opened, on [`Keys::reread`] and by [`keep`].
#[derive(Debug)]
pub struct Keys {
    pool: String,
    files: BTreeMap<String, PathBuf>,
    // Read for every call, written when an operator rotates a key; never held across an await.
    held: RwLock<BTreeMap<String, Held>>,
}

/// What is known of one account's key.
#[derive(Debug, Default)]
struct Held {
    /// In use.
    key: Option<Secret>,
    /// Another one that the last look showed for the first time.
    seen: Option<Secret>,
    /// What was wrong with the file when it was read last.
    fault: Option<String>,
}

/// Why the files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Somebody who has finished writing asks for it.
    Asked,
    /// Nobody does: the file may be half written.
    Looked,
}

/// What one reading made of one account's file.
#[derive(Debug, PartialEq, Eq)]
enum Learned {
    /// Nothing new.
    Same,
    /// Another key is in use from now on.
    Taken,
    /// The file has become bad, or is bad and somebody asked.
    Bad,
}

impl Held {
    /// Takes in one reading of the file: the key, or what is wrong with it.
    fn learn(&mut self, read: Result<Secret, String>, why: Why) -> Learned {
        let fresh = match read {
            Ok(fresh) => fresh,
            Err(fault) => {
                self.seen = None;
                let is_news = why == Why::Asked || self.fault.as_ref() != Some(&fault);
                self.fault = Some(fault);
                return if is_news { Learned::Bad } else { Learned::Same };
            }
        };
        self.fault = None;
        let same = |key: &Option<Secret>| key.as_ref().is_some_and(|key| key.equals(&fresh));
        if same(&self.key) {
            self.seen = None;
            return Learned::Same;
        }
        // Files are not always replaced in one step: half a key would stop the account.
        if why == Why::Looked && !same(&self.seen) {
            self.seen = Some(fresh);
            return Learned::Same;
        }
        *self = Self { key: Some(fresh), seen: None, fault: None };
        Learned::Taken
    }
}

/// What a reading of the files changed.
#[derive(Debug, Default)]
pub struct Reread {
    /// Accounts that use another key from now on.
    pub taken: Vec<String>,
    /// Files that cannot be used; their accounts keep the key they had.
    pub faults: Vec<KeyFault>,
}

/// A key that cannot be used. Names the configuration key and the file, never the content.
#[derive(Debug, thiserror::Error)]
#[error("pools.{pool}.accounts.{account}.api_key_file: {problem}")]
pub struct KeyFault {
    /// The pool.
    pub pool: String,
    /// The account.
    pub account: String,
    /// What is wrong with the file.
    pub problem: SecretError,
}

impl Keys {
    /// Reads every account's key file.
    ///
    /// # Errors
    ///
    /// The first [`KeyFault`].
    pub fn open(pool: &str, settings: &PoolSettings) -> Result<Self, KeyFault> {
        let files = settings
            .accounts
            .iter()
            .map(|(account, settings)| (account.clone(), settings.api_key_file.clone()))
            .collect();
        let keys = Self { pool: pool.to_owned(), files, held: RwLock::default() };
        match keys.reread().faults.into_iter().next() {
            None => Ok(keys),
            Some(fault) => Err(fault),
        }
    }

    /// Reads the files because somebody asked for it: what they hold is used from now on, and every
    /// bad one is told.
    pub fn reread(&self) -> Reread {
        self.read(Why::Asked)
    }

    /// Where nobody asked, a new key is used once two looks have shown it, and a bad file is told once.
    fn read(&self, why: Why) -> Reread {
        // Before the lock: the files may lie on a slow disk, and calls go on meanwhile.
        let read: Vec<_> =
            self.files.iter().map(|(account, file)| (account, Secret::from_file(file))).collect();
        let mut told = Reread::default();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        for (account, read) in read {
            let (read, problem) = match read {
                Ok(key) => (Ok(key), None),
                Err(problem) => (Err(problem.to_string()), Some(problem)),
            };
            match held.entry(account.clone()).or_default().learn(read, why) {
                Learned::Same => {}
                Learned::Taken => told.taken.push(account.clone()),
                Learned::Bad => told.faults.extend(problem.map(|problem| KeyFault {
                    pool: self.pool.clone(),
                    account: account.clone(),
                    problem,
                })),
            }
        }
        told
    }

    /// The key of an account; `None` if the pool has no such account.
    #[must_use]
    pub fn of(&self, account: &str) -> Option<Secret> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.get(account).and_then(|held| held.key.clone())
    }

    /// Accounts whose file could not be used when it was read last.
    #[must_use]
    pub fn bad(&self) -> usize {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.values().filter(|held| held.fault.is_some()).count()
    }

    /// Logs and counts what a reading changed.
    fn tell(&self, told: &Reread, why: Why) {
        let (pool, metrics) = (self.pool.as_str(), telemetry::metrics());
        for account in &told.taken {
            tracing::info!(pool, account, "a new key was read; every call uses it from now on");
            metrics.keys_read.add(1, ["taken", pool]);
        }
        for fault in &told.faults {
            tracing::error!(pool, account = fault.account, error = %fault, "the key stays as it was");
            metrics.keys_read.add(1, ["bad", pool]);
        }
        if why == Why::Asked && told.taken.is_empty() && told.faults.is_empty() {
            tracing::info!(pool, "the key files were read: they hold the keys in use");
        }
        metrics.key_files_bad.set(self.bad() as f64, [pool]);
    }
}

/// Keeps a pool's keys as their files are, for ever: at once whenever `asked` changes, which is how a
/// process passes SIGHUP on, and by itself within twice [`LOOK_EVERY`].
pub async fn keep(keys: Arc<Keys>, mut asked: watch::Receiver<u64>) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let why = tokio::select! {
            () = wish(&mut asked) => Why::Asked,
            _ = every.tick() => Why::Looked,
        };
        let reader = Arc::clone(&keys);
        // A panic in there is a bug that must not end the rotation of keys.
        let Ok(told) = tokio::task::spawn_blocking(move || reader.read(why)).await else {
            continue;
        };
        keys.tell(&told, why);
    }
}

/// Returns at the next wish; never once nobody can utter one.
async fn wish(asked: &mut watch::Receiver<u64>) {
    if asked.changed().await.is_err() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<Secret, String> {
        Ok(Secret::new(text).unwrap())
    }

    fn in_use(held: &Held, text: &str) -> bool {
        held.key.as_ref().is_some_and(|key| key.equals(&Secret::new(text).unwrap()))
    }

    #[test]
    fn a_wish_takes_a_key_at_once_and_a_look_when_it_shows_twice() {
        let mut held = Held::default();
        assert_eq!(held.learn(key("one"), Why::Asked), Learned::Taken);
        assert_eq!(held.learn(key("one"), Why::Looked), Learned::Same);
        // A file that is being written shows something else at every look.
        assert_eq!(held.learn(key("tw"), Why::Looked), Learned::Same);
        assert_eq!(held.learn(key("two"), Why::Looked), Learned::Same);
        assert!(in_use(&held, "one"));
        assert_eq!(held.learn(key("two"), Why::Looked), Learned::Taken);
        assert!(in_use(&held, "two"));
        assert_eq!(held.learn(key("three"), Why::Asked), Learned::Taken);
        assert!(in_use(&held, "three"));
    }

    #[test]
    fn a_bad_file_is_told_once_or_whenever_asked_and_changes_nothing() {
        let bad = || Err("empty".to_owned());
        let mut held = Held::default();
        held.learn(key("one"), Why::Asked);
        assert_eq!(held.learn(bad(), Why::Looked), Learned::Bad);
        assert_eq!(held.learn(bad(), Why::Looked), Learned::Same);
        assert_eq!(held.learn(bad(), Why::Asked), Learned::Bad);
        assert_eq!(held.learn(Err("gone".to_owned()), Why::Looked), Learned::Bad);
        assert!(in_use(&held, "one") && held.fault.is_some());
        // The old key again: no news, and the fault is over.
        assert_eq!(held.learn(key("one"), Why::Looked), Learned::Same);
        assert!(held.fault.is_none());
        // What was seen before a fault counts for nothing after it.
        held.learn(key("two"), Why::Looked);
        held.learn(bad(), Why::Looked);
        assert_eq!(held.learn(key("two"), Why::Looked), Learned::Same);
        assert!(in_use(&held, "one"));
    }
}
