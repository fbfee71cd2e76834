//! Caps of spending, and what of them is gone.

use job::{CapSpan, HeldWhy, Record, State};
use seedance::Route;
use serde::Serialize;
use store::{CapUse, Purse, PurseUse};
use utoipa::ToSchema;

/// What a pool, a tenant or a batch may buy, and what it bought. Money stands in decimal numbers of the route's
/// currency, so that no reader rounds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Budget)]
pub struct BudgetView {
    /// Of the day (UTC).
    pub today: CapView,
    /// In all.
    pub total: CapView,
    /// Jobs that wait because a cap has no room.
    pub held: u64,
    /// When the next day begins.
    pub resets_at: String,
}

/// One cap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BudgetCap)]
pub struct CapView {
    /// The most; null: no cap.
    pub max: Option<String>,
    /// Of it, bought or reserved for what may have been.
    pub spent: String,
}

/// Why a job is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Held)]
pub struct HeldFor {
    /// `review`, `budget` or `paused`.
    pub reason: &'static str,
    /// Of `budget`: whose cap has no room, `pool`, `tenant` or `batch`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cap: Option<&'static str>,
    /// Of `budget`: over which time it adds up, `day` (UTC) or `total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub span: Option<&'static str>,
    /// Of `budget`: the most, as a decimal number.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub max: Option<String>,
    /// Of `budget`: what was spent of it when the job would have passed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub spent: Option<String>,
    /// Of `budget`: the money's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub currency: Option<String>,
    /// Of `budget`: when the cap begins anew by itself; absent for one in total.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub resets_at: Option<String>,
}

/// An amount as a decimal number.
pub(crate) fn amount(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

impl From<CapUse> for CapView {
    fn from(cap: CapUse) -> Self {
        let max = (cap.max_micros > 0).then(|| amount(cap.max_micros));
        Self { max, spent: amount(cap.spent_micros) }
    }
}

impl From<&PurseUse> for BudgetView {
    fn from(seen: &PurseUse) -> Self {
        Self {
            today: seen.day.into(),
            total: seen.total.into(),
            held: seen.held,
            resets_at: seen.resets_at.rfc3339(),
        }
    }
}

impl HeldFor {
    /// Of a job that is held.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        let State::Held { why } = &record.life.state else { return None };
        let plain = |reason| Self {
            reason,
            cap: None,
            span: None,
            max: None,
            spent: None,
            currency: None,
            resets_at: None,
        };
        Some(match why {
            HeldWhy::Review => plain("review"),
            HeldWhy::Paused { .. } => plain("paused"),
            HeldWhy::Budget { cap, .. } => Self {
                cap: Some(cap.of.word()),
                span: Some(cap.span.word()),
                max: Some(amount(cap.max_micros)),
                spent: Some(amount(cap.spent_micros)),
                currency: record.spec.estimate_cost.map(|cost| cost.currency.to_string()),
                resets_at: cap.resets_at(record.life.updated_at).map(|at| at.rfc3339()),
                ..plain("budget")
            },
        })
    }
}

/// The cap that holds most jobs back, in one sentence; none where no job waits for budget. A tenant hears of its
/// own purses, and of the pool's only that it is spent.
#[must_use]
pub fn budget_sentence(
    purses: &[(Purse, PurseUse)],
    route: Route,
    tenant: Option<&str>,
) -> Option<String> {
    let own = |purse: &Purse| match purse {
        Purse::Pool => true,
        Purse::Tenant(whose) | Purse::Batch(whose, _) => {
            tenant.is_none_or(|tenant| tenant == whose)
        }
    };
    let purses: Vec<_> = purses.iter().filter(|(purse, _)| own(purse)).collect();
    let held: u64 = purses.iter().map(|(_, seen)| seen.held).sum();
    let (purse, seen) = purses.iter().max_by_key(|(_, seen)| seen.held)?;
    if tenant.is_some() && *purse == Purse::Pool && held > 0 {
        return Some("Budget: the pool has spent what it may for now.".to_owned());
    }
    let waits = match held {
        0 => return None,
        1 => "1 job is held".to_owned(),
        held => format!("{held} jobs are held"),
    };
    let Some(cap) = seen.tightest(purse.kind()) else {
        return Some(format!("Budget: {waits} and about to go on."));
    };
    let currency = route.currency();
    let (max, spent) = (amount(cap.max_micros), amount(cap.spent_micros));
    Some(match cap.span {
        CapSpan::Day => format!(
            "Budget: {waits}; {purse} has spent {currency} {spent} of {max} for today, and goes on at {}.",
            seen.resets_at.rfc3339()
        ),
        CapSpan::Total => format!(
            "Budget: {waits}; {purse} has spent {currency} {spent} of {max}, and goes on when that is raised."
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_the_cap_that_holds_most() {
        let cap = |max_micros, spent_micros| CapUse { max_micros, spent_micros };
        let seen = |day, total, held| PurseUse { day, total, held, ..PurseUse::default() };
        let free = seen(cap(0, 5), cap(0, 5), 0);
        assert_eq!(budget_sentence(&[(Purse::Pool, free)], Route::Byteplus, None), None);
        let full = seen(cap(2_000_000, 1_900_000), cap(0, 1_900_000), 3);
        let batch = seen(cap(0, 0), cap(1_000_000, 900_000), 7);
        let purses = [(Purse::Pool, full), (Purse::Batch("acme".into(), "ads".into()), batch)];
        let said = budget_sentence(&purses, Route::Byteplus, None).expect("jobs wait");
        assert_eq!(
            said,
            "Budget: 10 jobs are held; batch ads has spent USD 0.900000 of 1.000000, and goes on when that is raised."
        );
        let said = budget_sentence(&purses[..1], Route::Byteplus, None).expect("jobs wait");
        assert!(said.contains("the pool has spent USD 1.900000 of 2.000000 for today"), "{said}");
        let said = budget_sentence(&purses[..1], Route::Byteplus, Some("acme")).expect("jobs wait");
        assert!(!said.contains("2.000000"), "what a pool may buy is no tenant's business: {said}");
        assert_eq!(budget_sentence(&purses[1..], Route::Byteplus, Some("other")), None);
    }
}
