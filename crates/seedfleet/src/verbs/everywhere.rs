//! The jobs of a filter wherever their records are: first in Redis, newest first; then what has left it, by the day
//! of its end.

use super::rows::Walk;
use crate::exit::Failure;
use crate::session::Session;
use erasure::{ArchiveWalk, Told};
use jiff::civil::Date;
use job::filter::Filter;
use job::{Record, State};

/// Which jobs.
pub(crate) struct Everywhere<'a> {
    pub(crate) filter: &'a Filter,
    /// Whose, where the filter says so: only their archive is read.
    pub(crate) tenant: Option<&'a str>,
    /// Which batch of that tenant, likewise.
    pub(crate) batch: Option<&'a str>,
    /// Whether those that have left Redis are wanted.
    pub(crate) archive: bool,
    /// Whether jobs that ended on this UTC day are wanted; none: those that have not ended.
    pub(crate) ended_on: &'a dyn Fn(Option<Date>) -> bool,
}

impl Everywhere<'_> {
    /// Hands them out page by page.
    ///
    /// # Errors
    ///
    /// Redis or the bucket away, or what `each` says.
    pub(crate) async fn walk(
        &self,
        session: &Session,
        mut each: impl AsyncFnMut(Vec<Record>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (mut walk, mut told) =
            (Walk::new(&session.store, self.filter.clone(), 0), Told::default());
        while let Some(page) = walk.next().await? {
            let records = page.into_iter().map(|stored| stored.record);
            let wanted = records.filter(|record| (self.ended_on)(ended_on(record)));
            each(wanted.filter(|record| told.tell(&record.id)).collect()).await?;
        }
        if !self.archive {
            return Ok(());
        }
        let now = session.store.now().await?;
        let mut walk = self.archived(session, told).await?;
        while let Some(page) = walk.next().await? {
            let wanted = page.into_iter().filter(|record| self.filter.fits(record, now));
            each(wanted.filter(|record| (self.ended_on)(ended_on(record))).collect()).await?;
        }
        Ok(())
    }

    async fn archived(&self, session: &Session, told: Told) -> Result<ArchiveWalk, Failure> {
        let wanted = |day: &str| day.parse().is_ok_and(|day| (self.ended_on)(Some(day)));
        let (store, buckets) = (session.store.clone(), session.buckets()?);
        Ok(match (self.tenant, self.batch) {
            (Some(tenant), Some(batch)) => {
                ArchiveWalk::of_batch(store, buckets, tenant, batch, told).await?
            }
            (tenant, _) => ArchiveWalk::of_days(store, buckets, tenant, wanted, told).await?,
        })
    }
}

/// The UTC day of a job's end.
fn ended_on(record: &Record) -> Option<Date> {
    let State::Finished { at, .. } = &record.life.state else { return None };
    let at = jiff::Timestamp::from_millisecond(at.unix_ms()).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).date())
}
