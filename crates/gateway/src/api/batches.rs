//! Batches: look at them, read their results, pause, resume, cancel them.

use super::job::to_json;
use super::operations::{new_id, told};
use super::query::Asked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::Record;
use job::filter::Filter;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;
use store::{Batch, ListQuery, OperationVerb, OperationWish, Order, Store};
use survey::{BatchView, OperationView, RESULT_COLUMNS, Results, csv_line};
use utoipa::{IntoParams, ToSchema};

/// Rows of a page of results in memory.
const RESULTS_AT_ONCE: usize = 100;
/// What a caller who gives no reason is taken to mean.
const NO_REASON: &str = "asked for by the API";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchesAsked {
    /// Batches on the page.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// List batches.
///
/// The caller's, newest first.
#[utoipa::path(
    get,
    path = "/v1/batches",
    operation_id = "list_batches",
    tag = "batches",
    params(BatchesAsked),
    responses((status = 200, description = "One page: `items` and `next`.", body = serde_json::Value))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<BatchesAsked>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let store = &app.pool_of(&caller)?.pool.store;
    let limit = asked.limit.unwrap_or(50);
    let skip = match asked.cursor.as_deref() {
        None => 0,
        Some(text) => {
            text.parse::<u32>().ok().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
                let title = "this is no cursor; take `next` of the page before as it stands";
                Problem::new(StatusCode::BAD_REQUEST, "bad-cursor", title)
            })?
        }
    };
    if !(1..=store::BATCHES_MAX).contains(&limit) {
        let title = format!("limit must be 1 to {}", store::BATCHES_MAX);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", title));
    }
    let found = store
        .batches(Some(&caller.tenant), skip, limit)
        .await
        .map_err(|error| Problem::unavailable(&error))?;
    let next = (found.len() == limit).then(|| (skip + limit).to_string());
    let items: Vec<BatchView> = found.iter().map(BatchView::from).collect();
    Ok(Json(json!({"object": "list", "items": to_json(&items)?, "next": next})).into_response())
}

/// Look at a batch.
///
/// `state` is `running`, `paused`, `completed` or `completed_with_failures`.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}",
    operation_id = "get_batch",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    responses((status = 200, description = "The batch as it stands.", body = serde_json::Value))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let store = &app.pool_of(&caller)?.pool.store;
    let batch = find(store, &caller.tenant, &id).await?;
    Ok(Json(to_json(&BatchView::from(&batch))?).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ResultsAsked {
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

/// Results of a batch.
///
/// One row for every job of the batch as it stands now, finished or not, oldest first, as a stream.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}/results",
    operation_id = "get_batch_results",
    tag = "batches",
    params(("id" = String, Path, description = "The batch."), ResultsAsked),
    responses((status = 200, description = "The rows.", content(
        (String = "application/x-ndjson"), (String = "text/csv"),
    )))
)]
pub(super) async fn results(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Asked(asked): Asked<ResultsAsked>,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsRead)?;
    let door = app.pool_of(&caller)?;
    let store = door.pool.store.clone();
    find(&store, &caller.tenant, &id).await?;
    let settings = &door.pool.settings;
    let rows = Results::new(app.buckets.clone(), settings.route, settings.simulated);
    let filter = Filter::all().batch(&id).tenant(&caller.tenant);
    let query = ListQuery { order: Order::Oldest, limit: RESULTS_AT_ONCE, ..ListQuery::of(filter) };
    let form = asked.format;
    let head = match form {
        Form::Csv => csv_line(RESULT_COLUMNS.iter().map(|column| (*column).to_owned())),
        Form::Jsonl => String::new(),
    };
    let pages = futures::stream::try_unfold(Some((head, query)), move |state| {
        let (store, rows) = (store.clone(), rows.clone());
        async move {
            let Some((mut text, query)) = state else { return Ok::<_, store::StoreError>(None) };
            let page = store.list(&query).await?;
            let records: Vec<Record> = page.items.into_iter().map(|stored| stored.record).collect();
            for row in rows.rows(&records).await {
                text.push_str(&match form {
                    Form::Csv => row.csv_line(),
                    Form::Jsonl => row.json_line(),
                });
            }
            let next = page
                .next
                .map(|cursor| (String::new(), ListQuery { cursor: Some(cursor), ..query }));
            Ok(Some((Bytes::from(text), next)))
        }
    });
    let kind = match form {
        Form::Csv => "text/csv; charset=utf-8",
        Form::Jsonl => "application/x-ndjson",
    };
    Ok(([(header::CONTENT_TYPE, kind)], Body::from_stream(pages)).into_response())
}

/// Why somebody asks for something.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// Kept in the audit and in the timeline of every job it touches.
    #[serde(default)]
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Pause a batch.
///
/// None of its queued jobs is submitted from now on; what is at the provider goes on. Jobs that come later wait as well.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}:pause",
    operation_id = "pause_batch",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    request_body(content = Option<Why>, description = "Why; may be left out."),
    responses((status = 202, description = "The batch, and the operation that moves its waiting jobs.",
               body = serde_json::Value))
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    act(&app, &caller, &id, &body, OperationVerb::Pause).await
}

/// Resume a batch.
///
/// Its paused jobs go back to where they stood in the queue.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}:resume",
    operation_id = "resume_batch",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    request_body(content = Option<Why>, description = "Why; may be left out."),
    responses((status = 202, description = "The batch, and the operation that moves its paused jobs.",
               body = serde_json::Value))
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    act(&app, &caller, &id, &body, OperationVerb::Resume).await
}

/// Cancel a batch.
///
/// Jobs that nothing was paid for stop; those at the provider stop if it has not begun with them.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}:cancel",
    operation_id = "cancel_batch",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    request_body(content = Option<Why>, description = "Why; may be left out."),
    responses((status = 202, description = "The batch, and the operation that cancels its jobs.",
               body = serde_json::Value))
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    act(&app, &caller, &id, &body, OperationVerb::Cancel).await
}

async fn act(
    app: &App,
    caller: &Caller,
    id: &str,
    body: &Bytes,
    verb: OperationVerb,
) -> Result<Response, Problem> {
    caller.needs(Scope::JobsWrite)?;
    let store = &app.pool_of(caller)?.pool.store;
    find(store, &caller.tenant, id).await?;
    let why: Why = if body.is_empty() {
        Why::default()
    } else {
        serde_json::from_slice(body).map_err(|error| Problem::malformed(error.to_string()))?
    };
    let reason = why.reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.unwrap_or_else(|| NO_REASON.to_owned());
    let wish = OperationWish {
        id: new_id(None),
        verb,
        filter: Filter::all(),
        tenant: Some(caller.tenant.clone()),
        by: caller.name.clone(),
        reason,
    };
    let opened = store.turn_batch(id, wish).await.map_err(|error| Problem::unavailable(&error))?;
    let (_, operation) = told(opened)?;
    let batch = find(store, &caller.tenant, id).await?;
    let body = json!({
        "batch": to_json(&BatchView::from(&batch))?,
        "operation": to_json(&OperationView::from(&operation))?,
    });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// The caller's own batch; anybody else's is as good as none.
pub(super) async fn find(store: &Store, tenant: &str, id: &str) -> Result<Batch, Problem> {
    let found = store.batch(id).await.map_err(|error| Problem::unavailable(&error))?;
    found
        .filter(|batch| batch.tenant == tenant)
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such batch"))
}
