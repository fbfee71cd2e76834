//! Ended spans on their way out: a bounded queue and one thread that sends.
//!
//! The SDK's own batching counts what it drops in a place nobody can read. Here whoever ends a span
//! never waits: the span finds room or is counted as dropped, and what the receiver does not take is
//! counted as failed. Nothing is sent twice.

use futures::executor::block_on;
use opentelemetry::Context;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Spans of one request to the receiver.
const BATCH_MAX: usize = 512;
/// Longest time an ended span waits for others to be sent with.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// How often the sender looks up whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The entrance of the queue.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    entrance: SyncSender<SpanData>,
    closing: Arc<AtomicBool>,
    /// Rings once the sender has sent the last span.
    ended: Mutex<Receiver<()>>,
    /// Until the resource is known.
    waiting: Mutex<Option<Waiting<E>>>,
}

/// What the sender will need.
#[derive(Debug)]
struct Waiting<E> {
    exporter: E,
    exit: Receiver<SpanData>,
    ring: SyncSender<()>,
}

impl<E: SpanExporter + 'static> Queue<E> {
    pub(crate) fn new(exporter: E, spans_max: usize) -> Self {
        let (entrance, exit) = sync_channel(spans_max.max(1));
        let (ring, ended) = sync_channel(1);
        Self {
            entrance,
            closing: Arc::default(),
            ended: Mutex::new(ended),
            waiting: Mutex::new(Some(Waiting { exporter, exit, ring })),
        }
    }
}

impl<E: SpanExporter + 'static> SpanProcessor for Queue<E> {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        match self.entrance.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => told("dropped", 1),
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.closing.store(true, Ordering::Relaxed);
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        match ended.recv_timeout(timeout) {
            Ok(()) => Ok(()),
            // It ended before.
            Err(RecvTimeoutError::Disconnected) => Ok(()),
            Err(RecvTimeoutError::Timeout) => Err(OTelSdkError::Timeout(timeout)),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        let waiting = self.waiting.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(Waiting { mut exporter, exit, ring }) = waiting.take() else { return };
        exporter.set_resource(resource);
        let closing = Arc::clone(&self.closing);
        let sender = Sender { exporter, exit, closing, failing: false };
        let started = std::thread::Builder::new().name("spans".to_owned()).spawn(move || {
            sender.run();
            // Nobody may wait for it.
            let _ = ring.try_send(());
        });
        if let Err(error) = started {
            // Every span is then counted as dropped.
            tracing::error!({ crate::fields::ERROR } = %error, "spans are not sent: no thread for it");
        }
    }
}

struct Sender<E> {
    exporter: E,
    exit: Receiver<SpanData>,
    closing: Arc<AtomicBool>,
    failing: bool,
}

impl<E: SpanExporter> Sender<E> {
    fn run(mut self) {
        // What this thread does over HTTP is no work of the fleet.
        let _quiet = Context::enter_telemetry_suppressed_scope();
        loop {
            let (batch, is_last) = self.gather();
            if !batch.is_empty() {
                self.send(batch);
            }
            if is_last {
                return;
            }
        }
    }

    /// Waits for spans, and not long for more of them; tells whether these are the last.
    fn gather(&self) -> (Vec<SpanData>, bool) {
        let mut batch = Vec::new();
        let mut since: Option<Instant> = None;
        loop {
            let closing = self.closing.load(Ordering::Relaxed);
            match self.exit.recv_timeout(if closing { Duration::ZERO } else { LOOK_EVERY }) {
                Ok(span) => {
                    batch.push(span);
                    since.get_or_insert_with(Instant::now);
                }
                Err(RecvTimeoutError::Timeout) if closing => return (batch, true),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return (batch, true),
            }
            let waited = since.is_some_and(|since| since.elapsed() >= WAIT_MAX);
            if batch.len() >= BATCH_MAX || (waited && !closing) {
                return (batch, false);
            }
        }
    }

    fn send(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        match block_on(self.exporter.export(batch)) {
            Ok(()) => {
                told("sent", spans);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the receiver takes spans again");
                }
            }
            Err(error) => {
                told("failed", spans);
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!({ crate::fields::ERROR } = %error, "spans cannot be sent; the work goes on without");
                }
            }
        }
    }
}

fn told(result: &'static str, spans: u64) {
    crate::metrics().trace_spans.add(spans, [result]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{Span as _, Tracer, TracerProvider};
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
    use std::sync::mpsc::Sender as Entrance;

    const BOUND: Duration = Duration::from_secs(30);

    /// A receiver that says how many spans it was sent, and answers when it is told to.
    #[derive(Debug)]
    struct Receiving {
        sent: Entrance<usize>,
        answers: Mutex<Receiver<bool>>,
    }

    impl SpanExporter for Receiving {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            // Who left the test listens no more.
            let _ = self.sent.send(batch.len());
            match self.answers.lock().unwrap_or_else(PoisonError::into_inner).recv() {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(OTelSdkError::InternalFailure("refused".to_owned())),
            }
        }
    }

    fn counted(result: &str) -> f64 {
        let page = crate::render();
        let label = format!("result=\"{result}\"");
        let line = page
            .lines()
            .find(|line| line.starts_with("seedfleet_trace_spans_total") && line.contains(&label));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("a counter")
    }

    fn end_spans(tracer: &SdkTracer, count: usize) {
        (0..count).for_each(|_| tracer.start("a span").end());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_end_is_bounded() {
        let (sent, arrived) = std::sync::mpsc::channel();
        let (answer, answers) = std::sync::mpsc::channel();
        let receiving = Receiving { sent, answers: Mutex::new(answers) };
        let provider =
            SdkTracerProvider::builder().with_span_processor(Queue::new(receiving, 2)).build();
        let tracer = provider.tracer("test");
        let before = ["sent", "dropped", "failed"].map(counted);
        let since = || {
            let now = ["sent", "dropped", "failed"].map(counted);
            [now[0] - before[0], now[1] - before[1], now[2] - before[2]]
        };

        end_spans(&tracer, 1);
        assert_eq!(arrived.recv_timeout(BOUND), Ok(1), "one is on its way, and hangs");
        end_spans(&tracer, 5);
        assert_eq!(since(), [0.0, 3.0, 0.0], "two wait, three found no room");
        let ended = provider.shutdown_with_timeout(Duration::from_millis(20));
        assert!(ended.is_err(), "nobody waits for a receiver that hangs");

        answer.send(true).expect("the sender lives");
        assert_eq!(arrived.recv_timeout(BOUND), Ok(2), "what waited is sent at the end");
        assert_eq!(since(), [1.0, 3.0, 0.0]);
        answer.send(false).expect("the sender lives");
        assert!(
            arrived.recv_timeout(BOUND).is_err(),
            "nothing is sent twice, and the sender has ended"
        );
        assert_eq!(since(), [1.0, 3.0, 2.0]);
    }
}
