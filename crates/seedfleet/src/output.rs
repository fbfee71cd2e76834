//! What is shown: data on standard output in one of four forms, everything else on standard error.

use crate::exit::{Exit, Failure};
use clap::ValueEnum;
use comfy_table::presets;
use comfy_table::{ContentArrangement, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, Value};
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};
use survey::csv_line;

/// How often a progress line is written where nobody watches a bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The form of data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    #[value(alias = "jsonl")]
    Ndjson,
    /// Columns for spreadsheets.
    Csv,
}

/// One object with flat keys; nested values stay JSON.
pub(crate) type Row = Map<String, Value>;

/// Writes rows as they come. JSON is closed by [`Rows::end`].
pub(crate) struct Rows {
    format: Format,
    columns: &'static [&'static str],
    table: Option<Table>,
    written: u64,
}

impl Rows {
    /// Rows whose table and CSV have these columns; the JSON forms carry every key of a row.
    pub(crate) fn new(format: Format, columns: &'static [&'static str]) -> Self {
        let table = (format == Format::Table).then(|| plain_table(columns));
        Self { format, columns, table, written: 0 }
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn add(&mut self, row: Row) -> Result<(), Failure> {
        let first = self.written == 0;
        self.written += 1;
        match self.format {
            Format::Table => {
                if let Some(table) = &mut self.table {
                    table.add_row(self.columns.iter().map(|column| cell(row.get(*column))));
                }
                Ok(())
            }
            Format::Ndjson => say(&format!("{}\n", Value::Object(row))),
            Format::Json => {
                let head = if first { "[" } else { "," };
                say(&format!("{head}\n{}", Value::Object(row)))
            }
            Format::Csv => {
                if first {
                    say(&csv_line(self.columns.iter().map(|column| (*column).to_owned())))?;
                }
                say(&csv_line(self.columns.iter().map(|column| cell(row.get(*column)))))
            }
        }
    }

    /// Finishes the page.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match (self.format, self.table, self.written) {
            (Format::Table, Some(table), 1..) => say(&format!("{}\n", trimmed(&table))),
            (Format::Table, _, _) => {
                note("nothing to show");
                Ok(())
            }
            (Format::Json, _, 0) => say("[]\n"),
            (Format::Json, _, _) => say("\n]\n"),
            (Format::Csv, _, 0) => {
                say(&csv_line(self.columns.iter().map(|column| (*column).to_owned())))
            }
            (Format::Csv | Format::Ndjson, _, _) => Ok(()),
        }
    }
}

/// Shows one object: names and values for people, JSON otherwise.
///
/// # Errors
///
/// Standard output is closed.
pub(crate) fn object(format: Format, row: Row) -> Result<(), Failure> {
    match format {
        Format::Table => {
            let width = row.keys().map(String::len).max().unwrap_or(0);
            let lines = row.iter().filter(|(_, value)| !value.is_null());
            let text: String = lines
                .map(|(key, value)| format!("{key:<width$}  {}\n", cell(Some(value))))
                .collect();
            say(&text)
        }
        Format::Json => say(&format!("{:#}\n", Value::Object(row))),
        Format::Ndjson => say(&format!("{}\n", Value::Object(row))),
        Format::Csv => {
            say(&csv_line(row.keys().cloned()))?;
            say(&csv_line(row.values().map(|value| cell(Some(value)))))
        }
    }
}

/// A table of plain columns: the same on a terminal and in a pipe.
pub(crate) fn plain_table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|name| name.to_uppercase().replace('_', " ")));
    table
}

/// The table without the blanks at line ends.
pub(crate) fn trimmed(table: &Table) -> String {
    let text = table.to_string();
    text.lines()
        .map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end())
        .collect::<Vec<_>>()
        .join("\n")
}

fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    plain(&text)
}

/// Callers' texts must not steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Data, to standard output.
///
/// # Errors
///
/// The reader went away; that ends the program quietly, as a pipe's end should.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        if error.kind() == io::ErrorKind::BrokenPipe {
            std::process::exit(Exit::Done as i32);
        }
        Failure::new(Exit::Failed, format!("standard output: {error}"))
    })
}

/// A remark for people, to standard error.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// How far a long verb is: a bar on a terminal, a line now and then elsewhere.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    last: Instant,
    quiet: bool,
}

impl Progress {
    /// Begins; `total` is unknown where a pipe is read.
    pub(crate) fn begin(total: Option<u64>, quiet: bool) -> Self {
        let shows = !quiet && io::stderr().is_terminal();
        let bar = shows.then(|| match total {
            Some(total) => {
                let style = "{bar:32} {pos}/{len}  {elapsed}  {msg}";
                let bar = ProgressBar::new(total);
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar
            }
            None => ProgressBar::new_spinner(),
        });
        Self { bar, last: Instant::now(), quiet }
    }

    /// Tells where we are.
    pub(crate) fn at(&mut self, done: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(text.to_owned());
            }
            None if !self.quiet && self.last.elapsed() >= LINE_EVERY => {
                self.last = Instant::now();
                note(text);
            }
            None => {}
        }
    }

    /// A remark between two looks.
    pub(crate) fn remark(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None if !self.quiet => note(line),
            None => {}
        }
    }

    /// Ends; the bar goes away.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let value = Value::String("red\u{1b}[31m\nnext".into());
        assert_eq!(cell(Some(&value)), "red [31m next");
        assert_eq!(cell(None), "");
    }
}
