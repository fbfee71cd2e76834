//! What callers say in headers of their own.

use crate::problem::Problem;
use axum::http::{HeaderMap, StatusCode};

/// Longest `Idempotency-Key`, bytes.
const KEY_BYTES_MAX: usize = 255;

/// The caller's own name for a request, where it has one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    text(headers, "idempotency-key", KEY_BYTES_MAX)
}

/// A word in a header: visible characters, without a blank between them.
pub(super) fn text<'a>(
    headers: &'a HeaderMap,
    name: &str,
    bytes_max: usize,
) -> Result<Option<&'a str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let fits = |text: &&str| {
        (1..=bytes_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let text = value.to_str().ok().map(str::trim).filter(fits);
    let refused = || {
        let title = format!("{name} must be 1 to {bytes_max} visible ASCII characters");
        Problem::new(StatusCode::BAD_REQUEST, "bad-header", title)
    };
    text.ok_or_else(refused).map(Some)
}
