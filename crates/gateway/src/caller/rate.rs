//! Requests a minute of a tenant: counted in Redis for all gateways, told in every answer.

use super::Caller;
use crate::app::App;
use crate::problem::Problem;
use access::ANY_TENANT;
use axum::extract::Request;
use axum::http::{Extensions, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::{Arc, OnceLock};
use store::{RATE_WINDOW, Rated};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// Where the handler's extractor leaves what the answer's headers tell.
#[derive(Clone, Default)]
struct Told(Arc<OnceLock<(u32, Rated)>>);

/// Runs around every route: adds the standing of the caller's tenant, if it has a quota.
pub(crate) async fn tell_rate(mut request: Request, next: Next) -> Response {
    let told = Told::default();
    request.extensions_mut().insert(told.clone());
    let mut response = next.run(request).await;
    if let Some((quota, rated)) = told.0.get() {
        let headers = response.headers_mut();
        let window_s = RATE_WINDOW.as_secs();
        let wait_s = rated.wait.as_millis().div_ceil(1_000);
        let policy = format!("\"tenant\";q={quota};w={window_s}");
        let standing = format!("\"tenant\";r={};t={wait_s}", rated.left);
        for (name, text) in [(POLICY, policy), (STANDING, standing)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
    response
}

/// Counts one request.
pub(super) async fn count(
    app: &App,
    caller: &Caller,
    extensions: &Extensions,
) -> Result<(), Problem> {
    let quota = app.caps_of(&caller.tenant).rpm;
    if quota == 0 || caller.tenant == ANY_TENANT {
        return Ok(());
    }
    let rated = app.callers.fleet().request(&caller.tenant, quota).await;
    let rated = rated.map_err(|error| Problem::unavailable(&error))?;
    if let Some(told) = extensions.get::<Told>() {
        // One request has one caller: it is set once.
        told.0.get_or_init(|| (quota, rated));
    }
    if rated.passes {
        return Ok(());
    }
    let title = format!("this tenant may send {quota} requests a minute");
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", title);
    Err(problem.retry_after(rated.wait))
}
