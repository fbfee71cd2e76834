//! Slots in use, and for how long: what a person sees as cells.

use job::filter::Filter;
use job::{State, StateWord, Timestamp};
use seedance::SlotClass;
use std::time::Duration;
use store::{ListQuery, Store, StoreError, Stored};

/// The states whose jobs hold a slot.
const HOLDERS: [StateWord; 4] =
    [StateWord::Submitting, StateWord::InDoubt, StateWord::Running, StateWord::Overdue];

/// One slot in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldSlot {
    /// Of which class.
    pub class: SlotClass,
    /// Since when its job holds it.
    pub age: Duration,
    /// Nobody knows whether a task exists.
    pub in_doubt: bool,
}

/// The slots in use at `now`, of each state the `most` newest jobs.
///
/// # Errors
///
/// As every call of the store.
pub async fn held_slots(
    store: &Store,
    now: Timestamp,
    most: usize,
) -> Result<Vec<HeldSlot>, StoreError> {
    let mut slots = Vec::new();
    for word in HOLDERS {
        let mut query = ListQuery::of(Filter::all().state(word));
        query.limit = most;
        for stored in store.list(&query).await?.items {
            let Some(slot) = stored.record.life.state.slot() else { continue };
            let (age, in_doubt) = (now.since(held_since(&stored)), word == StateWord::InDoubt);
            slots.push(HeldSlot { class: slot.class, age, in_doubt });
        }
    }
    Ok(slots)
}

fn held_since(stored: &Stored) -> Timestamp {
    match &stored.record.life.state {
        State::Submitting { attempt, .. } | State::InDoubt { attempt, .. } => attempt.begun_at,
        State::Generating { task, .. } | State::Overdue { task, .. } => task.known_at,
        State::Held { .. }
        | State::Queued { .. }
        | State::Parked { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => stored.record.life.updated_at,
    }
}
