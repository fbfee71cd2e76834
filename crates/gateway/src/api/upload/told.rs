//! A row of a stream, as it is told when it is refused.

use admission::Refusal;
use seedance::Fault;
use serde_json::{Value, json};

/// Faults told of one refused row.
const FAULTS_MAX: usize = 8;

/// What is told of a row if it is refused.
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) custom_id: Option<String>,
}

impl Told {
    /// Under which name a refused row is kept: the same row, mended, takes it away.
    pub(super) fn row(&self) -> String {
        match &self.custom_id {
            Some(custom_id) => format!("id:{}", custom_id.chars().take(256).collect::<String>()),
            None => format!("row:{}", self.number),
        }
    }

    /// Why it is refused.
    pub(super) fn line(&self, refusal: &Refusal) -> Value {
        let faults: Vec<&Fault> = refusal.faults().iter().take(FAULTS_MAX).collect();
        json!({
            "row": self.number,
            "custom_id": self.custom_id,
            "code": first_code(refusal),
            "message": refusal.to_string().chars().take(1_000).collect::<String>(),
            "errors": faults,
        })
    }
}

/// The code under which a refused row is counted.
pub(super) fn first_code(refusal: &Refusal) -> &str {
    refusal.faults().first().map_or(refusal.code(), |fault| fault.code.as_str())
}
