//! `POST /v1/batches/{id}:stop-on`: on what a batch is paused by itself.

use super::batches::find;
use super::body::Given;
use super::job::to_json;
use super::operations::{reason_of, refused};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use job::{By, StopOn};
use serde::Deserialize;
use std::sync::Arc;
use survey::BatchView;
use utoipa::ToSchema;

/// Conditions of a batch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct StopOnWish {
    /// Such as `failed>5% of 50 | code=CODE>3 | in_doubt>10`; left out or null, it stops on nothing any more.
    #[serde(default)]
    #[schema(nullable = true, example = "failed>5% of 50")]
    stop_on: Option<String>,
    /// Why; kept in the audit.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Set on what a batch stops.
///
/// When one of the conditions is met, the batch is paused once, with the reason; `:resume` goes on and counts anew.
#[utoipa::path(
    post,
    path = "/v1/batches/{id}:stop-on",
    operation_id = "set_batch_stop_on",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    request_body(content = StopOnWish),
    responses((status = 200, description = "The batch.", body = BatchView))
)]
pub(super) async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    Given(wish): Given<StopOnWish>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsWrite)?.pool.store;
    find(store, &caller.tenant, &id).await?;
    let on = wish.stop_on.as_deref().map(StopOn::parse).transpose();
    let on = on.map_err(|why| refused("stop_on", &why))?;
    let reason = reason_of(&wish.reason)?;
    let by = By::named(&caller.name);
    store.set_stop_on(&caller.tenant, &id, on.as_ref(), &by, reason).await?;
    let batch = find(store, &caller.tenant, &id).await?;
    Ok(Json(to_json(&BatchView::from(&batch))?).into_response())
}
