//! The one registry of a process, made at first use.

use crate::catalogue::Metrics;
use crate::otlp::Counted;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

struct Telling {
    registry: Registry,
    metrics: Metrics,
    /// Dropping it would end the collection.
    provider: SdkMeterProvider,
}

/// Who reads the metrics beside `/metrics`, until the registry is made.
static PUSH: Mutex<Option<(PeriodicReader<Counted>, Resource)>> = Mutex::new(None);

/// Has the metrics sent. Whoever counts before this is not heard there.
pub(crate) fn push(reader: PeriodicReader<Counted>, resource: Resource) {
    *PUSH.lock().unwrap_or_else(PoisonError::into_inner) = Some((reader, resource));
    // Made now, and not at the first count: what never counts is sent as well.
    telling();
}

/// Sends the metrics for the last time. Nothing is counted after that.
pub(crate) fn end_push(within: Duration) -> OTelSdkResult {
    telling().provider.shutdown_with_timeout(within)
}

fn telling() -> &'static Telling {
    static TELLING: OnceLock<Telling> = OnceLock::new();
    TELLING.get_or_init(|| {
        let registry = Registry::new();
        // The catalogue spells full names: the exporter must not add units, suffixes or labels.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .without_counter_suffixes()
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .expect("the first collector of an empty registry collides with none");
        let mut builder = SdkMeterProvider::builder().with_reader(exporter);
        let push = PUSH.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((reader, resource)) = push {
            builder = builder.with_reader(reader).with_resource(resource);
        }
        let provider = builder.build();
        let metrics = Metrics::new(&provider.meter("seedfleet"));
        metrics.build_info.set(1.0, [env!("CARGO_PKG_VERSION")]);
        Telling { registry, metrics, provider }
    })
}

/// The metrics of this process.
#[must_use]
pub fn metrics() -> &'static Metrics {
    &telling().metrics
}

/// Everything counted so far, in the text format of Prometheus (`text/plain; version=0.0.4`).
#[must_use]
pub fn render() -> String {
    let mut families = telling().registry.gather();
    families.sort_by(|a, b| a.name().cmp(b.name()));
    TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
        tracing::error!({ crate::fields::ERROR } = %error, "metrics cannot be written as text");
        String::new()
    })
}
