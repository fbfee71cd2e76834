//! What belongs to the whole fleet and to no pool: one file per noun.
//!
//! Tenants, their keys and the addresses they want to be called at outlive pools and are the same in
//! all of them. Their keys carry the tag `{<prefix>:fleet}`; no script touches a pool's keys as well,
//! so what a pool must know of a tenant is told to its scripts by the caller.

mod api_keys;
mod rate;
mod sessions;

pub use api_keys::{API_KEYS_MAX, EndWhy, KnownKey, Minted, Revoked};
pub use rate::{RATE_WINDOW, Rated};
pub use sessions::Session;

use crate::connection::{self, Connection};
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
    client: redis::Client,
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
        let client = connection::client(settings)?;
        let connection = Connection::open(client.clone(), settings).await?;
        Ok(Self::over(client, connection, settings))
    }

    fn over(client: redis::Client, connection: Connection, settings: &Settings) -> Self {
        let keys = FleetKeys::new(&settings.key_prefix);
        Self { inner: Arc::new(Inner { client, connection, keys, settings: settings.clone() }) }
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

    /// For a connection of its own: a blocking read would stall the shared one.
    #[allow(dead_code, reason = "the nouns that wait for news use it")]
    pub(crate) fn client(&self) -> &redis::Client {
        &self.inner.client
    }
}

impl Store {
    /// The memory of the fleet this pool belongs to, over this pool's connection.
    #[must_use]
    pub fn fleet(&self) -> FleetStore {
        let inner = &self.inner;
        FleetStore::over(inner.client.clone(), inner.connection.clone(), &inner.settings)
    }
}

impl std::fmt::Debug for FleetStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FleetStore").field("settings", &self.inner.settings).finish()
    }
}
