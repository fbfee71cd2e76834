//! Query parameters: only those an operation describes, each once, in good UTF-8.

use crate::problem::Problem;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use seedance::nearest;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use store::CursorError;
use utoipa::IntoParams;
use utoipa::openapi::RefOr;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};

/// Pairs looked at; no operation has as many parameters.
const PAIRS_MAX: usize = 64;
/// Characters of a caller's word that a message repeats.
const SHOWN_CHARS_MAX: usize = 48;

/// The parameters each method of a path takes.
pub(crate) struct Known(BTreeMap<&'static str, Vec<String>>);

impl Known {
    pub(crate) fn of(item: &PathItem) -> Self {
        let operations = [
            ("GET", &item.get),
            ("PUT", &item.put),
            ("POST", &item.post),
            ("DELETE", &item.delete),
            ("PATCH", &item.patch),
        ];
        let described = operations.into_iter().filter_map(|(method, operation)| {
            operation.as_ref().map(|operation| (method, parameters(operation)))
        });
        Self(described.collect())
    }

    fn of_method(&self, method: &Method) -> &[String] {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(method.as_str()).map_or(&[], Vec::as_slice)
    }
}

fn parameters(operation: &Operation) -> Vec<String> {
    let described = operation.parameters.iter().flatten().filter_map(|parameter| match parameter {
        RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => {
            Some(parameter.name.clone())
        }
        RefOr::T(_) | RefOr::Ref(_) => None,
    });
    described.collect()
}

/// Refuses what the operation does not know, before it runs.
pub(crate) async fn guard(
    State(known): State<Arc<Known>>,
    request: Request,
    next: Next,
) -> Response {
    let known = known.of_method(request.method());
    match check(request.uri().query().unwrap_or(""), known) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(query: &str, known: &[String]) -> Result<(), Problem> {
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > PAIRS_MAX {
        return Err(bad(format!("{} query parameters are given", pairs.len()), known));
    }
    let mut seen = Vec::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decoded(name, true), decoded(value, true)) else {
            return Err(bad("the query is not percent-encoded UTF-8".to_owned(), known));
        };
        let shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
        if !known.contains(&name) {
            let like = nearest(&name, known.iter().map(String::as_str));
            let hint = like.map(|like| format!("; did you mean {like:?}?")).unwrap_or_default();
            return Err(bad(format!("there is no query parameter {shown:?} here{hint}"), known));
        }
        if value.contains('\0') {
            return Err(bad(format!("the value of {shown:?} holds a NUL"), known));
        }
        if seen.contains(&name) {
            return Err(bad(format!("the query parameter {shown:?} is given twice"), known));
        }
        seen.push(name);
    }
    Ok(())
}

fn bad(title: String, known: &[String]) -> Problem {
    let allowed = if known.is_empty() {
        "this operation takes no query parameters".to_owned()
    } else {
        format!("allowed are: {}", known.join(", "))
    };
    Problem::new(StatusCode::BAD_REQUEST, "bad-query", title).detail(allowed)
}

/// The text behind percent-encoding; `None` if it is not UTF-8 or not encoded properly. In a query,
/// a plus sign is a blank.
pub(crate) fn decoded(text: &str, plus_is_blank: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                u8::try_from(value).ok()?
            }
            b'+' if plus_is_blank => b' ',
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The parameters of an operation as its own type; what does not fit is a 400 with a reason.
#[derive(Debug)]
pub(crate) struct Asked<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => {
                let title = "a query parameter has a value that is not allowed";
                Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", title)
                    .detail(error.body_text()))
            }
        }
    }
}

/// Members of a list on one page, unless somebody asks for another number.
const LIMIT: usize = 50;
/// The most.
const LIMIT_MAX: usize = 200;

/// Which page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageAsked {
    /// Members on the page.
    #[serde(default)]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<usize>,
    /// What the page before says comes next.
    #[serde(default)]
    cursor: Option<String>,
}

impl PageAsked {
    /// Members on the page.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        limit(self.limit)
    }

    /// The cursor as it came.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The place the cursor names.
    pub(crate) fn place<T: FromStr>(&self) -> Result<Option<T>, Problem> {
        let read = |text: &str| text.parse().map_err(|_| bad_cursor());
        self.cursor().map(read).transpose()
    }
}

/// Members on a page, of those who ask for so many.
pub(crate) fn limit(asked: Option<usize>) -> Result<usize, Problem> {
    within("limit", asked.unwrap_or(LIMIT), LIMIT_MAX)
}

/// A number from 1 to the most.
pub(crate) fn within<T: Copy + PartialOrd + From<u8> + fmt::Display>(
    field: &str,
    given: T,
    most: T,
) -> Result<T, Problem> {
    if (T::from(1)..=most).contains(&given) {
        return Ok(given);
    }
    let title = format!("{field} must be 1 to {most}");
    Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", title))
}

/// A cursor that no page of this list gave away.
pub(crate) fn bad_cursor() -> Problem {
    let title = "the cursor cannot be used";
    Problem::new(StatusCode::BAD_REQUEST, "bad-cursor", title)
        .detail("take what the page before says comes next, as it stands")
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        bad_cursor().detail(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        vec!["dry_run".to_owned(), "limit".to_owned()]
    }

    #[test]
    fn only_known_parameters_pass_each_once() {
        for good in ["", "&", "dry_run=true", "limit=2&dry_run=1", "limit=%32", "limit=a+b"] {
            assert!(check(good, &known()).is_ok(), "{good}");
        }
        for bad in ["limit=1&limit=2", "x", "limit=%zz", "limit=%ff", "limit=%00", "=1"] {
            assert_eq!(check(bad, &known()).unwrap_err().status(), 400, "{bad}");
        }
        let problem = check("dryrun=1", &known()).unwrap_err();
        assert!(format!("{problem:?}").contains("dry_run"), "{problem:?}");
    }

    #[test]
    fn a_page_is_of_a_size_and_begins_somewhere() {
        let page =
            |limit, cursor: Option<&str>| PageAsked { limit, cursor: cursor.map(str::to_owned) };
        assert_eq!(page(None, None).limit().unwrap(), 50);
        assert_eq!(page(Some(200), None).limit().unwrap(), 200);
        for limit in [0, 201] {
            assert_eq!(page(Some(limit), None).limit().unwrap_err().status(), 400);
        }
        assert_eq!(page(None, Some("7")).place::<u32>().unwrap(), Some(7));
        assert_eq!(page(None, None).place::<u32>().unwrap(), None);
        assert_eq!(page(None, Some("-7")).place::<u32>().unwrap_err().status(), 400);
    }

    #[test]
    fn percent_encoding_is_read_strictly() {
        assert_eq!(decoded("a%20b+c", false).as_deref(), Some("a b+c"));
        assert_eq!(decoded("%C3%A4+", true).as_deref(), Some("ä "));
        for bad in ["%", "%2", "%g0", "%ff", "%+1"] {
            assert_eq!(decoded(bad, true), None, "{bad}");
        }
    }
}
