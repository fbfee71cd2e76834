//! How the rows of a file are taken in.

use super::References;
use crate::cli::Duplicates;
use crate::output::Progress;
use crate::session::operator;
use admission::{Beside, Intake, Mends, Row};
use job::Source;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

/// How rows are taken in.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) batch: String,
    pub(crate) tenant: String,
    pub(crate) duplicates: Duplicates,
    pub(crate) dry_run: bool,
    pub(crate) rejects: PathBuf,
    pub(crate) beside: Beside,
    /// The batch whose failed jobs the rows stand in place of.
    pub(crate) retry_of: Option<String>,
    /// Only these rows, as the batch's pilot; none: all of them, as any.
    pub(crate) pilot: Option<Arc<BTreeSet<u64>>>,
    /// What is known of the files that rows refer to; none: nobody asks. All passes over a file share it, so
    /// that each address is asked once.
    pub(crate) references: Option<Arc<References>>,
}

impl Order {
    /// Whether a row is among those that are taken in.
    pub(super) fn takes(&self, row: u64) -> bool {
        self.pilot.as_ref().is_none_or(|rows| rows.contains(&row))
    }

    /// Asks for what these rows refer to, if that is wanted. Broken off, what was answered stays known.
    pub(super) async fn ask(&self, rows: &[Row], bytes: u64, progress: &Progress) {
        let Some(references) = &self.references else { return };
        let taken = rows.iter().filter(|row| self.takes(row.number));
        let bodies = taken.filter_map(|row| Some((row.number, row.body.as_ref().ok()?)));
        references.ask(bodies, bytes, progress).await;
    }

    /// A row as it comes to the door.
    pub(super) fn intake(&self, mut body: Value, notes: &Map<String, Value>) -> Intake {
        self.beside.complete(&mut body);
        Intake {
            tenant: self.tenant.clone(),
            batch: Some(self.batch.clone()),
            made_by: Some(operator(None).as_str().to_owned()),
            mends: self.retry_of.as_deref().map(|batch| Mends::of(batch, notes)),
            pilot: self.pilot.is_some(),
            ..Intake::new(body, Source::Import)
        }
    }
}
