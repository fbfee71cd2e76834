//! Pilots: a batch of which a few rows are bought first, and the others wait until a person has seen what came of them.
//!
//! The batch is paused before any of its rows is taken in; Begin lets jobs through that carry the mark of the pilot, as
//! long as the pause is the pilot's. So nobody who looks in between, and nobody who dies, buys another row.

use crate::batches::{Batch, Paused};
use crate::turn::{Turn, seen_pause};
use crate::{Store, StoreError};
use job::{By, Timestamp};

/// Rows of a pilot at most.
pub const PILOT_MAX: u32 = 1_000;

impl Store {
    /// Pauses a batch that is new for all but the rows of its pilot. Not one that has jobs, is paused or had a pilot
    /// already: tells whether it did.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat, as what finds it paused.
    pub async fn begin_pilot(
        &self,
        tenant: &str,
        name: &str,
        rows: u32,
        by: &By,
    ) -> Result<bool, StoreError> {
        let Some(batch) = self.batch(tenant, name).await? else { return Ok(false) };
        if batch.jobs() > 0 || batch.paused.is_some() || batch.piloted.is_some() {
            return Ok(false);
        }
        let at = self.now().await?;
        let paused = Paused { by: by.clone(), at, reason: format!("pilot of {rows}") };
        let mut seen = seen_pause(&batch)?;
        seen.push(("piloted", String::new()));
        let mut writes = self.mark(&batch, &paused)?;
        let key = self.keys().batch(tenant, name);
        writes.push(("HSET", key, vec!["pilot".to_owned(), rows.to_string()]));
        let said = format!("{name} of {tenant} waits for its {}", paused.reason);
        writes.extend(self.audited(at, "pilot", by.as_str(), &said));
        self.turn(Turn { batch: &batch, seen, writes, news: Some(&paused) }).await
    }

    /// Begins an operation that takes the other rows out of the queue: those that were taken in after this instant.
    /// Only while the batch waits for its pilot; tells whether it did. Where too many operations wait, submitters take
    /// them out one by one.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat, as one operation more that finds nothing to do.
    pub async fn hold_beside_pilot(
        &self,
        batch: &Batch,
        after: Timestamp,
        by: &By,
    ) -> Result<bool, StoreError> {
        let Some(paused) = batch.paused.as_ref().filter(|_| batch.pilot.is_some()) else {
            return Ok(false);
        };
        let (seen, now) = (seen_pause(batch)?, self.now().await?);
        let clearing = self.clearing(batch, Some(after), (by, &paused.reason), now).await?;
        let Some(writes) = clearing else { return Ok(false) };
        self.turn(Turn { batch, seen, writes, news: None }).await
    }
}
