//! From an HTTP answer to what it means, by the contract's error table.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use egress::{Answer, CallError, Secret, redact_text};
use job::Timestamp;
use seedance::{ApiError, Brake, Call, Class, Classified, ErrorTable};

/// Longest message of the provider that is kept, in characters.
const MESSAGE_MAX: usize = 500;

/// Codes of troubles that no answer of the provider names.
pub(crate) const OUR_CODES: [&str; 6] =
    ["unreachable", "no-answer", "answer-too-long", "unreadable", "wrong-task", "not-asked"];

/// A definite no to a create call: nothing was bought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Sorted by what to do about it.
    pub class: Class,
    /// The provider's code, or `http-<status>` where it gave none.
    pub code: String,
    /// The provider's words, bounded, without keys and queries.
    pub message: String,
    /// What of the create was too much, where the code says so.
    pub brake: Option<Brake>,
    /// What the person who reads it can do.
    pub advice: String,
    /// How long the provider asks us to wait, from the moment of the answer.
    pub retry_after: Option<Duration>,
    /// When a used-up quota comes back, on the provider's clock.
    pub resets_at: Option<Timestamp>,
    /// The provider's id of this request.
    pub request_id: Option<String>,
    /// Whether a person should be told at once.
    pub alert: bool,
}

/// A read or delete call that did not answer the question. Nothing was changed by a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Sorted by what to do about it.
    pub class: Class,
    /// The provider's code, `http-<status>`, or what the transport said: `unreachable`,
    /// `no-answer`, `answer-too-long`, `unreadable`, `wrong-task`, `not-asked`.
    pub code: String,
    /// In words, bounded, without keys and queries.
    pub message: String,
    /// How long the provider asks us to wait, from the moment of the answer.
    pub retry_after: Option<Duration>,
    /// When a used-up quota comes back, on the provider's clock.
    pub resets_at: Option<Timestamp>,
    /// The provider's id of this request.
    pub request_id: Option<String>,
    /// Whether a person should be told at once.
    pub alert: bool,
}

/// An error answer, read and looked up.
pub(crate) struct Sorted {
    pub(crate) verdict: Classified,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) request_id: Option<String>,
}

/// Reads an answer that is no success. The code may also stand in a header, for answers of the
/// provider's front door (`docs/provider.md`, headers).
pub(crate) fn sort(call: Call, answer: &Answer, key: &Secret) -> Sorted {
    let error = ApiError::parse(&answer.body);
    let code = error.as_ref().map(|error| error.code.as_str());
    let code = code.or(answer.head.error_code.as_deref());
    let said = error.as_ref().map_or("", |error| error.message.as_str());
    let verdict = ErrorTable::builtin().classify(call, answer.status, code, said);
    count_error(call, &verdict.rule_code, verdict.class);
    Sorted {
        code: code.map_or_else(|| format!("http-{}", answer.status), |code| clean(code, key)),
        message: clean(said, key),
        request_id: request_id(answer, error.as_ref()),
        verdict,
    }
}

pub(crate) fn count_error(call: Call, code: &str, class: Class) {
    telemetry::metrics().provider_errors.add(1, [call.word(), code, class.word()]);
}

/// The id of the request: the header's, else the one at the end of the message.
fn request_id(answer: &Answer, error: Option<&ApiError>) -> Option<String> {
    let told = || error.and_then(ApiError::request_id).map(|id| id.chars().take(128).collect());
    answer.head.request_id.clone().or_else(told)
}

/// Others' words, fit to be stored and shown. A message may repeat the link it could not fetch, or
/// the key it did not know.
pub(crate) fn clean(text: &str, key: &Secret) -> String {
    redact_text(&key.strip_from(text)).chars().take(MESSAGE_MAX).collect()
}

fn resets_at(verdict: &Classified) -> Option<Timestamp> {
    verdict.resets_at_unix_s().map(Timestamp::from_unix_s)
}

impl Refusal {
    pub(crate) fn of(sorted: Sorted, retry_after: Option<Duration>) -> Self {
        Self {
            class: sorted.verdict.class,
            brake: sorted.verdict.brake,
            resets_at: resets_at(&sorted.verdict),
            alert: sorted.verdict.alert,
            advice: sorted.verdict.advice,
            code: sorted.code,
            message: sorted.message,
            request_id: sorted.request_id,
            retry_after,
        }
    }
}

impl Trouble {
    pub(crate) fn of(sorted: Sorted, retry_after: Option<Duration>) -> Self {
        Self {
            class: sorted.verdict.class,
            resets_at: resets_at(&sorted.verdict),
            alert: sorted.verdict.alert,
            code: sorted.code,
            message: sorted.message,
            request_id: sorted.request_id,
            retry_after,
        }
    }

    /// The provider refused the question itself, and not this time of asking: a list may have to be asked
    /// for by model ([`crate::Lists`]).
    #[must_use]
    pub fn refuses_the_question(&self) -> bool {
        matches!(self.class, Class::Input | Class::Account | Class::Auth)
    }

    /// How long the provider asks us to wait, from now: its header, or the end of its window.
    pub(crate) fn asked_wait(&self) -> Option<Duration> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_unix_ms(i64::try_from(now.as_millis()).unwrap_or(i64::MAX));
        let reset = self.resets_at.map(|at| at.since(now));
        self.retry_after.into_iter().chain(reset).max()
    }

    /// A call without a whole answer.
    pub(crate) fn on_the_way(error: &CallError) -> Self {
        let code = match error {
            CallError::Unreachable(_) => "unreachable",
            CallError::NoAnswer(_) => "no-answer",
            CallError::TooLong { .. } => "answer-too-long",
        };
        Self::ours(Class::Server, code, error.to_string())
    }

    /// A success whose body is not what the contract promises.
    pub(crate) fn unreadable(answer: &Answer, reason: String) -> Self {
        let request_id = answer.head.request_id.clone();
        Self { request_id, alert: true, ..Self::ours(Class::Server, "unreadable", reason) }
    }

    /// A call that was not made.
    pub(crate) fn not_asked(class: Class, reason: String) -> Self {
        Self { alert: true, ..Self::ours(class, "not-asked", reason) }
    }

    pub(crate) fn ours(class: Class, code: &str, message: String) -> Self {
        Self {
            class,
            code: code.to_owned(),
            message,
            retry_after: None,
            resets_at: None,
            request_id: None,
            alert: false,
        }
    }
}
