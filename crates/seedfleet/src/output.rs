//! What is shown: data on standard output in one of six forms, everything else on standard error.

mod progress;

pub(crate) use progress::Progress;

use crate::exit::{Exit, Failure};
use clap::{Args, ValueEnum};
use comfy_table::presets;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Map, Value};
use std::io::{self, Write};
use survey::csv_line;

/// The form of data on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people.
    Table,
    /// Columns for people, all there are.
    Wide,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    #[value(alias = "jsonl")]
    Ndjson,
    /// Columns for spreadsheets.
    Csv,
    /// Only what names each row, one a line: for `xargs`.
    Id,
}

/// What data on standard output looks like.
#[derive(Debug, Clone, Args)]
pub(crate) struct Form {
    /// Form of data on standard output.
    #[arg(id = "output", short = 'o', long, global = true, value_enum, default_value = "table")]
    pub(crate) format: Format,
    /// Only these fields, in this order; `-o wide` shows which there are.
    #[arg(long, global = true, value_delimiter = ',', value_name = "FIELD,…")]
    fields: Vec<String>,
    /// No line of names above a table or CSV.
    #[arg(long, global = true)]
    no_headers: bool,
}

/// One object with flat keys; nested values stay JSON.
pub(crate) type Row = Map<String, Value>;

impl Form {
    /// A form as it is where nobody chose fields.
    pub(crate) const fn plain(format: Format) -> Self {
        Self { format, fields: Vec::new(), no_headers: false }
    }

    /// The same fields in another form.
    pub(crate) fn as_a(&self, format: Format) -> Self {
        Self { format, ..self.clone() }
    }

    /// Whether a person reads it and left to us what to show: there may be sentences and second tables.
    pub(crate) fn is_a_page(&self) -> bool {
        self.is_a_table() && self.fields.is_empty()
    }

    /// Whether fields were chosen.
    pub(crate) const fn chooses(&self) -> bool {
        !self.fields.is_empty()
    }

    /// Whether values stand in columns, where several values of one cell are one text.
    pub(crate) const fn has_columns(&self) -> bool {
        match self.format {
            Format::Table | Format::Wide | Format::Csv | Format::Id => true,
            Format::Json | Format::Ndjson => false,
        }
    }

    const fn is_a_table(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// The columns of rows like this one.
    ///
    /// # Errors
    ///
    /// A field that they do not have.
    fn columns(&self, usual: &[&str], row: &Row) -> Result<Vec<String>, Failure> {
        let mut all: Vec<String> = usual.iter().map(|column| (*column).to_owned()).collect();
        all.extend(row.keys().filter(|key| !usual.contains(&key.as_str())).cloned());
        if let Some(unknown) = self.fields.iter().find(|field| !all.contains(field)) {
            let failure = Failure::usage(format!("--fields: there is no field {unknown:?} here"));
            return Err(failure.hint(format!("there are: {}", all.join(", "))));
        }
        Ok(match (self.fields.is_empty(), self.format) {
            (false, _) => self.fields.clone(),
            (true, Format::Wide) => all,
            (true, Format::Table | Format::Csv | Format::Id) => {
                all.truncate(usual.len());
                all
            }
            (true, Format::Json | Format::Ndjson) => Vec::new(),
        })
    }

    /// The row: whole, or the chosen fields.
    fn chosen(&self, row: Row) -> Row {
        if self.fields.is_empty() {
            return row;
        }
        let of = |field: &String| row.get(field).cloned().unwrap_or(Value::Null);
        self.fields.iter().map(|field| (field.clone(), of(field))).collect()
    }

    /// The same as one line of JSON.
    fn line(&self, row: Row) -> String {
        Value::Object(self.chosen(row)).to_string()
    }
}

/// Writes rows as they come. JSON is closed by [`Rows::end`].
pub(crate) struct Rows {
    form: Form,
    usual: &'static [&'static str],
    identity: &'static str,
    columns: Vec<String>,
    /// The rows of a table: it is as wide as its widest cell.
    table: Vec<Vec<String>>,
    written: u64,
}

impl Rows {
    /// Rows whose table and CSV have these columns, the first of which names a row; wide tables and the
    /// JSON forms carry every key of a row.
    pub(crate) fn new(form: &Form, usual: &'static [&'static str]) -> Self {
        let identity = usual.first().copied().unwrap_or_default();
        let (form, columns, table) = (form.clone(), Vec::new(), Vec::new());
        Self { form, usual, identity, columns, table, written: 0 }
    }

    /// Another column names a row.
    #[must_use]
    pub(crate) const fn named_by(mut self, column: &'static str) -> Self {
        self.identity = column;
        self
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// Standard output is closed; a field was chosen that these rows do not have.
    pub(crate) fn add(&mut self, row: Row) -> Result<(), Failure> {
        let first = self.written == 0;
        if first {
            self.columns = self.form.columns(self.usual, &row)?;
        }
        self.written += 1;
        let cells = |row: &Row| self.columns.iter().map(|name| cell(row.get(name))).collect();
        match self.form.format {
            Format::Table | Format::Wide => {
                let cells = cells(&row);
                self.table.push(cells);
                Ok(())
            }
            Format::Ndjson => say(&format!("{}\n", self.form.line(row))),
            Format::Json => {
                let head = if first { "[" } else { "," };
                say(&format!("{head}\n{}", self.form.line(row)))
            }
            Format::Csv => {
                if first && !self.form.no_headers {
                    say(&csv_line(self.columns.iter().cloned()))?;
                }
                let cells: Vec<String> = cells(&row);
                say(&csv_line(cells))
            }
            Format::Id => say(&format!("{}\n", cell(row.get(self.identity)))),
        }
    }

    /// Finishes the page.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn end(self) -> Result<(), Failure> {
        match (self.form.format, self.written) {
            (Format::Table | Format::Wide, 0) => {
                note("nothing to show");
                Ok(())
            }
            (Format::Table | Format::Wide, _) => {
                let mut table = plain_table(&self.columns, !self.form.no_headers);
                table.add_rows(self.table);
                say(&format!("{}\n", trimmed(&table)))
            }
            (Format::Json, 0) => say("[]\n"),
            (Format::Json, _) => say("\n]\n"),
            (Format::Csv, 0) if !self.form.no_headers => {
                say(&csv_line(self.usual.iter().map(|column| (*column).to_owned())))
            }
            (Format::Csv | Format::Ndjson | Format::Id, _) => Ok(()),
        }
    }
}

/// Shows one object: names and values for people, JSON otherwise; its first key names it.
///
/// # Errors
///
/// Standard output is closed; a field was chosen that it does not have.
pub(crate) fn object(form: &Form, row: Row) -> Result<(), Failure> {
    form.columns(&[], &row)?;
    let name = cell(row.values().next());
    let row = form.chosen(row);
    match form.format {
        Format::Table | Format::Wide => {
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
            if !form.no_headers {
                say(&csv_line(row.keys().cloned()))?;
            }
            say(&csv_line(row.values().map(|value| cell(Some(value)))))
        }
        Format::Id => say(&format!("{name}\n")),
    }
}

/// One row of a stream that has no end: no names above it, no document to close.
///
/// # Errors
///
/// A field was chosen that it does not have.
pub(crate) fn streamed(form: &Form, usual: &[&str], row: Row) -> Result<String, Failure> {
    let columns = form.columns(usual, &row)?;
    let cells = columns.iter().map(|name| cell(row.get(name)));
    Ok(match form.format {
        Format::Table | Format::Wide => {
            let cells = cells.map(|text| if text.is_empty() { "-".to_owned() } else { text });
            cells.collect::<Vec<_>>().join("  ") + "\n"
        }
        Format::Csv => csv_line(cells),
        Format::Json | Format::Ndjson => form.line(row) + "\n",
        Format::Id => format!("{}\n", cell(row.values().next())),
    })
}

/// A table of plain columns: the same on a terminal and in a pipe.
pub(crate) fn plain_table(columns: &[impl AsRef<str>], headers: bool) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if headers {
        let name = |column: &_| AsRef::<str>::as_ref(column).to_uppercase().replace('_', " ");
        table.set_header(columns.iter().map(name));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let value = Value::String("red\u{1b}[31m\nnext".into());
        assert_eq!(cell(Some(&value)), "red [31m next");
        assert_eq!(cell(None), "");
    }

    #[test]
    fn fields_are_chosen_in_order_and_an_unknown_one_is_told_the_known() {
        let row = || {
            let value = serde_json::json!({"job": "job_1", "state": "failed", "batch": null});
            value.as_object().cloned().unwrap_or_default()
        };
        let form = |format, fields: &[&str]| Form {
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
            ..Form::plain(format)
        };
        let usual = ["job", "code"];
        let of = |format, fields: &[&str]| streamed(&form(format, fields), &usual, row());
        assert_eq!(of(Format::Table, &[]).as_deref(), Ok("job_1  -\n"));
        assert_eq!(of(Format::Wide, &[]).as_deref(), Ok("job_1  -  failed  -\n"));
        assert_eq!(of(Format::Csv, &["state", "job"]).as_deref(), Ok("failed,job_1\n"));
        assert_eq!(of(Format::Ndjson, &["state"]).as_deref(), Ok("{\"state\":\"failed\"}\n"));
        assert_eq!(of(Format::Id, &[]).as_deref(), Ok("job_1\n"));
        let told = of(Format::Table, &["stat"]).expect_err("no such field").to_string();
        assert!(told.contains("\"stat\""), "{told}");
        assert!(!form(Format::Table, &["job"]).is_a_page(), "sentences would be in the way");
    }
}
