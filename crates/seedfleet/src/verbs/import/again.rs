//! Rows in place of jobs that ended badly: `--retry-of`.

use super::Order;
use admission::Mends;
use job::JobId;
use serde_json::{Map, Value};

impl Order {
    /// What a row stands in place of. A `_job` that is no job's name says nothing: the row is found otherwise.
    pub(super) fn mends(&self, notes: &Map<String, Value>) -> Option<Mends> {
        let batch = self.retry_of.clone()?;
        let named = notes.get("_job").and_then(Value::as_str);
        Some(Mends { batch, job: named.and_then(|id| JobId::parse(id).ok()) })
    }
}
