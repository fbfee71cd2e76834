//! Carries operations out: one process at a time for each pool, the next one where that is killed. Gateways do it,
//! and a command line that asked for one where no gateway is there.
//!
//! The place an operation has come to is written down after each page, so a page may be looked at twice: what
//! it does to a job is no news the second time, and the commit that does it also counts it.

use crate::{Drain, Pool};
use admission::{Door, How, Refusal};
use futures::future::join_all;
use job::filter::Filter;
use job::{Again, By, Event, JobId, Policy, Source};
use std::sync::Arc;
use std::time::Duration;
use store::{
    ListQuery, NewOperation, Operation, OperationVerb, Order, Progress, ReportError, Reported,
    Store, StoreError, Stored,
};

/// Between two looks for something to do.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a pool's operations stay with a gateway that falls silent; a page takes a fraction of it.
const LEASE: Duration = Duration::from_secs(15);
/// Jobs between two notes of the place.
const PAGE: usize = 100;
/// Jobs changed at a time.
const AT_ONCE: usize = 16;
/// The lock of the one that carries a pool's operations out.
const LOCK: &str = "operations";

/// What it takes to carry a pool's operations out.
#[derive(Debug, Clone)]
pub struct Operations {
    /// The pool's memory.
    pub store: Store,
    /// What the machine decides by.
    pub policy: Arc<Policy>,
    /// The door for jobs that are made again.
    pub door: Door,
}

/// Serves one pool until the process is to end.
pub async fn serve_operations(pool: Pool, door: Door, drain: Drain) {
    let own = Operations { store: pool.store, policy: pool.policy, door };
    loop {
        tokio::select! {
            () = drain.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let turn = tokio::select! {
            () = drain.wait() => return,
            turn = own.turn() => turn,
        };
        if let Err(error) = turn {
            tracing::warn!(pool = own.store.pool(), %error, "operations wait");
        }
    }
}

impl Operations {
    /// Whether a process carries the pool's operations out just now.
    ///
    /// # Errors
    ///
    /// As every call of the store.
    pub async fn are_in_hand(&self) -> Result<bool, StoreError> {
        self.store.is_locked(LOCK).await
    }

    /// Goes on until nothing is left to do, or another process does it.
    ///
    /// # Errors
    ///
    /// As every call of the store; the rest waits for the next turn.
    pub async fn turn(&self) -> Result<(), StoreError> {
        let ended = turn(self).await;
        // The next one need not wait until the lease is over.
        self.store.unlock(LOCK).await?;
        ended
    }
}

async fn turn(own: &Operations) -> Result<(), StoreError> {
    let store = &own.store;
    while let Some(operation) = store.next_operation().await? {
        if !store.lock(LOCK, LEASE).await? {
            return Ok(());
        }
        let id = &operation.asked.id;
        if let Some(at) = operation.ended_at {
            store.close_operation(id, at, operation.failed.as_deref()).await?;
            continue;
        }
        let mut progress = operation.progress.clone();
        let turned = page(own, &operation, &mut progress).await;
        if matches!(turned, Ok(_) | Err(Stopped::ForGood(_))) {
            let makes = operation.asked.verb == OperationVerb::Retry;
            store.note_operation(id, &progress, makes.then_some(progress.changed)).await?;
        }
        match turned {
            Ok(ended) => {
                if ended {
                    store.close_operation(id, store.now().await?, None).await?;
                    tracing::info!(operation = %id, "an operation is done");
                }
            }
            Err(Stopped::Store(error)) => return Err(error),
            Err(Stopped::Away(why)) => {
                tracing::warn!(operation = %id, why, "an operation waits");
                return Ok(());
            }
            Err(Stopped::ForGood(why)) => {
                tracing::error!(operation = %id, why, "an operation cannot be carried out");
                store.close_operation(id, store.now().await?, Some(&why)).await?;
            }
        }
    }
    Ok(())
}

/// Why a page was not done.
enum Stopped {
    /// It will be done later.
    Store(StoreError),
    /// The same, since the bucket or Redis did not take a new job.
    Away(String),
    /// It never can be, or a person has to look first.
    ForGood(String),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// One page; whether it was the last.
async fn page(
    own: &Operations,
    operation: &Operation,
    progress: &mut Progress,
) -> Result<bool, Stopped> {
    let asked = &operation.asked;
    let looked_at = progress.changed + progress.left;
    let left = asked.limit.map_or(u64::MAX, |limit| limit.saturating_sub(looked_at));
    if left == 0 {
        return Ok(true);
    }
    let limit = usize::try_from(left).unwrap_or(PAGE).min(PAGE);
    let filter =
        Filter::parse(&asked.filter).map_err(|error| Stopped::ForGood(error.to_string()))?;
    // Those that would be submitted next come first.
    let query = ListQuery { order: Order::Oldest, limit, ..ListQuery::of(filter) };
    let query = query
        .behind(progress.cursor.as_deref())
        .map_err(|error| Stopped::ForGood(error.to_string()))?;
    let page = own.store.list(&query).await?;
    for found in page.items.chunks(AT_ONCE) {
        match event(asked) {
            Some(event) => tell(own, found, &event, asked, progress).await?,
            None => make_again(own, found, asked, progress).await?,
        }
    }
    let ended = page.next.is_none() || page.items.len() as u64 >= left;
    if let Some(next) = page.next {
        progress.cursor = Some(next.to_string());
    }
    Ok(ended)
}

/// What the machine of each job is told; none for a verb that makes new jobs.
fn event(asked: &NewOperation) -> Option<Event> {
    let by = By::named(&asked.by);
    match asked.verb {
        OperationVerb::Cancel => Some(Event::CancelAsked { by }),
        OperationVerb::Pause => Some(Event::PauseAsked { by, reason: asked.reason.clone() }),
        OperationVerb::Resume => Some(Event::ResumeAsked { by }),
        OperationVerb::Dismiss => Some(Event::Dismissed { by, reason: asked.reason.clone() }),
        OperationVerb::Retry => None,
    }
}

/// The commits count what they change.
async fn tell(
    own: &Operations,
    found: &[Stored],
    event: &Event,
    asked: &NewOperation,
    progress: &mut Progress,
) -> Result<(), Stopped> {
    let report = |stored: &Stored| {
        let id = stored.record.id.clone();
        async move { own.store.report_while_open(&id, event, &own.policy, &asked.id).await }
    };
    for told in join_all(found.iter().map(report)).await {
        match told {
            Ok(Reported::Written { .. }) => {}
            Ok(
                Reported::Ignored { .. }
                | Reported::Gone
                | Reported::Fenced
                | Reported::Owned { .. },
            )
            | Err(ReportError::Contradiction(_)) => progress.left += 1,
            Err(ReportError::Store(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Makes a new job of each old one's request. A page that is done twice finds the jobs of the first time, and
/// counts them once.
async fn make_again(
    own: &Operations,
    found: &[Stored],
    asked: &NewOperation,
    progress: &mut Progress,
) -> Result<(), Stopped> {
    let again = |stored: &Stored| {
        let record = stored.record.clone();
        async move {
            match Again::of(&record) {
                Some(_) => Some(own.door.retry(&record, Source::Api, Some(&asked.by)).await),
                None => None,
            }
        }
    };
    for told in join_all(found.iter().map(again)).await {
        match told {
            None => progress.left += 1,
            Some(Ok(admitted)) => {
                let new =
                    admitted.how == How::Created || is_of(&own.store, &admitted.id, asked).await?;
                let count = if new { &mut progress.changed } else { &mut progress.left };
                *count += 1;
            }
            Some(Err(Refusal::Unavailable { cause })) => return Err(Stopped::Away(cause)),
            // Whatever is full is not waited for: other operations wait behind this one.
            Some(Err(refusal)) if refusal.is_retryable() => {
                let why = format!("{refusal}; ask for the rest when there is room");
                return Err(Stopped::ForGood(why));
            }
            Some(Err(_)) => progress.left += 1,
        }
    }
    Ok(())
}

/// Whether a job that was there already was made by an earlier turn of this operation.
async fn is_of(store: &Store, id: &JobId, asked: &NewOperation) -> Result<bool, Stopped> {
    let Some(stored) = store.load(id).await? else { return Ok(false) };
    let record = stored.record;
    let by = record.spec.made_by.as_deref() == Some(asked.by.as_str());
    Ok(by && record.created_at >= asked.created_at)
}
