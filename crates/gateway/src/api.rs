//! The public API: one file per resource, each with its operations and what they mean.
//!
//! To add a route: write the handler with `#[utoipa::path]` in its resource's file and name it below. A path may end in
//! a verb (`/v1/jobs/{id}:cancel`). Describe what is special: codes 400, 401, 403, 404, 408, 413, 415, 422, 429, 500
//! and 503 are added to every operation that can answer them. `cargo xtask docs` prints `docs/openapi.json`.

mod adopt;
mod audit;
mod batches;
mod body;
mod budget;
mod build;
mod bulk;
mod document;
mod doubts;
mod edit;
mod erase;
mod estimate;
mod headers;
mod job;
mod jobs;
mod keys;
mod limits;
mod list;
mod operations;
mod operator;
mod output;
mod page;
mod query;
mod queues;
mod request;
mod requests;
mod results;
mod retry;
mod review;
mod stop_on;
mod totals;
mod upload;
mod workers;

pub(crate) use body::{Given, MayGive};
pub(crate) use build::{find_verb, outer_path};
pub(crate) use job::find;
pub(crate) use page::Page;
pub(crate) use query::{Asked, PageAsked, decoded};

use crate::app::App;
use crate::{hooks, stream};
use axum::Router;
use build::Api;
use std::sync::Arc;
use utoipa_axum::routes;

/// Every described route.
fn api() -> Api {
    Api::new()
        .routes(routes!(document::serve))
        .routes(routes!(jobs::create))
        .routes(routes!(list::list))
        .routes(routes!(job::show))
        .routes(routes!(job::cancel))
        .routes(routes!(hooks::list, hooks::create))
        .routes(routes!(hooks::show, hooks::change, hooks::remove))
        .routes(routes!(hooks::rotate))
        .routes(routes!(hooks::test))
        .routes(routes!(hooks::enable))
        .routes(routes!(hooks::replay))
        .routes(routes!(hooks::deliveries))
        .routes(routes!(hooks::deliver_again))
        .routes(routes!(totals::failures))
        .routes(routes!(totals::usage))
        .routes(routes!(limits::show))
        .routes(routes!(queues::show))
        .routes(routes!(queues::pause))
        .routes(routes!(queues::resume))
        .routes(routes!(workers::show))
        .routes(routes!(audit::show))
        .routes(routes!(limits::set))
        .routes(routes!(limits::reset))
        .routes(routes!(batches::list))
        .routes(routes!(batches::show))
        .streams(routes!(results::of_batch))
        .streams(routes!(results::of_jobs))
        .routes(routes!(requests::of_job))
        .streams(routes!(requests::of_jobs))
        .routes(routes!(batches::pause))
        .routes(routes!(batches::resume))
        .routes(routes!(batches::cancel))
        .routes(routes!(budget::set))
        .routes(routes!(stop_on::set))
        .routes(routes!(edit::edit))
        .routes(routes!(operations::create))
        .routes(routes!(operations::list_all))
        .routes(routes!(operations::show))
        .streams(routes!(stream::job))
        .streams(routes!(stream::tenant))
        .routes(routes!(retry::retry))
        .routes(routes!(bulk::create))
        .routes(routes!(estimate::estimate))
        .streams(routes!(upload::create))
        .streams(routes!(upload::rejects))
        .routes(routes!(output::video))
        .routes(routes!(output::last_frame))
        .routes(routes!(output::payload))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::rotate))
        .routes(routes!(keys::revoke))
        .routes(routes!(erase::delete))
        .routes(routes!(adopt::adopt))
        .routes(routes!(doubts::list))
        .routes(routes!(doubts::show))
        .routes(routes!(doubts::adopt))
        .routes(routes!(doubts::resend))
        .routes(routes!(doubts::give_up))
        .routes(routes!(review::approve))
        .routes(routes!(review::reject))
        .routes(routes!(erase::create))
        .routes(routes!(erase::show))
}

/// The routes, and the document as it is served.
pub(crate) fn routes() -> (Router<Arc<App>>, String) {
    let (document, router) = api().finish();
    (router, text(&document))
}

/// The OpenAPI document of this gateway, as `docs/openapi.json` holds it.
#[must_use]
pub fn openapi() -> String {
    text(&api().finish().0)
}

fn text(document: &serde_json::Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("a document is plain data");
    text.push('\n');
    text
}
