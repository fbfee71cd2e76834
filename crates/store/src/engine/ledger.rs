//! What this process holds: one entry per picked ticket, from the claim to the durable commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, watch};

use crate::{Claim, Held, Stored};

/// The open leases of one engine. Locked only for moments, never across an await.
#[derive(Default)]
pub(super) struct Ledger {
    /// By claim fence, which is unique in the pool.
    open: Mutex<BTreeMap<u64, Entry>>,
    emptied: Notify,
}

struct Entry {
    claim: Claim,
    /// Its last word is on the way to Redis: from then on a renewal that finds the ticket gone has
    /// only seen that word arrive.
    settling: bool,
    lost: watch::Sender<bool>,
}

/// A picked ticket: the record as it was claimed and the lease that comes with it. Clones share the
/// lease; when the last one goes, the slot is free and the lease is no longer renewed.
#[derive(Clone)]
pub struct Picked {
    held: Arc<Held>,
    lease: Arc<Lease>,
}

/// This process's right to one ticket, and the concurrency slot it occupies here.
pub struct Lease {
    fence: u64,
    /// The record as Begin left it.
    begun: Mutex<Option<Box<Stored>>>,
    ledger: Arc<Ledger>,
    lost: watch::Receiver<bool>,
    _slot: OwnedSemaphorePermit,
}

impl Picked {
    /// The record as it was claimed.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The claim to commit with.
    #[must_use]
    pub fn claim(&self) -> &Claim {
        &self.held.claim
    }

    /// The record as this process knows it: as claimed, or as Begin left it.
    pub(super) fn seen(&self) -> Stored {
        let begun = self.lease.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.as_deref().unwrap_or(&self.held.stored).clone()
    }

    pub(super) fn has_begun(&self, stored: &Stored) {
        let mut begun = self.lease.begun.lock().unwrap_or_else(PoisonError::into_inner);
        *begun = Some(Box::new(stored.clone()));
    }

    /// A renewal found that another process holds the ticket by now. Its commits win; what runs here
    /// may stop.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        *self.lease.lost.borrow()
    }

    /// Returns once [`Picked::is_lost`]; never, while the lease is ours.
    pub async fn lost(&self) {
        let mut lost = self.lease.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.ledger.close(self.fence);
    }
}

impl Ledger {
    /// Enters a fresh claim.
    pub(super) fn open(self: &Arc<Self>, held: Held, slot: OwnedSemaphorePermit) -> Picked {
        let (lost, lost_rx) = watch::channel(false);
        let fence = held.claim.fence;
        self.lock().insert(fence, Entry { claim: held.claim.clone(), settling: false, lost });
        let begun = Mutex::default();
        let lease = Lease { fence, begun, ledger: Arc::clone(self), lost: lost_rx, _slot: slot };
        Picked { held: Arc::new(held), lease: Arc::new(lease) }
    }

    /// Every open claim.
    pub(super) fn claims(&self) -> Vec<Claim> {
        self.lock().values().map(|entry| entry.claim.clone()).collect()
    }

    /// Marks leases that belong to somebody else by now; says how many were news.
    pub(super) fn mark_lost(&self, fences: &[u64]) -> usize {
        let open = self.lock();
        let entries = fences.iter().filter_map(|fence| open.get(fence));
        entries.filter(|entry| !entry.settling && !entry.lost.send_replace(true)).count()
    }

    /// The ticket's last word is about to be sent.
    pub(super) fn settle(&self, claim: &Claim) {
        if let Some(entry) = self.lock().get_mut(&claim.fence) {
            entry.settling = true;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns when nothing is held.
    pub(super) async fn idle(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn close(&self, fence: u64) {
        let mut open = self.lock();
        open.remove(&fence);
        if open.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
