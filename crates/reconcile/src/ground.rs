//! A pool as reconciliation sees it.

use crate::scan::Scanners;
use assets::{IntentError, Intents};
use job::{Policy, PoolSettings, TaskId};
use limiter::Limiter;
use provider::{Client, Deleted, Retrieved, Site};
use seedance::Call;
use std::sync::Arc;
use std::time::Duration;
use store::{ReportError, Store, StoreError};

/// How long a permit may take: the fleet may be using all of them.
const PERMIT_MAX: Duration = Duration::from_secs(30);

/// The pool's memory, its route and its second fence.
pub struct Ground {
    /// Records.
    pub store: Store,
    /// Permits.
    pub limiter: Limiter,
    /// The route.
    pub client: Arc<Client>,
    /// Scans, shared with whoever else reads the list in this process.
    pub scanners: Arc<Scanners>,
    /// Section `pools.<pool>`.
    pub settings: PoolSettings,
    /// The numbers the pool's jobs are decided with.
    pub policy: Arc<Policy>,
    /// The second fence; none where it is switched off.
    pub intents: Option<Intents>,
}

/// Why a comparison or a quarantine could not be brought to its end. All may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// Redis.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Redis, or an event that contradicts the record: nothing was written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The second fence.
    #[error(transparent)]
    Fence(#[from] IntentError),
    /// The second fence is needed and switched off.
    #[error("fence.enabled is false: no intents can be walked")]
    NoFence,
}

impl ReconcileError {
    /// Redis is away for now: the same call may succeed later.
    pub(crate) const fn is_outage(&self) -> bool {
        match self {
            Self::Store(error) | Self::Report(ReportError::Store(error)) => error.is_passing(),
            Self::Report(ReportError::Contradiction(_)) | Self::Fence(_) | Self::NoFence => false,
        }
    }
}

impl Ground {
    /// The accounts' lists, by today's configuration.
    pub(crate) fn sites(&self) -> Vec<Site> {
        self.settings.accounts.keys().map(|name| Site::configured(&self.settings, name)).collect()
    }

    /// From a freeze on, the longest time until everything that was being sent shows in a list.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        let policy = &*self.policy;
        policy.submit.send_deadline
            + policy.delivery_max
            + policy.settle.front_door_max
            + policy.settle.list_lag_max
    }

    /// One read of a task; `None` when no permit came in time, or reads of the account are held.
    pub(crate) async fn retrieve(&self, site: &Site, task: &TaskId) -> Option<Retrieved> {
        let permit = self.limiter.permit(&site.account, Call::Retrieve);
        let permit = tokio::time::timeout(PERMIT_MAX, permit).await.ok()?.ok()?;
        Some(self.client.retrieve(permit, site, task).await)
    }

    /// Withdraws a task that a read has just shown as queued.
    pub(crate) async fn delete(&self, site: &Site, task: &TaskId) -> Option<Deleted> {
        let permit = self.limiter.permit(&site.account, Call::Delete);
        let permit = tokio::time::timeout(PERMIT_MAX, permit).await.ok()?.ok()?;
        Some(self.client.delete(permit, site, task).await)
    }
}
