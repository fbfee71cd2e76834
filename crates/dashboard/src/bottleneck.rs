//! What limits the fleet now, and how full its classes are.

use job::Timestamp;
use std::time::Duration;

/// One class of slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// As the provider's limits know it: `2.0-fast`.
    pub name: String,
    /// Slots in use.
    pub used: u64,
    /// Slots there are.
    pub limit: u64,
    /// Jobs that could be sent now.
    pub due: u64,
}

/// An account that may not create before an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Which.
    pub account: String,
    /// Until when.
    pub until: Timestamp,
    /// The provider's code.
    pub code: String,
}

/// One cause.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sentence {
    /// In words.
    pub text: String,
    /// The next command and the page about it; none where nothing limits.
    pub next: Option<(&'static str, &'static str)>,
    /// A person should act.
    pub grave: bool,
}

/// What the screen shows of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// What limits.
    pub limit: Sentence,
    /// What else holds, weaker ones after stronger ones.
    pub also: Vec<String>,
    /// Every class that has a limit.
    pub classes: Vec<Class>,
    /// How long the job at the front has waited.
    pub oldest: Option<Duration>,
}

impl Facts {
    /// Free slots and all of them.
    #[must_use]
    pub fn headroom(&self) -> (u64, u64) {
        let limit: u64 = self.classes.iter().map(|class| class.limit).sum();
        let used: u64 = self.classes.iter().map(|class| class.used.min(class.limit)).sum();
        (limit - used, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_that_are_overdrawn_are_none_that_are_free() {
        let class = |used| Class { name: "2.0".into(), used, limit: 10, due: 0 };
        let facts = Facts { classes: vec![class(3), class(12)], ..Facts::default() };
        assert_eq!(facts.headroom(), (7, 20));
    }
}
