//! What the fleet says about itself: log lines, metrics and traces, their names in one place each.
//!
//! `fields.rs` holds every field name of a log line, `catalogue.rs` every metric with its labels
//! and the values a label may take, `spans.rs` every span. Other rooms log through `tracing`, count
//! through [`metrics`] and trace through [`Span`]; none of them names an exporter, a subscriber, a
//! metric or a span by text. All work without [`init`] and [`export`]: a test counts as a process
//! does, and its log lines and spans simply go nowhere.
//!
//! Nothing about jobs, providers or Redis is known here. Words that belong to other rooms (error
//! codes, tenants) are told by [`declare`] at start; until then they count as `other`, because a
//! label that takes any text grows without bound.
#![forbid(unsafe_code)]

mod catalogue;
pub mod fields;
mod handles;
mod headers;
mod json;
mod labels;
mod logging;
mod otlp;
mod page;
mod queue;
mod registry;
mod sampling;
mod settings;
mod spans;

pub use catalogue::{CATALOGUE, Kind, Metric, Metrics};
pub use handles::{Counter, Gauge, Histogram, Level, Within};
pub use headers::BadHeaders;
pub use labels::{Label, Values, declare};
pub use logging::{BadLogLevel, Guard, LogFormat, LogLevel, init, set_log_level};
pub use otlp::{Export, ExportError, export, set_trace_ratio};
pub use page::catalogue_markdown;
pub use registry::{metrics, render};
pub use settings::{BadEndpoint, Endpoint, Settings};
pub use spans::{SPANS, Span, SpanName};
