//! What belongs to the whole fleet and to no pool: one file per noun.
//!
//! Tenants, their keys and the addresses they want to be called at outlive pools and are the same in
//! all of them. Their keys carry the tag `{<prefix>:fleet}`; no script touches a pool's keys as well,
//! so what a pool must know of a tenant is told to its scripts by the caller.

mod api_keys;
mod around;
mod rate;
mod schema;
mod sessions;

pub use api_keys::{API_KEYS_MAX, EndWhy, KnownKey, Minted, Revoked};
pub use around::{Around, Ill};
pub use rate::{RATE_WINDOW, Rated};
pub use schema::{ALIVE_FOR, About, BEAT_EVERY, InForce, LiveProcess, Raised, SILENT_AFTER};
pub use sessions::Session;

use crate::connection::Connection;
use crate::keys::FleetKeys;

use crate::{Settings, Store, StoreError, stored};
use job::Timestamp;
use std::sync::Arc;

/// The fleet's memory. Cheap to clone; clones share a connection.
#[derive(Clone)]
pub struct FleetStore {
    inner: Arc<Inner>,
}

struct Inner {
    connection: Connection,
    keys: FleetKeys,
    settings: Settings,
}

impl FleetStore {
    /// Connects, as [`Store::connect`] does.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unreachable`]: repeat; [`StoreError::Refused`]: address or password are wrong.
    pub async fn connect(settings: &Settings) -> Result<Self, StoreError> {
        let slot = FleetKeys::new(&settings.key_prefix).slot();
        Ok(Self::over(Connection::open(settings, slot).await?, settings))
    }

    pub(crate) fn over(connection: Connection, settings: &Settings) -> Self {
        let keys = FleetKeys::new(&settings.key_prefix);
        Self { inner: Arc::new(Inner { connection, keys, settings: settings.clone() }) }
    }

    /// The fleet's keys.
    #[must_use]
    pub fn keys(&self) -> &FleetKeys {
        &self.inner.keys
    }

    /// The server's clock.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let value = self.connection().ask(&redis::cmd("TIME")).await?;
        stored::time(Some(value))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.inner.connection
    }
}

impl Store {
    /// The memory of the fleet this pool belongs to, over this pool's connection where both lie on one server.
    #[must_use]
    pub fn fleet(&self) -> FleetStore {
        self.inner.fleet.clone()
    }
}

impl std::fmt::Debug for FleetStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FleetStore").field("settings", &self.inner.settings).finish()
    }
}
