//! Bodies: the right type, within bounds, and JSON that has one reading.

use crate::app::App;
use crate::problem::Problem;
use crate::room::Share;
use admission::read_json;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt as _;
use seedance::Fault;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// Largest body whose whole length is asked of the allocator before it comes; a longer one grows from there.
const AHEAD_BYTES_MAX: usize = 1 << 20;

/// A JSON document, and the room it takes for as long as it is worked on. A request that names no content type is
/// believed to send one.
pub(crate) struct Sent(pub(crate) Value, pub(crate) Share);

impl FromRequest<Arc<App>> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (body, share) = whole(request, app).await?;
        let value = read_json(&body).map_err(Problem::malformed)?;
        Ok(Self(value, share))
    }
}

/// A JSON document of a known form; what does not fit is a 422 with a reason.
#[derive(Debug)]
pub(crate) struct Given<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let Sent(value, _share) = Sent::from_request(request, app).await?;
        fit(value).map(Self)
    }
}

/// The same where the body may be left out, or be `null`.
#[derive(Debug)]
pub(crate) struct MayGive<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<Arc<App>> for MayGive<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (body, _share) = whole(request, app).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        let given: Option<T> = read_json(&body).map_err(Problem::malformed).and_then(fit)?;
        Ok(Self(given.unwrap_or_default()))
    }
}

/// The body as it came, within its own bound and that of all bodies together.
async fn whole(request: Request, app: &App) -> Result<(Vec<u8>, Share), Problem> {
    match media_type(request.headers())?.as_deref() {
        None | Some("application/json") => {}
        Some(_) => return Err(wrong_type("application/json")),
    }
    let bytes_max = app.body_bytes_max;
    let told = request.headers().get(header::CONTENT_LENGTH).and_then(|text| text.to_str().ok());
    let told = told.and_then(|text| text.parse::<usize>().ok()).unwrap_or_default();
    if told > bytes_max {
        return Err(too_large(bytes_max));
    }
    // A body that grows by doubling leaves as much again behind. What is told and never sent takes addresses, no memory.
    let (mut body, mut share) = (Vec::with_capacity(told.min(AHEAD_BYTES_MAX)), app.room.share());
    let mut pieces = request.into_body().into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| broken(&error))?;
        let bytes = body.len() + piece.len();
        if bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        share.hold(bytes)?;
        body.extend_from_slice(&piece);
    }
    Ok((body, share))
}

fn too_large(bytes_max: usize) -> Problem {
    let advice = "pass media by URL or asset id, or send many jobs as a stream to /v1/batches";
    let detail = format!("{bytes_max} bytes are read at most; {advice}");
    Problem::of_status(StatusCode::PAYLOAD_TOO_LARGE).detail(detail)
}

/// A body that ends before its end: its caller fell silent, left, or does not write HTTP.
fn broken(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<tower_http::timeout::TimeoutError>() {
            return Problem::of_status(StatusCode::REQUEST_TIMEOUT);
        }
        cause = error.source();
    }
    let title = "the body cannot be read to its end";
    Problem::new(StatusCode::BAD_REQUEST, "bad-request", title).detail(error.to_string())
}

fn fit<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    // A struct would be read from its values in order as well; nobody is told that order.
    if value.is_array() {
        let fix = "send an object with the documented fields";
        let fault = Fault::new("", "wrong-type", "a list is given where an object is wanted", fix);
        return Err(Problem::faults(&[fault]));
    }
    serde_json::from_value(value).map_err(|error| {
        let fix = "send the documented fields";
        Problem::faults(&[Fault::new("", "invalid-request", error.to_string(), fix)])
    })
}

/// The media type of a body in lower case, without parameters; text in another encoding than UTF-8, or
/// compressed, is refused.
pub(crate) fn media_type(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    if let Some(coding) = headers.get(header::CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let title = "compressed bodies are not read";
        return Err(unsupported(title).detail("send it without Content-Encoding"));
    }
    let Some(given) = headers.get(header::CONTENT_TYPE) else { return Ok(None) };
    let given = given.to_str().map_err(|_| unsupported("the content type is not text"))?;
    let mut parts = given.split(';').map(|part| part.trim().to_ascii_lowercase());
    let kind = parts.next().unwrap_or_default();
    for parameter in parts {
        if let Some(charset) = parameter.strip_prefix("charset=")
            && !matches!(charset.trim_matches('"'), "utf-8" | "utf8")
        {
            return Err(unsupported("bodies are read as UTF-8 only"));
        }
    }
    Ok(Some(kind))
}

pub(crate) fn wrong_type(allowed: &str) -> Problem {
    unsupported("this content type is not read here").detail(format!("send one of: {allowed}"))
}

fn unsupported(title: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content-type-not-supported", title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_read_without_its_parameters() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            media_type(&headers)
        };
        assert_eq!(
            of("Application/JSON; charset=UTF-8").unwrap().as_deref(),
            Some("application/json")
        );
        assert_eq!(of("text/csv").unwrap().as_deref(), Some("text/csv"));
        assert_eq!(of("text/csv; charset=latin1").unwrap_err().status(), 415);
        assert_eq!(media_type(&HeaderMap::new()).unwrap(), None);
        let zipped = HeaderMap::from_iter([(header::CONTENT_ENCODING, "gzip".parse().unwrap())]);
        assert_eq!(media_type(&zipped).unwrap_err().status(), 415);
    }
}
