//! What `--dry-run` tells beside counts: the least that the good rows can cost, when they would have ended, and what binds it.

use super::{Order, money};
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Row;
use crate::session::Session;
use crate::verbs::batch;
use admission::Checked;
use serde_json::json;
use survey::{Rows, ScalingSettings, rows_eta};

/// Sums over rows that are only judged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    rows: Rows,
    tokens_least: u64,
    micros_least: u64,
}

impl Judged {
    pub(super) fn add(&mut self, checked: &Checked) {
        let least = seedance::least_tokens(&checked.request);
        self.rows.add(&checked.request);
        self.tokens_least = self.tokens_least.saturating_add(least);
        self.micros_least = self.micros_least.saturating_add(part(
            checked.cost.micros,
            least,
            checked.estimate_tokens,
        ));
    }

    /// Adds what is known of them to the summary.
    pub(super) async fn tell(
        &self,
        global: &Global,
        session: &Session,
        order: &Order,
        row: &mut Row,
    ) -> Result<(), Failure> {
        let currency = session.pool.route.currency();
        row.insert("tokens_least".into(), json!(self.tokens_least));
        row.insert("cost_least".into(), json!(money(currency, self.micros_least)));
        let scaling: ScalingSettings = session.loaded.section("scaling")?;
        let (store, pool) = (&session.store, &session.pool);
        let eta = rows_eta(store, pool, &order.tenant, &self.rows, scaling.generate).await?;
        row.insert("eta".into(), batch::shown(global, Some(&eta)));
        Ok(())
    }
}

/// Of a price the part that falls to so many of its tokens: a request's tokens cost the same each.
fn part(micros: u64, tokens: u64, of: u64) -> u64 {
    let part = u128::from(micros) * u128::from(tokens) / u128::from(of.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_tokens_costs_that_part() {
        assert_eq!(part(1_000, 1, 2), 500);
        assert_eq!(part(u64::MAX, 3, 3), u64::MAX);
        assert_eq!(part(7, 5, 0), 35, "nothing is divided by nothing");
    }
}
