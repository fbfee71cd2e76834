//! What people decided, as the store wrote it down with each decision.

use job::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::keys::AUDIT_LINES_MAX;
use store::{AuditLine, DecisionLine, Store, StoreError};
use utoipa::ToSchema;

/// One thing that somebody decided, or that the fleet raised.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = AuditLine)]
pub struct AuditView {
    /// When.
    pub at: String,
    /// Who.
    pub by: String,
    /// What was done.
    pub what: String,
    /// Which job; none for what concerns the pool.
    pub job: Option<String>,
    /// What came of it.
    pub result: String,
    /// Why.
    pub reason: Option<String>,
    /// What the person was shown, where it was about a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub evidence: Option<Value>,
    /// The same instant, for who sorts by it.
    #[serde(skip)]
    pub seen: Timestamp,
}

/// The newest lines, newest first: about jobs, and about the whole pool, such as a freeze or a pause; with `alarms` what the
/// fleet raised too.
///
/// # Errors
///
/// As every call of the store.
pub async fn audit(
    store: &Store,
    since: Option<Timestamp>,
    limit: usize,
    alarms: bool,
) -> Result<Vec<AuditView>, StoreError> {
    let decisions = store.decisions(since, limit).await?;
    let pool_wide = store.audit(AUDIT_LINES_MAX).await?;
    let wanted = |line: &AuditLine| {
        since.is_none_or(|since| line.at >= since) && (alarms || line.by.is_some())
    };
    let mut lines: Vec<AuditView> = decisions.into_iter().map(AuditView::from).collect();
    lines.extend(pool_wide.into_iter().filter(wanted).map(AuditView::from));
    lines.sort_by_key(|line| std::cmp::Reverse(line.seen));
    lines.truncate(limit);
    Ok(lines)
}

impl From<DecisionLine> for AuditView {
    fn from(line: DecisionLine) -> Self {
        Self {
            at: line.at.rfc3339(),
            by: line.by,
            what: line.verb,
            job: Some(line.job.to_string()),
            result: line.result,
            reason: Some(line.reason),
            evidence: Some(line.evidence),
            seen: line.at,
        }
    }
}

impl From<AuditLine> for AuditView {
    fn from(line: AuditLine) -> Self {
        let result = if line.by.is_some() { "done" } else { "alarm" };
        Self {
            at: line.at.rfc3339(),
            by: line.by.unwrap_or_else(|| "the fleet".to_owned()),
            what: line.alarm,
            job: line.job.map(|job| job.to_string()),
            result: result.to_owned(),
            reason: line.reason,
            evidence: None,
            seen: line.at,
        }
    }
}
