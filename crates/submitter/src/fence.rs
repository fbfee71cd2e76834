//! The second fence: an intent outside Redis for every send.
//!
//! Redis may lose what it acknowledged (everysec, failover, a restored backup) and then offers a job
//! for sale that is bought already. So the last intent of the job's fingerprint is read before Begin,
//! and the attempt's own is created, if absent, after Begin and before the first byte. Only the last
//! one matters: nobody raises number n + 1 before its record knew how number n ended.

use assets::{IntentError, Intents, Raised};
use job::{Event, Intent, OpenAttempt, Record};

/// What the fence says before Begin.
pub(crate) enum Ahead {
    /// The attempt's intent will have this number; none while the fence is off.
    Clear(Option<u32>),
    /// Another life of this job has sent, or was about to: settle that first.
    Forgotten(Box<OpenAttempt>),
}

/// What became of the attempt's own intent.
pub(crate) enum Fenced {
    /// It stands: the attempt may be sent.
    Raised,
    /// Another attempt stands there: nothing may be sent.
    Taken(Box<OpenAttempt>),
    /// Nobody knows whether it stands: nothing is sent.
    Unclear(IntentError),
}

/// Looks before Begin.
pub(crate) async fn look(intents: Option<&Intents>, record: &Record) -> Result<Ahead, IntentError> {
    let Some(intents) = intents else { return Ok(Ahead::Clear(None)) };
    match intents.look(&record.spec).await? {
        None => Ok(Ahead::Clear(Some(1))),
        Some((number, intent)) if intent.is_known_to(record) => {
            Ok(Ahead::Clear(Some(number.saturating_add(1))))
        }
        Some((_, intent)) => Ok(Ahead::Forgotten(Box::new(intent.attempt))),
    }
}

/// Raises the intent of an attempt that Begin has written down.
pub(crate) async fn raise(
    intents: Option<&Intents>,
    record: &Record,
    attempt: &OpenAttempt,
) -> Fenced {
    let (Some(intents), Some(number)) = (intents, attempt.intent) else { return Fenced::Raised };
    let intent = Intent::of(record, attempt, number);
    match intents.raise(&intent).await {
        Ok(Raised::Mine) => Fenced::Raised,
        Ok(Raised::Taken(other)) => Fenced::Taken(Box::new(other.attempt)),
        Err(error) => Fenced::Unclear(error),
    }
}

/// The news that an attempt of a lost life stands where ours should: ours has sent nothing.
pub(crate) fn met(forgotten: OpenAttempt, instead_of: Option<&OpenAttempt>) -> Event {
    tracing::error!(
        attempt = %forgotten.id,
        "Redis has forgotten an attempt that the second fence holds; it is settled before anything is sent"
    );
    Event::IntentForgotten { attempt: forgotten, instead_of: instead_of.map(|own| own.id.clone()) }
}
