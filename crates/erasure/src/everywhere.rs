//! The jobs of a filter wherever their records are: first in Redis, then what has left it, by the day of its end.

use crate::eraser::EraseError;
use crate::walk::{ArchiveWalk, Told};
use assets::Buckets;
use job::filter::{Field, Filter};
use job::{Record, State, Timestamp};
use store::{ListQuery, Order, Store};

/// Records of Redis in memory at once.
const AT_ONCE: usize = 100;

/// The UTC days, such as 2026-11-27, on which jobs ended. Where one is named, jobs that have not ended are not meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Days {
    /// The first one.
    pub from: Option<String>,
    /// The last one.
    pub until: Option<String>,
}

impl Days {
    /// Whether jobs that ended on that day are meant; none: those that have not ended.
    fn hold(&self, day: Option<&str>) -> bool {
        match day {
            Some(day) => {
                self.from.as_deref().is_none_or(|from| from <= day)
                    && self.until.as_deref().is_none_or(|until| day <= until)
            }
            None => self.from.is_none() && self.until.is_none(),
        }
    }
}

/// A walk over all of them, with bounded memory beside 16 bytes for each job.
#[derive(Debug)]
pub struct Everywhere {
    store: Store,
    buckets: Buckets,
    filter: Filter,
    tenant: Option<String>,
    days: Days,
    /// Whether those that have left Redis are wanted.
    archive: bool,
    rest: Rest,
}

/// What is still to be read.
#[derive(Debug)]
enum Rest {
    /// The list in Redis, and what it has shown so far.
    Here(Box<ListQuery>, Told),
    /// What has left it, and the instant at which it is looked at.
    Archived(Box<ArchiveWalk>, Timestamp),
    /// Nothing.
    Nothing,
}

impl Everywhere {
    /// Over every job of a filter, those in Redis in this order.
    #[must_use]
    pub fn new(store: Store, buckets: Buckets, filter: Filter, order: Order) -> Self {
        let query = ListQuery { order, limit: AT_ONCE, ..ListQuery::of(filter.clone()) };
        let rest = Rest::Here(Box::new(query), Told::default());
        Self { store, buckets, filter, tenant: None, days: Days::default(), archive: true, rest }
    }

    /// Of a tenant's own jobs, whatever the filter says: nobody else's objects are read.
    #[must_use]
    pub fn of_tenant(mut self, tenant: &str) -> Self {
        self.filter = self.filter.tenant(tenant);
        if let Rest::Here(query, _) = &mut self.rest {
            query.filter = self.filter.clone();
        }
        self.tenant = Some(tenant.to_owned());
        self
    }

    /// Only those that ended on such days.
    #[must_use]
    pub fn ended(mut self, days: Days) -> Self {
        self.days = days;
        self
    }

    /// With those that have left Redis, or without.
    #[must_use]
    pub const fn archive(mut self, wanted: bool) -> Self {
        self.archive = wanted;
        self
    }

    /// The next few records, perhaps none of them; `None` at the end. Each job comes once.
    ///
    /// # Errors
    ///
    /// Redis or the bucket away; the walk cannot go on.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, EraseError> {
        match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Here(mut query, mut told) => {
                let page = self.store.list(&query).await?;
                let mut records = Vec::with_capacity(page.items.len());
                for stored in page.items {
                    if self.meant(&stored.record)? && told.tell(&stored.record.id) {
                        records.push(stored.record);
                    }
                }
                self.rest = match page.next {
                    Some(cursor) => {
                        query.cursor = Some(cursor);
                        Rest::Here(query, told)
                    }
                    None => self.archived(told).await?,
                };
                Ok(Some(records))
            }
            Rest::Archived(mut walk, now) => {
                let Some(read) = walk.next().await? else { return Ok(None) };
                let mut records = Vec::with_capacity(read.len());
                for record in read {
                    if self.filter.fits(&record, now) && self.meant(&record)? {
                        records.push(record);
                    }
                }
                self.rest = Rest::Archived(walk, now);
                Ok(Some(records))
            }
            Rest::Nothing => Ok(None),
        }
    }

    /// Whether its end lies on a day that is meant.
    fn meant(&self, record: &Record) -> Result<bool, EraseError> {
        // Most walks name no days, and need none of the calendar.
        if self.days == Days::default() {
            return Ok(true);
        }
        let State::Finished { at, .. } = &record.life.state else {
            return Ok(self.days.hold(None));
        };
        Ok(self.days.hold(Some(&assets::day_of(at.unix_ms())?)))
    }

    /// What has left Redis: of one tenant's batch by its marks, and else by the days of the ends.
    async fn archived(&self, told: Told) -> Result<Rest, EraseError> {
        if !self.archive {
            return Ok(Rest::Nothing);
        }
        let only = |field| {
            let names = self.filter.one_of(field).filter(|names| names.len() == 1)?;
            names.first().cloned()
        };
        let (tenant, batch) =
            (self.tenant.clone().or_else(|| only(Field::Tenant)), only(Field::Batch));
        let (store, buckets) = (self.store.clone(), self.buckets.clone());
        let now = store.now().await?;
        let walk = match (tenant, batch) {
            (Some(tenant), Some(batch)) => {
                ArchiveWalk::of_batch(store, buckets, &tenant, &batch, told).await?
            }
            (tenant, _) => {
                let days = self.days.clone();
                let wanted = move |day: &str| days.hold(Some(day));
                ArchiveWalk::of_days(store, buckets, tenant.as_deref(), wanted, told).await?
            }
        };
        Ok(Rest::Archived(Box::new(walk), now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_bound_ends_and_leave_out_what_has_none() {
        let days = |from: &str, until: &str| {
            let some = |day: &str| (!day.is_empty()).then(|| day.to_owned());
            Days { from: some(from), until: some(until) }
        };
        assert!(days("", "").hold(None) && days("", "").hold(Some("2026-11-27")));
        let two = days("2026-11-27", "2026-11-28");
        for (day, held) in [
            (Some("2026-11-26"), false),
            (Some("2026-11-27"), true),
            (Some("2026-11-28"), true),
            (Some("2026-11-29"), false),
            (None, false),
        ] {
            assert_eq!(two.hold(day), held, "{day:?}");
        }
        assert!(days("2026-11-27", "").hold(Some("2027-01-01")));
        assert!(days("", "2026-11-27").hold(Some("2026-01-01")));
    }
}
