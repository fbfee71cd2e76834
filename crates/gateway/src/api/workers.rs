//! `GET /v1/workers`: how many processes of each role are of use.

use super::job::to_json;
use super::operator::is_operator;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// How many processes are of use.
///
/// Of each role, over all pools: `desired` processes, what bounds them (`bound_by`) and why (`reason`), as autoscalers are
/// told, and with what it was reckoned from. Beside it how many are `at_work`, and how many fell `silent` within the last
/// minute, the last of them `silent_s` seconds ago. A key of tenant `*`.
#[utoipa::path(
    get,
    path = "/v1/workers",
    operation_id = "get_workers",
    tag = "totals",
    responses((status = 200, description = "By role.", body = serde_json::Value))
)]
pub(super) async fn show(State(app): State<Arc<App>>, caller: Caller) -> Result<Response, Problem> {
    is_operator(&caller, Scope::JobsRead)?;
    Ok(Json(to_json(&app.scaling.wanted()?)?).into_response())
}
