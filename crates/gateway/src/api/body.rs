//! Bodies: the right type, within bounds, and JSON that has one reading.

use crate::problem::Problem;
use admission::read_json;
use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::Value;

/// A JSON document. A request that names no content type is believed to send one.
#[derive(Debug)]
pub(crate) struct Sent(pub(crate) Value);

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match media_type(request.headers())?.as_deref() {
            None | Some("application/json") => {}
            Some(_) => return Err(wrong_type("application/json")),
        }
        let body = Bytes::from_request(request, state).await.map_err(|error| {
            let problem = Problem::of_status(error.status());
            problem.detail(error.body_text())
        })?;
        read_json(&body).map(Self).map_err(Problem::malformed)
    }
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
