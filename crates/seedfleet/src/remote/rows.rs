//! What the API answers, as rows of the command line, and walks over its pages.

use super::gateway::Gateway;
use crate::exit::{Exit, Failure};
use crate::output::Row;
use job::StateWord;
use job::filter::Filter;
use seedance::{ModelKey, Route};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most of a page.
const PAGE_MAX: u64 = 200;

/// A text of an answer.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// An object of an answer as a row.
pub(super) fn row(value: Value) -> Result<Row, Failure> {
    match value {
        Value::Object(row) => Ok(row),
        _ => Err(strange("an object")),
    }
}

/// The items of a page.
pub(super) fn items(mut page: Value) -> Result<Vec<Value>, Failure> {
    match page["items"].take() {
        Value::Array(items) => Ok(items),
        _ => Err(strange("items")),
    }
}

/// The answer is none of a gateway that we know.
pub(super) fn strange(wanted: &str) -> Failure {
    Failure::new(Exit::Failed, format!("the gateway's answer lacks {wanted}"))
        .hint("its version may be another: `seedfleet version`")
}

/// The public state of a job.
pub(super) fn state(job: &Value) -> Result<StateWord, Failure> {
    text(job, "/state").and_then(StateWord::parse).ok_or_else(|| strange("a known state"))
}

/// The fleet's word for a model; what it has none for, as it is.
fn model(id: &str) -> &str {
    let is = |key: &ModelKey| Route::ALL.into_iter().any(|route| key.wire_id(route) == id);
    ModelKey::ALL.into_iter().find(is).map_or(id, |key| key.word())
}

/// One job for a list, with the columns of the direct one. The API tells neither mode nor tenant.
pub(super) fn job(job: &Value) -> Row {
    let of = |pointer: &str| job.pointer(pointer).cloned().unwrap_or(Value::Null);
    // A code groups failures; the other ends have none.
    let failed = matches!(text(job, "/state"), Some("failed" | "output_lost"));
    Row::from_iter([
        ("job".to_owned(), of("/id")),
        ("state".to_owned(), of("/state")),
        ("model".to_owned(), json!(text(job, "/model").map(model))),
        ("mode".to_owned(), Value::Null),
        ("tenant".to_owned(), Value::Null),
        ("batch".to_owned(), of("/batch")),
        ("custom_id".to_owned(), of("/custom_id")),
        ("created_at".to_owned(), of("/created_at")),
        ("updated_at".to_owned(), of("/updated_at")),
        ("code".to_owned(), if failed { of("/error/code") } else { Value::Null }),
        ("task".to_owned(), of("/provider/task_id")),
    ])
}

/// Everything about a job that the API tells.
pub(super) fn detail(view: &Value) -> Row {
    let of = |pointer: &str| view.pointer(pointer).cloned().unwrap_or(Value::Null);
    let mut row = job(view);
    let reason = text(view, "/reason").or_else(|| text(view, "/error/message"));
    row.insert("reason".into(), json!(reason));
    for (name, pointer) in [
        ("held", "/held"),
        ("retry_of", "/retry_of"),
        ("attempts_begun", "/attempts"),
        ("account", "/provider/account"),
        ("model_id", "/model"),
        ("video", "/output/video"),
        ("manifest", "/output/manifest"),
        ("sha256", "/output/video_sha256"),
        ("bytes", "/output/video_bytes"),
        ("tokens", "/output/tokens"),
        ("consent_ref", "/consent_ref"),
    ] {
        row.insert(name.into(), of(pointer));
    }
    row
}

/// Sums by currency, as one text.
pub(super) fn money(cost: &Value) -> String {
    let each = cost.as_object().into_iter().flatten();
    let each = each.map(|(currency, n)| {
        format!("{} {}", currency.to_uppercase(), n.as_str().unwrap_or_default())
    });
    each.collect::<Vec<_>>().join(" + ")
}

/// How many jobs stand where, of `counts` as the API tells it.
pub(super) fn counts(of: &Value) -> BTreeMap<StateWord, u64> {
    let each = of.as_object().into_iter().flatten();
    each.filter_map(|(word, n)| Some((StateWord::parse(word)?, n.as_u64()?))).collect()
}

/// A walk over the pages of a list.
pub(super) struct Walk<'a> {
    gateway: &'a Gateway,
    path: &'static str,
    pool: Option<&'a str>,
    filter: Option<String>,
    cursor: Option<String>,
    left: u64,
    ended: bool,
}

impl<'a> Walk<'a> {
    /// At most `limit` items, all for 0.
    pub(super) fn new(gateway: &'a Gateway, path: &'static str, limit: u64) -> Self {
        let left = if limit == 0 { u64::MAX } else { limit };
        Self { gateway, path, pool: None, filter: None, cursor: None, left, ended: false }
    }

    /// Of the pool that is meant: a list of what whole pools hold.
    #[must_use]
    pub(super) fn in_pool(mut self) -> Self {
        self.pool = self.gateway.pool.as_deref();
        self
    }

    /// Only those of a filter.
    #[must_use]
    pub(super) fn of(mut self, filter: &Filter) -> Self {
        self.filter = (!filter.is_all()).then(|| filter.to_string());
        self
    }

    /// Where a walk before ended.
    #[must_use]
    pub(super) fn behind(mut self, cursor: Option<String>) -> Self {
        self.cursor = cursor;
        self
    }

    /// The next items; `None` at the end.
    ///
    /// # Errors
    ///
    /// As every read.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Value>>, Failure> {
        if self.ended || self.left == 0 {
            return Ok(None);
        }
        let limit = self.left.min(PAGE_MAX).to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(self.filter.as_deref().map(|filter| ("where", filter)));
        query.extend(self.pool.map(|pool| ("pool", pool)));
        query.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = self.gateway.get(&[self.path], &query).await?;
        self.cursor = page["next"].as_str().map(str::to_owned);
        let items = items(page)?;
        self.left = self.left.saturating_sub(items.len() as u64);
        self.ended = self.cursor.is_none();
        Ok(Some(items))
    }

    /// Where a later walk goes on; `None` when there is nothing behind.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}
