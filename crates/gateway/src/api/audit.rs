//! `GET /v1/audit`: what people decided.

use super::job::to_json;
use super::operator::operated;
use super::page::Page;
use super::query::{Asked, within};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use survey::AuditView;
use utoipa::IntoParams;

/// Lines of one answer, unless somebody asks for another number, and the most.
const LINES: usize = 200;
const LINES_MAX: usize = 1_000;
/// How far back somebody may look, in seconds: more than there is.
const WITHIN_S_MAX: u64 = 2_000_000_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditAsked {
    /// The pool, where the key reaches several.
    #[serde(default)]
    pool: Option<String>,
    /// Only lines of the last so many seconds.
    #[serde(default)]
    #[param(minimum = 1, maximum = 2_000_000_000)]
    within_s: Option<u64>,
    /// Lines at most.
    #[serde(default)]
    #[param(minimum = 1, maximum = 1000, default = 200)]
    limit: Option<usize>,
    /// Alarms as well, which no person raised.
    #[serde(default)]
    alarms: bool,
}

/// What people decided.
///
/// Newest first: about jobs, with what the person was shown, and about the whole pool. A key of tenant `*` with the scope
/// `admin`.
#[utoipa::path(
    get,
    path = "/v1/audit",
    operation_id = "get_audit",
    tag = "totals",
    params(AuditAsked),
    responses((status = 200, description = "The lines.", body = Page<AuditView>))
)]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<AuditAsked>,
) -> Result<Response, Problem> {
    let store = &operated(&app, &caller, Scope::Admin, asked.pool.as_deref())?.pool.store;
    let limit = within("limit", asked.limit.unwrap_or(LINES), LINES_MAX)?;
    let since = match asked.within_s {
        Some(seconds) => {
            let back = Duration::from_secs(within("within_s", seconds, WITHIN_S_MAX)?);
            Some(store.now().await? - back)
        }
        None => None,
    };
    let lines = survey::audit(store, since, limit, asked.alarms).await?;
    Ok(Json(to_json(&Page::whole(lines))?).into_response())
}
