//! Records in the bucket, read back.

use assets::{Assets, Buckets, RecordKind, RecordPlace};
use bytes::Bytes;
use std::sync::OnceLock;
use store::{ARCHIVE_VERSION, ArchivePlace, Archived, Fetch, Shelf, StoreError};

type Opens = Box<dyn Fn() -> Result<Buckets, String> + Send + Sync>;

/// The records of all tenants. The buckets are opened when the first one is asked for: most processes never ask.
pub struct Records {
    opens: Opens,
    opened: OnceLock<Result<Buckets, String>>,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("opened", &self.opened.get().is_some()).finish()
    }
}

impl Records {
    /// Records in the buckets that this opens.
    #[must_use]
    pub fn opened_by(opens: impl Fn() -> Result<Buckets, String> + Send + Sync + 'static) -> Self {
        Self { opens: Box::new(opens), opened: OnceLock::new() }
    }
}

/// Where a record lies.
pub(crate) fn place<'a>(pool: &'a str, place: &'a ArchivePlace) -> RecordPlace<'a> {
    RecordPlace {
        pool,
        tenant: &place.tenant,
        job: place.job.as_str(),
        ended_ms: place.ended_at.unix_ms(),
        revision: place.revision,
        kind: if place.bare { RecordKind::Bare } else { RecordKind::Kept },
    }
}

/// Reads a record as it lies in the bucket.
pub(crate) fn read(what: &str, text: &[u8]) -> Result<Archived, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what: what.to_owned(), why };
    let archived: Archived =
        serde_json::from_slice(text).map_err(|error| corrupt(error.to_string()))?;
    let (version, schema) = (archived.version, archived.record.schema);
    if version > ARCHIVE_VERSION || !job::Versions::own().reads(schema) {
        let why = format!("a newer program wrote it (version {version}, schema {schema}): upgrade");
        return Err(corrupt(why));
    }
    Ok(archived)
}

/// The text that a tombstone names. A server that was set back, to a copy or by a loss, may name one that a younger
/// text of the same job has replaced since: then that one.
async fn text(bucket: &Assets, lies: &RecordPlace<'_>) -> Result<Option<Bytes>, assets::Error> {
    if let Some(text) = bucket.read_record(lies).await? {
        return Ok(Some(text));
    }
    let mut youngest = None;
    for kind in [RecordKind::Kept, RecordKind::Bare] {
        let beside = RecordPlace { kind, ..*lies };
        for revision in bucket.record_revisions(&beside).await? {
            let found = RecordPlace { revision, ..beside };
            if youngest.map_or(lies.revision, |most: RecordPlace<'_>| most.revision) < revision {
                youngest = Some(found);
            }
        }
    }
    match youngest {
        Some(found) => bucket.read_record(&found).await,
        None => Ok(None),
    }
}

impl Shelf for Records {
    fn fetch<'a>(&'a self, pool: &'a str, at: &'a ArchivePlace) -> Fetch<'a> {
        Box::pin(async move {
            let opened = self.opened.get_or_init(|| (self.opens)());
            let buckets = opened.as_ref().map_err(|why| {
                let cause = format!("{} lies in the bucket, which cannot be opened: {why}", at.job);
                StoreError::Refused { cause }
            })?;
            let lies = place(pool, at);
            let text = text(buckets.of(&at.tenant), &lies).await.map_err(|error| {
                let cause = format!("{} lies in the bucket: {error}", at.job);
                StoreError::Refused { cause }
            })?;
            text.map(|text| read(at.job.as_str(), &text)).transpose()
        })
    }
}
