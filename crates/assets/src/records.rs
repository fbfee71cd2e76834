//! Records that have left Redis: one JSON object each, in the bucket of its tenant.
//!
//! `records/<pool>/<tenant>/kept/<day of its end>/<job>.json`; of a job whose content was erased `bare` stands
//! in place of `kept`, so that whoever looks for content need not look there. A folder is a day, and a day is
//! read without its neighbours. `records/<pool>/<tenant>/users/<hash>/<day>.<job>` is an empty object for each
//! kept record of a customer; `batches/` in place of `users/`, for each record of a batch.

use crate::erase::Swept;
use crate::layout::check_name;
use crate::objects::{JSON, object_path};
use crate::{Assets, Error, sha256_hex};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::StreamExt;

/// Days in one listing of folders; ten years.
const DAYS_MAX: usize = 3_660;

/// What is left in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// Everything.
    Kept,
    /// The bill: the content was erased.
    Bare,
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace<'a> {
    /// The pool that carried the job.
    pub pool: &'a str,
    /// Whose.
    pub tenant: &'a str,
    /// Which job.
    pub job: &'a str,
    /// When it ended, Unix milliseconds.
    pub ended_ms: i64,
    /// What is left in it.
    pub kind: RecordKind,
}

/// By what records are found again beside their days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordMark {
    /// Of a customer, by the hash of its name.
    User(String),
    /// Of a batch, by its name.
    Batch(String),
}

impl RecordMark {
    fn folder(&self, pool: &str, tenant: &str) -> Result<String, Error> {
        let folder = folder(pool, tenant)?;
        match self {
            Self::User(hash) => {
                check_name("hash", hash)?;
                Ok(format!("{folder}/users/{hash}"))
            }
            // A batch may be called what no path may.
            Self::Batch(name) => Ok(format!("{folder}/batches/{}", sha256_hex(name.as_bytes()))),
        }
    }
}

impl RecordKind {
    const fn word(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Bare => "bare",
        }
    }
}

/// The first instant (Unix milliseconds) of a UTC day by its name; none for what is no day.
#[must_use]
pub fn day_begin(day: &str) -> Option<i64> {
    let date: jiff::civil::Date = day.parse().ok()?;
    let begin = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(begin.timestamp().as_millisecond())
}

/// The UTC day that holds an instant, as the name of a folder.
///
/// # Errors
///
/// [`Error::Layout`] for an instant outside the calendar.
pub fn day_of(ended_ms: i64) -> Result<String, Error> {
    let at = jiff::Timestamp::from_millisecond(ended_ms)
        .map_err(|_| crate::LayoutFault::BadDate(ended_ms))?;
    Ok(at.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
}

fn folder(pool: &str, tenant: &str) -> Result<String, Error> {
    check_name("pool", pool)?;
    check_name("tenant", tenant)?;
    Ok(format!("records/{pool}/{tenant}"))
}

impl RecordPlace<'_> {
    /// The object's path.
    ///
    /// # Errors
    ///
    /// [`Error::Layout`] for a name that must not become a path.
    pub fn path(&self) -> Result<String, Error> {
        check_name("job id", self.job)?;
        let (folder, day) = (folder(self.pool, self.tenant)?, day_of(self.ended_ms)?);
        Ok(format!("{folder}/{}/{day}/{}.json", self.kind.word(), self.job))
    }

    fn mark(&self, mark: &RecordMark) -> Result<String, Error> {
        check_name("job id", self.job)?;
        let (folder, day) = (mark.folder(self.pool, self.tenant)?, day_of(self.ended_ms)?);
        Ok(format!("{folder}/{day}.{}", self.job))
    }
}

impl Assets {
    /// Whether what is written here outlives the process.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        !self.root().starts_with("memory:")
    }

    /// Writes a record with its marks, and reads it back: what returns is in the bucket.
    ///
    /// Safe to repeat: an older text of the same record is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] where something else lies there afterwards; otherwise as [`Assets::put_task`].
    pub async fn put_record(
        &self,
        place: &RecordPlace<'_>,
        text: Bytes,
        marks: &[RecordMark],
    ) -> Result<(), Error> {
        let path = place.path()?;
        self.bound_small(&path, text.len() as u64)?;
        for mark in marks {
            self.put(&place.mark(mark)?, JSON, Bytes::from_static(b"{}")).await?;
        }
        self.put(&path, JSON, text.clone()).await?;
        let (there, _) = self.read_small(&path).await?;
        if there != text {
            let why = format!("{} bytes were written, {} others read", text.len(), there.len());
            return Err(Error::Damaged { path, why });
        }
        Ok(())
    }

    /// Reads a record; none where nothing lies.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn read_record(&self, place: &RecordPlace<'_>) -> Result<Option<Bytes>, Error> {
        match self.read_small(&place.path()?).await {
            Ok((bytes, _)) => Ok(Some(bytes)),
            Err(Error::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes a record away with these marks; what went is added to `swept`.
    ///
    /// Safe to repeat.
    ///
    /// # Errors
    ///
    /// As [`Assets::sweep`].
    pub async fn drop_record(
        &self,
        place: &RecordPlace<'_>,
        marks: &[RecordMark],
        swept: &mut Swept,
    ) -> Result<(), Error> {
        self.take_away(&place.path()?, swept).await?;
        for mark in marks {
            self.take_away(&place.mark(mark)?, &mut Swept::default()).await?;
        }
        Ok(())
    }

    /// The days with records of a tenant, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn record_days(
        &self,
        pool: &str,
        tenant: &str,
        kind: RecordKind,
    ) -> Result<Vec<String>, Error> {
        let folder = format!("{}/{}", folder(pool, tenant)?, kind.word());
        self.folders(&folder).await
    }

    /// The tenants with records in a pool.
    ///
    /// # Errors
    ///
    /// As [`Assets::record_days`].
    pub async fn record_tenants(&self, pool: &str) -> Result<Vec<String>, Error> {
        check_name("pool", pool)?;
        self.folders(&format!("records/{pool}")).await
    }

    /// Names of folders right below another, in the order of their names.
    async fn folders(&self, below: &str) -> Result<Vec<String>, Error> {
        let prefix = object_path(below)?;
        let listed = self.inner.bucket.list_with_delimiter(Some(&prefix)).await;
        let listed = listed.map_err(|e| Error::from_store(below, e))?;
        let names = listed.common_prefixes.iter().filter_map(|path| path.filename());
        let mut names: Vec<String> = names.map(str::to_owned).take(DAYS_MAX).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Up to `max` jobs with a record on a day, in no order.
    ///
    /// # Errors
    ///
    /// As [`Assets::record_days`].
    pub async fn records_of_day(
        &self,
        pool: &str,
        tenant: &str,
        kind: RecordKind,
        day: &str,
        max: usize,
    ) -> Result<Vec<String>, Error> {
        check_name("day", day)?;
        let folder = format!("{}/{}/{day}", folder(pool, tenant)?, kind.word());
        self.names(&folder, ".json", max).await
    }

    /// Up to `max` days and jobs whose records have this mark, in no order.
    ///
    /// # Errors
    ///
    /// As [`Assets::record_days`].
    pub async fn records_marked(
        &self,
        pool: &str,
        tenant: &str,
        mark: &RecordMark,
        max: usize,
    ) -> Result<Vec<(String, String)>, Error> {
        let below = mark.folder(pool, tenant)?;
        let names = self.names(&below, "", max).await?;
        let parted = names.iter().filter_map(|name| name.split_once('.'));
        Ok(parted.map(|(day, job)| (day.to_owned(), job.to_owned())).collect())
    }

    async fn names(&self, below: &str, end: &str, max: usize) -> Result<Vec<String>, Error> {
        let prefix = object_path(below)?;
        let listed = self.inner.bucket.list(Some(&prefix)).take(max);
        let listed: Vec<_> = listed.try_collect().await.map_err(|e| Error::from_store(below, e))?;
        let names = listed.iter().filter_map(|meta| meta.location.filename());
        Ok(names.filter_map(|name| name.strip_suffix(end)).map(str::to_owned).collect())
    }
}
