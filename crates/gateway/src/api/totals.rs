//! What a tenant's jobs come to: failures by code, usage.

use super::job::to_json;
use super::page::Page;
use super::query::Asked;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use job::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use store::Purse;
use survey::{BudgetView, FailureView, Group, UsageTotal};
use utoipa::{IntoParams, ToSchema};

/// Days that usage goes back where no beginning is told.
const USAGE_SPAN: Duration = Duration::from_secs(30 * 24 * 3_600);

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct FailuresAsked {
    /// Only those of this batch.
    #[serde(default)]
    batch: Option<String>,
}

/// Failures by code.
///
/// Each with its class, how many jobs, when the first and the last failed, whether they were paid for, whether the same
/// request may succeed when it is made again, and what to do. Most frequent first.
#[utoipa::path(
    get,
    path = "/v1/failures",
    operation_id = "list_failures",
    tag = "totals",
    params(FailuresAsked),
    responses(
        (status = 200, description = "One item for each code.", body = Page<FailureView>),
        (status = 404, response = Problem),
    )
)]
pub(super) async fn failures(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<FailuresAsked>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsRead)?.pool.store;
    let scope = match &asked.batch {
        Some(name) => {
            super::batches::find(store, &caller.tenant, name).await?;
            store::Scope::Batch(&caller.tenant, name)
        }
        None => store::Scope::Tenant(&caller.tenant),
    };
    let items = survey::failures(store, scope).await?;
    Ok(Json(to_json(&Page::whole(items))?).into_response())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UsageAsked {
    /// An instant or a date; its whole day counts. 30 days before `to` if not given.
    #[serde(default)]
    from: Option<String>,
    /// An instant or a date; its whole day counts. Now if not given.
    #[serde(default)]
    to: Option<String>,
    /// Sums by this.
    #[serde(default)]
    #[param(inline)]
    group_by: GroupBy,
}

/// By what usage is added up.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum GroupBy {
    /// UTC day.
    #[default]
    Day,
    /// Tenant: one's own.
    Tenant,
    /// Batch: all that its jobs cost so far, of those that began in the time asked for.
    Batch,
    /// Model.
    Model,
}

/// What was used in a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
struct UsageView {
    #[schema(format = DateTime)]
    from: String,
    #[schema(format = DateTime)]
    to: String,
    /// `day`, `tenant`, `batch` or `model`.
    group_by: &'static str,
    /// What may be bought for the tenant now, and what was or is reserved for it.
    budget: BudgetView,
    #[serde(flatten)]
    page: Page<UsageTotal>,
}

/// Usage.
///
/// Jobs that ended, tokens and cost, by UTC day of their end. Kept for 400 days.
#[utoipa::path(
    get,
    path = "/v1/usage",
    operation_id = "get_usage",
    tag = "totals",
    params(UsageAsked),
    responses((status = 200, description = "One item for each group.", body = UsageView))
)]
pub(super) async fn usage(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<UsageAsked>,
) -> Result<Response, Problem> {
    let store = &app.enter(&caller, Scope::JobsRead)?.pool.store;
    let instant = |name: &str, text: &str| {
        Timestamp::parse_instant(text).map_err(|error| {
            let title = format!("{name} is no instant");
            Problem::new(StatusCode::BAD_REQUEST, "bad-query", title).detail(error)
        })
    };
    let to = match &asked.to {
        Some(text) => instant("to", text)?,
        None => store.now().await?,
    };
    let from = match &asked.from {
        Some(text) => instant("from", text)?,
        None => to - USAGE_SPAN,
    };
    if from > to {
        let title = "from must not be later than to";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", title));
    }
    let group = match asked.group_by {
        GroupBy::Day => Group::Day,
        GroupBy::Tenant => Group::Tenant,
        GroupBy::Batch => Group::Batch,
        GroupBy::Model => Group::Model,
    };
    let items = survey::usage(store, from, to, group, Some(&caller.tenant)).await?;
    let purse = store.purses(&[Purse::Tenant(caller.tenant.clone())]).await?.pop();
    let budget = BudgetView::from(&purse.unwrap_or_default());
    let (from, to, group_by) = (from.rfc3339(), to.rfc3339(), group.word());
    let view = UsageView { from, to, group_by, budget, page: Page::whole(items) };
    Ok(Json(to_json(&view)?).into_response())
}
