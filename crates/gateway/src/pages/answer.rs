//! Answers as pages, and what is shown where a page cannot be.

use crate::problem::Problem;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use dashboard::{Notice, PREFIX, screens};
use store::{ReportError, StoreError};

/// What a handler comes to.
pub(super) type Shown = Result<Response, Trouble>;

/// Why a page is not shown.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    title: String,
    advice: String,
    /// Where to go instead.
    instead: Option<String>,
}

impl Trouble {
    pub(super) fn new(
        status: StatusCode,
        title: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { status, title: title.into(), advice: advice.into(), instead: None }
    }

    /// Also for what belongs to somebody else.
    pub(super) fn missing() -> Self {
        let advice = "It may have been erased, or belong to another tenant.";
        Self::new(StatusCode::NOT_FOUND, "There is no such page", advice)
    }

    pub(super) fn forbidden(advice: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "You may not do that", advice)
    }

    pub(super) fn refused(advice: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "That cannot be done", advice)
    }

    /// To the door, and back here afterwards.
    pub(super) fn log_in(next: &str) -> Self {
        let next: String = url_encoded(next);
        let instead = Some(format!("{PREFIX}/login?next={next}"));
        let status = StatusCode::SEE_OTHER;
        Self { status, title: String::new(), advice: String::new(), instead }
    }
}

/// Percent-encoded, as far as a query needs it.
pub(super) fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The same for one part of a path, in which a slash is a letter like any other.
pub(super) fn url_encoded_part(text: &str) -> String {
    url_encoded(text).replace('/', "%2F")
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        if let Some(instead) = self.instead {
            return Redirect::to(&instead).into_response();
        }
        let status = self.status.as_u16();
        let page = screens::trouble::Trouble { status, title: &self.title, advice: &self.advice };
        (self.status, Html(page.page())).into_response()
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        // The cause names the fleet's insides: it goes to the log.
        tracing::warn!(%error, "a page cannot be shown");
        let advice = "Its memory does not answer. Nothing is lost; try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The fleet cannot be seen", advice)
    }
}

impl From<ReportError> for Trouble {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::Store(error) => error.into(),
            ReportError::Contradiction(why) => Self::refused(why.to_string()),
        }
    }
}

impl From<assets::Error> for Trouble {
    fn from(error: assets::Error) -> Self {
        match error {
            assets::Error::Missing { .. } => Self::missing(),
            other => {
                tracing::warn!(error = %other, "a file cannot be shown");
                let advice = "The bucket does not answer. Try again in a moment.";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The file cannot be read", advice)
            }
        }
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let (status, title, advice) = problem.told();
        Self::new(status, title, advice)
    }
}

pub(super) fn page(text: String) -> Response {
    Html(text).into_response()
}

/// The page is shown again, because what was sent does not do.
pub(super) fn again(text: String) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Html(text)).into_response()
}

/// After a deed: a fresh GET, so that going back or reloading repeats nothing.
pub(super) fn done(path: &str, notice: Notice) -> Response {
    let mark = if path.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{PREFIX}{path}{mark}{}", notice.query())).into_response()
}

pub(super) const COOKIE: header::HeaderName = header::SET_COOKIE;
