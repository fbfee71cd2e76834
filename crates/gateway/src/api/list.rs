//! `GET /v1/jobs`: the caller's jobs, filtered, page by page.

use super::job::to_json;
use super::page::Page;
use super::query::{Asked, PageAsked};
use crate::app::App;
use crate::caller::Caller;
use crate::problem::Problem;
use crate::settings::Scope;
use crate::view::JobView;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use job::filter::Filter;
use serde::Deserialize;
use std::sync::Arc;
use store::{ListQuery, Order};
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListAsked {
    /// Which jobs, such as `state=failed,expired age>1h`; docs/filters.md has the grammar.
    #[serde(default, rename = "where")]
    which: Option<String>,
    /// Which end comes first.
    #[serde(default)]
    #[param(inline)]
    order: Ends,
}

/// Which end of a list comes first.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Ends {
    /// The last job taken in.
    #[default]
    Newest,
    /// The first.
    Oldest,
}

/// List jobs.
///
/// Only the caller's own. A page can be shorter than `limit`, and even empty, and still have a `next` one. A cursor
/// belongs to the filter and the order it came with.
#[utoipa::path(
    get,
    path = "/v1/jobs",
    operation_id = "list_jobs",
    tag = "jobs",
    params(ListAsked, PageAsked),
    responses((status = 200, description = "One page.", body = Page<JobView>))
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<ListAsked>,
    Asked(page): Asked<PageAsked>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    let order = match asked.order {
        Ends::Newest => Order::Newest,
        Ends::Oldest => Order::Oldest,
    };
    let filter = filter(asked.which.as_deref(), &caller.tenant)?;
    let query = ListQuery { limit: page.limit()?, order, ..ListQuery::of(filter) };
    let page = door.pool.store.list(&query.behind(page.cursor())?).await?;
    let items: Vec<JobView> =
        page.items.iter().map(|stored| JobView::of(&stored.record, &app.public_url)).collect();
    let next = page.next.map(|cursor| cursor.to_string());
    Ok(Json(to_json(&Page::new(items, next))?).into_response())
}

/// A caller's filter, on its own jobs only.
pub(super) fn filter(which: Option<&str>, tenant: &str) -> Result<Filter, Problem> {
    Ok(read(which)?.tenant(tenant))
}

/// A filter as it came.
pub(super) fn read(which: Option<&str>) -> Result<Filter, Problem> {
    Filter::parse(which.unwrap_or_default()).map_err(|error| {
        Problem::new(StatusCode::BAD_REQUEST, "bad-filter", "the filter cannot be read")
            .detail(error.to_string())
    })
}
