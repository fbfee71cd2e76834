//! Whose spans are sent.
//!
//! One decision holds for all of a job: what the caller's trace context says, or the one that intake
//! made up where there was none. Later steps begin traces of their own and link to that context, so
//! they ask the link. Only who has neither is drawn.

use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};
use std::sync::atomic::{AtomicU64, Ordering};

/// The share in force, as bits: it may change under a running process.
static RATIO: AtomicU64 = AtomicU64::new(0x3FF0_0000_0000_0000);

/// Sends this share of the jobs of callers who have not decided.
pub(crate) fn set_ratio(ratio: f64) {
    RATIO.store(ratio.to_bits(), Ordering::Relaxed);
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Decided;

impl ShouldSample for Decided {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        _: &str,
        _: &SpanKind,
        _: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent = parent.map(|cx| cx.span().span_context().clone());
        let known = parent.into_iter().chain(links.iter().map(|link| link.span_context.clone()));
        let decided = known.filter(SpanContext::is_valid).map(|known| known.is_sampled()).next();
        let ratio = f64::from_bits(RATIO.load(Ordering::Relaxed));
        let decision = match decided.unwrap_or_else(|| is_drawn(trace_id, ratio)) {
            true => SamplingDecision::RecordAndSample,
            false => SamplingDecision::Drop,
        };
        SamplingResult { decision, attributes: Vec::new(), trace_state: TraceState::default() }
    }
}

/// By the id itself, so that every process would say the same of it.
fn is_drawn(trace_id: TraceId, ratio: f64) -> bool {
    let low = u128::from_be_bytes(trace_id.to_bytes()) as u64 >> 11;
    // 53 bits are all a double holds.
    (low as f64) < ratio * (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanId, TraceFlags};

    fn context(trace: u128, flags: TraceFlags) -> SpanContext {
        let (trace, span) = (TraceId::from(trace), SpanId::from(7));
        SpanContext::new(trace, span, flags, true, TraceState::default())
    }

    fn sampled(parent: Option<SpanContext>, link: Option<SpanContext>, trace: u128) -> bool {
        let parent = parent.map(|known| Context::new().with_remote_span_context(known));
        let links: Vec<Link> =
            link.map(|known| Link::new(known, Vec::new(), 0)).into_iter().collect();
        let result = Decided.should_sample(
            parent.as_ref(),
            TraceId::from(trace),
            "process jobs",
            &SpanKind::Internal,
            &[],
            &links,
        );
        result.decision == SamplingDecision::RecordAndSample
    }

    #[test]
    fn who_has_decided_is_followed() {
        let (yes, no) = (context(1, TraceFlags::SAMPLED), context(1, TraceFlags::default()));
        assert!(sampled(Some(yes.clone()), None, u128::MAX));
        assert!(!sampled(Some(no.clone()), None, 0));
        assert!(sampled(None, Some(yes.clone()), u128::MAX));
        assert!(!sampled(None, Some(no), 0));
        assert!(sampled(Some(SpanContext::empty_context()), Some(yes), u128::MAX));
    }

    #[test]
    fn the_share_that_is_drawn_is_the_one_asked_for() {
        let ids = (0..1_000_u128).map(|n| TraceId::from(n * (u128::from(u64::MAX) / 1_000)));
        let ids: Vec<TraceId> = ids.collect();
        let drawn = |ratio| ids.iter().filter(|id| is_drawn(**id, ratio)).count();
        assert_eq!((drawn(0.0), drawn(1.0)), (0, 1_000));
        assert!((240..=260).contains(&drawn(0.25)), "{}", drawn(0.25));
    }
}
