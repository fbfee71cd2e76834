//! What waits in each queue, what people paused of it, and what of that is still in hand.

use crate::batch::PauseView;
use crate::pauses::QueuePauseView;
use job::StateWord;
use serde::Serialize;
use store::{Depth, Pause, PauseScope, Queue, Store, StoreError};
use utoipa::ToSchema;

/// The queues of a pool, and what is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Queues)]
pub struct QueuesView {
    /// What waits.
    pub queues: Vec<QueueView>,
    /// The parts that are paused.
    pub pauses: Vec<HeldPartView>,
    /// The batches that are paused.
    pub batches: Vec<HeldBatchView>,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Queue)]
pub struct QueueView {
    /// Its name.
    pub queue: String,
    /// Tickets in it.
    pub waiting: u64,
    /// Those of them that are due.
    pub due: u64,
    /// Those that were handed out.
    pub leased: u64,
    /// The whole queue is paused.
    pub paused: bool,
}

/// A part of the pool that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PausedPart)]
pub struct HeldPartView {
    /// The pause.
    #[serde(flatten)]
    pub pause: QueuePauseView,
    /// What was handed out of it before and has not ended.
    pub in_hand: u64,
}

/// A batch that is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PausedBatch)]
pub struct HeldBatchView {
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub batch: String,
    /// By whom, and why.
    pub paused: Option<PauseView>,
}

/// How one part of a pool stands after somebody paused or resumed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Part)]
pub struct PartView {
    /// The pool.
    pub pool: String,
    /// The part, in words.
    pub scope: String,
    /// Nothing new of it is handed out.
    pub paused: bool,
    /// When that ends by itself.
    pub until: Option<String>,
    /// Who paused it.
    pub by: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// The queues of a pool as they stand.
///
/// # Errors
///
/// As every call of the store.
pub async fn queues(store: &Store) -> Result<QueuesView, StoreError> {
    let (pauses, batches) = (store.pauses().await?, store.paused_batches().await?);
    let depths = store.depths().await?;
    let mut parts = Vec::with_capacity(pauses.len());
    for pause in &pauses {
        let in_hand = in_hand(store, &pause.scope, &depths).await?;
        parts.push(HeldPartView { pause: QueuePauseView::from(pause), in_hand });
    }
    let queue = |depth: &Depth| QueueView {
        queue: depth.queue.word(),
        waiting: depth.waiting,
        due: depth.due,
        leased: depth.leased,
        paused: pauses.iter().any(|pause| holds(&pause.scope, depth.queue)),
    };
    let batches = batches.into_iter().map(|batch| HeldBatchView {
        paused: batch.paused.as_ref().map(PauseView::from),
        tenant: batch.tenant,
        batch: batch.name,
    });
    Ok(QueuesView {
        queues: depths.iter().map(queue).collect(),
        pauses: parts,
        batches: batches.collect(),
    })
}

/// One part of a pool as it stands.
///
/// # Errors
///
/// As every call of the store.
pub async fn part(store: &Store, scope: &PauseScope) -> Result<PartView, StoreError> {
    let pauses = store.pauses().await?;
    let holds: Option<&Pause> = pauses.iter().find(|pause| pause.scope == *scope);
    Ok(PartView {
        pool: store.pool().to_owned(),
        scope: scope.to_string(),
        paused: holds.is_some(),
        until: holds.and_then(|pause| pause.until).map(|at| at.rfc3339()),
        by: holds.map(|pause| pause.by.as_str().to_owned()),
        reason: holds.map(|pause| pause.reason.clone()),
    })
}

/// What was handed out of a part and has not ended: leases, and of a tenant the creates that are under way.
async fn in_hand(store: &Store, scope: &PauseScope, depths: &[Depth]) -> Result<u64, StoreError> {
    if let PauseScope::Tenant(tenant) = scope {
        let counts = store.tenant_counts(tenant).await?;
        return Ok(counts.get(&StateWord::Submitting).copied().unwrap_or(0));
    }
    Ok(depths.iter().filter(|depth| holds(scope, depth.queue)).map(|depth| depth.leased).sum())
}

/// Whether a pause of `scope` holds the whole queue.
fn holds(scope: &PauseScope, queue: Queue) -> bool {
    match scope {
        PauseScope::Submit => queue.class().is_some(),
        PauseScope::Model(class) => queue.class() == Some(*class),
        PauseScope::Poll => queue == Queue::Poll,
        PauseScope::Download => queue == Queue::Download,
        // It is one of many in its queues.
        PauseScope::Tenant(_) => false,
    }
}
