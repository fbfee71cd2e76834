//! What is kept of an HTTP answer: the status, three headers, and a bounded body.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use jiff::Timestamp;

/// Longest wait a `Retry-After` may ask for; anything above is a mistake of the sender.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest request id or error code that is kept, in characters.
const LABEL_MAX: usize = 128;

/// Most headers about rates that are kept.
const RATE_HEADERS_MAX: usize = 8;

/// A whole answer: its body ended where it said it would, within the bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The headers worth keeping.
    pub head: AnswerHead,
    /// The body as received.
    pub body: Bytes,
}

/// The headers of an answer that somebody acts on (`docs/provider.md`, headers).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnswerHead {
    /// The provider's id of this request, for support cases.
    pub request_id: Option<String>,
    /// The provider's error code where it stands in a header.
    pub error_code: Option<String>,
    /// How long the provider asks us to wait; never above a day. Undocumented there, so it may
    /// lengthen our own wait and must not be relied on.
    pub retry_after: Option<Duration>,
    /// When the sender says it answered, by its own clock, in whole seconds since 1970 (RFC 9110
    /// §6.6.1).
    pub sent_at_s: Option<i64>,
    /// Headers about rates and waiting as they came, `name: value`. For people: none is documented.
    pub rate: Vec<String>,
}

impl AnswerHead {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self {
            request_id: label(headers, "x-request-id"),
            error_code: label(headers, "x-error-code"),
            retry_after: retry_after(headers),
            sent_at_s: sent_at(headers).map(Timestamp::as_second),
            rate: rate(headers),
        }
    }
}

/// A header's value if it is a plain word; others' bytes do not get into our logs unseen.
fn label(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    let plain = !value.is_empty()
        && value.len() <= LABEL_MAX
        && value.bytes().all(|byte| byte.is_ascii_graphic());
    plain.then(|| value.to_owned())
}

fn rate(headers: &HeaderMap) -> Vec<String> {
    let names = headers.keys().map(http::HeaderName::as_str);
    let about = names.filter(|name| name.starts_with("retry-after") || name.contains("ratelimit"));
    let told = |name: &str| Some(format!("{name}: {}", label(headers, name)?));
    about.filter_map(told).take(RATE_HEADERS_MAX).collect()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn sent_at(headers: &HeaderMap) -> Option<Timestamp> {
    text(headers, header::DATE.as_str()).and_then(moment)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let ms = text(headers, "retry-after-ms").and_then(|ms| ms.parse().ok());
    let wait = match (ms, text(headers, "retry-after")) {
        (Some(ms), _) => Duration::from_millis(ms),
        (None, Some(after)) => match after.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => until(after, sent_at(headers))?,
        },
        (None, None) => return None,
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// The wait an HTTP date asks for, by the sender's own clock where it told it: ours may differ.
fn until(date: &str, sent_at: Option<Timestamp>) -> Option<Duration> {
    let now = sent_at.unwrap_or_else(Timestamp::now);
    Some(Duration::try_from(moment(date)?.duration_since(now)).unwrap_or(Duration::ZERO))
}

fn moment(date: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date.as_bytes()).ok()
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is longer than the bound.
    TooLong,
    /// It was cut, or the time ran out.
    Broken(reqwest::Error),
}

/// Reads a body up to `bytes_max`, holding no more than that in memory.
pub(crate) async fn read_bounded(
    response: &mut reqwest::Response,
    bytes_max: usize,
) -> Result<Bytes, Unread> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
