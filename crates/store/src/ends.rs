//! How a job ended, and the sums it counts for.

use job::{End, Record, State, StateWord, Timestamp};
use seedance::{Day, PriceTable, Route};

/// How and when a job ended, and what it made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) word: StateWord,
    pub(crate) at: Timestamp,
    tokens: Option<u64>,
    /// On whose prices.
    route: Option<Route>,
}

impl Ended {
    pub(crate) fn of(state: &State) -> Option<Self> {
        let State::Finished { end, task, at, .. } = state else { return None };
        let tokens = match end {
            End::Stored { output } => output.tokens,
            End::Failed { .. }
            | End::Expired { .. }
            | End::Cancelled { .. }
            | End::Rejected { .. }
            | End::NotUseful
            | End::GivenUp { .. }
            | End::OutputLost { .. }
            | End::TimedOut => None,
        };
        let route = task.as_ref().map(|task| task.facts.route);
        Some(Self { word: state.word(), at: *at, tokens, route })
    }

    /// The sums it counts for, by their names.
    pub(crate) fn sums(&self, record: &Record) -> Vec<(String, i64)> {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let mut sums = Vec::new();
        if let Some(tokens) = self.tokens {
            sums.push(("tokens".to_owned(), signed(tokens)));
            let day = Day::from_unix_s(record.created_at.unix_ms().div_euclid(1_000));
            let price =
                |route| PriceTable::in_force().cost(route, &record.spec.request, tokens, day);
            if let Some(Ok(cost)) = self.route.map(price) {
                let currency = cost.currency.to_string().to_lowercase();
                sums.push((format!("micros.{currency}"), signed(cost.micros)));
            }
        }
        sums
    }
}
