//! Batches: look at them, pause, resume, cancel them.

use super::body::MayGive;
use super::job::to_json;
use super::operations::{new_id, refused, told};
use super::page::Page;
use super::query::{Asked, PageAsked};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use job::REASON_CHARS_MAX;
use job::filter::Filter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::{Batch, OperationVerb, OperationWish, Store};
use survey::{BatchView, OperationView, batch_eta};
use utoipa::ToSchema;

/// What a caller who gives no reason is taken to mean.
const NO_REASON: &str = "asked for by the API";

/// List batches.
///
/// The caller's, newest first.
#[utoipa::path(
    get,
    path = "/v1/batches",
    operation_id = "list_batches",
    tag = "batches",
    params(PageAsked),
    responses((status = 200, description = "One page.", body = Page<BatchView>))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(page): Asked<PageAsked>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsRead)?.pool.store;
    let limit = page.limit()?;
    let skip = usize::try_from(page.place::<u32>()?.unwrap_or(0)).unwrap_or(usize::MAX);
    let found = store.batches(Some(&caller.tenant), skip, limit).await?;
    let next = (found.len() == limit).then(|| (skip + limit).to_string());
    let items: Vec<BatchView> = found.iter().map(BatchView::from).collect();
    Ok(Json(to_json(&Page::new(items, next))?).into_response())
}

/// Look at a batch.
///
/// `state` is `running`, `paused`, `completed` or `completed_with_failures`; while rows of it are being uploaded it is not
/// completed, however many of its jobs have ended. `eta` tells when it will have ended, as a range and with what binds it,
/// of the jobs that are there so far.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}",
    operation_id = "get_batch",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    responses((status = 200, description = "The batch as it stands.", body = BatchView))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let pool = &app.enter(&caller, Scope::JobsRead)?.pool;
    let batch = find(&pool.store, &caller.tenant, &id).await?;
    let eta = batch_eta(&pool.store, &pool.settings, &batch).await?;
    Ok(Json(to_json(&BatchView { eta, ..BatchView::from(&batch) })?).into_response())
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

/// A batch that was told something, and the operation that sees to its jobs.
#[derive(Debug, Serialize, ToSchema)]
struct BatchTurned {
    batch: BatchView,
    operation: OperationView,
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
               body = BatchTurned))
)]
pub(super) async fn pause(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    MayGive(why): MayGive<Why>,
) -> Result<Response, Problem> {
    act(&app, &caller, &id, why, OperationVerb::Pause).await
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
               body = BatchTurned))
)]
pub(super) async fn resume(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    MayGive(why): MayGive<Why>,
) -> Result<Response, Problem> {
    act(&app, &caller, &id, why, OperationVerb::Resume).await
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
               body = BatchTurned))
)]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    MayGive(why): MayGive<Why>,
) -> Result<Response, Problem> {
    act(&app, &caller, &id, why, OperationVerb::Cancel).await
}

async fn act(
    app: &App,
    caller: &Caller,
    id: &str,
    why: Why,
    verb: OperationVerb,
) -> Result<Response, Problem> {
    let store = &app.enter(caller, Scope::JobsWrite)?.pool.store;
    find(store, &caller.tenant, id).await?;
    if why.reason.as_deref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        let why = format!("at most {REASON_CHARS_MAX} characters: it stays in the audit");
        return Err(refused("reason", &why));
    }
    let reason = why.reason.filter(|reason| !reason.trim().is_empty());
    let reason = reason.unwrap_or_else(|| NO_REASON.to_owned());
    let wish = OperationWish {
        id: new_id(None),
        verb,
        filter: Filter::all(),
        tenant: Some(caller.tenant.clone()),
        by: caller.name.clone(),
        reason,
        limit: None,
    };
    let opened = store.turn_batch(&caller.tenant, id, wish).await?;
    let (_, operation) = told(opened)?;
    let batch = find(store, &caller.tenant, id).await?;
    let turned =
        BatchTurned { batch: BatchView::from(&batch), operation: OperationView::from(&operation) };
    Ok((StatusCode::ACCEPTED, Json(to_json(&turned)?)).into_response())
}

/// The caller's own batch; anybody else's is as good as none.
pub(super) async fn find(store: &Store, tenant: &str, id: &str) -> Result<Batch, Problem> {
    let no_such = || Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such batch");
    store.batch(tenant, id).await?.ok_or_else(no_such)
}
