//! What the fleet says about itself: log lines and metrics, their names in one place each.
//!
//! `fields.rs` holds every field name of a log line, `catalogue.rs` every metric with its labels
//! and the values a label may take. Other rooms log through `tracing` and count through
//! [`metrics`]; none of them names an exporter, a subscriber or a metric by text. Both work without
//! [`init`]: a test counts as a process does, and its log lines simply go nowhere.
//!
//! Nothing about jobs, providers or Redis is known here. Words that belong to other rooms (error
//! codes, tenants) are told by [`declare`] at start; until then they count as `other`, because a
//! label that takes any text grows without bound.
#![forbid(unsafe_code)]

mod catalogue;
pub mod fields;
mod handles;
mod json;
mod labels;
mod logging;
mod page;
mod registry;

pub use catalogue::{CATALOGUE, Kind, Metric, Metrics};
pub use handles::{Counter, Gauge, Histogram, Level, Within};
pub use labels::{Label, Values, declare};
pub use logging::{BadLogLevel, Guard, LogFormat, LogLevel, Settings, init};
pub use page::catalogue_markdown;
pub use registry::{metrics, render};
