//! A receiver of OTLP over HTTP that decodes what arrives with the protocol's own types.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
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

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Request {
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Request {
    /// A header; empty where there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Whether it brings spans of this service.
    pub(super) fn is_of_spans(&self, service: &str) -> bool {
        self.path == "/v1/traces" && self.contains(service)
    }

    /// Whether the body holds this text.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.body.windows(text.len()).any(|window| window == text.as_bytes())
    }
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
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = State { mood: Mood::Takes, heard: Vec::new() };
        let receiver = Self { port, state: Arc::new(Mutex::new(state)) };
        let serving = receiver.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        receiver
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn be(&self, mood: Mood) {
        self.lock().mood = mood;
    }

    /// Every request so far.
    pub(super) fn heard(&self) -> Vec<Request> {
        self.lock().heard.clone()
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: TcpStream) {
        let Ok(mut writer) = stream.try_clone() else { return };
        let mut reader = BufReader::new(stream);
        while let Some(request) = read(&mut reader) {
            let mood = {
                let mut state = self.lock();
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
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, headers, body })
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
