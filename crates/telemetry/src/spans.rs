//! What a trace shows of a job: a few named spans, their attributes those of log lines.
//!
//! A job takes minutes to hours, so one trace of it all would never be whole. Intake is one span in
//! the caller's trace; each later step is a short trace of its own that links to it. While nothing
//! is sent anywhere, all of this is a look at an empty cell.

use crate::otlp;
use opentelemetry::context::FutureExt;
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};

/// Longest text of an attribute, in characters: an id or a word fits.
const TEXT_CHARS_MAX: usize = 128;

macro_rules! names {
    ($($(#[doc = $meaning:literal])+ $name:ident = $text:literal, $kind:ident;)*) => {
        /// A span by what it stands for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum SpanName {
            $($(#[doc = $meaning])+ $name,)*
        }

        impl SpanName {
            /// Its name in the trace.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            const fn kind(self) -> SpanKind {
                match self { $(Self::$name => SpanKind::$kind,)* }
            }
        }

        /// Every span with its kind and meaning, as the printed page lists them.
        pub const SPANS: &[(&str, &str, &str)] =
            &[$(($text, stringify!($kind), concat!($($meaning),+)),)*];
    };
}

names! {
    /// Intake: one request judged and stored. In the caller's trace, or the first of a new one.
    SendJobs = "send jobs", Producer;
    /// One run of a step for one job, from its claim to what it learned. A trace of its own.
    ProcessJobs = "process jobs", Consumer;
    /// The intent of an attempt becomes durable: slot, instant and record in one commit.
    BeginAttempt = "begin attempt", Internal;
    /// One create call, from the second fence to the answer.
    CreateTask = "create task", Client;
    /// One look at a task, by itself or with others on a page of the list, waiting for its turn included.
    LookAtTask = "look at task", Client;
    /// The search for the task of an attempt in doubt: the one that a callback named, and the account's list.
    FindTask = "find task", Client;
    /// One turn of copying an output into the bucket, manifest included.
    DownloadOutput = "download output", Client;
    /// One delivery to a customer's webhook. A trace of its own.
    DeliverWebhook = "deliver webhook", Client;
}

/// A running span; ends when it is dropped. Empty while nothing is sent anywhere.
#[derive(Debug)]
#[must_use = "a span lasts as long as this value"]
pub struct Span(Option<Context>);

impl Span {
    /// The span of a caller's request: a child of what its `traceparent` names, or of nothing.
    pub fn of_caller(name: SpanName, traceparent: Option<&str>) -> Self {
        Self::start(name, Vec::new(), || {
            let caller = traceparent.and_then(parse);
            caller.map_or_else(Context::new, |known| Context::new().with_remote_span_context(known))
        })
    }

    /// The first span of a new trace that links to what a job's `traceparent` names.
    pub fn linked(name: SpanName, traceparent: Option<&str>) -> Self {
        let links = traceparent.and_then(parse).map(|known| Link::new(known, Vec::new(), 0));
        Self::start(name, links.into_iter().collect(), Context::new)
    }

    /// A part of the span that the code runs within; empty outside of any.
    pub fn part(name: SpanName) -> Self {
        let around = Context::current();
        if !around.span().span_context().is_valid() {
            return Self(None);
        }
        Self::start(name, Vec::new(), || around)
    }

    fn start(name: SpanName, links: Vec<Link>, parent: impl FnOnce() -> Context) -> Self {
        let Some(tracer) = otlp::tracer() else { return Self(None) };
        let parent = parent();
        let builder = SpanBuilder::from_name(name.word()).with_kind(name.kind()).with_links(links);
        let span = tracer.build_with_context(builder, &parent);
        Self(Some(parent.with_span(span)))
    }

    /// Runs a future within the span: what it starts with [`Span::part`] becomes a part of it.
    pub async fn within<F: Future>(&self, future: F) -> F::Output {
        future.with_context(self.0.clone().unwrap_or_default()).await
    }

    /// Notes an id or a word under the name of a log field. Longer texts are cut off.
    pub fn set(&self, field: &'static str, text: &str) {
        if let Some(cx) = self.recording() {
            let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
            cx.span().set_attribute(KeyValue::new(field, text));
        }
    }

    /// Notes a number under the name of a log field.
    pub fn set_count(&self, field: &'static str, count: u64) {
        if let Some(cx) = self.recording() {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            cx.span().set_attribute(KeyValue::new(field, count));
        }
    }

    /// Marks the span as failed, with a code or a word: never with a message, which may quote what it is about.
    pub fn fail(&self, code: &str) {
        self.set(crate::fields::CODE, code);
        if let Some(cx) = self.recording() {
            cx.span().set_status(Status::error(code.to_owned()));
        }
    }

    /// The span's own trace context, for whoever comes later; none while nothing is sent anywhere.
    #[must_use]
    pub fn traceparent(&self) -> Option<String> {
        let span = self.0.as_ref()?.span();
        let known = span.span_context();
        let flags = known.trace_flags() & TraceFlags::SAMPLED;
        let text = format!("00-{}-{}-{:02x}", known.trace_id(), known.span_id(), flags.to_u8());
        known.is_valid().then_some(text)
    }

    fn recording(&self) -> Option<&Context> {
        self.0.as_ref().filter(|cx| cx.span().is_recording())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(cx) = &self.0 {
            cx.span().end();
        }
    }
}

/// A W3C `traceparent`; none where it is not one.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let shaped = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    // A later version may have more parts; this one has none.
    if !shaped || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
        .filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_context_is_read_or_left_alone() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let known = parse(good).expect("good");
        assert!(known.is_sampled() && known.is_remote());
        assert_eq!(known.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(!parse(&good.replace("-01", "-00")).expect("good").is_sampled());
        assert!(parse(&format!("01{}-more", &good[2..])).is_some(), "a later version");
        for bad in [
            "",
            "00",
            &format!("{good}-more"),
            &good.to_ascii_uppercase(),
            &format!("ff{}", &good[2..]),
            &good.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            &good[1..],
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn without_a_receiver_a_span_is_nothing() {
        let span = Span::of_caller(SpanName::SendJobs, None);
        span.set(crate::fields::JOB_ID, "j1");
        span.fail("code");
        assert_eq!(span.traceparent(), None);
        assert!(Span::part(SpanName::CreateTask).0.is_none());
    }
}
