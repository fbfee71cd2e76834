//! `failed export`: failed requests as rows of a file that `import` takes, with what was wrong beside each.

use crate::cli::{FailedWhich, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, note, say};
use crate::session::Session;
use crate::verbs::batch;
use erasure::Everywhere;
use job::filter::Filter;
use job::{Record, StateWord};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};
use store::Order;
use survey::{FailedView, csv_line};

/// What stands beside each request; `import` leaves out names that begin so.
const NOTES: [&str; 6] = ["_job", "_code", "_class", "_message", "_advice", "_retryable"];
/// Columns of one table that `import` takes.
const COLUMNS_MAX: usize = 64;
const METADATA: &str = "metadata.";

/// A failed job, from Redis or over the gateway.
pub(crate) struct Failed {
    /// Its id.
    pub(crate) id: String,
    /// The job in whose place it was made.
    pub(crate) retry_of: Option<String>,
    /// What was wrong: code, class, message, advice, and whether it may succeed when it is made again.
    pub(crate) told: [Value; 5],
}

impl Failed {
    fn of(record: &Record) -> Self {
        let told = FailedView::of(record).map(|view| {
            let FailedView { code, class, message, advice, retryable } = view;
            [json!(code), json!(class), json!(message), json!(advice), json!(retryable)]
        });
        Self {
            id: record.id.to_string(),
            retry_of: record.spec.retry_of.as_ref().map(ToString::to_string),
            told: told.unwrap_or_default(),
        }
    }

    /// The values of [`NOTES`], by their names.
    fn notes(self) -> Map<String, Value> {
        let values = [json!(self.id)].into_iter().chain(self.told);
        NOTES.into_iter().map(str::to_owned).zip(values).collect()
    }
}

/// Rows on their way to standard output.
pub(crate) struct Sheet {
    format: Format,
    /// Of a table.
    columns: Vec<String>,
    /// Jobs that another row was already made in place of: that one is the one to mend. The newest come first.
    remade: HashSet<String>,
    written: u64,
    /// Jobs without a row, and why the first has none.
    left: u64,
    why: Option<String>,
    progress: Progress,
}

/// Which of the failures.
pub(crate) fn filter(code: Option<&str>, which: &FailedWhich) -> Filter {
    let filter = which.filter().states([StateWord::Failed, StateWord::OutputLost]);
    match code {
        Some(code) => filter.code(code),
        None => filter,
    }
}

/// Runs the verb.
pub(super) async fn run(
    global: &Global,
    session: &Session,
    code: Option<&str>,
    (which, archive): (&FailedWhich, bool),
) -> Outcome {
    let mut sheet = Sheet::begin(global)?;
    let owner = match &which.whose.batch {
        Some(name) => Some(batch::find(session, name, which.whose.tenant.as_deref()).await?.tenant),
        None => which.whose.tenant.clone(),
    };
    let filter = filter(code, which);
    let filter = owner.iter().fold(filter, |filter, owner| filter.tenant(owner));
    let walk = || -> Result<Everywhere, Failure> {
        let (store, buckets) = (session.store.clone(), session.buckets()?);
        Ok(Everywhere::new(store, buckets, filter.clone(), Order::Newest).archive(archive))
    };
    if sheet.has_columns() {
        let (mut keys, mut walk) = (BTreeSet::new(), walk()?);
        while let Some(records) = walk.next().await? {
            keys.extend(records.iter().flat_map(|record| record.spec.metadata.keys().cloned()));
        }
        sheet.columns(keys)?;
    }
    sheet.head()?;
    let (now, buckets, mut walk) = (session.store.now().await?, session.buckets()?, walk()?);
    while let Some(records) = walk.next().await? {
        for record in &records {
            let failed = Failed::of(record);
            if sheet.passes(&failed) {
                continue;
            }
            let document = if sheet.has_documents() {
                admission::whole_document(&buckets, &record.spec, now).await
            } else {
                Ok(Map::new())
            };
            sheet.add(failed, document)?;
        }
    }
    sheet.end(&filter)
}

impl Sheet {
    /// An empty one.
    ///
    /// # Errors
    ///
    /// Fields were chosen: the rows are whole requests.
    pub(crate) fn begin(global: &Global) -> Result<Self, Failure> {
        if global.output.chooses() {
            let what = "failed export writes whole requests and takes no --fields";
            return Err(Failure::usage(what));
        }
        let format = match global.output.format {
            Format::Table | Format::Wide => Format::Ndjson,
            other @ (Format::Json | Format::Ndjson | Format::Csv | Format::Id) => other,
        };
        Ok(Self {
            format,
            columns: Vec::new(),
            remade: HashSet::new(),
            written: 0,
            left: 0,
            why: None,
            progress: Progress::begin(None, global.quiet),
        })
    }

    /// Whether it is a table, whose columns must be told.
    pub(crate) fn has_columns(&self) -> bool {
        self.format == Format::Csv
    }

    /// Whether more of a job is written than its id.
    pub(crate) fn has_documents(&self) -> bool {
        self.format != Format::Id
    }

    /// The header of a table, which must be known before the first row: every key of anybody's metadata has a column.
    ///
    /// # Errors
    ///
    /// They are more than `import` takes.
    pub(crate) fn columns(&mut self, keys: BTreeSet<String>) -> Result<(), Failure> {
        let own = admission::COLUMNS.into_iter().map(str::to_owned);
        self.columns = NOTES.into_iter().map(str::to_owned).chain(own).collect();
        self.columns.extend(keys.into_iter().map(|key| format!("{METADATA}{key}")));
        let n = self.columns.len();
        if n > COLUMNS_MAX {
            let what = format!(
                "the metadata of these jobs need {n} columns; a table has {COLUMNS_MAX} at most"
            );
            return Err(Failure::usage(what).hint("export lines of JSON with -o jsonl"));
        }
        Ok(())
    }

    /// What stands above the rows.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn head(&self) -> Result<(), Failure> {
        match self.format {
            Format::Csv => say(&csv_line(self.columns.iter().cloned())),
            Format::Json => say("["),
            Format::Table | Format::Wide | Format::Ndjson | Format::Id => Ok(()),
        }
    }

    /// Whether another row was made in place of this job, which is passed over then.
    pub(crate) fn passes(&mut self, failed: &Failed) -> bool {
        self.remade.extend(failed.retry_of.clone());
        self.remade.contains(&failed.id)
    }

    /// Writes the row of a job, or counts it where its request cannot be told.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn add(
        &mut self,
        failed: Failed,
        document: Result<Map<String, Value>, String>,
    ) -> Result<(), Failure> {
        let id = failed.id.clone();
        match document.and_then(|document| self.row(failed, document)) {
            Ok(text) => {
                say(&text)?;
                self.written += 1;
            }
            Err(why) => {
                self.left += 1;
                self.why.get_or_insert(format!("{id}: {why}"));
            }
        }
        self.progress.at(self.written, &format!("{} rows", self.written));
        Ok(())
    }

    /// One row as it is written, or why there is none.
    fn row(&self, failed: Failed, document: Map<String, Value>) -> Result<String, String> {
        let whole = |notes: Map<String, Value>, document: Map<String, Value>| {
            Value::Object(notes.into_iter().chain(document).collect())
        };
        Ok(match self.format {
            Format::Id => format!("{}\n", failed.id),
            Format::Csv => {
                let cells = admission::flat(&document)
                    .ok_or("a table cannot hold it: export lines of JSON with -o jsonl")?;
                let mut cells: HashMap<String, String> = cells.into_iter().collect();
                cells.extend(failed.notes().into_iter().map(|(name, value)| (name, text(&value))));
                if cells.keys().any(|name| !self.columns.contains(name)) {
                    return Err("it came while the others were counted: export again".to_owned());
                }
                let of = |column: &String| cells.remove(column).unwrap_or_default();
                csv_line(self.columns.iter().map(of).collect::<Vec<_>>())
            }
            Format::Json => {
                let comma = if self.written == 0 { "\n" } else { ",\n" };
                format!("{comma}{}", whole(failed.notes(), document))
            }
            Format::Table | Format::Wide | Format::Ndjson => {
                format!("{}\n", whole(failed.notes(), document))
            }
        })
    }

    /// All of them are there.
    ///
    /// # Errors
    ///
    /// Standard output is closed.
    pub(crate) fn end(self, filter: &Filter) -> Outcome {
        self.progress.end();
        if self.format == Format::Json {
            say("\n]\n")?;
        }
        match self.why {
            Some(why) => {
                note(&format!("{} failed jobs have no row; {why}", self.left));
                Ok(Exit::Partial)
            }
            None => {
                if self.written == 0 {
                    note(&format!("nothing failed that fits {filter}"));
                }
                Ok(Exit::Done)
            }
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
