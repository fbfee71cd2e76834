//! From an outcome to a durable answer; says once, with the job's id, what was out of the ordinary.

use std::time::Duration;

use job::Event;
use store::Reported;
use store::engine::{Engine, Picked, Settled};
use telemetry::{Span, SpanName, fields};
use tracing::Instrument;

use crate::fault;
use crate::news::{self, Heard};
use crate::step::{Outcome, Step, Turn};

/// Pause of a ticket whose event was refused for a reason that only a person can mend: long enough not
/// to fill the log, short enough to go on soon after the mending.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);
/// A panic's words kept for the timeline, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Runs the step in a span that carries the job's id.
pub(crate) async fn run(step: &dyn Step, turn: &Turn) -> Outcome {
    let claim = turn.claim();
    let span = tracing::info_span!(
        "process job", job_id = %claim.id, step = %claim.queue, fence = claim.fence
    );
    let traced = traced(turn);
    let run = async {
        fault::point(fault::WORKER_CLAIMED).await;
        step.run(turn.held(), turn).await
    };
    let outcome = traced.within(run.instrument(span)).await;
    traced.set(
        fields::OUTCOME,
        match &outcome {
            Outcome::Report(event) => event.name(),
            Outcome::HandBack { .. } => "handed_back",
            Outcome::Lost => "lost",
        },
    );
    outcome
}

/// The run as a trace of its own that links to the request which brought the job.
fn traced(turn: &Turn) -> Span {
    let (claim, record) = (turn.claim(), &turn.held().stored.record);
    let span = Span::linked(SpanName::ProcessJobs, record.spec.traceparent.as_deref());
    span.set(fields::JOB_ID, claim.id.as_str());
    span.set(fields::POOL, turn.store().pool());
    span.set(fields::STEP, claim.queue.step().word());
    span.set(fields::MODEL, record.spec.request.model.word());
    span.set_count(fields::FENCE, claim.fence);
    span
}

/// A ticket that arrived after the drain began: others may have it at once.
pub(crate) async fn unstarted(engine: &Engine, picked: Picked) {
    engine.hand_back(picked.claim(), Duration::ZERO).await;
}

/// Makes the outcome of a run durable. `outcome` is an error when the step's code panicked. The slot
/// is free when this returns and `picked` is gone.
pub(crate) async fn settle(engine: &Engine, picked: Picked, outcome: Result<Outcome, String>) {
    let claim = picked.claim();
    let event = match outcome {
        Ok(Outcome::Report(event)) => event,
        Ok(Outcome::HandBack { after, why }) => {
            tracing::debug!(job_id = %claim.id, step = %claim.queue, why, "handed back");
            engine.hand_back(claim, after).await;
            return;
        }
        Ok(Outcome::Lost) => {
            tracing::info!(job_id = %claim.id, step = %claim.queue, "the ticket went to another process");
            return;
        }
        Err(panic) => {
            tracing::error!(job_id = %claim.id, step = %claim.queue, panic, "the step's code broke");
            let reason = panic.chars().take(REASON_CHARS_MAX).collect();
            Event::StepBroke { step: claim.queue.step(), reason }
        }
    };
    fault::point(fault::WORKER_BEFORE_COMMIT).await;
    let heard = Heard::of(&event);
    let settled = engine.commit(&picked, event).await;
    if let Some(after) = tell(&picked, heard, settled) {
        engine.hand_back(claim, after).await;
    }
    fault::point(fault::WORKER_COMMITTED).await;
}

/// Logs what a person may want to know; a pause if the ticket must still be handed back.
fn tell(picked: &Picked, heard: Heard, settled: Settled) -> Option<Duration> {
    let claim = picked.claim();
    match settled {
        Settled::Reported(Reported::Written { stored, verdict }) => {
            news::tell(claim, heard, &picked.held().stored, &stored, &verdict);
            None
        }
        Settled::Reported(Reported::Ignored { why, .. }) => {
            tracing::debug!(job_id = %claim.id, step = %claim.queue, why, "news that changes nothing");
            None
        }
        Settled::Reported(Reported::Fenced) => {
            tracing::warn!(
                job_id = %claim.id, step = %claim.queue, fence = claim.fence,
                "the lease ran out before the commit; the work of this run is dropped"
            );
            None
        }
        Settled::Reported(Reported::Gone) => {
            tracing::warn!(job_id = %claim.id, step = %claim.queue, "the record is gone");
            None
        }
        Settled::Reported(Reported::Owned { by, .. }) => {
            tracing::error!(job_id = %claim.id, step = %claim.queue, owner = %by, "another job owns this task");
            Some(REFUSED_PAUSE)
        }
        Settled::Contradiction(why) => {
            telemetry::metrics().contradictions.add(1, [claim.queue.step().word()]);
            tracing::error!(job_id = %claim.id, step = %claim.queue, error = %why, "an impossible history; nothing was written");
            Some(REFUSED_PAUSE)
        }
        // Told by the engine, where the reason is known.
        Settled::Abandoned => None,
    }
}
