//! Carries operations out: one gateway at a time for each pool, the next one where that is killed.
//!
//! The place an operation has come to is written down after each page, so a page may be looked at twice: what
//! it does to a job is no news the second time, and the commit that does it also counts it.

use futures::future::join_all;
use job::filter::Filter;
use job::{By, Event};
use std::time::Duration;
use store::{
    ListQuery, Operation, OperationVerb, Order, Progress, ReportError, Reported, StoreError,
};
use worker::{Drain, Pool};

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

/// Serves one pool until the process is to end.
pub(crate) async fn serve(pool: Pool, drain: Drain) {
    loop {
        tokio::select! {
            () = drain.wait() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let turn = tokio::select! {
            () = drain.wait() => return,
            turn = turn(&pool) => turn,
        };
        if let Err(error) = turn {
            tracing::warn!(pool = pool.name, %error, "operations wait");
        }
    }
}

/// Goes on until nothing is left to do, or another gateway does it.
async fn turn(pool: &Pool) -> Result<(), StoreError> {
    let store = &pool.store;
    while let Some(operation) = store.next_operation().await? {
        if !store.lock(LOCK, LEASE).await? {
            return Ok(());
        }
        let id = &operation.asked.id;
        if let Some(at) = operation.ended_at {
            store.close_operation(id, at, operation.failed.as_deref()).await?;
            continue;
        }
        match page(pool, &operation).await {
            Ok((progress, ended)) => {
                store.note_operation(id, &progress).await?;
                if ended {
                    store.close_operation(id, store.now().await?, None).await?;
                    tracing::info!(operation = %id, "an operation is done");
                }
            }
            Err(Stopped::Store(error)) => return Err(error),
            Err(Stopped::Unreadable(why)) => {
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
    /// It never can be.
    Unreadable(String),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

async fn page(pool: &Pool, operation: &Operation) -> Result<(Progress, bool), Stopped> {
    let (asked, mut progress) = (&operation.asked, operation.progress.clone());
    let filter =
        Filter::parse(&asked.filter).map_err(|error| Stopped::Unreadable(error.to_string()))?;
    // Those that would be submitted next come first.
    let query = ListQuery { order: Order::Oldest, limit: PAGE, ..ListQuery::of(filter) };
    let query = query
        .behind(progress.cursor.as_deref())
        .map_err(|error| Stopped::Unreadable(error.to_string()))?;
    let page = pool.store.list(&query).await?;
    let event = event(operation);
    let ids: Vec<_> = page.items.into_iter().map(|stored| stored.record.id).collect();
    for ids in ids.chunks(AT_ONCE) {
        let report = |id| pool.store.report_while_open(id, &event, &pool.policy, &asked.id);
        for told in join_all(ids.iter().map(report)).await {
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
    }
    let ended = page.next.is_none();
    if let Some(next) = page.next {
        progress.cursor = Some(next.to_string());
    }
    Ok((progress, ended))
}

fn event(operation: &Operation) -> Event {
    let by = By::named(&operation.asked.by);
    match operation.asked.verb {
        OperationVerb::Cancel => Event::CancelAsked { by },
        OperationVerb::Pause => Event::PauseAsked { by, reason: operation.asked.reason.clone() },
        OperationVerb::Resume => Event::ResumeAsked { by },
    }
}
