//! A leader for a chore: one process does it for all, for a while.

use crate::connection::Call;
use crate::lease::millis;
use crate::{Store, StoreError, commit, script};
use std::time::Duration;

impl Store {
    /// Takes or prolongs the lock `name` for `ttl`; `true` while this process holds it. Clones of a
    /// [`Store`] are one holder. What it guards must be harmless when done twice: a holder that was paused
    /// learns late that its time is over.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn lock(&self, name: &str, ttl: Duration) -> Result<bool, StoreError> {
        self.lock_call(name, millis(ttl).max(1)).await
    }

    /// Lets the lock go, if it is ours.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn unlock(&self, name: &str) -> Result<(), StoreError> {
        self.lock_call(name, 0).await.map(drop)
    }

    async fn lock_call(&self, name: &str, ms: u64) -> Result<bool, StoreError> {
        let args = vec![self.inner.token.clone(), ms.to_string()];
        let call = Call::new(&script::LOCK, vec![self.keys().lock(name)], args);
        let reply = self.connection().call(call).await?;
        commit::integer(&reply).map(|n| n == 1).ok_or_else(|| StoreError::reply("lock", &reply))
    }
}
