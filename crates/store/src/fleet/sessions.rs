//! Sessions of the dashboard: who logged in with which key, for a while.

use crate::StoreError;
use crate::fleet::FleetStore;
use crate::lease::millis;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One session. The key itself is not in it: every request asks anew what its key may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What names the API key that opened it: its SHA-256 (hex), behind id and point for a key of the fleet.
    pub key: String,
    /// What every form of the session must carry.
    pub csrf: String,
}

impl FleetStore {
    /// Writes a session down for `ttl`. `id` is the SHA-256 (hex) of what the browser holds: whoever can
    /// read Redis cannot log in with it.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn open_session(
        &self,
        id: &str,
        session: &Session,
        ttl: Duration,
    ) -> Result<(), StoreError> {
        let text = StoreError::json("a session that is", session)?;
        let mut command = redis::cmd("SET");
        command.arg(self.keys().session(id)).arg(text).arg("PX").arg(millis(ttl).max(1));
        self.connection().ask(&command).await
    }

    /// The session, if it has not ended.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn session(&self, id: &str) -> Result<Option<Session>, StoreError> {
        let key = self.keys().session(id);
        let text: Option<String> = self.connection().ask(redis::cmd("GET").arg(&key)).await?;
        let read = |text: String| serde_json::from_str(&text);
        text.map(read).transpose().map_err(|error| StoreError::corrupt(&key, error))
    }

    /// Ends a session, if there is one.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn end_session(&self, id: &str) -> Result<(), StoreError> {
        self.connection().ask(redis::cmd("DEL").arg(self.keys().session(id))).await
    }
}
