//! Answers that are not a success: the provider's error shape, and the bare pages of the gateway
//! in front of it (`docs/provider.md` §7.1, §7.3).
//!
//! The table of known answers is the fixture file that the client's tests read too, so the two
//! sides cannot disagree about a body without a test noticing.

use std::sync::OnceLock;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

/// One refusal, before it is given a request id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: RefusalBody,
}

/// What the body of a refusal holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RefusalBody {
    /// The service's own shape.
    Ark(Box<ArkError>),
    /// A gateway's page, or nothing at all.
    Text(String),
}

/// The fields of an error in the service's own shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArkError {
    code: String,
    message: String,
    param: String,
    /// The wire's `type`.
    kind: String,
}

impl Refusal {
    /// A refusal in the service's own shape.
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>, param: &str) -> Self {
        let error = ArkError {
            code: code.into(),
            message: message.into(),
            param: param.into(),
            kind: kind_of(status).into(),
        };
        Self { status, headers: Vec::new(), body: RefusalBody::Ark(Box::new(error)) }
    }

    /// The 400 for a wrong parameter, in the form seen live (§2.6).
    pub(crate) fn parameter(param: &str, detail: &str) -> Self {
        Self::parameter_with("InvalidParameter", param, detail)
    }

    /// [`Refusal::parameter`] with a more exact code.
    pub(crate) fn parameter_with(code: &str, param: &str, detail: &str) -> Self {
        let message =
            format!("The parameter `{param}` specified in the request is not valid: {detail}.");
        Self::new(400, code, message, param)
    }

    /// The 400 for a parameter that is not there.
    pub(crate) fn missing(param: &str) -> Self {
        let message = format!("The request is missing the `{param}` parameter.");
        Self::new(400, &format!("MissingParameter.{param}"), message, param)
    }

    /// A known answer, by its code or, where one code has several meanings, by its fixture's name.
    pub(crate) fn known(code_or_name: &str) -> Option<Self> {
        let table = table();
        table
            .iter()
            .find(|row| row.name == code_or_name)
            .or_else(|| table.iter().find(|row| row.code() == Some(code_or_name)))
            .map(Row::refusal)
    }

    /// The known answer `name`, for names this crate itself writes.
    pub(crate) fn builtin(name: &str) -> Self {
        Self::known(name).expect("the fixture table holds every name this crate uses")
    }

    /// The gateway's bare page for `status`.
    pub(crate) fn html(status: u16) -> Self {
        let text = format!("<html><head><title>{status}</title></head><body></body></html>");
        Self {
            status,
            headers: vec![("content-type".into(), "text/html".into())],
            body: RefusalBody::Text(text),
        }
    }

    /// Adds a header.
    pub(crate) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The body, with the request id appended to the message as the service does.
    pub(crate) fn bytes(&self, request_id: &str) -> Bytes {
        match &self.body {
            RefusalBody::Text(text) => Bytes::from(text.clone()),
            RefusalBody::Ark(error) => {
                let ArkError { code, message, param, kind } = &**error;
                let message = format!("{message} Request id: {request_id}");
                let error = json!({"code": code, "message": message, "param": param, "type": kind});
                Bytes::from(json!({ "error": error }).to_string())
            }
        }
    }
}

/// The `type` word that goes with a status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        413 => "PayloadTooLarge",
        429 => "TooManyRequests",
        500..=599 => "InternalServerError",
        _ => "BadRequest",
    }
}

#[derive(Deserialize)]
struct Row {
    name: String,
    http_status: u16,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
    body: Option<Value>,
    body_text: Option<String>,
}

impl Row {
    fn text(&self, key: &str) -> Option<&str> {
        self.body.as_ref()?.get("error")?.get(key)?.as_str()
    }

    fn code(&self) -> Option<&str> {
        self.text("code")
    }

    fn refusal(&self) -> Refusal {
        let headers = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        let body = match (&self.body_text, self.code()) {
            (None, Some(code)) => {
                let message = self.text("message").unwrap_or_default();
                let message = message.split(" Request id: ").next().unwrap_or_default();
                RefusalBody::Ark(Box::new(ArkError {
                    code: code.into(),
                    message: message.into(),
                    param: self.text("param").unwrap_or_default().into(),
                    kind: self.text("type").unwrap_or_default().into(),
                }))
            }
            (text, _) => RefusalBody::Text(text.clone().unwrap_or_default()),
        };
        Refusal { status: self.http_status, headers, body }
    }
}

fn table() -> &'static [Row] {
    static TABLE: OnceLock<Vec<Row>> = OnceLock::new();
    TABLE.get_or_init(|| {
        serde_json::from_str(include_str!("../fixtures/errors.json"))
            .expect("the fixture file in this crate is well-formed")
    })
}
