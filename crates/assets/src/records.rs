//! Records that have left Redis: one JSON object each, in the bucket of its tenant.
//!
//! `records/<pool>/<tenant>/kept/<day of its end>/<job>/<revision>.json`; of a job whose content was erased `bare`
//! stands in place of `kept`, so that whoever looks for content need not look there. A folder is a day, and a day is
//! read without its neighbours. The revision is in the name so that a late writer never replaces a younger text.
//! `records/<pool>/<tenant>/users/<hash>/<day>.<job>.<revision>` is an empty object for each kept record of a
//! customer; `batches/` in place of `users/`, for each record of a batch.

use crate::erase::Swept;
use crate::layout::check_name;
use crate::objects::{JSON, object_path};
use crate::{Assets, Error, sha256_hex};
use bytes::Bytes;
use futures::TryStreamExt;
use futures::stream::StreamExt;
use object_store::path::Path as ObjectPath;

/// Texts of one record in one listing; it has as many only if it came and went again and again.
const REVISIONS_MAX: usize = 1_000;

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
    /// Of the record: another text of it has another name.
    pub revision: u64,
    /// What is left in it.
    pub kind: RecordKind,
}

/// A record by its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordName {
    /// The UTC day of its end.
    pub day: String,
    /// Which job.
    pub job: String,
    /// Of the record.
    pub revision: u64,
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
        Ok(format!("{}/{}.json", self.folder()?, self.revision))
    }

    /// The folder of all texts of this record that ended on that day.
    fn folder(&self) -> Result<String, Error> {
        check_name("job id", self.job)?;
        let (folder, day) = (folder(self.pool, self.tenant)?, day_of(self.ended_ms)?);
        Ok(format!("{folder}/{}/{day}/{}", self.kind.word(), self.job))
    }

    fn mark(&self, mark: &RecordMark) -> Result<String, Error> {
        check_name("job id", self.job)?;
        let (folder, day) = (mark.folder(self.pool, self.tenant)?, day_of(self.ended_ms)?);
        Ok(format!("{folder}/{day}.{}.{}", self.job, self.revision))
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
    /// Safe to repeat.
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
        // The record first: whoever puts in order what a crash has left learns of its marks from it.
        self.put(&path, JSON, text.clone()).await?;
        for mark in marks {
            self.put(&place.mark(mark)?, JSON, Bytes::from_static(b"{}")).await?;
        }
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

    /// Takes a record away with these marks; what went is added to `swept`. The marks go last: a record that nobody
    /// finds any more would stay for ever.
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
            self.drop_record_mark(place, mark).await?;
        }
        Ok(())
    }

    /// Takes one mark of a record away. Safe to repeat.
    ///
    /// # Errors
    ///
    /// As [`Assets::sweep`].
    pub async fn drop_record_mark(
        &self,
        place: &RecordPlace<'_>,
        mark: &RecordMark,
    ) -> Result<(), Error> {
        self.take_away(&place.mark(mark)?, &mut Swept::default()).await
    }

    /// The revisions of a record that lie in the folder of this day and kind.
    ///
    /// # Errors
    ///
    /// [`Error::Denied`] or [`Error::Unavailable`].
    pub async fn record_revisions(&self, place: &RecordPlace<'_>) -> Result<Vec<u64>, Error> {
        let paths = self.paths(&place.folder()?, REVISIONS_MAX).await?;
        Ok(paths.iter().filter_map(revision).collect())
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
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Up to `max` records that ended on a day, in no order.
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
    ) -> Result<Vec<RecordName>, Error> {
        check_name("day", day)?;
        let folder = format!("{}/{}/{day}", folder(pool, tenant)?, kind.word());
        let paths = self.paths(&folder, max).await?;
        let named = paths.iter().filter_map(|path| {
            let job = path.parts().nth_back(1)?.as_ref().to_owned();
            Some(RecordName { day: day.to_owned(), job, revision: revision(path)? })
        });
        Ok(named.collect())
    }

    /// Up to `max` records that have this mark, in no order.
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
    ) -> Result<Vec<RecordName>, Error> {
        let paths = self.paths(&mark.folder(pool, tenant)?, max).await?;
        let named = paths.iter().filter_map(|path| {
            let mut words = path.filename()?.split('.').map(str::to_owned);
            let (day, job) = (words.next()?, words.next()?);
            Some(RecordName { day, job, revision: words.next()?.parse().ok()? })
        });
        Ok(named.collect())
    }

    async fn paths(&self, below: &str, max: usize) -> Result<Vec<ObjectPath>, Error> {
        let prefix = object_path(below)?;
        let listed = self.inner.bucket.list(Some(&prefix)).take(max);
        listed
            .map_ok(|meta| meta.location)
            .try_collect()
            .await
            .map_err(|e| Error::from_store(below, e))
    }
}

/// Of an object `<revision>.json`.
fn revision(path: &ObjectPath) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}
