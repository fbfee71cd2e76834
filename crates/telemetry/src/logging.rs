//! Where log lines go, in which shape, and which of them.

use crate::json::JsonLines;
use crate::settings::Settings;
use serde::Deserialize;
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

/// Shape of a log line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Text when standard error is a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One object a line.
    Json,
    /// For people.
    Text,
}

/// A level, or directives such as `info,submitter=debug`; checked when it is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogLevel(String);

/// A `log_level` nobody understands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no log level; use off, error, warn, info, debug, trace, or `info,target=debug`")]
pub struct BadLogLevel(String);

impl Default for LogLevel {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl TryFrom<String> for LogLevel {
    type Error = BadLogLevel;

    fn try_from(text: String) -> Result<Self, BadLogLevel> {
        // The filter would read a mistyped level as the name of a target, and log nothing else.
        let level = |word: &str| {
            let word = word.trim().to_ascii_lowercase();
            matches!(word.as_str(), "off" | "error" | "warn" | "info" | "debug" | "trace")
        };
        let good = text.split(',').all(|part| match part.rsplit_once('=') {
            Some((target, word)) => !target.trim().is_empty() && level(word),
            None => level(part),
        });
        match EnvFilter::builder().parse(&text) {
            Ok(_) if good => Ok(Self(text)),
            Ok(_) | Err(_) => Err(BadLogLevel(text)),
        }
    }
}

impl LogLevel {
    fn filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

/// Which lines are written, while a process runs.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Proof that logging was set up; keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "keep it until the end of main"]
pub struct Guard {
    first: bool,
}

impl Guard {
    /// Whether this call set up logging; `false` when the process had done so before.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.first
    }
}

/// Sends the log lines of this process to standard error. `role` stands in every JSON line. A
/// second call, or one after a test set its own subscriber, changes nothing.
pub fn init(role: &str, settings: &Settings) -> Guard {
    let terminal = std::io::stderr().is_terminal();
    let json = match settings.log_format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Text => false,
    };
    let lines = if json {
        JsonLines::new(role, std::io::stderr).boxed()
    } else {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        tracing_subscriber::fmt::layer()
            .compact()
            .with_ansi(colour)
            .with_writer(std::io::stderr)
            .boxed()
    };
    let (filter, handle) = reload::Layer::new(settings.log_level.filter());
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    let first = subscriber.try_init().is_ok();
    if first {
        // Set once only: a second subscriber would not have been taken.
        let _ = FILTER.set(handle);
    }
    Guard { first }
}

/// Writes other lines from now on. Without [`init`] there are none.
pub fn set_log_level(level: &LogLevel) {
    if let Some(filter) = FILTER.get()
        && let Err(error) = filter.reload(level.filter())
    {
        tracing::error!({ crate::fields::ERROR } = %error, "the log level stays as it was");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Settings, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn settings_refuse_what_they_do_not_know() {
        assert_eq!(read("{}").expect("all have defaults"), Settings::default());
        let text = read(r#"{"log_format":"text","log_level":"warn,poller=debug"}"#).expect("good");
        assert_eq!(text.log_format, LogFormat::Text);
        for bad in [r#"{"log_format":"xml"}"#, r#"{"level":"info"}"#, r#"{"log_level":"inof"}"#] {
            assert!(read(bad).is_err(), "{bad} was taken");
        }
        for bad in ["", "info,=debug", "poller=loud", "info,,"] {
            assert!(LogLevel::try_from(bad.to_owned()).is_err(), "{bad:?} was taken");
        }
    }
}
