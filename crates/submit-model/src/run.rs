//! Running the checker.

use crate::model::SubmitModel;
use crate::variants::Variant;
use crate::world::Action;
use job::mutant::{self, Mutant};
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Mutants are switched for a whole process, so one run at a time.
static RUNNING: Mutex<()> = Mutex::new(());

/// What a run found.
#[derive(Debug)]
pub struct Report {
    /// Which worlds.
    pub variant: &'static str,
    /// Different worlds seen.
    pub worlds: usize,
    /// Steps between worlds.
    pub steps: usize,
    /// Different questions put to `job::transition`.
    pub questions: usize,
    /// Promises broken, each with what led there.
    pub broken: Vec<(&'static str, Vec<Action>)>,
    /// Moments that had to be seen and were not.
    pub unseen: Vec<&'static str>,
    /// How long it took.
    pub took: Duration,
}

/// Walks every world of a variant.
#[must_use]
pub fn check(variant: Variant, threads: usize) -> Report {
    run(variant, None, threads, HasDiscoveries::All)
}

/// Walks the worlds of a variant with one rule switched off, nearest first, until the promise breaks.
/// Only those with at most one silence and one loss: what shows there shows in all of them.
#[must_use]
pub fn hunt(variant: Variant, mutant: Mutant, promise: &'static str) -> Report {
    run(variant.corner(), Some(mutant), 1, HasDiscoveries::AllOf([promise].into()))
}

fn run(variant: Variant, mutant: Option<Mutant>, threads: usize, end: HasDiscoveries) -> Report {
    let _one_at_a_time = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    mutant::set(mutant);
    let began = Instant::now();
    let model = SubmitModel::new(variant);
    let checked = model.checker().threads(threads).finish_when(end).spawn_bfs().join();
    let took = began.elapsed();
    let found = checked.discoveries();
    let (mut broken, mut unseen) = (Vec::new(), Vec::new());
    for property in checked.model().properties() {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                broken.push((property.name, path.clone().into_actions()));
            }
            (Expectation::Sometimes, None) => unseen.push(property.name),
            (Expectation::Always | Expectation::Eventually, None)
            | (Expectation::Sometimes, Some(_)) => {}
        }
    }
    mutant::set(None);
    Report {
        variant: variant.name,
        worlds: checked.unique_state_count(),
        steps: checked.state_count(),
        questions: checked.model().shelf.questions(),
        broken,
        unseen,
        took,
    }
}
