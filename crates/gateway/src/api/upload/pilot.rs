//! `pilot` of a stream of rows: they are bought, and what comes to their batch beside them waits for a person.

use crate::problem::Problem;
use axum::http::StatusCode;
use job::{By, Timestamp};
use store::{Batch, Store};

/// Refuses a batch in which a pilot could not hold the others.
pub(super) async fn fits(store: &Store, (tenant, name): (&str, &str)) -> Result<(), Problem> {
    match store.batch(tenant, name).await? {
        Some(batch) if batch.pilot.is_none() => {
            let is_new = batch.jobs() == 0 && batch.paused.is_none() && batch.piloted.is_none();
            if is_new { Ok(()) } else { Err(not_new(&batch)) }
        }
        Some(_) | None => Ok(()),
    }
}

/// Pauses a batch for all but the rows of its pilot, or finds it so.
pub(super) async fn begin(
    store: &Store,
    (tenant, name): (&str, &str),
    rows: u32,
    by: &By,
) -> Result<(), Problem> {
    if store.begin_pilot(tenant, name, rows, by).await? {
        return Ok(());
    }
    match store.batch(tenant, name).await? {
        Some(batch) if batch.pilot.is_none() => Err(not_new(&batch)),
        Some(_) | None => Ok(()),
    }
}

/// Takes the rows out of the queue that were taken in after this instant, where the batch waits for its pilot.
pub(super) async fn hold_others(
    store: &Store,
    (tenant, name): (&str, &str),
    after: Timestamp,
    by: &By,
) -> Result<(), Problem> {
    let Some(batch) = store.batch(tenant, name).await?.filter(|batch| batch.pilot.is_some()) else {
        return Ok(());
    };
    store.hold_beside_pilot(&batch, after, by).await?;
    Ok(())
}

/// More rows than were announced.
pub(super) fn too_many(most: u32) -> Problem {
    let title = format!("the stream has more rows than the {most} of its pilot");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-items", title)
        .detail("send the pilot's rows, and then all rows without `pilot`")
}

fn not_new(batch: &Batch) -> Problem {
    let title = format!("batch {} is not new: it has {} jobs", batch.name, batch.jobs());
    Problem::new(StatusCode::CONFLICT, "batch-not-new", title)
        .detail("name another batch, or leave `pilot` out; no row was taken in")
}
