//! One send, and what its answer proves.

use crate::departures::Departure;
use crate::lead::Lead;
use bytes::Bytes;
use egress::Gate;
use job::mutant::{self, Mutant};
use job::{DoubtCause, Event, OpenAttempt, Refusal, Timestamp};
use limiter::Permit;
use provider::{Client, CreateAnswer, CreateCall, Site};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use worker::fault;

/// How late the last byte may leave where the gate is switched off to show what it is for.
const WHENEVER: Duration = Duration::from_secs(86_400);

/// Tells how long it took until the last byte could leave.
pub(crate) struct Ready {
    pub(crate) lead: Arc<Lead>,
    /// When the connection was asked for, and what the intent had taken before.
    pub(crate) began: Instant,
    pub(crate) before: Duration,
}

/// Sends the body once, or not at all.
pub(crate) async fn send(
    client: &Client,
    permit: Permit,
    attempt: &OpenAttempt,
    body: Bytes,
    (deadline, wall_deadline): (Instant, SystemTime),
    (ready, departure): (Ready, Departure),
) -> CreateAnswer {
    let late = if mutant::on(Mutant::GateRemoved) { WHENEVER } else { Duration::ZERO };
    // Half of the slot is left to whoever has waited.
    let latest =
        permit.moment().map_or(deadline, |slot| slot.opens + (slot.closes - slot.opens) / 2);
    let turn = departure.turn(latest);
    let gate = Gate {
        deadline: deadline + late,
        wall_deadline: wall_deadline + late,
        before_release: Some(Box::pin(async move {
            ready.lead.took(ready.before + ready.began.elapsed());
            fault::point(fault::SUBMIT_BEFORE_LAST_BYTE).await;
            turn.await;
        })),
        after_release: Some(Box::pin(async move {
            fault::point(fault::SUBMIT_SENT).await;
            departure.out().await;
        })),
        moment: None,
    };
    let site = Site::for_create(&attempt.facts);
    let call = CreateCall { site: &site, attempt: &attempt.id, body, gate };
    let answer = client.create(permit, call).await;
    if let CreateAnswer::Accepted { task, .. } = &answer {
        // Said before it is stored: if Redis and this process both go now, this line has the id.
        tracing::info!(attempt = %attempt.id, task.id = %task, "accepted by the provider");
        fault::point(fault::SUBMIT_ACCEPTED).await;
    }
    answer
}

/// The event for the machine. `stops_in_row` is how often the account was stopped before without a
/// success in between.
pub(crate) fn event(
    attempt: &OpenAttempt,
    answer: CreateAnswer,
    now: Timestamp,
    stops_in_row: u32,
) -> Event {
    let id = attempt.id.clone();
    match answer {
        CreateAnswer::Accepted { task, .. } => Event::AttemptAccepted { attempt: id, task },
        CreateAnswer::NotSent { reason, unreachable } => {
            Event::AttemptNotSent { attempt: id, reason, unreachable, stops_in_row }
        }
        CreateAnswer::Refused(refusal) => {
            let asked = refusal.retry_after.map(|wait| now + wait);
            let refusal = Refusal {
                class: refusal.class,
                code: refusal.code,
                message: refusal.message,
                not_before: asked.into_iter().chain(refusal.resets_at).max(),
                stops_in_row,
            };
            Event::AttemptRefused { attempt: id, refusal }
        }
        CreateAnswer::Unclear { kind, reason, .. } => {
            let cause = DoubtCause { kind, detail: reason };
            Event::AttemptUnclear { attempt: id, cause }
        }
    }
}
