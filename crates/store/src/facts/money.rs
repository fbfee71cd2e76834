//! What a life takes of its purses, and which of them keeps it waiting.

use super::{Moves, Standing, USAGE_DAYS_KEPT, day_of};
use crate::budget::Purse;
use crate::keys::Keys;
use job::{CapOf, HeldWhy, State, Timestamp};
use std::collections::BTreeMap;

/// Whose cap holds the job.
pub(super) fn held_by(state: &State) -> Option<CapOf> {
    match state {
        State::Held { why: HeldWhy::Budget { cap, .. } } => Some(cap.of),
        State::Held { why: HeldWhy::Review | HeldWhy::Paused { .. } }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => None,
    }
}

impl Moves<'_> {
    /// Puts the day's spending right, as far as the day is still kept. At birth the script counts it.
    pub(crate) fn charge(&mut self, before: u64, after: u64, now: Timestamp) {
        let day = day_of(self.record.created_at);
        if before == after || day + USAGE_DAYS_KEPT <= day_of(now) {
            return;
        }
        let more = i128::from(after) - i128::from(before);
        let key = self.keys.usage(&self.record.spec.tenant);
        self.add(key, &format!("{day}|micros"), more);
    }

    /// Reserves, settles or releases: from what the life before took of its purses to what the next one takes.
    /// Each counts for the day of its attempt, so that the sums can be added up anew from records.
    pub(crate) fn book(
        &mut self,
        before: Option<(Timestamp, u64)>,
        after: Option<(Timestamp, u64)>,
        now: Timestamp,
    ) {
        let mut sums: BTreeMap<String, i128> = BTreeMap::new();
        for (reserved, sign) in [(before, -1), (after, 1)] {
            let Some((at, micros)) = reserved else { continue };
            let micros = sign * i128::from(micros);
            if day_of(at) + USAGE_DAYS_KEPT > day_of(now) {
                *sums.entry(day_of(at).to_string()).or_default() += micros;
            }
            *sums.entry("total".to_owned()).or_default() += micros;
        }
        sums.retain(|_, micros| *micros != 0);
        for purse in Purse::all_of(&self.record.spec) {
            let key = self.keys.bought(&purse);
            for (field, micros) in &sums {
                self.add(key.clone(), field, micros);
            }
        }
    }

    /// From one purse that holds the job to another, or to none.
    pub(super) fn held_for(&mut self, before: &Standing, after: &Standing) {
        if before.held_by == after.held_by {
            return;
        }
        let (keys, spec) = (self.keys, &self.record.spec);
        if let Some(purse) = before.held_by.and_then(|of| Purse::of(spec, of)) {
            self.unindex(keys.ix_budget(&purse));
        }
        if let Some(purse) = after.held_by.and_then(|of| Purse::of(spec, of)) {
            self.index(keys.ix_budget(&purse));
            self.push("ZADD", keys.budgets(), &["NX", "0", &Keys::purse_member(&purse)]);
        }
    }
}
