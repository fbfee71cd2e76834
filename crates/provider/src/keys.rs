//! The keys of a pool's accounts, as their files hold them.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{PoisonError, RwLock},
};

use egress::{Secret, SecretError};
use job::PoolSettings;

/// The accounts' keys. Cheap to ask; the files are read when opened and on [`Keys::reread`].
#[derive(Debug)]
pub struct Keys {
    pool: String,
    files: BTreeMap<String, PathBuf>,
    // Read for every call, written when an operator rotates a key; never held across an await.
    held: RwLock<BTreeMap<String, Secret>>,
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
        match keys.reread().into_iter().next() {
            None => Ok(keys),
            Some(fault) => Err(fault),
        }
    }

    /// Reads the files again, for a rotated key. An account whose file is bad keeps the key it had.
    pub fn reread(&self) -> Vec<KeyFault> {
        let mut faults = Vec::new();
        let mut fresh = BTreeMap::new();
        for (account, file) in &self.files {
            match Secret::from_file(file) {
                Ok(key) => {
                    fresh.insert(account.clone(), key);
                }
                Err(problem) => {
                    let (pool, account) = (self.pool.clone(), account.clone());
                    faults.push(KeyFault { pool, account, problem });
                }
            }
        }
        self.held.write().unwrap_or_else(PoisonError::into_inner).append(&mut fresh);
        faults
    }

    /// The key of an account; `None` if the pool has no such account.
    #[must_use]
    pub fn of(&self, account: &str) -> Option<Secret> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned()
    }
}
