//! `POST /v1/batches/{id}:edit`: another order, or another end of their use, for the jobs of a batch that wait.

use super::batches::find;
use super::body::Given;
use super::job::{Rank, to_json};
use super::list;
use super::operations::{reason_of, refused};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use job::{By, Priority, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::{EditCount, JobEdit, ListQuery};
use utoipa::ToSchema;

/// Pages of one call, and jobs of a page: so many take seconds, and a call has a minute.
const PAGES: usize = 20;
const PAGE_JOBS: usize = 100;
/// What takes the end of a job's use away.
const NONE: &str = "none";

/// What is changed of a batch's jobs that wait.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = BatchEditWish)]
#[serde(deny_unknown_fields)]
pub(super) struct EditWish {
    /// Which of its jobs; docs/filters.md has the grammar. All that wait if left out.
    #[serde(default, rename = "where")]
    which: Option<String>,
    /// Their order among the tenant's jobs.
    #[serde(default)]
    priority: Option<Rank>,
    /// After which instant they are not worth buying, as RFC 3339 or a date; `none`: always.
    #[serde(default)]
    #[schema(example = "2026-12-01T00:00:00Z")]
    useful_until: Option<String>,
    /// Count only.
    #[serde(default)]
    dry_run: bool,
    /// Why; needed unless it is a dry run. Kept in the audit and in the timeline of every job it touches.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// `next` of the answer before.
    #[serde(default)]
    cursor: Option<String>,
}

/// What became of the jobs that one call looked at.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchEdit)]
struct EditView {
    /// `batch_edit`.
    object: &'static str,
    /// The batch.
    batch: String,
    /// Nothing was changed.
    dry_run: bool,
    /// Jobs that were changed; of a dry run, those that wait.
    changed: u64,
    /// Jobs that were so already.
    unchanged: u64,
    /// Jobs that have begun or ended, and stay as they are.
    begun: u64,
    /// Send the same again with this as `cursor`: there are more jobs. Null on the last stretch.
    next: Option<String>,
}

/// Edit the jobs of a batch that wait.
///
/// Each job is changed whole or not at all; those that have begun stay. One call looks at some thousand jobs: while the
/// answer has a `next`, send the same body with it as `cursor`. Asked again from the beginning, it changes what is left.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}:edit",
    operation_id = "edit_batch",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    request_body(content = EditWish),
    responses((status = 200, description = "What became of the jobs that were looked at.", body = EditView))
)]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(wish): Given<EditWish>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsWrite)?.pool.store;
    let batch = find(store, &caller.tenant, &id).await?;
    let edit = read(&wish, store.now().await?)?;
    let filter = list::filter(wish.which.as_deref(), &caller.tenant)?.batch(&batch.name);
    let query = ListQuery { limit: PAGE_JOBS, ..ListQuery::of(filter.clone()) };
    let mut query = query.behind(wish.cursor.as_deref())?;
    let by = By::named(&caller.name);
    let reason = match wish.reason.as_deref() {
        None if wish.dry_run => "",
        given => reason_of(given.unwrap_or_default())?,
    };
    if !wish.dry_run && wish.cursor.is_none() {
        store.note_edit(&batch, &edit, &filter.to_string(), &by, reason).await?;
    }
    let mut count = EditCount::default();
    for _ in 0..PAGES {
        let page = store.list(&query).await?;
        count = count.and(if wish.dry_run {
            EditCount::of(&page.items)
        } else {
            store.edit_all(&page.items, &edit, &by, reason).await?
        });
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    let view = EditView {
        object: "batch_edit",
        batch: batch.name,
        dry_run: wish.dry_run,
        changed: count.changed,
        unchanged: count.same,
        begun: count.begun,
        next: query.cursor.map(|cursor| cursor.to_string()),
    };
    Ok(Json(to_json(&view)?).into_response())
}

/// What is wanted of each job.
fn read(wish: &EditWish, now: Timestamp) -> Result<JobEdit, Problem> {
    let instant = |text: &str| match text {
        NONE => Ok(None),
        at => Timestamp::parse_instant(at).map(Some).map_err(|why| refused("useful_until", &why)),
    };
    let useful_until = wish.useful_until.as_deref().map(instant).transpose()?;
    if let Some(Some(until)) = useful_until
        && until <= now
    {
        let why = format!("{} has passed: nothing would be bought; cancel them", until.rfc3339());
        return Err(refused("useful_until", &why));
    }
    let edit = JobEdit { priority: wish.priority.map(Priority::from), useful_until };
    if edit == JobEdit::default() {
        return Err(refused("priority", "give it, or useful_until, or both"));
    }
    Ok(edit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(text: &str) -> Result<JobEdit, Problem> {
        read(&serde_json::from_str(text).unwrap(), Timestamp::from_unix_ms(1_790_000_000_000))
    }

    #[test]
    fn what_is_changed_is_read_or_refused_by_name() {
        let high = wish(r#"{"priority": "high", "useful_until": "none"}"#).unwrap();
        assert_eq!(high, JobEdit { priority: Some(Priority::High), useful_until: Some(None) });
        let later = wish(r#"{"useful_until": "2100-01-01"}"#).unwrap();
        assert!(matches!(later.useful_until, Some(Some(_))), "{later:?}");
        for (text, field) in [
            ("{}", "priority"),
            (r#"{"useful_until": "soon"}"#, "useful_until"),
            (r#"{"useful_until": "2001-01-01"}"#, "useful_until"),
        ] {
            let problem = wish(text).unwrap_err();
            assert_eq!(problem.status(), 422, "{text}");
            assert!(format!("{problem:?}").contains(field), "{problem:?}");
        }
    }
}
