//! Intake in a trace: each request is a span in its caller's, and its job keeps the way back there.

use crate::check::is_traceparent;
use crate::{Admitted, How, Intake, Refusal};
use telemetry::{Span, SpanName, fields};

/// Begins the span of each request. Where the caller sent no trace context, the job keeps the span's own.
pub(crate) fn begin(intakes: &mut [Intake]) -> Vec<Span> {
    let begun = intakes.iter_mut().map(|intake| {
        let told = intake.traceparent.as_deref().filter(|text| is_traceparent(text));
        let span = Span::of_caller(SpanName::SendJobs, told);
        if told.is_none() {
            intake.traceparent = span.traceparent();
        }
        span.set(fields::TENANT, &intake.tenant);
        if let Some(batch) = &intake.batch {
            span.set(fields::BATCH, batch);
        }
        span
    });
    begun.collect()
}

/// Says what came of a request; its span ends here.
pub(crate) fn end(span: &Span, pool: &str, answer: &Result<Admitted, Refusal>) {
    span.set(fields::POOL, pool);
    match answer {
        Ok(admitted) => {
            span.set(fields::JOB_ID, admitted.id.as_str());
            span.set(
                fields::OUTCOME,
                match admitted.how {
                    How::Created => "created",
                    How::Deduplicated { .. } => "deduplicated",
                },
            );
        }
        Err(refusal) => {
            span.set(fields::OUTCOME, "refused");
            span.fail(refusal.reason());
        }
    }
}
