//! A batch as an object.

use crate::budget::BudgetView;
use crate::eta::EtaView;
use crate::usage::cost;
use serde::Serialize;
use std::collections::BTreeMap;
use store::{Batch, Paused};
use utoipa::ToSchema;

/// A batch as callers see it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Batch)]
pub struct BatchView {
    /// Its name.
    pub id: String,
    /// `batch`.
    pub object: &'static str,
    /// `running`, `paused`, `completed` or `completed_with_failures`.
    pub state: &'static str,
    /// When its first upload began, or its first job was taken in.
    pub created_at: String,
    /// All its jobs.
    pub jobs: u64,
    /// Those that have ended.
    pub finished: u64,
    /// Jobs by state.
    pub counts: BTreeMap<&'static str, u64>,
    /// Refused rows that are kept; they made no job.
    pub rejects: u64,
    /// Tokens that its finished jobs are billed.
    pub tokens: u64,
    /// What they cost, by currency, as a decimal number.
    pub cost: BTreeMap<String, String>,
    /// When the first of its jobs ended.
    pub first_ended_at: Option<String>,
    /// When the last one ended so far.
    pub last_ended_at: Option<String>,
    /// What may be bought for it, and what was.
    pub budget: BudgetView,
    /// Conditions on which it stops by itself; what happened before its last resume does not count.
    pub stop_on: Option<String>,
    /// Why none of its queued jobs is submitted.
    pub paused: Option<PauseView>,
    /// Its pilot: rows that are bought before the others. None where it was made without.
    pub pilot: Option<PilotView>,
    /// When it will have ended, where one batch is asked for that has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub eta: Option<EtaView>,
}

/// A pause as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Pause)]
pub struct PauseView {
    /// By whom.
    pub by: String,
    /// Since when.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// A pilot as callers see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BatchPilot)]
pub struct PilotView {
    /// Of how many rows.
    pub rows: u32,
    /// Whether all others still wait for a person who resumes the batch.
    pub waits: bool,
}

impl PilotView {
    fn of(batch: &Batch) -> Option<Self> {
        let waits = batch.pilot.is_some();
        batch.pilot.or(batch.piloted).map(|rows| Self { rows, waits })
    }
}

impl From<&Paused> for PauseView {
    fn from(paused: &Paused) -> Self {
        let Paused { by, at, reason } = paused;
        Self { by: by.as_str().to_owned(), at: at.rfc3339(), reason: reason.clone() }
    }
}

impl From<&Batch> for BatchView {
    fn from(batch: &Batch) -> Self {
        Self {
            id: batch.name.clone(),
            object: "batch",
            state: batch.word(),
            created_at: batch.created_at.rfc3339(),
            jobs: batch.jobs(),
            finished: batch.finished(),
            counts: batch.counts.iter().map(|(word, n)| (word.as_str(), *n)).collect(),
            rejects: batch.rejects,
            tokens: batch.spent.tokens,
            cost: cost(&batch.spent),
            first_ended_at: batch.ended.map(|(first, _)| first.rfc3339()),
            last_ended_at: batch.ended.map(|(_, last)| last.rfc3339()),
            budget: BudgetView::from(&batch.purse),
            stop_on: batch.stop_on.clone(),
            paused: batch.paused.as_ref().map(PauseView::from),
            pilot: PilotView::of(batch),
            eta: None,
        }
    }
}
