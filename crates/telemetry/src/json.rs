//! Log lines as flat JSON objects.
//!
//! The stock formatter nests the fields of spans, so that `job_id` would lie at one place when the
//! event names it and at another when its span does. Here both stand at the top, the inner winning.

use serde_json::{Map, Value};
use std::io::Write;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Keys a field may not take over.
const OWN_KEYS: [&str; 5] = ["timestamp", "level", "role", "target", "message"];

/// Writes one JSON object a line.
pub(crate) struct JsonLines<W> {
    role: String,
    make_writer: W,
}

impl<W> JsonLines<W> {
    pub(crate) fn new(role: &str, make_writer: W) -> Self {
        Self { role: role.to_owned(), make_writer }
    }
}

/// What a span carries.
struct SpanFields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Map::new();
        attrs.record(&mut Into(&mut fields));
        span.extensions_mut().insert(SpanFields(fields));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            values.record(&mut Into(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut own = Map::new();
        event.record(&mut Into(&mut own));
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), Value::String(timestamp()));
        line.insert("level".to_owned(), Value::String(metadata.level().to_string()));
        line.insert("role".to_owned(), Value::String(self.role.clone()));
        line.insert("target".to_owned(), Value::String(metadata.target().to_owned()));
        let message = own.remove("message").unwrap_or_else(|| Value::String(String::new()));
        line.insert("message".to_owned(), message);
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                add_all(&mut line, fields.clone());
            }
        }
        add_all(&mut line, own);
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // One write a line keeps lines whole; a closed standard error leaves nobody to tell.
        let _ = self.make_writer.make_writer_for(metadata).write_all(text.as_bytes());
    }
}

fn add_all(line: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (name, value) in fields {
        let name = if OWN_KEYS.contains(&name.as_str()) { format!("field.{name}") } else { name };
        line.insert(name, value);
    }
}

fn timestamp() -> String {
    let mut text = String::new();
    // Fails only if the String refuses to grow.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

/// Collects fields with their types kept.
struct Into<'a>(&'a mut Map<String, Value>);

impl Into<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Into<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::from(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.put(field, Value::from(text));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, Value::from(format!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields;
    use std::io;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no writer panics").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let page = Page::default();
        let writer = page.clone();
        let layer = JsonLines::new("poller", move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = page.0.lock().expect("no writer panics").clone();
        let text = String::from_utf8(bytes).expect("log lines are UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    #[test]
    fn fields_of_spans_and_events_lie_side_by_side() {
        let told = lines(|| {
            let outer = tracing::info_span!("job", { fields::JOB_ID } = "j1", step = "poll");
            let _outer = outer.enter();
            let inner =
                tracing::info_span!("call", step = "download", bytes = tracing::field::Empty);
            let _inner = inner.enter();
            inner.record("bytes", 12_u64);
            tracing::warn!({ fields::TRIES } = 2, done = false, "try {}", 2);
        });
        let line = &told[0];
        assert_eq!(told.len(), 1);
        assert_eq!(line["job_id"], "j1");
        assert_eq!(line["step"], "download", "the inner span wins");
        assert_eq!(line["bytes"], 12);
        assert_eq!((&line["tries"], &line["done"]), (&Value::from(2), &Value::from(false)));
        assert_eq!((&line["level"], &line["role"]), (&Value::from("WARN"), &Value::from("poller")));
        assert_eq!(line["message"], "try 2");
        let timestamp = line["timestamp"].as_str().expect("a text");
        assert!(timestamp.ends_with('Z') && timestamp.contains('T'), "{timestamp}");
    }

    #[test]
    fn text_from_outside_cannot_forge_a_line_or_a_level() {
        let told = lines(|| {
            tracing::info!(level = "ERROR", code = "a\nb\"}{", "in\nout");
        });
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["level"], "INFO");
        assert_eq!(told[0]["field.level"], "ERROR");
        assert_eq!(told[0]["code"], "a\nb\"}{");
    }

    #[test]
    fn errors_tell_their_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] io::Error);
        let error = Outer(io::Error::other("inner"));
        let told = lines(|| {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "failed");
        });
        assert_eq!(told[0]["error"], "outer: inner");
    }
}
