//! Caps of spending: which one keeps a job from being bought, and what is reserved of them.

use crate::{Life, Spec, State, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Whose money a cap bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapOf {
    /// All that a pool buys.
    Pool,
    /// What a pool buys for one tenant.
    Tenant,
    /// What is bought for one batch.
    Batch,
}

impl CapOf {
    /// Every one, the widest first.
    pub const ALL: [Self; 3] = [Self::Pool, Self::Tenant, Self::Batch];

    /// The word in scripts, keys and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Tenant => "tenant",
            Self::Batch => "batch",
        }
    }
}

/// Over which time a cap adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapSpan {
    /// What is bought on one day (UTC).
    Day,
    /// All that was ever bought.
    Total,
}

impl CapSpan {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Day, Self::Total];

    /// The word in scripts and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Total => "total",
        }
    }
}

/// The caps of one purse in whole units of the route's currency; 0: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuyCaps {
    /// What may be bought on one day (UTC).
    pub day_max: u32,
    /// What may be bought in all.
    pub total_max: u32,
}

impl BuyCaps {
    /// In millionths: of a day, in total.
    #[must_use]
    pub const fn micros(self) -> [u64; 2] {
        [self.day_max as u64 * 1_000_000, self.total_max as u64 * 1_000_000]
    }
}

/// A cap that a job would have passed, as it stood at that moment; money in millionths of the route's
/// currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpendCap {
    /// Whose.
    pub of: CapOf,
    /// Over which time.
    pub span: CapSpan,
    /// The most.
    pub max_micros: u64,
    /// Of it, bought or reserved.
    pub spent_micros: u64,
}

/// Largest cap that somebody may set, in whole units of the currency.
pub const CAP_UNITS_MAX: u64 = 1_000_000_000;

/// A cap as somebody wrote it down, such as `25.00`, in millionths; none where it is no amount or too large.
#[must_use]
pub fn cap_micros(text: &str) -> Option<u64> {
    seedance::micros(text).filter(|micros| *micros <= CAP_UNITS_MAX * 1_000_000)
}

const DAY_MS: i64 = 86_400_000;

impl SpendCap {
    /// When a cap met at `at` begins anew by itself: with the next day, or never.
    #[must_use]
    pub fn resets_at(&self, at: Timestamp) -> Option<Timestamp> {
        match self.span {
            CapSpan::Day => {
                let day = at.unix_ms().div_euclid(DAY_MS);
                Some(Timestamp::from_unix_ms((day + 1) * DAY_MS))
            }
            CapSpan::Total => None,
        }
    }
}

impl fmt::Display for SpendCap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let money = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let whose = self.of.word();
        let span = match self.span {
            CapSpan::Day => "of the day",
            CapSpan::Total => "in total",
        };
        match self.of {
            // What a pool may buy is no tenant's business, and this stands in the tenant's timeline.
            CapOf::Pool => write!(f, "the pool's cap {span} is spent"),
            CapOf::Tenant | CapOf::Batch => {
                let (max, spent) = (money(self.max_micros), money(self.spent_micros));
                write!(f, "the {whose}'s cap {span}: {spent} of {max} are spent")
            }
        }
    }
}

impl Spec {
    /// What a life takes of the caps, and when it was bought, which tells the day it counts for: the estimate
    /// from the committed intent on, also while nobody knows whether it bought anything; the bill once that is
    /// known; nothing before the intent and after proof that nothing is owed.
    #[must_use]
    pub fn reserved(&self, life: &Life) -> Option<(Timestamp, u64)> {
        let micros = Some(self.charge_micros(life)).filter(|micros| *micros > 0)?;
        let of = |id: &crate::AttemptId| life.attempt(id).map(|attempt| attempt.begun_at);
        let bought_at = match &life.state {
            State::Held { .. } | State::Queued { .. } => return None,
            State::Submitting { attempt, .. }
            | State::InDoubt { attempt, .. }
            | State::Parked { attempt, .. } => attempt.begun_at,
            State::Generating { task, .. }
            | State::Overdue { task, .. }
            | State::Downloading { task, .. } => of(&task.attempt).unwrap_or(task.known_at),
            State::Finished { task: Some(task), .. } => of(&task.attempt).unwrap_or(task.known_at),
            // Given up: perhaps bought by the attempt that was closed last.
            State::Finished { task: None, at, .. } => {
                life.attempts.last().map_or(*at, |closed| closed.open.begun_at)
            }
        };
        Some((bought_at, micros))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StateWord as W;
    use crate::docs::records;

    #[test]
    fn money_is_reserved_from_the_intent_until_it_is_known_that_nothing_is_owed() {
        for mut record in records() {
            let effective_from = seedance::Day::from_unix_s(0);
            let currency = seedance::Currency::Usd;
            record.spec.estimate_cost =
                Some(seedance::Cost { currency, micros: 500_000, effective_from });
            let word = record.life.state.word();
            let reserved = record.spec.reserved(&record.life).map(|(_, micros)| micros);
            match word {
                W::Held | W::Queued => assert_eq!(reserved, None, "{word:?}: nothing was sent"),
                W::Submitting
                | W::InDoubt
                | W::Parked
                | W::Running
                | W::Overdue
                | W::Downloading
                | W::GivenUp
                | W::OutputLost
                | W::TimedOut => assert_eq!(reserved, Some(500_000), "{word:?}"),
                W::Succeeded => assert!(reserved.is_some(), "billed"),
                W::Failed | W::Expired | W::Cancelled | W::Rejected | W::NotUseful => {
                    assert_eq!(reserved, None, "{word:?}: nothing is owed");
                }
            }
        }
    }

    #[test]
    fn a_cap_is_an_exact_amount_that_sums_can_hold() {
        assert_eq!(cap_micros("12.5"), Some(12_500_000));
        assert_eq!(cap_micros("0"), Some(0));
        assert_eq!(cap_micros("1000000000"), Some(1_000_000_000_000_000));
        for text in ["", "-1", "1,5", "1.2345678", "1000000000.000001", "18446744073709", "x"] {
            assert_eq!(cap_micros(text), None, "{text}");
        }
    }

    #[test]
    fn a_cap_of_the_day_begins_anew_at_midnight_and_one_in_total_never() {
        let cap = |span| SpendCap {
            of: CapOf::Pool,
            span,
            max_micros: 2_000_000,
            spent_micros: 1_500_000,
        };
        let at = Timestamp::from_unix_ms(DAY_MS * 3 + 5);
        let next = Timestamp::from_unix_ms(DAY_MS * 4);
        assert_eq!(cap(CapSpan::Day).resets_at(at), Some(next));
        assert_eq!(cap(CapSpan::Total).resets_at(at), None);
        let told = cap(CapSpan::Day).to_string();
        assert_eq!(told, "the pool's cap of the day is spent");
        let told = SpendCap { of: CapOf::Batch, ..cap(CapSpan::Total) }.to_string();
        assert_eq!(told, "the batch's cap in total: 1.500000 of 2.000000 are spent");
    }
}
