//! Who plays: jobs by what happens to them, each with a mark in its request that the ledger repeats.

use crate::kit::{Fleet, text};
use job::JobId;
use serde_json::Value;

/// What everybody uses who is not held back.
const PLAIN: &str = "seedance-2.0";
/// Held back while the copy is taken.
const WAITING: &str = "seedance-2.0-fast";
/// Held back from the copy on.
const LATER: &str = "seedance-2.0-mini";

/// Jobs with one fate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    word: &'static str,
    model: &'static str,
    jobs: u32,
}

impl Group {
    /// The marks of its jobs.
    pub(super) fn marks(&self) -> Vec<String> {
        (0..self.jobs).map(|n| format!("mark-{}-{n}", self.word)).collect()
    }

    /// Asks for all of them; whoever asks again gets the same jobs, as long as somebody remembers.
    pub(super) fn ask(&self, fleet: &Fleet) -> Vec<JobId> {
        let body = |mark: &String| {
            let body = text(&format!("{mark} comes back from a copy")).with("model", self.model);
            let body = if self.word == "held" { body.with("review", true) } else { body };
            Value::from(body)
        };
        fleet.admit_many(self.marks().iter().map(body))
    }
}

/// All of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cast {
    /// Stored before the copy is taken.
    pub(super) done: Group,
    /// Failed at the provider.
    pub(super) storm: Group,
    /// Their request got lost, and a strict pool asks a person; of the first, who answers after the copy.
    pub(super) parked: Group,
    /// Cancelled in the queue.
    pub(super) stopped: Group,
    /// Wait for a review.
    pub(super) held: Group,
    /// Queued while the copy is taken, bought after it.
    pub(super) waits: Group,
    /// Bought before the copy, and still at work when it is taken.
    pub(super) long: Group,
    /// Accepted and bought after the copy: it knows nothing of them.
    pub(super) late: Group,
    /// Accepted after the copy and never sent: nobody knows of them but who asked.
    pub(super) never: Group,
}

impl Cast {
    pub(super) fn of(each: u32) -> Self {
        let group = |word, model, jobs| Group { word, model, jobs };
        Self {
            done: group("done", PLAIN, each),
            storm: group("storm", PLAIN, 1),
            parked: group("parked", PLAIN, 2),
            stopped: group("stopped", WAITING, 1),
            held: group("held", PLAIN, 1),
            waits: group("waits", WAITING, each),
            long: group("long", PLAIN, each),
            late: group("late", PLAIN, each),
            never: group("never", LATER, each),
        }
    }

    /// Those whose videos somebody still waits for.
    pub(super) fn wanted(&self) -> [Group; 6] {
        [self.done, self.parked, self.waits, self.long, self.late, self.never]
    }
}

/// Stops or lets go the creates of the class of models that waits while the copy is taken.
pub(super) fn waiting_ones(fleet: &Fleet, verb: &str) {
    queue(fleet, verb, "2.0-fast");
}

/// Stops the creates of the class of models that is never sent.
pub(super) fn pause_later_ones(fleet: &Fleet) {
    queue(fleet, "pause", "2.0-mini");
}

fn queue(fleet: &Fleet, verb: &str, class: &str) {
    let mut words = vec!["queue", verb, "--model", class, "--reason", "the drill", "--yes"];
    words.extend((verb == "pause").then_some("--until-resumed"));
    let ended = fleet.cli(&words);
    assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
}
