//! Keys of the fleet, remembered for a moment.

use super::Caller;
use crate::problem::Problem;
use access::{KeyId, Sha256Hex};
use axum::http::StatusCode;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use store::{FleetStore, KnownKey};

/// How long what was read of a key holds: a revocation is heard within this time.
pub(super) const HELD_FOR: Duration = Duration::from_secs(2);
/// How often the use of a key is written down.
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// Keys remembered.
const KEYS_MAX: usize = 10_000;

/// One key, as read.
#[derive(Clone)]
struct Entry {
    known: KnownKey,
    until: Instant,
    noted: Option<Instant>,
}

/// The fleet's keys as this process knows them.
pub(super) struct Known {
    fleet: FleetStore,
    entries: Mutex<HashMap<KeyId, Entry>>,
}

impl Known {
    pub(super) fn new(fleet: FleetStore) -> Self {
        Self { fleet, entries: Mutex::default() }
    }

    /// The caller behind a key; none: there is no such key, or it has ended.
    pub(super) async fn caller(
        &self,
        id: &KeyId,
        sha256: &Sha256Hex,
        source: IpAddr,
    ) -> Result<Option<Caller>, Problem> {
        let Some(known) = self.find(id).await? else { return Ok(None) };
        let (key, spec) = (&known.key, &known.key.spec);
        // The hash is that of the whole key, its mode included.
        if !key.sha256.is(sha256) {
            return Ok(None);
        }
        if !spec.admits(source) {
            let title = "this key may not be used from this address";
            return Err(Problem::new(StatusCode::FORBIDDEN, "source-not-allowed", title));
        }
        self.note_use(&known).await;
        Ok(Some(Caller {
            key: Some(key.id.clone()),
            name: spec.name.clone(),
            tenant: spec.tenant.clone(),
            mode: Some(spec.mode),
            scopes: spec.scopes.clone(),
            source,
            proof: format!("{}.{}", key.id, key.sha256.hex()),
        }))
    }

    async fn find(&self, id: &KeyId) -> Result<Option<KnownKey>, Problem> {
        if let Some(entry) = self.entries().get(id)
            && entry.until > Instant::now()
        {
            return Ok(Some(entry.known.clone()));
        }
        // Before the question: the answer is no younger than this.
        let asked = Instant::now();
        let found = self.fleet.api_key(id).await.map_err(|error| Problem::unavailable(&error))?;
        let Some(known) = found.filter(KnownKey::is_live) else {
            self.entries().remove(id);
            return Ok(None);
        };
        let left = known.end.map_or(HELD_FOR, |(at, _)| at.since(known.now).min(HELD_FOR));
        let mut entries = self.entries();
        if entries.len() >= KEYS_MAX {
            entries.retain(|_, entry| entry.until > asked);
        }
        if entries.len() < KEYS_MAX {
            let noted = entries.get(id).and_then(|entry| entry.noted);
            entries.insert(id.clone(), Entry { known: known.clone(), until: asked + left, noted });
        }
        Ok(Some(known))
    }

    /// For people who look for keys that nobody needs; losing one costs a minute of knowledge.
    async fn note_use(&self, known: &KnownKey) {
        let id = &known.key.id;
        let due = match self.entries().get_mut(id) {
            Some(entry) if entry.noted.is_none_or(|at| at.elapsed() >= NOTED_EVERY) => {
                entry.noted = Some(Instant::now());
                true
            }
            Some(_) | None => false,
        };
        if due && let Err(error) = self.fleet.note_use(id, known.now).await {
            tracing::debug!(%error, "the use of a key is not noted");
        }
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<KeyId, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
