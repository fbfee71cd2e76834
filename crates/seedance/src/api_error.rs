//! The error body of a refused call (§7.1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `{"error": {…}}` as the provider sends it. What to do about it is [`ErrorTable`](crate::ErrorTable)'s
/// answer, never the message's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// Dotted code.
    pub code: String,
    /// Free text; the request id stands at its end.
    pub message: String,
    /// The body field at fault, if the provider names one.
    pub param: Option<String>,
    /// The provider's `type`, such as `BadRequest`.
    pub kind: Option<String>,
}

impl ApiError {
    /// Reads an error body; `None` for anything else, such as a gateway's HTML.
    pub fn parse(body: &[u8]) -> Option<ApiError> {
        let value: Value = serde_json::from_slice(body).ok()?;
        let error = value.get("error")?.as_object()?;
        let text = |key| error.get(key).and_then(Value::as_str).map(str::to_owned);
        let filled = |key| text(key).filter(|text| !text.is_empty());
        Some(ApiError {
            code: filled("code")?,
            message: text("message").unwrap_or_default(),
            param: filled("param"),
            kind: filled("type"),
        })
    }

    /// The provider's own id of the call, which its support asks for. It also comes as a header.
    pub fn request_id(&self) -> Option<&str> {
        const MARK: &str = "request id:";
        let at = self.message.to_ascii_lowercase().rfind(MARK)?;
        let id = self.message.get(at + MARK.len()..)?.trim();
        id.split_whitespace().next()
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}
