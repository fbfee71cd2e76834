//! What goes wrong, as RFC 9457 problems. Each says whether to try again and whether money moved.

use crate::settings::Scope;
use admission::Refusal;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use job::Timestamp;
use seedance::Fault;
use serde::Serialize;
use std::time::Duration;
use store::StoreError;
use utoipa::openapi::{Content, Ref, RefOr, ResponseBuilder};
use utoipa::{ToResponse, ToSchema};

/// Wait told to callers whose request may be accepted later.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A problem, boxed: most answers are none.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Document>);

/// What went wrong, as RFC 9457 writes it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// A name of this kind of problem; `code` is its end.
    #[serde(rename = "type")]
    kind: String,
    /// In one line.
    title: String,
    /// The HTTP status again.
    status: u16,
    /// Kebab-case and stable; advice stands in `config/error-codes.toml`.
    code: String,
    /// The same request may succeed later.
    retryable: bool,
    /// Whether the request cost money: nothing that fails here has.
    charged: bool,
    /// The answer's `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// More about this occurrence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
    /// Each fault of the body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Detail>,
    /// When a day's share is there again, where that is what is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    resets_at: Option<String>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

/// One fault of a body.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Fault)]
pub(crate) struct Detail {
    /// JSON pointer to the field at fault; empty: the whole document.
    pointer: String,
    /// Kebab-case and stable.
    code: String,
    /// What is wrong.
    message: String,
    /// What would be right.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    allowed: Option<String>,
    /// What to do.
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
            request_id: None,
            detail: None,
            errors: Vec::new(),
            resets_at: None,
            retry_after_s: None,
        }))
    }

    /// The same request may succeed later.
    pub(crate) fn retryable(self) -> Self {
        self.retry_after(RETRY_AFTER)
    }

    /// The same request may succeed after this time, which the answer tells in whole seconds.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retryable = true;
        self.0.retry_after_s =
            Some(wait.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX));
        self
    }

    /// Names the request, as its answer's header does.
    pub(crate) fn with_request_id(mut self, id: &str) -> Self {
        self.0.request_id = Some(id.to_owned());
        self
    }

    /// For an answer that came about elsewhere and brings nothing but its status.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, title) = match status {
            StatusCode::BAD_REQUEST => ("bad-request", "the request is malformed"),
            StatusCode::REQUEST_TIMEOUT => ("too-slow", "the request took too long"),
            StatusCode::PAYLOAD_TOO_LARGE => ("body-too-large", "the body is too large"),
            StatusCode::TOO_MANY_REQUESTS => ("too-many-requests", "too many requests"),
            StatusCode::NOT_FOUND => ("not-found", "there is nothing here"),
            status if status.is_server_error() => ("internal", "a fault of ours"),
            status => ("refused", status.canonical_reason().unwrap_or("refused")),
        };
        let again = matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::SERVICE_UNAVAILABLE
        );
        let problem = Self::new(status, code, title);
        if again { problem.retryable() } else { problem }
    }

    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Status, title and detail, for a page.
    pub(crate) fn told(self) -> (StatusCode, String, String) {
        let Document { status, title, detail, .. } = *self.0;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, title, detail.unwrap_or_default())
    }

    pub(crate) fn status(&self) -> u16 {
        self.0.status
    }

    /// Faults of a body that is not a job's.
    pub(crate) fn faults(faults: &[Fault]) -> Self {
        let title = "the request has faults";
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", title);
        problem.0.errors = faults.iter().map(detail).collect();
        problem
    }

    pub(crate) fn unauthorized() -> Self {
        let title = "a key that is known and has not ended is needed: Authorization: Bearer <key>";
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
        let title = "the body cannot be read as JSON";
        Self::new(StatusCode::BAD_REQUEST, "malformed-json", title).detail(detail)
    }

    /// To stand inside another answer.
    pub(crate) fn into_document(self) -> Document {
        *self.0
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
        match refusal.resets_at() {
            Some(at) => {
                problem.0.resets_at = Some(at.rfc3339());
                let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
                let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
                problem.retry_after(at.since(Timestamp::from_unix_ms(now)))
            }
            None if refusal.is_retryable() => problem.retryable(),
            None => problem,
        }
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

/// Redis does not answer, or not as it should: the same request may succeed later.
impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::unavailable(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = &self.0;
        let status =
            StatusCode::from_u16(document.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = document.retry_after_s;
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, problem);
        if let Some(wait_s) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // The guard writes it once more, with the request's id.
        response.extensions_mut().insert(self);
        response
    }
}

impl ToResponse<'_> for Problem {
    fn response() -> (&'static str, RefOr<utoipa::openapi::Response>) {
        let schema = Ref::from_schema_name("Problem");
        let response = ResponseBuilder::new()
            .description("Nothing was done; the problem says why, and what to do.")
            .content("application/problem+json", Content::new(Some(schema)));
        ("Problem", response.build().into())
    }
}
