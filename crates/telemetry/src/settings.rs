//! Section `telemetry`.

use crate::logging::{LogFormat, LogLevel};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Duration;

/// What a process says about itself, and to whom.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Shape of a line.
    pub log_format: LogFormat,
    /// Which lines are written.
    pub log_level: LogLevel,
    /// Where traces and metrics are sent; none sends neither.
    pub otlp_endpoint: Option<Endpoint>,
    /// A file of headers that go with them.
    pub otlp_headers_file: Option<PathBuf>,
    /// Longest wait for the receiver's answer.
    #[serde(with = "humantime_serde")]
    pub otlp_timeout: Duration,
    /// Ended spans that may wait to be sent.
    pub otlp_queue_max: usize,
    /// How long a stopping process may send what is left.
    #[serde(with = "humantime_serde")]
    pub otlp_flush_max: Duration,
    /// How often metrics are sent; zero leaves them to whoever reads `/metrics`.
    #[serde(with = "humantime_serde")]
    pub otlp_metrics_every: Duration,
    /// Share of the jobs whose spans are sent, where the caller has not decided.
    pub trace_ratio: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_format: LogFormat::default(),
            log_level: LogLevel::default(),
            otlp_endpoint: None,
            otlp_headers_file: None,
            otlp_timeout: Duration::from_secs(10),
            otlp_queue_max: 4096,
            otlp_flush_max: Duration::from_secs(3),
            otlp_metrics_every: Duration::ZERO,
            trace_ratio: 1.0,
        }
    }
}

/// Address of an OTLP receiver; the paths of the signals are put behind it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Endpoint(String);

/// An `otlp_endpoint` that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no address of an OTLP receiver; use http://HOST:PORT or https://HOST[:PORT][/PATH], without a login, a \
     query or a fragment (what authorises belongs into otlp_headers_file)"
)]
pub struct BadEndpoint;

impl TryFrom<String> for Endpoint {
    type Error = BadEndpoint;

    // The address itself is not repeated in the error: it may hold a login.
    fn try_from(text: String) -> Result<Self, BadEndpoint> {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        let rest = rest.ok_or(BadEndpoint)?;
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '\\');
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') || !rest.chars().all(plain) {
            return Err(BadEndpoint);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl Endpoint {
    /// The address of one signal.
    pub(crate) fn of(&self, signal: &str) -> String {
        format!("{}/v1/{signal}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_without_secrets() {
        let of = |text: &str| Endpoint::try_from(text.to_owned());
        let good = of("http://127.0.0.1:4318/").expect("good");
        assert_eq!(good.of("traces"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(of("https://o.example/in").expect("good").of("x"), "https://o.example/in/v1/x");
        for bad in ["", "127.0.0.1:4318", "grpc://h:1", "http://", "http://:4318", "http://u:p@h"] {
            assert_eq!(of(bad), Err(BadEndpoint), "{bad}");
        }
        let told = of("http://u:hunter2@h?key=hunter2").expect_err("refused").to_string();
        assert!(!told.contains("hunter2") && told.contains("otlp_headers_file"), "{told}");
    }

    #[test]
    fn what_nobody_says_is_off() {
        let read: Settings = serde_json::from_str("{}").expect("all have defaults");
        assert_eq!(read, Settings::default());
        assert_eq!((read.otlp_endpoint, read.otlp_metrics_every), (None, Duration::ZERO));
    }
}
