//! What is still under way about jobs that have ended: their records stay at hand until it is over.

use crate::{Mark, OperationVerb, Store, StoreError};
use job::filter::Filter;
use job::{Record, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// Endpoints that are looked at; with more of them, all tenants wait as long as the last one that was.
const ENDPOINTS: usize = 500;
/// A commit reaches the stream so long after the instant that its record names, at the very most.
const COMMIT_MAX: Duration = Duration::from_secs(60);

/// Events that nobody has been told of yet, and operations that have not come to their jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnderWay {
    /// The oldest event that is not shared out among the outboxes.
    told_before: Option<Timestamp>,
    /// By tenant: its oldest event that waits in an outbox.
    told_before_of: BTreeMap<String, Timestamp>,
    /// The jobs of operations on ended ones.
    asked: Vec<Filter>,
}

impl UnderWay {
    /// Whether any of it is about this record.
    #[must_use]
    pub fn holds(&self, record: &Record, now: Timestamp) -> bool {
        let of_tenant = self.told_before_of.get(&record.spec.tenant);
        let untold = self.told_before.iter().chain(of_tenant).min();
        untold.is_some_and(|oldest| record.life.updated_at + COMMIT_MAX >= *oldest)
            || self.asked.iter().any(|filter| filter.fits(record, now))
    }
}

impl Store {
    /// What is under way in the pool.
    ///
    /// # Errors
    ///
    /// As every call. [`StoreError::Corrupt`] for an operation whose filter a newer binary wrote.
    pub async fn under_way(&self) -> Result<UnderWay, StoreError> {
        let mut told_before = match self.shared_to().await? {
            // Nobody asks for events.
            None => None,
            Some(mark) => self.first_after(mark).await?,
        };
        let pending = self.pending_endpoints(ENDPOINTS).await?;
        if let Some((_, at)) = pending.last()
            && pending.len() == ENDPOINTS
        {
            told_before = Some(told_before.map_or(*at, |before| before.min(*at)));
        }
        let ids: Vec<String> = pending.iter().map(|(id, _)| id.clone()).collect();
        let mut told_before_of = BTreeMap::new();
        for (state, (_, at)) in self.endpoints_by_id(&ids).await?.into_iter().zip(pending) {
            let Some(state) = state else { continue };
            let oldest = told_before_of.entry(state.endpoint.tenant).or_insert(at);
            *oldest = at.min(*oldest);
        }
        let mut asked = Vec::new();
        for operation in self.open_operations().await? {
            match operation.asked.verb {
                OperationVerb::Retry => {
                    let filter = &operation.asked.filter;
                    let filter = Filter::parse(filter)
                        .map_err(|error| StoreError::corrupt(&operation.asked.id, error))?;
                    asked.push(filter);
                }
                // They change nothing about jobs that have ended.
                OperationVerb::Cancel
                | OperationVerb::Pause
                | OperationVerb::Resume
                | OperationVerb::Dismiss => {}
            }
        }
        Ok(UnderWay { told_before, told_before_of, asked })
    }

    async fn first_after(&self, mark: Mark) -> Result<Option<Timestamp>, StoreError> {
        let next = self.changes_after(mark, 1).await?;
        Ok(next.first().map(|change| change.mark.at()))
    }
}
