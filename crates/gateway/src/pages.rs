//! The dashboard: thin handlers that fetch what a screen shows and let [`dashboard`] write it.
//!
//! Whoever looks has exchanged an API key for a session. Reading needs `jobs:read`; every form carries
//! the session's token and needs `jobs:write`, a judgment `review`, and the switch of a whole pool
//! `admin` for every tenant. A person's deeds are the same events, over the same way, as the API's and
//! the command line's.

mod act;
mod answer;
mod batches;
mod door;
mod doubt;
mod failures;
mod film;
mod fleet;
mod flow;
mod job;
mod jobs;
mod live;
mod money;
mod operations;
mod overview;
mod review;
mod session;
mod sight;
mod webhooks;

pub(crate) use flow::Flow;
pub(crate) use session::Visits;

use crate::app::App;
use answer::Trouble;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use dashboard::{CONTENT_SECURITY_POLICY, PREFIX, files};
use std::sync::Arc;

/// Forms are small.
const FORM_BYTES_MAX: usize = 64 << 10;
/// An address with the file's hash in it never means another content.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Everything below `/ui`, and the way there.
pub(crate) fn routes() -> Router<Arc<App>> {
    let pages = Router::new()
        .route("/", get(home))
        .route("/login", get(door::show).post(door::enter))
        .route("/logout", post(door::leave))
        .route("/static/{tag}/{name}", get(file))
        .route("/live", get(live::stream))
        .route("/fleet", get(fleet::show))
        .route("/batches", get(batches::list))
        .route("/batches/{name}", get(batches::show))
        .route("/batches/{name}/{verb}", post(batches::act))
        .route("/jobs", get(jobs::list))
        .route("/jobs/act", post(act::many))
        .route("/jobs/{id}", get(job::show))
        .route("/jobs/{id}/cancel", post(act::cancel))
        .route("/jobs/{id}/retry", post(act::retry))
        .route("/jobs/{id}/video", get(film::video))
        .route("/jobs/{id}/poster", get(film::poster))
        .route("/jobs/{id}/media/{sha256}", get(film::medium))
        .route("/failures", get(failures::show))
        .route("/doubt", get(doubt::list))
        .route("/doubt/{id}", get(doubt::show))
        .route("/doubt/{id}/{verb}", post(doubt::decide))
        .route("/review", get(review::list))
        .route("/review/{id}", post(review::decide))
        .route("/audit", get(overview::audit))
        .route("/webhooks", get(webhooks::list))
        .route("/webhooks/{id}", get(webhooks::show))
        .route("/webhooks/{id}/{verb}", post(webhooks::act))
        .route("/workers", get(overview::workers))
        .route("/limits", get(overview::limits))
        .route("/limits/{pool}/{verb}", post(overview::switch))
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(map_response(guarded));
    Router::new().route("/", get(home)).nest(PREFIX, pages)
}

async fn home() -> Redirect {
    Redirect::to(&format!("{PREFIX}/fleet"))
}

/// `/ui/` is `/ui`; anything else is nothing.
async fn elsewhere(uri: Uri) -> Response {
    if uri.path() == "/" {
        home().await.into_response()
    } else {
        Trouble::missing().into_response()
    }
}

async fn file(Path((tag, name)): Path<(String, String)>) -> Response {
    let Some(file) = files::find(&tag, &name) else { return Trouble::missing().into_response() };
    let headers = [(header::CONTENT_TYPE, file.content_type), (header::CACHE_CONTROL, FOR_EVER)];
    (StatusCode::OK, headers, file.bytes).into_response()
}

/// What every answer carries, refusals too.
async fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is shown to one person is nobody else's, nor the cache's.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
