//! Refused rows: those that never went to the gateway, and those that it tells.

use crate::exit::Failure;
use crate::remote::gateway::Gateway;
use crate::remote::lines::Lines;
use crate::remote::rows;
use crate::verbs::import::{Reject, Rejects};
use admission::Refusal;
use seedance::Fault as FaultHere;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Rows that were found faulty on this machine.
pub(super) struct Refused {
    pub(super) rows: u64,
    codes: BTreeMap<String, u64>,
    /// Where all refused rows are told.
    pub(super) file: Rejects,
    /// Why the rest of the file cannot be read.
    pub(super) unreadable: Option<String>,
}

impl Refused {
    pub(super) const fn none(file: Rejects) -> Self {
        Self { rows: 0, codes: BTreeMap::new(), file, unreadable: None }
    }

    /// Tells one.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn add(
        &mut self,
        row: u64,
        custom_id: Option<&str>,
        faults: Vec<FaultHere>,
    ) -> Result<(), Failure> {
        self.rows += 1;
        for reject in Reject::of(&Refusal::Faults(faults)) {
            *self.codes.entry(reject.code.clone()).or_default() += 1;
            self.file.write(row, custom_id, &reject)?;
        }
        Ok(())
    }

    /// How often each code was told, with what the gateway counted.
    pub(super) fn codes(&self, counted: &Value) -> String {
        let mut codes = self.codes.clone();
        for (code, n) in counted.as_object().into_iter().flatten() {
            *codes.entry(code.clone()).or_default() += n.as_u64().unwrap_or(0);
        }
        let codes: Vec<String> = codes.iter().map(|(code, n)| format!("{code} {n}")).collect();
        codes.join(" · ")
    }
}

/// A refused row as the gateway tells it.
#[derive(Debug, Deserialize)]
struct Kept {
    row: u64,
    custom_id: Option<String>,
    code: String,
    message: String,
    #[serde(default)]
    errors: Vec<Fault>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    pointer: String,
    code: String,
    message: String,
    allowed: Option<String>,
    fix: String,
}

impl Kept {
    /// A line of the rejects file for each fault, as an import from Redis writes them.
    fn faults(self) -> Vec<Reject> {
        if self.errors.is_empty() {
            let fix = "import the file again later, or change what is named";
            return vec![Reject::whole(&self.code, self.message, fix)];
        }
        let told = self.errors.into_iter().map(|fault| Reject {
            pointer: fault.pointer,
            code: fault.code,
            reason: fault.message,
            allowed: fault.allowed,
            fix: fault.fix,
        });
        told.collect()
    }

    fn write(mut self, file: &mut Rejects) -> Result<(), Failure> {
        let (row, custom_id) = (self.row, self.custom_id.take());
        for reject in self.faults() {
            file.write(row, custom_id.as_deref(), &reject)?;
        }
        Ok(())
    }
}

/// Writes down what a batch keeps of refused rows.
///
/// # Errors
///
/// The gateway is away, or the file cannot be written.
pub(super) async fn write_kept(
    gateway: &Gateway,
    batch: &str,
    file: &mut Rejects,
) -> Result<(), Failure> {
    let pieces = gateway.open(&["batches", batch, "rejects"], &[], &[]).await?;
    let mut lines = Lines::of(gateway, pieces);
    while let Some(line) = lines.next().await? {
        let kept: Kept = serde_json::from_str(&line).map_err(|_| rows::strange("a refused row"))?;
        kept.write(file)?;
    }
    Ok(())
}

/// Writes down what a dry run tells of refused rows.
///
/// # Errors
///
/// The file cannot be written.
pub(super) fn write_told(told: Vec<Value>, file: &mut Rejects) -> Result<(), Failure> {
    for row in told {
        let kept: Kept = serde_json::from_value(row).map_err(|_| rows::strange("a refused row"))?;
        kept.write(file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_fault_of_a_refused_row_is_a_line() {
        let kept = json!({"row": 7, "custom_id": "a", "code": "bad", "message": "two faults", "errors": [
            {"pointer": "/duration", "code": "out-of-range", "message": "too long", "allowed": "4 to 15", "fix": "x"},
            {"pointer": "/ratio", "code": "unknown", "message": "no ratio", "fix": "y"},
        ]});
        let kept: Kept = serde_json::from_value(kept).unwrap();
        let pointers: Vec<String> = kept.faults().into_iter().map(|fault| fault.pointer).collect();
        assert_eq!(pointers, ["/duration", "/ratio"]);
        let whole =
            json!({"row": 8, "custom_id": null, "code": "key-reused", "message": "it was used"});
        let whole: Kept = serde_json::from_value(whole).unwrap();
        let faults = whole.faults();
        assert_eq!((faults.len(), faults[0].pointer.as_str()), (1, ""));
        assert_eq!(
            (faults[0].code.as_str(), faults[0].reason.as_str()),
            ("key-reused", "it was used")
        );
    }
}
