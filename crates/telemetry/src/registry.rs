//! The one registry of a process, made at first use.

use crate::catalogue::Metrics;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};
use std::sync::OnceLock;

struct Telling {
    registry: Registry,
    metrics: Metrics,
    /// Dropping it would end the collection.
    _provider: SdkMeterProvider,
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
        let provider = SdkMeterProvider::builder().with_reader(exporter).build();
        let metrics = Metrics::new(&provider.meter("seedfleet"));
        metrics.build_info.set(1.0, [env!("CARGO_PKG_VERSION")]);
        Telling { registry, metrics, _provider: provider }
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
