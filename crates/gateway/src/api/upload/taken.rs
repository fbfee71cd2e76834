//! What became of a stream's rows, as it is counted and told.

use crate::view::money;
use admission::{Admitted, How};
use job::StateWord;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What became of a stream's rows.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BatchTaken)]
pub(crate) struct Taken {
    /// Name of the batch.
    pub(super) id: String,
    #[schema(example = "batch")]
    object: &'static str,
    /// Rows read.
    pub(super) rows: u64,
    /// New jobs.
    pub(super) created: u64,
    /// Of them, those that wait for a person first.
    held: u64,
    /// Rows whose job existed.
    pub(super) existing: u64,
    /// Rows that made none; `links.rejects` tells why.
    pub(super) rejected: u64,
    /// Rejected rows by code.
    pub(super) reject_codes: BTreeMap<String, u64>,
    /// Tokens the new jobs are expected to need.
    tokens: u64,
    /// Their price; absent without new jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Object)]
    cost: Option<Value>,
    /// The jobs of a pilot's rows; absent of any other stream.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pilot: Vec<PilotRow>,
    pub(super) links: BatchLinks,
    #[serde(skip)]
    micros: u64,
    #[serde(skip)]
    currency: String,
}

/// The job of a pilot's row, new or not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchPilotRow)]
struct PilotRow {
    /// Its place in the stream.
    row: u64,
    /// Id of the job.
    job: String,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct BatchLinks {
    #[serde(rename = "self")]
    pub(super) this: String,
    rejects: String,
}

impl Taken {
    /// Of no row yet.
    pub(super) fn of(batch: &str, public_url: &str) -> Self {
        let this = format!("{}/v1/batches/{batch}", public_url.trim_end_matches('/'));
        let links = BatchLinks { rejects: format!("{this}/rejects"), this };
        Self { id: batch.to_owned(), object: "batch", links, ..Self::default() }
    }

    /// Counts a row that has a job; its place, where it is one of a pilot.
    pub(super) fn note(&mut self, admitted: &Admitted, pilot: Option<u64>) {
        self.pilot.extend(pilot.map(|row| PilotRow { row, job: admitted.id.to_string() }));
        match admitted.how {
            How::Created => {
                self.created += 1;
                self.held += u64::from(admitted.state == Some(StateWord::Held));
                self.tokens += admitted.estimate_tokens;
                self.micros += admitted.cost.micros;
                self.currency = admitted.cost.currency.to_string();
            }
            How::Deduplicated { .. } => self.existing += 1,
        }
    }

    /// As it is told at the end.
    pub(super) fn told(mut self) -> Self {
        if self.created > 0 {
            self.cost = Some(json!({"cost": money(self.micros), "currency": self.currency}));
        }
        self
    }
}
