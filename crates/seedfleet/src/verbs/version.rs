//! `version`: of the program and of what it stores and sends.

use crate::cli::Global;
use crate::exit::{Exit, Outcome};
use crate::output::{Row, object};
use crate::remote;
use serde_json::json;

/// Runs the verb.
pub(crate) fn run(global: &Global) -> Outcome {
    let mut row = versions();
    // A fault in what names a gateway must not hide the versions.
    let talks_to = remote::told(global).unwrap_or_else(|failure| failure.to_string());
    row.insert("talks_to".into(), json!(talks_to));
    object(&global.output, row)?;
    Ok(Exit::Done)
}

/// Every version that is stored or sent.
pub(crate) fn versions() -> Row {
    let mut row = Row::new();
    row.insert("seedfleet".into(), json!(env!("CARGO_PKG_VERSION")));
    row.insert("record_schema".into(), json!(job::SCHEMA_VERSION));
    row.insert("fingerprint".into(), json!(job::FINGERPRINT_VERSION));
    row.insert("renderer".into(), json!(seedance::RENDERER_VERSION));
    row.insert("manifest".into(), json!(assets::MANIFEST_VERSION));
    row
}
