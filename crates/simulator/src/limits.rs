//! What one account may do: rates in sliding windows, running and queued tasks
//! (`docs/provider.md` §8.1). Everything that arrives is counted, refused or not, so a test can ask
//! afterwards whether a client ever went over.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

/// Limits of one account; none means unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Creates per minute and model below 4k.
    pub create_rpm: Option<u32>,
    /// Creates per minute at 4k.
    pub create_rpm_4k: Option<u32>,
    /// Running tasks per model below 4k.
    pub running: Option<u32>,
    /// Running tasks at 4k.
    pub running_4k: Option<u32>,
    /// Queued tasks of the whole account; the contract keeps the number secret.
    pub queued: Option<u32>,
    /// Retrieves per second.
    pub retrieve_qps: Option<u32>,
    /// Lists per second.
    pub list_qps: Option<u32>,
    /// Deletes per second.
    pub delete_qps: Option<u32>,
    /// Downloads of one link.
    pub downloads: Option<u32>,
}

impl Limits {
    /// Default quotas of an enterprise account.
    #[must_use]
    pub fn enterprise() -> Self {
        Self {
            create_rpm: Some(600),
            create_rpm_4k: Some(15),
            running: Some(10),
            running_4k: Some(1),
            queued: Some(120),
            retrieve_qps: Some(20),
            list_qps: Some(1),
            delete_qps: Some(20),
            downloads: Some(100),
        }
    }

    /// Default quotas of an individual account.
    #[must_use]
    pub fn individual() -> Self {
        Self { create_rpm: Some(180), running: Some(3), ..Self::enterprise() }
    }

    /// No limit at all.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            create_rpm: None,
            create_rpm_4k: None,
            running: None,
            running_4k: None,
            queued: None,
            retrieve_qps: None,
            list_qps: None,
            delete_qps: None,
            downloads: None,
        }
    }

    /// Applies one word of the command line: a preset's name, or `NAME=NUMBER`, or `NAME=none`.
    ///
    /// # Errors
    ///
    /// A sentence that names the word.
    pub fn apply(&mut self, word: &str) -> Result<(), String> {
        let value = match word.split_once('=') {
            None => {
                *self = match word {
                    "enterprise" => Self::enterprise(),
                    "individual" => Self::individual(),
                    "unlimited" => Self::unlimited(),
                    _ => return Err(format!("no preset of limits is called {word:?}")),
                };
                return Ok(());
            }
            Some((_, "none")) => None,
            Some((_, number)) => {
                Some(number.parse().map_err(|_| format!("{word:?} does not end in a number"))?)
            }
        };
        let field = match word.split_once('=').map_or(word, |(name, _)| name) {
            "create_rpm" => &mut self.create_rpm,
            "create_rpm_4k" => &mut self.create_rpm_4k,
            "running" => &mut self.running,
            "running_4k" => &mut self.running_4k,
            "queued" => &mut self.queued,
            "retrieve_qps" => &mut self.retrieve_qps,
            "list_qps" => &mut self.list_qps,
            "delete_qps" => &mut self.delete_qps,
            "downloads" => &mut self.downloads,
            name => return Err(format!("no limit is called {name:?}")),
        };
        *field = value;
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::enterprise()
    }
}

/// The limits in force: a default, and accounts that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitPlan {
    /// For every account not named.
    pub default: Limits,
    /// For single accounts.
    pub accounts: BTreeMap<String, Limits>,
}

impl LimitPlan {
    pub(crate) fn of(&self, account: &str) -> &Limits {
        self.accounts.get(account).unwrap_or(&self.default)
    }
}

/// A sliding window over the calls of one kind.
#[derive(Debug)]
pub(crate) struct Window {
    span_us: u64,
    arrived: VecDeque<u64>,
    admitted: VecDeque<u64>,
    /// Stamps of the kernel, sorted: calls of two connections may be seen in another order than they came.
    came: VecDeque<u64>,
    tally: Tally,
}

/// What a window has seen so far.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Tally {
    /// Limit at the last call.
    pub(crate) limit: Option<u32>,
    /// Most calls that this program saw within any one window.
    pub(crate) arrived_max: usize,
    /// Most that had arrived within any one window by the kernel's stamps.
    pub(crate) came_max: usize,
    /// Most calls let through within any one window.
    pub(crate) admitted_max: usize,
    /// Calls refused because the window was full.
    pub(crate) over_limit: u64,
}

impl Window {
    pub(crate) fn new(span_us: u64) -> Self {
        Self {
            span_us,
            arrived: VecDeque::new(),
            admitted: VecDeque::new(),
            came: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Counts a call at `now_us`, which the kernel had at `came_us` by another clock, and says whether it may pass.
    pub(crate) fn pass(&mut self, now_us: u64, came_us: u64, limit: Option<u32>) -> bool {
        self.stamped(came_us);
        let span_us = self.span_us;
        for times in [&mut self.arrived, &mut self.admitted] {
            while times.front().is_some_and(|at| at + span_us <= now_us) {
                times.pop_front();
            }
        }
        self.arrived.push_back(now_us);
        let admitted = limit.is_none_or(|limit| self.admitted.len() < limit as usize);
        if admitted {
            self.admitted.push_back(now_us);
        }
        self.tally.limit = limit;
        self.tally.arrived_max = self.tally.arrived_max.max(self.arrived.len());
        self.tally.admitted_max = self.tally.admitted_max.max(self.admitted.len());
        self.tally.over_limit += u64::from(!admitted);
        admitted
    }

    fn stamped(&mut self, at: u64) {
        let place = self.came.partition_point(|other| *other <= at);
        self.came.insert(place, at);
        // A call that is seen late is looked for among those that came around it.
        let newest = self.came.back().copied().unwrap_or(at);
        while self.came.front().is_some_and(|first| first + 2 * self.span_us <= newest) {
            self.came.pop_front();
        }
        self.tally.came_max = self.tally.came_max.max(fullest(&self.came, self.span_us));
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }
}

/// Most of these sorted instants that lie within one window.
fn fullest(sorted: &VecDeque<u64>, span_us: u64) -> usize {
    let (mut first, mut most) = (0, 0);
    for (last, at) in sorted.iter().enumerate() {
        while sorted.get(first).is_some_and(|begin| begin + span_us <= *at) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides_to_the_microsecond() {
        const SPAN_US: u64 = 60_000_000;
        let mut window = Window::new(SPAN_US);
        let mut passed = Vec::new();
        for at_us in [0, 30_000_000, SPAN_US - 1, SPAN_US, SPAN_US + 1, 90_000_000] {
            passed.push(window.pass(at_us, at_us, Some(2)));
        }
        // The third and fifth find two calls within the last minute; refused ones use up nothing.
        assert_eq!(passed, [true, true, false, true, false, true]);
        let tally = window.tally();
        assert_eq!((tally.arrived_max, tally.admitted_max, tally.over_limit), (4, 2, 2));
        assert_eq!(tally.came_max, 4);
    }

    #[test]
    fn what_came_apart_and_was_seen_together_is_told_apart() {
        let mut window = Window::new(1_000_000);
        // Seen in one moment, in another order than they came.
        for came_us in [1_500_000, 100_000, 2_600_000, 900_000] {
            window.pass(3_000_000, came_us, None);
        }
        let tally = window.tally();
        assert_eq!((tally.arrived_max, tally.came_max), (4, 2));
    }
}
