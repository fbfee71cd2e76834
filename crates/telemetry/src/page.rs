//! `docs/metrics.md`, printed from the catalogue.

use crate::catalogue::{CATALOGUE, Kind};
use crate::fields::FIELDS;
use crate::labels::{OTHER, Values};
use crate::spans::SPANS;
use std::collections::BTreeSet;
use std::fmt::{Error, Write};

/// The page on metrics and log fields, as Markdown.
#[must_use]
pub fn catalogue_markdown() -> String {
    let mut page = String::new();
    write_page(&mut page).expect("writing to a String cannot fail");
    page
}

fn write_page(page: &mut String) -> Result<(), Error> {
    writeln!(page, "# Metrics, log fields and traces\n")?;
    writeln!(page, "<!-- Printed by the code from crates/telemetry; do not edit by hand. -->\n")?;
    writeln!(page, "Every process serves its metrics at `/metrics` of its admin listener.")?;
    writeln!(page, "A label value that is not listed is exported as `{OTHER}`.\n")?;
    writeln!(page, "| Metric | Type | Unit | Labels | Meaning |")?;
    writeln!(page, "| --- | --- | --- | --- | --- |")?;
    for metric in CATALOGUE {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge | Kind::Level => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> =
            metric.labels.iter().map(|label| format!("`{}`", label.name)).collect();
        let (name, unit, help) = (metric.name, metric.unit, metric.help);
        writeln!(page, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(", "))?;
    }
    writeln!(page, "\n## Label values\n\n| Label | Of | Values |\n| --- | --- | --- |")?;
    let mut told = BTreeSet::new();
    for metric in CATALOGUE {
        for label in metric.labels {
            let values = match label.values {
                Values::Closed(words) => words.join(", "),
                Values::Declared([]) => "told by the program at start".to_owned(),
                Values::Declared(words) => {
                    format!("{}, and those told by the program at start", words.join(", "))
                }
                Values::Internal => "words of the program".to_owned(),
            };
            if !told.insert((label.name, values.clone())) {
                continue;
            }
            let users: Vec<String> = CATALOGUE
                .iter()
                .filter(|metric| metric.labels.contains(label))
                .map(|metric| format!("`{}`", metric.name))
                .collect();
            writeln!(page, "| `{}` | {} | {values} |", label.name, users.join(", "))?;
        }
    }
    writeln!(page, "\n## Log fields\n")?;
    writeln!(page, "Log lines go to standard error: text on a terminal, one JSON object a line")?;
    writeln!(
        page,
        "elsewhere (`telemetry.log_format`). Every line has `timestamp`, `level`, `role`,"
    )?;
    writeln!(
        page,
        "`target` and `message`; fields of the surrounding spans stand beside its own.\n"
    )?;
    writeln!(page, "| Field | Meaning |\n| --- | --- |")?;
    for (name, meaning) in FIELDS {
        writeln!(page, "| `{name}` | {} |", meaning.trim())?;
    }
    write_spans(page)
}

fn write_spans(page: &mut String) -> Result<(), Error> {
    let words = "\n## Traces\n\n\
        With `telemetry.otlp_endpoint` each process sends spans to a receiver of OTLP (HTTP, protobuf), and with\n\
        `telemetry.otlp_metrics_every` its metrics too, under the names above. Intake is a span in the trace of the\n\
        caller, whose `traceparent` the job keeps; where there was none, it is the first of a new trace, and the job\n\
        keeps that. Every later step is a trace of its own that links to it, since a job takes minutes to hours.\n\
        Attributes have the names of the log fields; prompts, keys and links are in none.\n\n\
        What cannot be sent never holds up the work: spans wait in a queue of `telemetry.otlp_queue_max`, and\n\
        `seedfleet_trace_spans_total` counts what was sent, dropped because the queue was full, or not taken.\n\n\
        | Span | Kind | Meaning |\n| --- | --- | --- |";
    writeln!(page, "{words}")?;
    for (name, kind, meaning) in SPANS {
        writeln!(page, "| `{name}` | {} | {} |", kind.to_ascii_lowercase(), meaning.trim())?;
    }
    Ok(())
}
