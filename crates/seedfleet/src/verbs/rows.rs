//! Jobs as rows, and walks over many of them with bounded memory.

use crate::exit::Failure;
use crate::output::Row;
use job::filter::Filter;
use job::{HeldWhy, Record, State};
use serde_json::json;
use store::{Cursor, ListQuery, Store, Stored};

/// Columns of job lists.
pub(crate) const JOB_COLUMNS: &[&str] =
    &["job", "state", "model", "mode", "batch", "custom_id", "created_at", "code"];

/// One job for a list.
pub(crate) fn job(record: &Record) -> Row {
    let (spec, state) = (&record.spec, &record.life.state);
    let mut row = Row::new();
    row.insert("job".into(), json!(record.id));
    row.insert("state".into(), json!(state.word().as_str()));
    row.insert("model".into(), json!(spec.request.model.word()));
    row.insert("mode".into(), json!(spec.request.mode().word()));
    row.insert("tenant".into(), json!(spec.tenant));
    row.insert("batch".into(), json!(spec.batch));
    row.insert("custom_id".into(), json!(spec.custom_id));
    row.insert("created_at".into(), json!(record.created_at.rfc3339()));
    row.insert("updated_at".into(), json!(record.life.updated_at.rfc3339()));
    row.insert("code".into(), json!(state.failure_code()));
    row.insert("task".into(), json!(state.task().map(|task| task.id.as_str())));
    row
}

/// What a person is told of an end or of a wait.
pub(crate) fn reason(state: &State) -> Option<String> {
    match state {
        State::Held { why } => Some(held(*why).to_owned()),
        State::InDoubt { cause, .. } => Some(cause.to_string()),
        State::Parked { why, .. } => Some(why.to_string()),
        State::Finished { end, .. } => end_words(end),
        State::Queued { .. }
        | State::Submitting { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. } => None,
    }
}

const fn held(why: HeldWhy) -> &'static str {
    match why {
        HeldWhy::Review => "waits for review",
        HeldWhy::Budget { .. } => "waits for budget",
        HeldWhy::Paused { .. } => "paused",
    }
}

fn end_words(end: &job::End) -> Option<String> {
    match end {
        job::End::Stored { .. } | job::End::NotUseful | job::End::TimedOut => None,
        job::End::Failed { cause } => {
            Some(format!("{} ({}): {}", cause.code, cause.class, cause.message))
        }
        job::End::Expired { retryable: true } => Some("may be asked for again".to_owned()),
        job::End::Expired { retryable: false } => None,
        job::End::Cancelled { by } => Some(format!("by {}", by.as_str())),
        job::End::Rejected { by, reason } | job::End::GivenUp { by, reason } => {
            Some(format!("by {}: {reason}", by.as_str()))
        }
        job::End::OutputLost { reason } => Some(reason.clone()),
    }
}

/// A walk over the jobs of a filter, newest first.
pub(crate) struct Walk<'a> {
    store: &'a Store,
    query: ListQuery,
    left: u64,
    ended: bool,
    /// The last page looked at as much as one may and found less than was asked for.
    cut: bool,
}

impl<'a> Walk<'a> {
    /// At most `limit` jobs, all for 0.
    pub(crate) fn new(store: &'a Store, filter: Filter, limit: u64) -> Self {
        let left = if limit == 0 { u64::MAX } else { limit };
        Self { store, query: ListQuery::of(filter), left, ended: false, cut: false }
    }

    /// Where a walk before ended.
    ///
    /// # Errors
    ///
    /// No cursor, or that of another filter.
    pub(crate) fn behind(mut self, cursor: Option<&str>) -> Result<Self, Failure> {
        self.query = self.query.behind(cursor)?;
        Ok(self)
    }

    /// The next few jobs; `None` at the end.
    ///
    /// # Errors
    ///
    /// Redis away, or a cursor that is none.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Stored>>, Failure> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        self.query.limit =
            usize::try_from(self.left).unwrap_or(store::LIST_MAX).min(store::LIST_MAX);
        let page = self.store.list(&self.query).await?;
        self.left -= page.items.len() as u64;
        self.ended = page.next.is_none();
        self.cut = !self.ended && page.items.len() < self.query.limit;
        self.query.cursor = page.next;
        Ok(Some(page.items))
    }

    /// Whether the last page ended early, since the filter lets few of very many jobs through.
    pub(crate) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Where a later walk goes on; `None` when there is nothing behind.
    pub(crate) fn cursor(&self) -> Option<&Cursor> {
        self.query.cursor.as_ref().filter(|_| !self.ended)
    }
}
