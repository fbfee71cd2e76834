//! A leader for a chore: one process does it for all, for a while.

use crate::connection::Call;
use crate::lease::millis;
use crate::{Store, StoreError, commit, script};
use std::time::Duration;

/// A lock and one holder of it.
#[derive(Debug)]
pub struct OwnLock {
    name: String,
    token: String,
}

impl Store {
    /// Takes or prolongs the lock `name` for `ttl`; `true` while this process holds it. Clones of a
    /// [`Store`] are one holder. What it guards must be harmless when done twice: a holder that was paused
    /// learns late that its time is over.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn lock(&self, name: &str, ttl: Duration) -> Result<bool, StoreError> {
        self.lock_call(&self.inner.token, name, millis(ttl).max(1)).await
    }

    /// Lets the lock go, if it is ours.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn unlock(&self, name: &str) -> Result<(), StoreError> {
        self.lock_call(&self.inner.token, name, 0).await.map(drop)
    }

    /// A holder of its own for the lock `name`: where several parts of one process may want it, each draws
    /// one, and only one of them has it.
    #[must_use]
    pub fn own_lock(&self, name: &str) -> OwnLock {
        OwnLock { name: name.to_owned(), token: ulid::Ulid::generate().to_string() }
    }

    /// As [`Store::lock`], for this holder.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn hold(&self, lock: &OwnLock, ttl: Duration) -> Result<bool, StoreError> {
        self.lock_call(&lock.token, &lock.name, millis(ttl).max(1)).await
    }

    /// As [`Store::unlock`], for this holder.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn let_go(&self, lock: &OwnLock) -> Result<(), StoreError> {
        self.lock_call(&lock.token, &lock.name, 0).await.map(drop)
    }

    /// Whether anybody holds the lock `name`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn is_locked(&self, name: &str) -> Result<bool, StoreError> {
        self.connection().ask(redis::cmd("EXISTS").arg(self.keys().lock(name))).await
    }

    async fn lock_call(&self, token: &str, name: &str, ms: u64) -> Result<bool, StoreError> {
        let args = vec![token.to_owned(), ms.to_string()];
        let call = Call::new(&script::LOCK, vec![self.keys().lock(name)], args);
        let reply = self.connection().call(call).await?;
        commit::integer(&reply).map(|n| n == 1).ok_or_else(|| StoreError::reply("lock", &reply))
    }
}
