//! Sending traces and metrics to a receiver of OTLP, over HTTP with protobuf.
//!
//! Nothing here may slow or fail the work of a process: spans wait in a bounded queue ([`crate::queue`]),
//! metrics are read by a thread of their own, and the end waits for a bounded time.

use crate::headers::{self, BadHeaders};
use crate::queue::Queue;
use crate::registry;
use crate::sampling::{self, Decided};
use crate::settings::{Endpoint, Settings};
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Set once a process sends.
static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// What makes spans; none while nothing is sent.
pub(crate) fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// Why nothing can be sent. A process that was told to send does not start without.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file of headers.
    #[error(transparent)]
    Headers(#[from] BadHeaders),
    /// The client could not be made.
    #[error("telemetry.otlp_endpoint: no client for it: {0}")]
    Client(String),
}

/// A process that sends, or does not; keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "keep it until the end of main, and end it"]
pub struct Export {
    sends: Option<(SdkTracerProvider, Duration)>,
    metrics: bool,
}

/// Sends from now on, if the settings name a receiver. Call once, outside of any event loop and before
/// anything is counted; `role` is the last word of the service's name.
///
/// # Errors
///
/// [`ExportError`]: the file of headers, or a client that cannot be made.
pub fn export(role: &str, settings: &Settings) -> Result<Export, ExportError> {
    sampling::set_ratio(settings.trace_ratio);
    let Some(endpoint) = &settings.otlp_endpoint else {
        return Ok(Export { sends: None, metrics: false });
    };
    let mut headers = match &settings.otlp_headers_file {
        Some(path) => headers::read(path)?,
        None => HashMap::new(),
    };
    // The client takes values as they stand in a variable of the environment: with escapes.
    headers.values_mut().for_each(|value| *value = value.replace('%', "%25"));
    let resource = resource(role);
    let failed = |error: &dyn std::fmt::Display| ExportError::Client(error.to_string());
    let spans = span_exporter(endpoint, &headers, settings).map_err(|error| failed(&error))?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource.clone())
        .with_sampler(Decided)
        .with_span_processor(Queue::new(spans, settings.otlp_queue_max))
        .build();
    let metrics = !settings.otlp_metrics_every.is_zero();
    if metrics {
        let exporter =
            metric_exporter(endpoint, &headers, settings).map_err(|error| failed(&error))?;
        let counted = Counted { inner: exporter, failing: AtomicBool::new(false) };
        let reader = PeriodicReader::builder(counted).with_interval(settings.otlp_metrics_every);
        registry::push(reader.build(), resource);
    }
    // A second call, which only a test makes, leaves the first one's spans where they go.
    let _ = TRACER.set(provider.tracer("seedfleet"));
    Ok(Export { sends: Some((provider, settings.otlp_flush_max)), metrics })
}

impl Export {
    /// Sends what is left, for a bounded time. Blocks: call it outside of any event loop.
    pub fn end(self) {
        let Some((provider, within)) = self.sends else { return };
        let until = std::time::Instant::now() + within;
        let spans = provider.shutdown_with_timeout(within);
        // What the last spans came to is told by the last metrics.
        let rest = until.saturating_duration_since(std::time::Instant::now());
        let metrics = if self.metrics { registry::end_push(rest) } else { Ok(()) };
        for (what, ended) in [("spans", spans), ("metrics", metrics)] {
            if let Err(error) = ended {
                tracing::warn!({ crate::fields::ERROR } = %error, "the last {what} were not sent");
            }
        }
    }
}

/// Changes the share of jobs whose spans are sent, in a running process.
pub fn set_trace_ratio(ratio: f64) {
    sampling::set_ratio(ratio);
}

/// Whose telemetry it is.
fn resource(role: &str) -> Resource {
    let instance = RandomIdGenerator::default().new_trace_id().to_string();
    Resource::builder_empty()
        .with_service_name(format!("seedfleet-{role}"))
        .with_attribute(KeyValue::new("service.namespace", "seedfleet"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .build()
}

fn span_exporter(
    endpoint: &Endpoint,
    headers: &HashMap<String, String>,
    settings: &Settings,
) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.of("traces"))
        .with_timeout(settings.otlp_timeout)
        .with_headers(headers.clone())
        .build()
}

fn metric_exporter(
    endpoint: &Endpoint,
    headers: &HashMap<String, String>,
    settings: &Settings,
) -> Result<MetricExporter, opentelemetry_otlp::ExporterBuildError> {
    MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.of("metrics"))
        .with_timeout(settings.otlp_timeout)
        .with_headers(headers.clone())
        .build()
}

/// Counts how sending went, and says it when that changes; the SDK would say it each time.
pub(crate) struct Counted {
    inner: MetricExporter,
    failing: AtomicBool,
}

impl PushMetricExporter for Counted {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sent = self.inner.export(metrics).await;
        let failed = sent.is_err();
        let word = if failed { "failed" } else { "sent" };
        crate::metrics().metric_pushes.add(1, [word]);
        let failing = self.failing.swap(failed, Ordering::Relaxed);
        match sent {
            Err(error) if !failing => {
                tracing::warn!({ crate::fields::ERROR } = %error, "metrics cannot be sent; the work goes on without");
            }
            Ok(()) if failing => tracing::info!("the receiver takes metrics again"),
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}
