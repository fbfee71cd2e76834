//! May a proven absence be followed by a re-send? Evidence of the account, and the day's budget.
//!
//! The proof rests on two promises that the provider does not make in writing: that it echoes our mark,
//! and that a new task shows in its list within `settle.list_lag_max`. A real account must have shown
//! both, often and lately. The budget bounds what a wrong promise could cost in a day.

use job::settle::{self, Sighting};
use job::{Event, Look, OpenAttempt, Policy, Record, ResendLeave, State, Timestamp, Verdict};
use seedance::EXPIRES_AFTER_DEFAULT_S;
use serde::Deserialize;
use std::borrow::Cow;
use store::{Evidence, Store, StoreError};

/// The lag of the list must stay inside this share of what the quiet horizon allows for it.
const LAG_SHARE: u32 = 3;

/// What the leave is decided with, of section `settle`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Settings {
    pub(crate) resend_day_ratio: f64,
    pub(crate) resend_day_min: u32,
    pub(crate) evidence_tasks_min: u32,
    pub(crate) evidence_lags_min: u32,
}

/// The rules of one pool.
pub(crate) struct Leave {
    pub(crate) store: Store,
    pub(crate) settings: Settings,
    /// The far side is a simulator: its echo and its lag are known.
    pub(crate) simulated: bool,
}

impl Leave {
    /// The answer for a scan that saw nothing of `attempt`. Costs a call only where the machine would
    /// send again; takes one re-send out of the day's budget where it is granted.
    pub(crate) async fn for_absence(
        &self,
        record: &Record,
        attempt: &OpenAttempt,
        scan_began_at: Timestamp,
        policy: &Policy,
    ) -> Result<ResendLeave, StoreError> {
        if !would_resend(record, attempt, scan_began_at, policy) {
            // Nothing would be sent with a leave, so none is spent.
            return Ok(ResendLeave::Granted);
        }
        let account = &attempt.facts.account;
        let evidence = self.store.evidence(account, scan_began_at).await?;
        // A simulator may be told to hide the mark: then it is no better than the real thing.
        if (!self.simulated || evidence.echoes_bad > 0)
            && let Err(missing) = believed(&evidence, &self.settings, policy)
        {
            tracing::warn!(account, missing, "no automatic re-send: the list is not proven");
            return Ok(ResendLeave::EvidenceMissing);
        }
        let Settings { resend_day_ratio, resend_day_min, .. } = self.settings;
        if self.store.reserve_resend(resend_day_ratio, resend_day_min).await? {
            Ok(ResendLeave::Granted)
        } else {
            tracing::warn!("no automatic re-send: the day's budget is spent");
            Ok(ResendLeave::DayBudgetSpent)
        }
    }
}

impl Leave {
    /// The rows of a list with the marks that may be believed.
    ///
    /// A provider that ignores our mark shows its default for every task. Until the account has echoed
    /// a mark, and from the first time it did not, a row with the default may be anybody's: it then
    /// counts as one without a mark, which proves neither presence nor absence.
    pub(crate) async fn believable<'s>(
        &self,
        attempt: &OpenAttempt,
        seen: &'s [Sighting],
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Cow<'s, [Sighting]>, StoreError> {
        let doubtful = |row: &Sighting| {
            row.nonce_s == Some(EXPIRES_AFTER_DEFAULT_S)
                && attempt.nonce_s != EXPIRES_AFTER_DEFAULT_S
                && settle::could_be(attempt, row, policy)
        };
        if !seen.iter().any(doubtful) {
            return Ok(Cow::Borrowed(seen));
        }
        let shown = self.store.evidence(&attempt.facts.account, now).await?;
        if shown.echoes_ok > 0 && shown.echoes_bad == 0 {
            return Ok(Cow::Borrowed(seen));
        }
        let unmarked = |row: &Sighting| match doubtful(row) {
            true => Sighting { nonce_s: None, ..row.clone() },
            false => row.clone(),
        };
        Ok(Cow::Owned(seen.iter().map(unmarked).collect()))
    }
}

/// Asks the machine itself what it would do with a leave.
fn would_resend(
    record: &Record,
    attempt: &OpenAttempt,
    scan_began_at: Timestamp,
    policy: &Policy,
) -> bool {
    let look = Look::Nothing { scan_began_at, leave: ResendLeave::Granted };
    let event = Event::Looked { attempt: attempt.id.clone(), look };
    match job::transition(record, &event, scan_began_at, policy) {
        Ok(Verdict::Write { life, .. }) => matches!(life.state, State::Queued { .. }),
        Ok(Verdict::Ignore { .. }) | Err(_) => false,
    }
}

/// Whether the account has shown enough; otherwise what is missing, in words.
fn believed(shown: &Evidence, settings: &Settings, policy: &Policy) -> Result<(), String> {
    let lag_allowed = policy.settle.list_lag_max / LAG_SHARE;
    if shown.echoes_bad > 0 {
        return Err(format!("{} tasks did not echo their mark", shown.echoes_bad));
    }
    if shown.echoes_ok < u64::from(settings.evidence_tasks_min) {
        let wanted = settings.evidence_tasks_min;
        return Err(format!("{} of {wanted} tasks have echoed their mark", shown.echoes_ok));
    }
    if shown.lags < u64::from(settings.evidence_lags_min) {
        let wanted = settings.evidence_lags_min;
        return Err(format!("{} of {wanted} lags of the list were measured", shown.lags));
    }
    if shown.lag_max > lag_allowed {
        return Err(format!("the list was {:?} late, allowed are {lag_allowed:?}", shown.lag_max));
    }
    Ok(())
}
