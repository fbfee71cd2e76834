//! A receiver of OTLP over HTTP that decodes what arrives with the protocol's own types.

use e2e::kit::inbound::{self, Request};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// 200.
    Takes,
    /// 503.
    Refuses,
    /// Never.
    Hangs,
}

/// One span as it arrived; ids in hex, none as an empty text.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) service: String,
    pub(super) name: String,
    pub(super) trace: String,
    pub(super) span: String,
    pub(super) parent: String,
    pub(super) links: Vec<(String, String)>,
    pub(super) begins: u64,
    pub(super) ends: u64,
    attributes: BTreeMap<String, String>,
}

impl Seen {
    /// An attribute; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.attributes.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whether it lies directly within another.
    pub(super) fn is_part_of(&self, other: &Self) -> bool {
        (&self.trace, &self.parent) == (&other.trace, &other.span)
    }
}

/// Whether a request brings spans of this service.
pub(super) fn is_of_spans(request: &Request, service: &str) -> bool {
    request.path == "/v1/traces" && request.contains(service)
}

struct State {
    mood: Mood,
    heard: Vec<Request>,
}

/// A running receiver. Its threads end with the test's process.
#[derive(Clone)]
pub(super) struct OtlpReceiver {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl OtlpReceiver {
    pub(super) fn start() -> Self {
        let state = State { mood: Mood::Takes, heard: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let serving = Arc::clone(&state);
        let port = inbound::listen(move |stream| serve(&serving, stream));
        Self { port, state }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn be(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// Every request so far.
    pub(super) fn heard(&self) -> Vec<Request> {
        lock(&self.state).heard.clone()
    }

    /// Every span so far.
    pub(super) fn spans(&self) -> Vec<Seen> {
        let heard = self.heard();
        let traces = heard.iter().filter(|request| request.path == "/v1/traces");
        traces.flat_map(|request| spans_of(&request.body)).collect()
    }

    /// The spans that name a job.
    pub(super) fn of_job(&self, id: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|span| span.text("job_id") == id).collect()
    }

    /// Services and the metrics they told.
    pub(super) fn metrics(&self) -> BTreeSet<(String, String)> {
        let heard = self.heard();
        let pushed = heard.iter().filter(|request| request.path == "/v1/metrics");
        pushed.flat_map(|request| metrics_of(&request.body)).collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(state: &Mutex<State>, stream: TcpStream) {
    let Ok(mut writer) = stream.try_clone() else { return };
    let mut reader = BufReader::new(stream);
    while let Some(request) = Request::read(&mut reader) {
        let mood = {
            let mut state = lock(state);
            state.heard.push(request);
            state.mood
        };
        let status = match mood {
            Mood::Takes => "200 OK",
            Mood::Refuses => "503 Service Unavailable",
            // Until the other side has enough of it.
            Mood::Hangs => {
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
                return;
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"
        );
        if writer.write_all(head.as_bytes()).is_err() {
            return;
        }
    }
}

fn spans_of(body: &[u8]) -> Vec<Seen> {
    let sent = ExportTraceServiceRequest::decode(body).expect("what is sent decodes");
    let mut seen = Vec::new();
    for group in sent.resource_spans {
        let service = service(group.resource.as_ref());
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let links = span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id)));
            seen.push(Seen {
                service: service.clone(),
                trace: hex(&span.trace_id),
                span: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                links: links.collect(),
                begins: span.start_time_unix_nano,
                ends: span.end_time_unix_nano,
                attributes: attributes(&span.attributes),
                name: span.name,
            });
        }
    }
    seen
}

fn metrics_of(body: &[u8]) -> Vec<(String, String)> {
    let sent = ExportMetricsServiceRequest::decode(body).expect("what is sent decodes");
    let mut told = Vec::new();
    for group in sent.resource_metrics {
        let service = service(group.resource.as_ref());
        let metrics = group.scope_metrics.into_iter().flat_map(|scope| scope.metrics);
        told.extend(metrics.map(|metric| (service.clone(), metric.name)));
    }
    told
}

fn service(resource: Option<&Resource>) -> String {
    let attributes = resource.map(|resource| attributes(&resource.attributes)).unwrap_or_default();
    attributes.get("service.name").cloned().unwrap_or_default()
}

fn attributes(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|any| any.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(&pair.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
