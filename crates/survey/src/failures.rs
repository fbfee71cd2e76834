//! Failures by code, each with what to do about it.

use job::{End, JobId, Record, State, Timestamp};
use seedance::{Call, Class, ErrorTable, Retry};
use serde::Serialize;
use store::{FailureGroup, Scope, Store, StoreError};
use utoipa::ToSchema;

/// Jobs that failed with one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Failure)]
pub struct FailureView {
    /// The code.
    pub code: String,
    /// The class of the error; of a code of ours, none.
    pub class: Option<String>,
    /// Jobs that stand as failed with it.
    pub jobs: u64,
    /// Those of them that are at hand and not dismissed: what there is to do.
    pub open: u64,
    /// Those of them that were dismissed.
    pub dismissed: u64,
    /// Those of them whose records have left for the archive.
    pub archived: u64,
    /// When the first of them failed, RFC 3339.
    pub first: String,
    /// When the last of them failed, RFC 3339.
    pub last: String,
    /// Both, for who reckons with them.
    #[serde(skip)]
    pub seen: (Timestamp, Timestamp),
    /// They were paid for.
    pub paid: bool,
    /// The same request may succeed when it is made again.
    pub retryable: bool,
    /// What to do.
    pub advice: String,
    /// Jobs to look at.
    #[schema(value_type = Vec<String>)]
    pub samples: Vec<JobId>,
}

/// What was wrong with one job, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = FailedFor)]
pub struct FailedView {
    /// The code.
    pub code: String,
    /// The class of the error; of a code of ours, none.
    pub class: Option<&'static str>,
    /// What the provider said, or what became of the output.
    pub message: Option<String>,
    /// What to do.
    pub advice: String,
    /// The same request may succeed when it is made again.
    pub retryable: bool,
}

impl FailedView {
    /// Of a job that stands as failed; none of any other.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let state = &record.life.state;
        let (code, cause) = (state.failure_code()?, state.failure());
        let class = cause.map(|cause| cause.class.word());
        let lost = if let State::Finished { end: End::OutputLost { reason }, .. } = state {
            Some(reason.as_str())
        } else {
            None
        };
        let (retryable, advice) = advice(code, class);
        let message = cause.map(|cause| cause.message.as_str()).or(lost).map(str::to_owned);
        Some(Self { code: code.to_owned(), class, message, advice, retryable })
    }
}

/// The failures of a scope, most frequent first.
///
/// # Errors
///
/// As every call of the store.
pub async fn failures(store: &Store, scope: Scope<'_>) -> Result<Vec<FailureView>, StoreError> {
    Ok(store.failures(scope).await?.into_iter().map(view).collect())
}

fn view(group: FailureGroup) -> FailureView {
    let FailureGroup { code, class, jobs, open, dismissed, archived, first, last, sample } = group;
    let (retryable, advice) = advice(&code, class.as_deref());
    FailureView {
        paid: code == "output-lost",
        class,
        jobs,
        open,
        dismissed,
        archived,
        first: first.rfc3339(),
        last: last.rfc3339(),
        seen: (first, last),
        retryable,
        advice,
        samples: sample.into_iter().collect(),
        code,
    }
}

/// Whether the same request may succeed when it is made again after this code, and what to do about it; `class` is
/// that of the error, where it has one.
fn advice(code: &str, class: Option<&str>) -> (bool, String) {
    let table = ErrorTable::builtin();
    let known = Class::ALL.into_iter().find(|known| Some(known.word()) == class);
    // What a task ended with is sorted apart from what a create was refused with.
    let of_task = known == Some(Class::Output) || known == Some(Class::Server);
    match (table.own(code), of_task) {
        (Some(own), _) => (false, own.advice.clone()),
        (None, true) => {
            let sorted = table.classify_task(Some(code), "");
            (is_retryable(sorted.retry), sorted.advice)
        }
        (None, false) => {
            let sorted = table.classify(Call::Create, 400, Some(code), "");
            (is_retryable(sorted.retry), sorted.advice)
        }
    }
}

const fn is_retryable(retry: Retry) -> bool {
    match retry {
        Retry::Backoff
        | Retry::BackoffLong
        | Retry::AfterReset
        | Retry::AfterRepair
        | Retry::NewTask
        | Retry::NewTaskByPolicy => true,
        Retry::Never | Retry::AfterSettling | Retry::ReadAgain | Retry::Hold => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: &str, class: Option<&str>) -> FailureView {
        let at = Timestamp::from_unix_ms(1_790_000_000_000);
        let class = class.map(str::to_owned);
        let (code, dismissed, archived) = (code.into(), 0, 0);
        let (first, last, sample) = (at, at, None);
        let (jobs, open) = (2, 2);
        view(FailureGroup { code, class, jobs, open, dismissed, archived, first, last, sample })
    }

    #[test]
    fn every_code_comes_with_advice() {
        let moderated = of("OutputVideoSensitiveContentDetected", Some("output"));
        assert!(moderated.retryable && !moderated.paid, "{moderated:?}");
        let prompt = of("InputTextSensitiveContentDetected", Some("content"));
        assert!(!prompt.retryable && prompt.advice.contains("prompt"), "{prompt:?}");
        let lost = of("output-lost", None);
        assert!(lost.paid && !lost.advice.is_empty(), "{lost:?}");
        assert!(!of("NobodyKnowsThis", Some("input")).advice.is_empty());
    }
}
