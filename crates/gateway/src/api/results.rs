//! Results as rows, one for each job: of a batch, or of any filter.

use super::batches::find;
use super::list;
use super::query::Asked;
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use erasure::{Days, EraseError, Everywhere};
use job::filter::Filter;
use serde::Deserialize;
use std::sync::Arc;
use store::Order;
use survey::{RESULT_COLUMNS, Results, csv_line};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FormAsked {
    /// The form of the rows.
    #[serde(default)]
    #[param(inline)]
    format: Form,
}

/// The form of result rows.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Form {
    /// One JSON object a line.
    #[default]
    Jsonl,
    /// A head line and one line for each job.
    Csv,
}

/// Which jobs, wherever their records are.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WhichAsked {
    /// Which jobs, such as `state=failed,expired age>1h`; docs/filters.md has the grammar. All of them if left out.
    #[serde(default, rename = "where")]
    which: Option<String>,
    /// Only jobs that ended on this UTC day or later.
    #[serde(default)]
    #[param(format = Date, example = "2026-11-27")]
    ended_from: Option<String>,
    /// Only jobs that ended on this UTC day or before.
    #[serde(default)]
    #[param(format = Date, example = "2026-11-28")]
    ended_until: Option<String>,
    /// Whether jobs are told whose records have left Redis for the bucket.
    #[serde(default = "yes")]
    #[param(default = true)]
    archive: bool,
}

const fn yes() -> bool {
    true
}

impl WhichAsked {
    /// A walk over the caller's own jobs, newest first, and behind them those that have left Redis.
    pub(super) fn walk(
        &self,
        app: &App,
        door: &PoolDoor,
        caller: &Caller,
    ) -> Result<Everywhere, Problem> {
        let filter = list::filter(self.which.as_deref(), &caller.tenant)?;
        let days = Days {
            from: day("ended_from", self.ended_from.as_deref())?,
            until: day("ended_until", self.ended_until.as_deref())?,
        };
        let (store, buckets) = (door.pool.store.clone(), app.buckets.clone());
        let walk = Everywhere::new(store, buckets, filter, Order::Newest);
        Ok(walk.of_tenant(&caller.tenant).ended(days).archive(self.archive))
    }
}

/// A day by its name, written as folders are named by it.
fn day(field: &str, text: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let named = |day: &str| assets::day_begin(day).and_then(|ms| assets::day_of(ms).ok());
    match named(text).filter(|name| name == text) {
        Some(name) => Ok(Some(name)),
        None => {
            let title = format!("{field} is no day");
            let problem = Problem::new(StatusCode::BAD_REQUEST, "bad-query", title);
            Err(problem.detail("write it like 2026-11-27"))
        }
    }
}

/// Results of jobs.
///
/// One row for every job of the filter as it stands now, finished or not, newest first, as a stream. Jobs whose records have
/// left Redis for the bucket come behind the others, by the day of their end. Where no job fits for a while, an empty line
/// of JSON says that the search goes on.
#[utoipa::path(
    get,
    path = "/v1/results",
    operation_id = "get_results",
    tag = "outputs",
    params(WhichAsked, FormAsked),
    responses((status = 200, description = "The rows.", content(
        (String = "application/x-ndjson"), (String = "text/csv"),
    )))
)]
pub(super) async fn of_jobs(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(which): Asked<WhichAsked>,
    Asked(asked): Asked<FormAsked>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    let walk = which.walk(&app, door, &caller)?;
    Ok(answer(&app, door, (walk, true), asked.format))
}

/// Results of a batch.
///
/// One row for every job of the batch as it stands now, finished or not, oldest first, as a stream. Jobs whose records have
/// left Redis for the bucket come behind the others.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}/results",
    operation_id = "get_batch_results",
    tag = "batches",
    params(("id" = String, Path, description = "The batch."), FormAsked),
    responses((status = 200, description = "The rows.", content(
        (String = "application/x-ndjson"), (String = "text/csv"),
    )))
)]
pub(super) async fn of_batch(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<FormAsked>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    let store = door.pool.store.clone();
    find(&store, &caller.tenant, &id).await?;
    let filter = Filter::all().batch(&id);
    let walk = Everywhere::new(store, app.buckets.clone(), filter, Order::Oldest);
    Ok(answer(&app, door, (walk.of_tenant(&caller.tenant), false), asked.format))
}

/// The rows of a walk as they are read; where it beats, an empty line for pages without one: what is silent for long is
/// hung up on.
fn answer(app: &App, door: &PoolDoor, (walk, beats): (Everywhere, bool), form: Form) -> Response {
    let settings = &door.pool.settings;
    let rows = Results::new(app.buckets.clone(), settings.route, settings.simulated);
    let head = match form {
        Form::Csv => csv_line(RESULT_COLUMNS.iter().map(|column| (*column).to_owned())),
        Form::Jsonl => String::new(),
    };
    let pages = futures::stream::try_unfold((head, walk), move |(mut text, mut walk)| {
        let rows = rows.clone();
        async move {
            let Some(records) = walk.next().await? else { return Ok::<_, EraseError>(None) };
            for row in rows.rows(&records).await {
                text.push_str(&match form {
                    Form::Csv => row.csv_line(),
                    Form::Jsonl => row.json_line(),
                });
            }
            if beats && text.is_empty() {
                text.push('\n');
            }
            Ok(Some((Bytes::from(text), (String::new(), walk))))
        }
    });
    let kind = match form {
        Form::Csv => "text/csv; charset=utf-8",
        Form::Jsonl => "application/x-ndjson",
    };
    ([(header::CONTENT_TYPE, kind)], Body::from_stream(pages)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_as_they_are_written_or_refused() {
        assert_eq!(day("ended_from", None).unwrap(), None);
        assert_eq!(day("ended_from", Some("2026-11-27")).unwrap().as_deref(), Some("2026-11-27"));
        for wrong in ["", "yesterday", "2026-02-30", "20261127", "2026-11-27T10:00:00Z"] {
            let problem = day("ended_until", Some(wrong)).unwrap_err();
            assert_eq!(problem.status(), 400, "{wrong}");
            assert!(format!("{problem:?}").contains("ended_until"), "{problem:?}");
        }
    }
}
