//! What holds for every request before and after its handler: a name, a head of sane size, and an
//! answer that says what is wrong in one form.

use crate::api::{decoded, outer_path};
use crate::problem::Problem;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::time::Instant;
use tracing::Instrument as _;
use ulid::Ulid;

/// Longest address, bytes.
const TARGET_BYTES_MAX: usize = 8 << 10;
/// All header names and values together, bytes.
const HEADERS_BYTES_MAX: usize = 16 << 10;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs around every route.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let id = format!("req_{}", Ulid::generate());
    // The pattern, never the address: that of a callback is a secret.
    let route = request.extensions().get::<MatchedPath>().map(|path| outer_path(path.as_str()));
    let route = route.unwrap_or_default();
    let span = tracing::info_span!("request", request_id = id, method = %request.method(), route);
    let begun = Instant::now();
    let answered = async {
        let response = match head_fault(&request) {
            Some(problem) => problem.into_response(),
            None => answer(request, next).await,
        };
        let response = in_one_form(response, &id);
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(http_status = response.status().as_u16(), duration_ms, "answered");
        response
    };
    let mut response = answered.instrument(span).await;
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn answer(request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            tracing::error!("a request ended in a panic");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn head_fault(request: &Request) -> Option<Problem> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    if target.len() > TARGET_BYTES_MAX {
        let title = format!("the address is longer than {TARGET_BYTES_MAX} bytes");
        return Some(Problem::new(StatusCode::URI_TOO_LONG, "address-too-long", title));
    }
    if size(request.headers()) > HEADERS_BYTES_MAX {
        let title = format!("the headers are longer than {HEADERS_BYTES_MAX} bytes together");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Some(Problem::new(status, "headers-too-large", title));
    }
    let path = decoded(request.uri().path(), false);
    if path.is_none_or(|path| path.contains('\0')) {
        let title = "the path is not percent-encoded UTF-8 without NUL";
        return Some(Problem::new(StatusCode::BAD_REQUEST, "bad-path", title));
    }
    None
}

fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// Gives every failure the form of a problem that names the request.
fn in_one_form(mut response: Response, id: &str) -> Response {
    let problem = response.extensions_mut().remove::<Problem>();
    let status = response.status();
    let problem = match problem {
        Some(problem) => problem,
        None if is_bare_failure(&response) => Problem::of_status(status),
        None => return response,
    };
    let written = problem.with_request_id(id).into_response();
    let (mut parts, _) = response.into_parts();
    let (mut ours, body) = written.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    for (name, value) in ours.headers.drain() {
        if let Some(name) = name {
            parts.headers.insert(name, value);
        }
    }
    Response::from_parts(parts, body)
}

/// A failure that says no more than its status, or says it in words of a library.
fn is_bare_failure(response: &Response) -> bool {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return false;
    }
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"))
}
