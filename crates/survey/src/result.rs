//! One row for each job: what programs and spreadsheets read of a batch or a filter.

use assets::{Assets, Buckets, Manifest};
use futures::future::join_all;
use job::{Record, Source};
use seedance::{Cost, Currency, Day, PriceTable, Route};
use serde_json::{Map, Value, json};

/// Manifests read at once.
const MANIFESTS_AT_ONCE: usize = 16;

/// The columns of the flat form.
pub const RESULT_COLUMNS: &[&str] = &[
    "custom_id",
    "job_id",
    "state",
    "video",
    "last_frame",
    "sha256",
    "bytes",
    "model",
    "seed",
    "tokens",
    "cost_usd",
    "provider_task_id",
    "error",
    "accepted_at",
    "stored_at",
    "retry_of",
];

/// The row of one job.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultRow {
    /// By column, and what the flat form has no room for.
    pub cells: Map<String, Value>,
    /// Why the manifest of a stored video could not be read: the row lacks what it tells. Stands in the cells too, as
    /// `incomplete`.
    pub incomplete: Option<String>,
    /// What vouches for the stored video, where there is one that could be read.
    pub manifest: Option<Manifest>,
}

/// Makes rows of the jobs of one pool.
#[derive(Debug, Clone)]
pub struct Results {
    buckets: Buckets,
    route: Route,
    simulated: bool,
}

impl Results {
    /// For a pool on this route, with its outputs in these buckets.
    #[must_use]
    pub fn new(buckets: Buckets, route: Route, simulated: bool) -> Self {
        Self { buckets, route, simulated }
    }

    /// The rows of some records, in their order.
    pub async fn rows(&self, records: &[Record]) -> Vec<ResultRow> {
        let mut rows = Vec::with_capacity(records.len());
        for some in records.chunks(MANIFESTS_AT_ONCE) {
            rows.extend(join_all(some.iter().map(|record| self.row(record))).await);
        }
        rows
    }

    /// The row of one record.
    pub async fn row(&self, record: &Record) -> ResultRow {
        let state = &record.life.state;
        let assets = self.buckets.of(&record.spec.tenant);
        let output = state.output();
        let here = output.filter(|output| output.is_here());
        let (manifest, incomplete) = match here {
            Some(output) => read(assets, &output.manifest).await,
            None => (None, None),
        };
        let tokens = output.and_then(|output| output.tokens);
        let cost = tokens.and_then(|tokens| cost(self.route, record, tokens));
        let facts = manifest.as_ref().map(|manifest| &manifest.facts);
        let stored_at = manifest.as_ref().map(|m| job::Timestamp::from_unix_ms(m.stored_at_ms));
        let task = state.task();
        let frozen =
            task.map_or(record.spec.request.model_id.as_str(), |task| &task.facts.model_id);
        let told = record.life.told.as_ref().and_then(|told| told.model_id.as_deref());
        let model = told.unwrap_or(frozen);
        let address = |path: &String| assets.address(path);
        let mut cells = Map::new();
        let mut put = |key: &str, value: Value| {
            cells.insert(key.to_owned(), value);
        };
        put("custom_id", json!(record.spec.custom_id));
        put("job_id", json!(record.id));
        put("state", json!(state.word().as_str()));
        put("video", json!(here.map(|output| address(&output.video))));
        put("last_frame", json!(here.and_then(|o| o.last_frame.as_ref()).map(address)));
        put("sha256", json!(here.map(|output| &output.video_sha256)));
        put("bytes", json!(output.map(|output| output.video_bytes)));
        put("model", json!(model));
        put("seed", json!(facts.and_then(|facts| facts.seed)));
        put("tokens", json!(tokens));
        put("cost_usd", json!(cost.filter(|cost| cost.currency == Currency::Usd).map(amount)));
        put("provider_task_id", json!(task.map(|task| &task.id)));
        put("error", json!(state.failure_code()));
        put("accepted_at", json!(record.created_at.rfc3339()));
        put("retry_of", json!(record.spec.retry_of));
        put("stored_at", json!(stored_at.map(job::Timestamp::rfc3339)));
        if let Some(cost) = cost.filter(|cost| cost.currency != Currency::Usd) {
            put("cost", json!(cost.to_string()));
        }
        if let Some(erased) = &record.life.erased {
            put("erased_at", json!(erased.at.rfc3339()));
        }
        if self.simulated {
            put("simulated", json!(true));
        }
        if let Some(why) = &incomplete {
            put("incomplete", json!(why));
        }
        ResultRow { cells, incomplete, manifest }
    }
}

/// A manifest, or why there is none.
async fn read(assets: &Assets, path: &str) -> (Option<Manifest>, Option<String>) {
    match assets.read_manifest_at(path).await {
        Ok(Some(manifest)) => (Some(manifest), None),
        Ok(None) => (None, Some(format!("{path} is not in the bucket"))),
        Err(error) => (None, Some(error.to_string())),
    }
}

/// What the tokens cost on the day the job came; none where no price is known.
fn cost(route: Route, record: &Record, tokens: u64) -> Option<Cost> {
    // What an adopted task was asked for is not known, and prices go by that.
    if record.spec.source == Source::Adopted {
        return None;
    }
    let day = Day::from_unix_s(record.created_at.unix_ms().div_euclid(1_000));
    PriceTable::in_force().cost(route, &record.spec.request, tokens, day).ok()
}

#[allow(clippy::cast_precision_loss, reason = "below 2^53 micros: nine billion of the currency")]
fn amount(cost: Cost) -> f64 {
    cost.micros as f64 / 1e6
}

/// One line of the flat form; callers' texts steer neither a terminal nor a spreadsheet's columns.
#[must_use]
pub fn csv_line(cells: impl IntoIterator<Item = String>) -> String {
    let quoted = cells.into_iter().map(|cell| {
        let risky = cell.contains([',', '"', '\n', '\r']);
        if risky { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    });
    quoted.collect::<Vec<_>>().join(",") + "\n"
}

impl ResultRow {
    /// As a line of JSON.
    #[must_use]
    pub fn json_line(self) -> String {
        format!("{}\n", Value::Object(self.cells))
    }

    /// As a line of the flat form.
    #[must_use]
    pub fn csv_line(&self) -> String {
        csv_line(RESULT_COLUMNS.iter().map(|column| match self.cells.get(*column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => plain(text),
            Some(other) => plain(&other.to_string()),
        }))
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_cells_that_could_break_a_line_are_quoted() {
        let cells = ["a", "b,c", "say \"hi\"", ""].map(str::to_owned);
        assert_eq!(csv_line(cells), "a,\"b,c\",\"say \"\"hi\"\"\",\n");
        let cells = Map::from_iter([("job_id".to_owned(), json!("j"))]);
        let row = ResultRow { cells, incomplete: None, manifest: None };
        assert_eq!(row.csv_line(), ",j,,,,,,,,,,,,,,\n");
    }
}
