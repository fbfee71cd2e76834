//! Extends the leases of everything that is held, in bounded chunks, and learns which are lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::ledger::Ledger;
use super::outage::{Outage, Pauses};
use super::{Counts, Inner, Phase, sleep_unless};
use crate::{Queue, Store, StoreError};

/// Leases in one script call.
const CHUNK_MAX: usize = 500;

#[derive(Clone)]
pub(super) struct Context {
    store: Store,
    queue: Queue,
    ledger: Arc<Ledger>,
    counts: Arc<Counts>,
    phases: watch::Receiver<Phase>,
    lease: Duration,
    renew: Duration,
}

impl Context {
    pub(super) fn of(inner: &Inner) -> Self {
        Self {
            store: inner.store.clone(),
            queue: inner.settings.queue,
            ledger: Arc::clone(&inner.ledger),
            counts: Arc::clone(&inner.counts),
            phases: inner.phase.subscribe(),
            lease: inner.settings.lease,
            renew: inner.settings.renew,
        }
    }

    /// Leases may have run out unnoticed, because Redis was away or this process stood still. A claim
    /// would then take this process's own running work a second time, so renewing comes first.
    pub(super) fn overdue(&self) -> bool {
        self.ledger.len() > 0 && self.counts.since(&self.counts.last_renew_ms) > self.lease / 2
    }

    /// Renews everything once.
    pub(super) async fn pass(&self) -> Result<(), StoreError> {
        // A line that carries calls and no answers would let a process hold tickets for ever that it can
        // carry no further: after a renewal without an answer, Redis is heard before the next one is sent.
        if self.counts.renew_unheard.load(Ordering::Relaxed) {
            self.store.now().await?;
        }
        self.counts.renew_unheard.store(true, Ordering::Relaxed);
        let began_ms = self.counts.now_ms();
        for chunk in self.ledger.claims().chunks(CHUNK_MAX) {
            let lost = self.store.renew(chunk, self.lease).await?;
            let fences: Vec<u64> = lost.iter().map(|claim| claim.fence).collect();
            let news = self.ledger.mark_lost(&fences);
            if news > 0 {
                Counts::add(&self.counts.leases_lost, news);
                tracing::warn!(
                    step = %self.queue, leases = news,
                    "leases ran out before they were renewed; another process has the tickets"
                );
            }
        }
        self.counts.last_renew_ms.store(began_ms, Ordering::Relaxed);
        self.counts.renew_unheard.store(false, Ordering::Relaxed);
        Ok(())
    }
}

pub(super) async fn run(mut context: Context) {
    let outage = Outage::new("renew", context.queue);
    let mut pauses = Pauses::new();
    let mut pause = context.renew;
    while !sleep_unless(&mut context.phases, Phase::Closed, pause).await {
        match context.pass().await {
            Ok(()) => {
                outage.answered();
                pauses.reset();
                pause = context.renew;
            }
            // Sooner again than usual: the leases go on running out meanwhile.
            Err(error) => {
                outage.failed(&error);
                pause = pauses.next().min(context.renew);
            }
        }
    }
}
