//! Rows that are judged and not stored: how many jobs they would be, and what these would need.

use crate::Checked;
use crate::seen::{Seen, SeenAs};
use seedance::{Fault, SlotClass};
use std::collections::BTreeMap;

/// Sums over the good rows of a file. Rows that would be one job count once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// Jobs that there would be.
    pub valid: u64,
    /// Of them, those that would wait for a person.
    pub held: u64,
    /// Rows that would be the job of an earlier row.
    pub existing: u64,
    /// Tokens expected of the jobs.
    pub tokens: u64,
    /// Their price in millionths.
    pub micros: u64,
    /// The least they can need.
    pub tokens_least: u64,
    /// Its price.
    pub micros_least: u64,
    /// Jobs by what their tasks have in common, for an estimate of the time they take.
    pub kinds: BTreeMap<(SlotClass, String), u64>,
    seen: Seen,
}

impl DryRun {
    /// Counts a good row. What stands in place of a job (`mends`) is found by more than its request, and counted each
    /// time.
    ///
    /// # Errors
    ///
    /// It has the name of an earlier row that asks for something else.
    pub fn row(&mut self, checked: &Checked, mends: bool) -> Result<(), Fault> {
        match if mends { SeenAs::New } else { self.seen.row(checked) } {
            SeenAs::New => {}
            SeenAs::Twin => {
                self.existing += 1;
                return Ok(());
            }
            SeenAs::OtherUnderItsName => return Err(Seen::name_repeated()),
        }
        let (tokens, micros) = (checked.estimate_tokens, checked.cost.micros);
        let least = seedance::least_tokens(&checked.request);
        self.valid += 1;
        self.held += u64::from(checked.held.is_some());
        self.tokens = self.tokens.saturating_add(tokens);
        self.micros = self.micros.saturating_add(micros);
        self.tokens_least = self.tokens_least.saturating_add(least);
        self.micros_least = self.micros_least.saturating_add(part(micros, least, tokens));
        let request = &checked.request;
        let kind = (request.slot_class(), job::rounds::class_of(request));
        *self.kinds.entry(kind).or_default() += 1;
        Ok(())
    }

    /// What is remembered of rows, to tell equal ones: entries of 16 bytes at most.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.seen.remembered()
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
