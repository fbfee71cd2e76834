//! `dry_run` of a stream of rows: all of them are judged as the door would now, and nothing is stored.

use super::asked::Wish;
use super::told::Told;
use crate::api::job::to_json;
use crate::app::{App, PoolDoor};
use crate::problem::Problem;
use crate::view::money;
use admission::{Checked, Deck, DryRun, Refusal};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use survey::{EtaView, rows_eta};
use utoipa::ToSchema;

/// Refused rows that are told, and bytes they take as JSON. The others are counted.
const TOLD_MAX: usize = 10_000;
const TOLD_BYTES_MAX: usize = 8 << 20;

/// What would become of a stream's rows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchJudged)]
pub(crate) struct Judged {
    /// Name of the batch; there need be none.
    id: String,
    #[schema(example = "batch_estimate")]
    object: &'static str,
    /// Rows read.
    rows: u64,
    /// Jobs that there would be, but for those that exist: that is not looked up.
    valid: u64,
    /// Of them, those that would wait for a person first.
    held: u64,
    /// Rows that would be the job of an earlier row of the stream.
    existing: u64,
    /// Rows that would make none.
    rejected: u64,
    /// Faults of the rejected rows by code.
    faults: BTreeMap<String, u64>,
    /// Tokens the jobs are expected to need.
    tokens: u64,
    /// Their price, as a decimal number.
    #[schema(example = "451.698749", pattern = r"^[0-9]+\.[0-9]{6}$")]
    cost: String,
    /// The least they can need: where the model chooses, its shortest video is assumed.
    tokens_least: u64,
    /// Its price. Nothing is billed for a task that fails.
    #[schema(example = "403.119262", pattern = r"^[0-9]+\.[0-9]{6}$")]
    cost_least: String,
    /// Of both.
    #[schema(example = "USD")]
    currency: String,
    /// When the jobs would have ended, were they taken in now, behind what waits already.
    eta: EtaView,
    /// Rejected rows with their faults, as `/rejects` of a batch tells them, in the order of the stream.
    #[schema(value_type = Vec<Object>)]
    rejects: Vec<Value>,
    /// Rejected rows beyond the first 10,000, or 8 MiB of them: these are only counted.
    rejects_left_out: u64,
    /// The rows that `pilot` draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pilot: Option<DrawnView>,
}

/// Rows that tell the most of a stream: one of each kind of settings, the commonest first, then a second of each.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchDrawn)]
struct DrawnView {
    /// In the order of the stream.
    rows: Vec<DrawnRow>,
    /// Kinds of settings among them.
    kinds: usize,
    /// Kinds of settings in the stream.
    kinds_in_stream: usize,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchDrawnRow)]
struct DrawnRow {
    /// Its place in the stream.
    row: u64,
    /// Its settings: model, resolution, ratio, duration, roles of media, sound.
    #[schema(example = "2.0 720p 16:9 5 s text silent")]
    settings: String,
}

/// The rows so far.
pub(super) struct Judging {
    sums: DryRun,
    deck: Option<Deck>,
    faults: BTreeMap<String, u64>,
    rejects: Vec<Value>,
    bytes: usize,
    rejected: u64,
}

impl Judging {
    pub(super) fn of(wish: &Wish) -> Self {
        let drawn = |rows| Deck::of(usize::try_from(rows).unwrap_or(usize::MAX));
        Self {
            sums: DryRun::default(),
            deck: wish.pilot.map(drawn),
            faults: BTreeMap::new(),
            rejects: Vec::new(),
            bytes: 0,
            rejected: 0,
        }
    }

    /// Counts a good row, or tells why it is none after all.
    pub(super) fn good(
        &mut self,
        told: &Told,
        checked: &Checked,
        mends: bool,
    ) -> Result<(), Refusal> {
        self.sums.row(checked, mends).map_err(|fault| Refusal::Faults(vec![fault]))?;
        if let Some(deck) = &mut self.deck {
            deck.row(checked, told.number);
        }
        Ok(())
    }

    /// Counts a refused row.
    pub(super) fn refused(&mut self, told: &Told, refusal: &Refusal) {
        self.rejected += 1;
        let mut count = |code: &str| *self.faults.entry(code.to_owned()).or_default() += 1;
        match refusal.faults() {
            [] => count(refusal.code()),
            faults => faults.iter().for_each(|fault| count(&fault.code)),
        }
        if self.rejects.len() >= TOLD_MAX || self.bytes >= TOLD_BYTES_MAX {
            return;
        }
        let line = told.line(refusal);
        self.bytes += line.to_string().len();
        self.rejects.push(line);
    }

    /// What is remembered of rows may not grow without bound.
    pub(super) fn within(&self, most: usize) -> Result<(), Problem> {
        if self.sums.remembered() <= most {
            return Ok(());
        }
        let title = format!("more than {most} different rows in one dry run");
        Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-items", title)
            .detail("judge the stream in parts"))
    }

    /// The answer.
    pub(super) async fn answer(
        self,
        app: &App,
        (door, tenant): (&PoolDoor, &str),
        (id, rows): (String, u64),
    ) -> Result<Value, Problem> {
        let (store, pool) = (&door.pool.store, &door.pool.settings);
        let eta = rows_eta(store, pool, tenant, &self.sums.kinds, app.generate).await?;
        let drawn = self.deck.map(|deck| {
            let drawn = deck.draw();
            DrawnView {
                rows: drawn
                    .rows
                    .into_iter()
                    .map(|(row, settings)| DrawnRow { row, settings })
                    .collect(),
                kinds: drawn.kinds,
                kinds_in_stream: drawn.kinds_in_file,
            }
        });
        let DryRun { valid, held, existing, tokens, micros, tokens_least, micros_least, .. } =
            self.sums;
        to_json(&Judged {
            id,
            object: "batch_estimate",
            rows,
            valid,
            held,
            existing,
            rejected: self.rejected,
            faults: self.faults,
            tokens,
            cost: money(micros),
            tokens_least,
            cost_least: money(micros_least),
            currency: pool.route.currency().to_string(),
            eta,
            rejects_left_out: self.rejected - self.rejects.len() as u64,
            rejects: self.rejects,
            pilot: drawn,
        })
    }
}
