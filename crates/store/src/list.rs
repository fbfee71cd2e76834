//! Lists: newest first, by one index, filtered by the record.

use crate::{Store, StoreError, Stored};
use job::{JobId, StateWord};

/// Jobs on one page.
pub const LIST_MAX: usize = 500;
/// Index entries one page may look at; a page can end early and still have a next one.
const SCAN_MAX: usize = 5_000;

/// Which jobs. Filters are combined by *and*.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Public state word.
    pub state: Option<StateWord>,
    /// Batch.
    pub batch: Option<String>,
    /// Tenant.
    pub tenant: Option<String>,
    /// Error code.
    pub code: Option<String>,
    /// From [`Page::next`].
    pub cursor: Option<String>,
    /// At most [`LIST_MAX`]; 0 means that.
    pub limit: usize,
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// Newest first.
    pub items: Vec<Stored>,
    /// Where the next page begins; none: there is none.
    pub next: Option<String>,
}

/// The place after which a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    created_ms: i64,
    id: JobId,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (ms, id) = text.split_once('.')?;
        Some(Self { created_ms: ms.parse().ok()?, id: JobId::parse(id).ok()? })
    }

    fn text(&self) -> String {
        format!("{}.{}", self.created_ms, self.id)
    }
}

impl ListQuery {
    fn fits(&self, stored: &Stored) -> bool {
        let (spec, state) = (&stored.record.spec, &stored.record.life.state);
        self.state.is_none_or(|word| state.word() == word)
            && self.batch.as_ref().is_none_or(|batch| spec.batch.as_ref() == Some(batch))
            && self.tenant.as_ref().is_none_or(|tenant| spec.tenant == *tenant)
            && self.code.as_deref().is_none_or(|code| state.failure_code() == Some(code))
    }
}

impl Store {
    /// One page of jobs. Jobs that change state between pages may be seen twice or not at all; jobs
    /// that do not are seen once.
    ///
    /// # Errors
    ///
    /// [`StoreError::Bug`] for a cursor that is none; [`StoreError::Corrupt`] for a record this
    /// binary cannot read; else as every call.
    pub async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let limit = if query.limit == 0 { LIST_MAX } else { query.limit.min(LIST_MAX) };
        let mut cursor = match &query.cursor {
            None => None,
            Some(text) => Some(
                Cursor::parse(text)
                    .ok_or_else(|| StoreError::Bug("the cursor is not one of ours".into()))?,
            ),
        };
        let (mut items, mut seen) = (Vec::new(), 0);
        loop {
            let entries = self.entries(&self.index(query), cursor.as_ref(), limit).await?;
            let last = entries.len() < limit;
            seen += entries.len();
            let ids: Vec<JobId> = entries.iter().map(|entry| entry.id.clone()).collect();
            for (entry, found) in entries.into_iter().zip(self.load_many(&ids).await?) {
                // A full page that stops in the middle goes on behind its last item.
                if items.len() == limit {
                    return Ok(Page { items, next: cursor.map(|c| c.text()) });
                }
                cursor = Some(entry);
                items.extend(found?.filter(|stored| query.fits(stored)));
            }
            if last {
                return Ok(Page { items, next: None });
            }
            if items.len() == limit || seen >= SCAN_MAX {
                return Ok(Page { items, next: cursor.map(|c| c.text()) });
            }
        }
    }

    /// The shortest index that holds every answer.
    fn index(&self, query: &ListQuery) -> String {
        let keys = self.keys();
        match query {
            ListQuery { code: Some(code), .. } => keys.ix_code(code),
            ListQuery { batch: Some(batch), .. } => keys.ix_batch(batch),
            ListQuery { state: Some(word), .. } => keys.ix_state(*word),
            ListQuery { tenant: Some(tenant), .. } => keys.ix_tenant(tenant),
            ListQuery { .. } => keys.ix_all(),
        }
    }

    /// Up to `n` entries of an index behind the cursor, newest first.
    async fn entries(
        &self,
        index: &str,
        after: Option<&Cursor>,
        n: usize,
    ) -> Result<Vec<Cursor>, StoreError> {
        let mut entries = Vec::with_capacity(n);
        // Jobs of one import share a creation instant: those at the cursor's are skipped by id.
        let (mut offset, chunk) = (0, n.max(1));
        loop {
            let top = after.map_or_else(|| "+inf".to_owned(), |c| c.created_ms.to_string());
            let mut command = redis::cmd("ZRANGE");
            command.arg(index).arg(&top).arg("-inf").arg("BYSCORE").arg("REV");
            command.arg("LIMIT").arg(offset).arg(chunk).arg("WITHSCORES");
            let got: Vec<(String, f64)> = self.connection().ask(&command).await?;
            let end = got.len() < chunk;
            offset += got.len();
            for (id, score) in got {
                let id = JobId::parse(&id).map_err(|e| StoreError::corrupt(index, e))?;
                // Scores are whole milliseconds below 2^53.
                let created_ms = score as i64;
                let seen = after.is_some_and(|c| created_ms == c.created_ms && id >= c.id);
                if !seen && entries.len() < n {
                    entries.push(Cursor { created_ms, id });
                }
            }
            if end || entries.len() == n {
                return Ok(entries);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let id = JobId::from_ulid(ulid::Ulid::generate());
        let cursor = Cursor { created_ms: 1_795_000_000_123, id };
        assert_eq!(Cursor::parse(&cursor.text()), Some(cursor));
        assert_eq!(Cursor::parse("x.y"), None);
    }
}
