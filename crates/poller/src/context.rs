//! What the poll and settle steps of one pool share.

use crate::scan::{Scanner, Source};
use job::{TaskId, Timestamp, Trouble};
use limiter::Limiter;
use provider::{Client, Retrieved, Site};
use seedance::{Call, Class};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use store::Store;

/// Pause between two tries of one read inside a turn.
const TRY_PAUSE: Duration = Duration::from_millis(200);

/// The pool's route, permits and scanners.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) limiter: Limiter,
    pub(crate) client: Arc<Client>,
    /// Calls one turn may make when reads fail in passing (M25).
    pub(crate) tries_per_turn: u32,
    scanners: Mutex<BTreeMap<Site, Scanner>>,
}

impl Context {
    pub(crate) fn new(
        store: Store,
        limiter: Limiter,
        client: Arc<Client>,
        tries_per_turn: u32,
    ) -> Self {
        Self { store, limiter, client, tries_per_turn, scanners: Mutex::default() }
    }

    /// The scanner of one account's list, started when first asked for.
    pub(crate) fn scanner(&self, site: &Site) -> Scanner {
        let mut scanners = self.scanners.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            Scanner::start(Source {
                store: self.store.clone(),
                limiter: self.limiter.clone(),
                client: Arc::clone(&self.client),
                site: site.clone(),
            })
        };
        // One whose loop broke would answer nobody, for ever.
        if scanners.get(site).is_some_and(Scanner::is_ended) {
            scanners.remove(site);
        }
        scanners.entry(site.clone()).or_insert_with(start).clone()
    }

    /// Reads one task, again at once while the fault is one of transport, at most `tries_per_turn`
    /// times; the next turn comes by the ticket.
    pub(crate) async fn retrieve(&self, site: &Site, task: &TaskId) -> Retrieved {
        let mut tries = 0;
        loop {
            tries += 1;
            let Some(permit) = self.limiter.permit(&site.account, Call::Retrieve).await else {
                return Retrieved::Trouble(not_configured(&site.account));
            };
            let read = self.client.retrieve(permit, site, task).await;
            let passing = matches!(&read, Retrieved::Trouble(t) if t.class == Class::Server);
            if !passing || tries >= self.tries_per_turn {
                return read;
            }
            tokio::time::sleep(TRY_PAUSE).await;
        }
    }
}

/// The trouble of a task whose account was taken out of the configuration: it waits, it is not lost.
pub(crate) fn not_configured(account: &str) -> provider::Trouble {
    provider::Trouble {
        class: Class::Auth,
        code: "account-not-configured".to_owned(),
        message: format!("account `{account}` is not in the configuration: put it back"),
        retry_after: None,
        resets_at: None,
        request_id: None,
        alert: true,
    }
}

/// The machine's view of a read that did not answer.
pub(crate) fn trouble(trouble: &provider::Trouble, now: Timestamp) -> Trouble {
    let asked = trouble.retry_after.map(|wait| now + wait);
    Trouble {
        class: trouble.class,
        code: trouble.code.clone(),
        not_before: asked.into_iter().chain(trouble.resets_at).max(),
    }
}
