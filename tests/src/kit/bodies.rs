//! Documents as callers write them.

use serde_json::{Value, json};

/// A request for a short film of a text, with more fields at will.
#[derive(Debug, Clone)]
pub struct Prompt(Value);

/// A text request. Texts differ from job to job: equal requests would be one job.
#[must_use]
pub fn text(prompt: &str) -> Prompt {
    Prompt(json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": prompt}],
        "duration": 4,
    }))
}

/// A media item of the content; no `role` where it is empty.
#[must_use]
pub fn item(kind: &str, url: &str, role: &str) -> Value {
    let mut item = json!({"type": kind, kind: {"url": url}});
    if !role.is_empty() {
        item["role"] = json!(role);
    }
    item
}

impl Prompt {
    /// One more top-level field, or another value for it.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0[field] = value.into();
        self
    }

    /// One more item of content.
    #[must_use]
    pub fn and(mut self, item: Value) -> Self {
        if let Some(content) = self.0["content"].as_array_mut() {
            content.push(item);
        }
        self
    }
}

impl From<Prompt> for Value {
    fn from(prompt: Prompt) -> Self {
        prompt.0
    }
}
