//! Begin: the door to the only call that costs money.

use crate::batches::Paused;
use crate::commit::{CommitRequest, Committed, Writer};
use crate::keys::Keys;
use crate::operations::Only;
use crate::queue::Held;
use crate::report::{DECIDE_MAX, Question};
use crate::{ReportError, Store, StoreError, Stored};
use job::{Event, OpenAttempt, Policy, SpendCap, Verdict};
use serde::Serialize;
use std::time::Duration;

/// A paced row of instants, as configured: nothing accumulates while idle, so there is never a burst. What
/// a person has set for the row ([`crate::LimitChange`]), and what was taken away after a refusal, makes it
/// slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two calls, µs; 0: no pacing.
    pub interval_us: u64,
    /// The limit that this interval keeps to, in calls a window: what is set is told in calls.
    pub calls: u32,
    /// No instant is given away that lies farther ahead of the earliest one possible, µs.
    pub horizon_us: u64,
    /// No instant is given away that lies nearer, µs: what must be done between Begin and the send
    /// fits in. Zero for reads.
    pub lead_us: u64,
    /// The longest that anybody's [`Pace::lead_us`] may be, the same for all callers of a row, µs: what a lost
    /// row had given away lies no farther ahead than this and the horizon.
    pub lead_max_us: u64,
    /// Where calls are so few that each is counted as well; none: instants alone keep the limit.
    pub counted: Option<Counted>,
}

/// How calls of a row are counted: from the moment that one is given away until a window after its answer, or
/// until the longest it may be under way and a window where nobody says that it was answered
/// ([`Store::call_done`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// What the provider counts in, µs.
    #[serde(rename = "window")]
    pub window_us: u64,
    /// After its instant, µs: by then all of a call has arrived, or nothing of it ever will.
    #[serde(rename = "under_way")]
    pub under_way_us: u64,
}

impl Pace {
    /// No pacing at all.
    pub const NONE: Self =
        Self { interval_us: 0, calls: 1, horizon_us: 0, lead_us: 0, lead_max_us: 0, counted: None };
}

/// What must hold for an attempt to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginGuard {
    /// Tasks of this class that the account may run, as configured.
    pub running: u32,
    /// Tasks it is fed beyond that, as configured.
    pub lookahead: u32,
    /// Create calls of the account in this class.
    pub pace: Pace,
    /// After a stop in a row: one job goes first, and the others wait this long for its answer.
    pub probe: Duration,
}

/// Whether the attempt may be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Begun {
    /// The intent is durable. Send once, at its instant, before its deadline.
    Granted {
        /// The record with the open attempt.
        stored: Box<Stored>,
        /// From this reply to the attempt's instant.
        usable_in: Duration,
        /// How long the instant has passed when the reply was lost and asked for again; zero else.
        /// More than the jitter allowance means that the instant must not be used.
        missed_by: Duration,
    },
    /// The account is full: hand the ticket back.
    NoSlot,
    /// The tenant has in flight what it may have: hand the ticket back.
    Capped,
    /// A person paused it: hand the ticket back.
    HeldOff {
        /// What is paused.
        what: String,
    },
    /// The account's next instant lies beyond the horizon.
    Wait {
        /// Ask again after this.
        after: Duration,
    },
    /// Draw another nonce.
    NonceTaken,
    /// A callback named a task that the caller has not seen: read the record again before buying.
    Hinted,
    /// The server lost data, or a person stopped the pool: nothing begins before the thaw.
    Frozen {
        /// In words.
        why: String,
    },
    /// The account creates nothing for now.
    Stopped {
        /// For how long.
        after: Duration,
        /// The class of the stop, as `seedance::Class` is written.
        class: String,
        /// The provider's code.
        code: String,
        /// Stops in a row.
        in_row: u32,
    },
    /// The ticket is no longer ours, or the job no longer waits for a create: send nothing.
    Lost,
}

impl Store {
    /// Commits the intent to send `event`'s attempt, if the account has room for it.
    ///
    /// Safe to repeat with the same event while the claim holds: the attempt id is the token.
    ///
    /// # Errors
    ///
    /// As every call; the intent may have been written.
    pub async fn begin(
        &self,
        held: &Held,
        event: &Event,
        policy: &Policy,
        guard: &BeginGuard,
    ) -> Result<Begun, StoreError> {
        let Event::SubmitBegan { attempt } = event else {
            return Err(StoreError::Bug("begin was given another event".into()));
        };
        let mut before = held.stored.clone();
        for _ in 0..DECIDE_MAX {
            let verdict = match job::transition(&before.record, event, before.now, policy) {
                Ok(verdict) => verdict,
                Err(why) => {
                    tracing::error!(job = %held.claim.id, %why, "an attempt contradicts its record");
                    return Ok(Begun::Lost);
                }
            };
            let Verdict::Write { life, ticket, effects, note } = verdict else {
                return Ok(Begun::Lost);
            };
            let committed = self
                .commit(&CommitRequest {
                    before: &before,
                    life: &life,
                    ticket,
                    effects: &effects,
                    note: note.as_ref(),
                    writer: Writer::Worker(&held.claim),
                    token: attempt.id.as_str(),
                    guard: Some(guard),
                    decision: None,
                    only: None,
                })
                .await?;
            match committed {
                Committed::Ok { revision, now, usable_in_us }
                | Committed::Already { revision, now, usable_in_us } => {
                    before.record.life = *life;
                    before.revision = revision;
                    before.now = now;
                    return Ok(granted(before, usable_in_us));
                }
                Committed::Stale { .. } => match self.load(&held.claim.id).await? {
                    Some(stored) if stored.hint != held.stored.hint => return Ok(Begun::Hinted),
                    Some(stored) => before = stored,
                    None => return Ok(Begun::Lost),
                },
                Committed::Paused => {
                    self.hold_paused(held, &before, policy).await?;
                    return Ok(Begun::Lost);
                }
                Committed::OverBudget { cap } => {
                    self.hold_over_budget(held, cap, policy).await?;
                    return Ok(Begun::Lost);
                }
                other => return Ok(refused(other, attempt)),
            }
        }
        // A job that changes this often is not ours to send for.
        Ok(Begun::Lost)
    }
}

impl Store {
    /// A job of a paused batch leaves the queue when its turn comes, unless the batch goes on meanwhile:
    /// then its ticket comes back by itself.
    async fn hold_paused(
        &self,
        held: &Held,
        before: &Stored,
        policy: &Policy,
    ) -> Result<(), StoreError> {
        let spec = &before.record.spec;
        let Some(name) = &spec.batch else { return Ok(()) };
        let paused = self.batch(&spec.tenant, name).await?.and_then(|batch| batch.paused);
        let Some(Paused { by, reason, .. }) = paused else { return Ok(()) };
        let (event, writer) = (Event::PauseAsked { by, reason }, Writer::Worker(&held.claim));
        let key = self.keys().batch(&spec.tenant, name);
        let only = Only { key, field: "paused", counts: None };
        let question = Question { event: &event, policy, deciding: None, only: Some(&only) };
        match self.report_as(&held.claim.id, writer, None, question).await {
            Ok(_) => Ok(()),
            Err(ReportError::Store(error)) => Err(error),
            Err(ReportError::Contradiction(why)) => Err(StoreError::Bug(why.to_string())),
        }
    }
}

impl Store {
    /// A job that would have passed a cap leaves the queue with its ticket, until there is room. Where there
    /// is by now, it comes back as every other one.
    async fn hold_over_budget(
        &self,
        held: &Held,
        cap: SpendCap,
        policy: &Policy,
    ) -> Result<(), StoreError> {
        let (event, writer) = (Event::BudgetReached { cap }, Writer::Worker(&held.claim));
        match self.report(&held.claim.id, writer, &event, policy).await {
            Ok(_) => Ok(()),
            Err(ReportError::Store(error)) => Err(error),
            Err(ReportError::Contradiction(why)) => Err(StoreError::Bug(why.to_string())),
        }
    }
}

fn granted(stored: Stored, usable_in_us: i64) -> Begun {
    let us = |n: i64| Duration::from_micros(u64::try_from(n).unwrap_or(0));
    Begun::Granted {
        stored: Box::new(stored),
        usable_in: us(usable_in_us),
        missed_by: us(usable_in_us.saturating_neg()),
    }
}

fn refused(committed: Committed, attempt: &OpenAttempt) -> Begun {
    match committed {
        Committed::NoSlot => Begun::NoSlot,
        Committed::Capped => Begun::Capped,
        Committed::HeldOff { field } => Begun::HeldOff {
            what: Keys::pause_scope(&field).map_or(field, |scope| scope.to_string()),
        },
        Committed::NonceTaken => Begun::NonceTaken,
        Committed::Hinted => Begun::Hinted,
        Committed::Wait { after } => Begun::Wait { after },
        Committed::Frozen { why } => Begun::Frozen { why },
        Committed::Stopped { after, class, code, in_row } => {
            Begun::Stopped { after, class, code, in_row }
        }
        Committed::Owned { task, by } => {
            tracing::error!(attempt = %attempt.id, %task, %by, "a task without an attempt");
            Begun::Lost
        }
        Committed::Fenced
        | Committed::Gone
        | Committed::Closed
        | Committed::Paused
        | Committed::OverBudget { .. }
        | Committed::Stale { .. }
        | Committed::Ok { .. }
        | Committed::Already { .. } => Begun::Lost,
    }
}
