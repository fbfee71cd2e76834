//! What a job costs, or may yet cost: what a day's budget reserves for it.

use crate::{End, Life, Spec, State};

impl Spec {
    /// Millionths of the route's currency: the estimate while the job may still be bought or its bill is not
    /// known, the tokens that were used at the same price once it is, nothing for an end that is not billed.
    /// Zero for a job that was accepted without a price.
    #[must_use]
    pub fn charge_micros(&self, life: &Life) -> u64 {
        let Some(cost) = &self.estimate_cost else { return 0 };
        match &life.state {
            State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. } => cost.micros,
            State::Finished { end, .. } => match end {
                End::Stored { output } => output.tokens.map_or(cost.micros, |tokens| {
                    scaled(cost.micros, tokens, self.estimate_tokens)
                }),
                // Paid for certain, or perhaps.
                End::OutputLost { .. } | End::GivenUp { .. } | End::TimedOut => cost.micros,
                End::Failed { .. }
                | End::Expired { .. }
                | End::Cancelled { .. }
                | End::Rejected { .. }
                | End::NotUseful => 0,
            },
        }
    }
}

/// `micros` for `estimated` tokens, for `used` ones; rounded up.
fn scaled(micros: u64, used: u64, estimated: u64) -> u64 {
    let exact = u128::from(micros) * u128::from(used);
    u64::try_from(exact.div_ceil(u128::from(estimated.max(1)))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_per_token_stays_that_of_the_estimate() {
        assert_eq!(scaled(700_000, 50_000, 100_000), 350_000);
        assert_eq!(scaled(700_000, 100_001, 100_000), 700_007);
        assert_eq!(scaled(1, 1, 3), 1);
        assert_eq!(scaled(5, 7, 0), 35);
    }
}
