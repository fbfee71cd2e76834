//! What goes wrong, as RFC 9457 problems. Each says whether to try again and whether money moved.

use crate::settings::Scope;
use admission::Refusal;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use seedance::Fault;
use serde::Serialize;

/// Wait told to callers whose request may be accepted later, seconds.
const RETRY_AFTER_S: u32 = 5;

/// A problem, boxed: most answers are none.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Document>);

/// The document of RFC 9457.
#[derive(Debug, Clone, Serialize)]
struct Document {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    code: String,
    /// The same request may succeed later.
    retryable: bool,
    /// Nothing that fails here has cost anything.
    charged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Detail>,
}

/// One fault of a document.
#[derive(Debug, Clone, Serialize)]
struct Detail {
    pointer: String,
    code: String,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    allowed: Option<String>,
    fix: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, title: impl Into<String>) -> Self {
        Self(Box::new(Document {
            kind: format!("urn:seedfleet:problem:{code}"),
            title: title.into(),
            status: status.as_u16(),
            code: code.to_owned(),
            retryable: false,
            charged: false,
            detail: None,
            errors: Vec::new(),
        }))
    }

    pub(crate) fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> u16 {
        self.0.status
    }

    pub(crate) fn unauthorized() -> Self {
        let title = "a configured key is needed: Authorization: Bearer <key>";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title)
    }

    pub(crate) fn forbidden(needs: Scope) -> Self {
        let title = format!("this key lacks the scope {}", needs.word());
        Self::new(StatusCode::FORBIDDEN, "forbidden", title)
    }

    /// Also for another tenant's job: whether it exists is nobody else's business.
    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is no such job")
    }

    /// Redis did not answer. The cause goes to the log: it names the fleet's insides.
    pub(crate) fn unavailable(cause: &dyn std::fmt::Display) -> Self {
        tracing::warn!(%cause, "the fleet's memory is away");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the fleet's memory is away")
            .retryable()
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        let title = "the body is not a JSON object";
        Self::new(StatusCode::BAD_REQUEST, "malformed-json", title).detail(detail)
    }

    pub(crate) fn refused(refusal: &Refusal) -> Self {
        let (status, title) = match refusal {
            Refusal::Faults(_) => (StatusCode::UNPROCESSABLE_ENTITY, "the request has faults"),
            Refusal::KeyReused { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "the idempotency key was used before")
            }
            Refusal::NoPrice(_) => (StatusCode::UNPROCESSABLE_ENTITY, "no price is known"),
            Refusal::Paused { .. } => (StatusCode::SERVICE_UNAVAILABLE, "intake is paused"),
            Refusal::Unavailable { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "the request could not be stored")
            }
            Refusal::BacklogFull { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "the tenant has as many jobs waiting as it may")
            }
            Refusal::BudgetExhausted { .. } => {
                (StatusCode::FORBIDDEN, "the tenant's budget of today is spent")
            }
            Refusal::MediaExhausted { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "the tenant's inline media of today are spent")
            }
        };
        // The cause of an outage names the fleet's insides: it goes to the log, not to the caller.
        let said = match refusal {
            Refusal::Unavailable { cause } => {
                tracing::warn!(cause, "a job could not be stored");
                "send the same request again: should it have been accepted, the same job answers"
                    .to_owned()
            }
            Refusal::Faults(_)
            | Refusal::KeyReused { .. }
            | Refusal::NoPrice(_)
            | Refusal::BacklogFull { .. }
            | Refusal::BudgetExhausted { .. }
            | Refusal::MediaExhausted { .. }
            | Refusal::Paused { .. } => refusal.to_string(),
        };
        let mut problem = Self::new(status, refusal.code(), title).detail(said);
        problem.0.errors = refusal.faults().iter().map(detail).collect();
        problem.0.retryable = refusal.is_retryable();
        problem
    }
}

fn detail(fault: &Fault) -> Detail {
    Detail {
        pointer: fault.pointer.clone(),
        code: fault.code.to_string(),
        message: fault.message.clone(),
        allowed: fault.allowed.clone(),
        fix: fault.fix.clone(),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = self.0;
        let status =
            StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retryable = document.retryable;
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        if retryable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
