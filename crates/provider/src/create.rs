//! The call that costs money.

use std::time::Instant;

use bytes::Bytes;
use egress::{Answer, AnswerHead, Gate, Hold, Moment, PostOutcome, Secret, Silence};
use job::mutant::{self, Mutant};
use job::{AttemptId, TaskId};
use limiter::Permit;
use seedance::{Call, Created, created_task_id};

use crate::{
    Client, Refusal, Site,
    client::client_request_id,
    sort::{Sorted, sort},
};

/// One create call, ready to go. Commit the attempt before making one.
#[derive(Debug)]
pub struct CreateCall<'a> {
    /// From the attempt's frozen facts ([`Site::for_create`]).
    pub site: &'a Site,
    /// The attempt; sent as the request's trace id.
    pub attempt: &'a AttemptId,
    /// The rendered JSON body, whose hash stands in the attempt.
    pub body: Bytes,
    /// Until when the last byte may leave. The slot of the permit narrows it.
    pub gate: Gate,
}

/// What one create call came to, sorted by what it may have bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateAnswer {
    /// Bought: this is the task.
    Accepted {
        /// Its id.
        task: TaskId,
        /// The provider's id of this request.
        request_id: Option<String>,
    },
    /// Nothing bought: the last byte of the request never left, or no request was made.
    NotSent {
        /// For people.
        reason: String,
        /// The route could not be reached, so other calls will fare alike for a while. `false` when
        /// our own deadline, or the call's slot, passed.
        unreachable: bool,
    },
    /// Nothing bought: a definite no.
    Refused(Refusal),
    /// Perhaps bought.
    Unclear {
        /// `timeout`, `reset`, `unreadable`, or `http-<status>`.
        kind: String,
        /// For people.
        reason: String,
        /// The provider's id of this request, if any of an answer came.
        request_id: Option<String>,
        /// Whether a person should be told at once.
        alert: bool,
    },
}

impl Client {
    /// Asks the route to start one generation: one POST, never repeated.
    ///
    /// The only call in the fleet that costs money, and the contract knows no idempotency key.
    /// Commit the attempt first, and never wrap this in a retry. `permit` is spent even on failure.
    /// Bounded by `provider.create_timeout`. An abandoned future counts as
    /// [`CreateAnswer::Unclear`].
    ///
    /// # Source
    ///
    /// `docs/provider.md` §1.3, §7.3; each failure is played through in `tests/it/create.rs`.
    pub async fn create(&self, permit: Permit, call: CreateCall<'_>) -> CreateAnswer {
        let moment = permit.moment().map(|slot| Moment {
            opens: slot.opens,
            closes: slot.closes,
            wall_closes: slot.wall_closes,
            last_word: Some(slot.last_word()),
        });
        let gate = Gate { moment, ..call.gate };
        let cleared = match self.clear(permit, Call::Create, call.site) {
            Ok(cleared) => cleared,
            Err(trouble) => {
                return CreateAnswer::NotSent { reason: trouble.message, unreachable: false };
            }
        };
        let headers = client_request_id(call.attempt.as_str());
        let began = Instant::now();
        let outcome = self.creates.post(&cleared.url, headers, &cleared.key, call.body, gate).await;
        let took = began.elapsed();
        let answer = sort_outcome(outcome, &cleared.key);
        if let CreateAnswer::Refused(Refusal { brake: Some(brake), code, .. }) = &answer {
            cleared.spent.slowed(*brake, code).await;
        }
        self.count(Call::Create, answer.outcome(), took);
        tracing::debug!(
            pool = self.pool,
            account = call.site.account,
            attempt = %call.attempt,
            call = Call::Create.word(),
            outcome = answer.word(),
            request_id = answer.request_id(),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "provider call",
        );
        answer
    }
}

impl CreateAnswer {
    /// A closed list of words, for metrics and logs.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::NotSent { .. } => "not_sent",
            Self::Refused(_) => "refused",
            Self::Unclear { .. } => "unclear",
        }
    }

    /// The same in the words that all calls share in the metrics.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "ok",
            Self::NotSent { .. } | Self::Refused(_) | Self::Unclear { .. } => self.word(),
        }
    }

    /// The provider's id of the request, if any of an answer came.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Accepted { request_id, .. } | Self::Unclear { request_id, .. } => {
                request_id.as_deref()
            }
            Self::Refused(refusal) => refusal.request_id.as_deref(),
            Self::NotSent { .. } => None,
        }
    }
}

fn sort_outcome(outcome: PostOutcome, key: &Secret) -> CreateAnswer {
    match outcome {
        PostOutcome::NothingSent { hold, reason } => CreateAnswer::NotSent {
            reason,
            unreachable: match hold {
                Hold::Connect | Hold::Cut => true,
                Hold::GateClosed | Hold::OutOfTurn | Hold::Request => false,
            },
        },
        PostOutcome::Answered { answer, request_complete } => {
            sort_answer(&answer, request_complete, key)
        }
        PostOutcome::Unclear { how, reason, head: None } => {
            let kind = kind_of(how).to_owned();
            CreateAnswer::Unclear { kind, reason, request_id: None, alert: false }
        }
        PostOutcome::Unclear { how, reason, head: Some((status, head)) } => {
            sort_torn(status, head, how, reason, key)
        }
    }
}

fn kind_of(how: Silence) -> &'static str {
    match how {
        Silence::Timeout => "timeout",
        Silence::Cut => "reset",
        Silence::TooLong => "unreadable",
    }
}

fn sort_answer(answer: &Answer, request_complete: bool, key: &Secret) -> CreateAnswer {
    let request_id = answer.head.request_id.clone();
    if (200..300).contains(&answer.status) {
        let id = created_task_id(&answer.body).map_err(|error| error.to_string());
        return match id.and_then(|id| TaskId::parse(&id).map_err(|error| error.to_string())) {
            Ok(task) => CreateAnswer::Accepted { task, request_id },
            Err(_) if !request_complete => before_the_end(answer.status),
            Err(error) => CreateAnswer::Unclear {
                kind: "unreadable".to_owned(),
                reason: format!("HTTP {} without a task id: {error}", answer.status),
                request_id,
                alert: true,
            },
        };
    }
    let sorted = sort(Call::Create, answer, key);
    if is_definite(answer.status, &sorted) {
        return CreateAnswer::Refused(Refusal::of(sorted, answer.head.retry_after));
    }
    if !request_complete {
        return before_the_end(answer.status);
    }
    CreateAnswer::Unclear {
        kind: format!("http-{}", answer.status),
        reason: format!("HTTP {}: {} {}", answer.status, sorted.code, sorted.message),
        request_id: sorted.request_id,
        // A redirect of this call is nothing the contract knows of; it is never followed.
        alert: sorted.verdict.alert || (300..400).contains(&answer.status),
    }
}

/// The head of an answer came and its body did not. The status of a definite no is enough to know
/// that nothing was bought; everything else is doubt.
fn sort_torn(
    status: u16,
    head: AnswerHead,
    how: Silence,
    reason: String,
    key: &Secret,
) -> CreateAnswer {
    let answer = Answer { status, head, body: Bytes::new() };
    let sorted = sort(Call::Create, &answer, key);
    if is_definite(status, &sorted) {
        let refusal = Refusal::of(sorted, answer.head.retry_after);
        return CreateAnswer::Refused(Refusal { message: reason, ..refusal });
    }
    let kind = match status {
        200..300 => kind_of(how).to_owned(),
        _ => format!("http-{status}"),
    };
    CreateAnswer::Unclear { kind, reason, request_id: answer.head.request_id, alert: false }
}

/// Statuses between 400 and 499 that a front door gives while, or after, the service works on the
/// request. Whatever code they carry, a task may have been made.
const DOUBTFUL: [u16; 4] = [408, 409, 424, 499];

/// Only a 4xx can be a definite no, only where the error table says that nothing was made, and never
/// one of [`DOUBTFUL`]. Two locks on one door: a wrong row in the table alone does not buy a second
/// video.
fn is_definite(status: u16, sorted: &Sorted) -> bool {
    if status >= 500 && mutant::on(Mutant::AmbiguousIsDefinite) {
        return true;
    }
    (400..500).contains(&status)
        && !DOUBTFUL.contains(&status)
        && match sorted.verdict.created {
            Created::No => true,
            Created::Unknown => false,
        }
}

/// An answer that says nothing definite but overtook the last byte of the request, which is the
/// better proof.
fn before_the_end(status: u16) -> CreateAnswer {
    CreateAnswer::NotSent {
        reason: format!("HTTP {status} came before the request was complete"),
        unreachable: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedance::ErrorTable;

    /// The table says "nothing made" for each of these; the status alone must still forbid it.
    #[test]
    fn a_wrong_row_of_the_table_makes_no_definite_no() {
        let sorted = Sorted {
            verdict: ErrorTable::builtin().classify(
                Call::Create,
                400,
                Some("InvalidParameter"),
                "",
            ),
            code: String::new(),
            message: String::new(),
            request_id: None,
        };
        assert!(is_definite(400, &sorted) && is_definite(429, &sorted));
        for status in [200, 302, 408, 409, 424, 499, 500, 502, 503, 504, 599] {
            assert!(!is_definite(status, &sorted), "{status}");
        }
    }
}
