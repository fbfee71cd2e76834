//! `failed export`: failed requests as rows of a file that `import` takes, with what was wrong beside each.

use crate::cli::{FailedWhich, Global};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Progress, note, say};
use crate::session::Session;
use crate::verbs::batch;
use crate::verbs::everywhere::Everywhere;
use job::filter::Filter;
use job::{End, JobId, Record, State, StateWord, Timestamp};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};
use survey::csv_line;

/// What stands beside each request; `import` leaves out names that begin so.
const NOTES: [&str; 6] = ["_job", "_code", "_class", "_message", "_advice", "_retryable"];
/// Columns of one table that `import` takes.
const COLUMNS_MAX: usize = 64;
const METADATA: &str = "metadata.";

/// What is being written.
struct Export<'a> {
    session: &'a Session,
    format: Format,
    now: Timestamp,
    /// Of a table.
    columns: Vec<String>,
    /// Jobs that another row was already made in place of: that one is the one to mend. The newest come first.
    remade: HashSet<JobId>,
    written: u64,
    /// Jobs without a row, and why the first has none.
    left: u64,
    why: Option<String>,
    progress: Progress,
}

/// Runs the verb.
pub(super) async fn run(
    global: &Global,
    session: &Session,
    code: Option<&str>,
    (which, archive): (&FailedWhich, bool),
) -> Outcome {
    if global.output.chooses() {
        return Err(Failure::usage("failed export writes whole requests and takes no --fields"));
    }
    let format = match global.output.format {
        Format::Table | Format::Wide => Format::Ndjson,
        other @ (Format::Json | Format::Ndjson | Format::Csv | Format::Id) => other,
    };
    let owner = match &which.whose.batch {
        Some(name) => Some(batch::find(session, name, which.whose.tenant.as_deref()).await?.tenant),
        None => which.whose.tenant.clone(),
    };
    let mut filter = which.filter().states([StateWord::Failed, StateWord::OutputLost]);
    filter = code.map_or(filter.clone(), |code| filter.clone().code(code));
    filter = owner.as_ref().map_or(filter.clone(), |owner| filter.clone().tenant(owner));
    let everywhere = Everywhere {
        filter: &filter,
        tenant: owner.as_deref(),
        batch: which.whose.batch.as_deref(),
        archive,
        ended_on: &|day| day.is_some(),
    };
    let columns = match format {
        Format::Csv => columns(session, &everywhere).await?,
        Format::Table | Format::Wide | Format::Json | Format::Ndjson | Format::Id => Vec::new(),
    };
    let mut export = Export {
        session,
        format,
        now: session.store.now().await?,
        columns,
        remade: HashSet::new(),
        written: 0,
        left: 0,
        why: None,
        progress: Progress::begin(None, global.quiet),
    };
    export.begin()?;
    everywhere.walk(session, async |records| export.add(&records).await).await?;
    export.end(&filter)
}

/// The header of a table, which must be known before the first row: every key of anybody's metadata has a column.
async fn columns(session: &Session, everywhere: &Everywhere<'_>) -> Result<Vec<String>, Failure> {
    let mut keys: BTreeSet<String> = BTreeSet::new();
    let gather = async |records: Vec<Record>| {
        keys.extend(records.iter().flat_map(|record| record.spec.metadata.keys().cloned()));
        Ok(())
    };
    everywhere.walk(session, gather).await?;
    let own = admission::COLUMNS.into_iter().map(str::to_owned);
    let mut columns: Vec<String> = NOTES.into_iter().map(str::to_owned).chain(own).collect();
    columns.extend(keys.into_iter().map(|key| format!("{METADATA}{key}")));
    if columns.len() > COLUMNS_MAX {
        let what = format!(
            "the metadata of these jobs need {} columns; a table has {COLUMNS_MAX} at most",
            columns.len()
        );
        return Err(Failure::usage(what).hint("export lines of JSON with -o jsonl"));
    }
    Ok(columns)
}

impl Export<'_> {
    fn begin(&self) -> Result<(), Failure> {
        match self.format {
            Format::Csv => say(&csv_line(self.columns.iter().cloned())),
            Format::Json => say("["),
            Format::Table | Format::Wide | Format::Ndjson | Format::Id => Ok(()),
        }
    }

    async fn add(&mut self, records: &[Record]) -> Result<(), Failure> {
        for record in records {
            self.remade.extend(record.spec.retry_of.clone());
            if self.remade.contains(&record.id) {
                continue;
            }
            match self.row(record).await {
                Ok(text) => {
                    say(&text)?;
                    self.written += 1;
                }
                Err(why) => {
                    self.left += 1;
                    self.why.get_or_insert(format!("{}: {why}", record.id));
                }
            }
        }
        self.progress.at(self.written, &format!("{} rows", self.written));
        Ok(())
    }

    /// One row as it is written, or why there is none.
    async fn row(&self, record: &Record) -> Result<String, String> {
        if self.format == Format::Id {
            return Ok(format!("{}\n", record.id));
        }
        let document = document(self.session, record, self.now).await?;
        let notes = notes(record);
        let whole = |notes: Map<String, Value>, document: Map<String, Value>| {
            Value::Object(notes.into_iter().chain(document).collect())
        };
        Ok(match self.format {
            Format::Csv => {
                let cells = admission::flat(&document)
                    .ok_or("a table cannot hold it: export lines of JSON with -o jsonl")?;
                let mut cells: HashMap<String, String> = cells.into_iter().collect();
                cells.extend(notes.into_iter().map(|(name, value)| (name, text(&value))));
                if cells.keys().any(|name| !self.columns.contains(name)) {
                    return Err("it came while the others were counted: export again".to_owned());
                }
                let of = |column: &String| cells.remove(column).unwrap_or_default();
                csv_line(self.columns.iter().map(of).collect::<Vec<_>>())
            }
            Format::Json => {
                let comma = if self.written == 0 { "\n" } else { ",\n" };
                format!("{comma}{}", whole(notes, document))
            }
            Format::Table | Format::Wide | Format::Ndjson | Format::Id => {
                format!("{}\n", whole(notes, document))
            }
        })
    }

    fn end(self, filter: &Filter) -> Outcome {
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

/// What was wrong, and what to do about it.
fn notes(record: &Record) -> Map<String, Value> {
    let state = &record.life.state;
    let (code, cause) = (state.failure_code().unwrap_or_default(), state.failure());
    let class = cause.map(|cause| cause.class.word());
    let lost = if let State::Finished { end: End::OutputLost { reason }, .. } = state {
        Some(reason.as_str())
    } else {
        None
    };
    let (retryable, advice) = survey::advice(code, class);
    let message = cause.map(|cause| cause.message.as_str()).or(lost);
    let values = [
        json!(record.id),
        json!(code),
        json!(class),
        json!(message),
        json!(advice),
        json!(retryable),
    ];
    NOTES.into_iter().map(str::to_owned).zip(values).collect()
}

/// The request as it would be sent today, its inline media read back from the bucket.
///
/// # Errors
///
/// In words: why it cannot be told.
pub(crate) async fn document(
    session: &Session,
    record: &Record,
    now: Timestamp,
) -> Result<Map<String, Value>, String> {
    let spec = &record.spec;
    let mut media: HashMap<&str, Vec<u8>> = HashMap::new();
    let hashes = if spec.erased { Vec::new() } else { spec.inline_media() };
    if !hashes.is_empty() {
        let buckets = session.buckets().map_err(|failure| failure.to_string())?;
        for hash in hashes {
            let bytes = buckets.of(&spec.tenant).get_media(&spec.tenant, hash).await;
            media.insert(hash, bytes.map_err(|error| error.to_string())?.to_vec());
        }
    }
    let inline = |hash: &str| media.get(hash).cloned();
    admission::document(spec, now, &inline).map_err(|fault| fault.message)
}
