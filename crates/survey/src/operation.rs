//! An operation as callers and operators see it.

use serde::Serialize;
use store::Operation;
use utoipa::ToSchema;

/// An operation and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Operation)]
pub struct OperationView {
    /// Its id.
    pub id: String,
    /// `operation`.
    pub object: &'static str,
    /// `waiting`, `running`, `done` or `failed`.
    pub state: &'static str,
    /// What is done.
    pub verb: &'static str,
    /// To which jobs.
    #[serde(rename = "where")]
    pub which: String,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub created_at: String,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Why it could not be carried out to its end.
    pub failed: Option<String>,
    /// Its jobs.
    pub jobs: OperationJobs,
}

/// The jobs of an operation so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct OperationJobs {
    /// Looked at.
    pub looked_at: u64,
    /// Changed by it.
    pub changed: u64,
    /// Left as they were.
    pub left: u64,
}

impl From<&Operation> for OperationView {
    fn from(operation: &Operation) -> Self {
        let Operation { asked, progress, ended_at, failed } = operation;
        let looked_at = progress.changed + progress.left;
        let state = match (ended_at, failed, looked_at) {
            (Some(_), Some(_), _) => "failed",
            (Some(_), None, _) => "done",
            (None, _, 0) => "waiting",
            (None, _, _) => "running",
        };
        Self {
            id: asked.id.clone(),
            object: "operation",
            state,
            verb: asked.verb.word(),
            which: asked.filter.clone(),
            by: asked.by.clone(),
            reason: asked.reason.clone(),
            created_at: asked.created_at.rfc3339(),
            ended_at: ended_at.map(job::Timestamp::rfc3339),
            failed: failed.clone(),
            jobs: OperationJobs { looked_at, changed: progress.changed, left: progress.left },
        }
    }
}
