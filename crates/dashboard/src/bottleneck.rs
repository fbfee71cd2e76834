//! What limits the fleet now, in one sentence.

use crate::wording::{counted, grouped, lasting};
use job::Timestamp;
use std::time::Duration;

/// Waiting longer than this beside a free slot is no matter of pace.
const PATIENCE: Duration = Duration::from_secs(60);
/// Videos that wait to be fetched before that is worth a sentence.
const DOWNLOADS_MANY: u64 = 50;

/// One class of slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// As the provider's limits know it: `2.0-fast`.
    pub name: String,
    /// Slots in use.
    pub used: u64,
    /// Slots there are.
    pub limit: u64,
    /// Creates a minute.
    pub create_rpm: u64,
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

/// What the sentence is drawn from.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Why no attempt begins anywhere, where somebody or something decided so.
    pub frozen: Option<String>,
    /// What people paused, in a sentence.
    pub paused: Option<String>,
    /// Which cap of spending holds jobs, in words.
    pub budget: Option<String>,
    /// Redis's memory is past the share at which new jobs are refused: used share and limit, percent.
    pub memory_past: Option<(u64, u64)>,
    /// Accounts there are.
    pub accounts: usize,
    /// Those that are stopped.
    pub stops: Vec<Stop>,
    /// Every class that has a limit.
    pub classes: Vec<Class>,
    /// How long the job at the front has waited.
    pub oldest: Option<Duration>,
    /// Videos due to be fetched.
    pub downloads_due: u64,
    /// The server's clock.
    pub now: Timestamp,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// In words.
    pub text: String,
    /// A person should act.
    pub grave: bool,
}

impl Facts {
    /// The nearest limit, the hardest first.
    #[must_use]
    pub fn sentence(&self) -> Sentence {
        let said = self.forbidden().or_else(|| self.stopped()).unwrap_or_else(|| self.busy());
        match &self.paused {
            // Whatever else limits, a pause is seen.
            Some(paused) => Sentence { text: format!("{paused} {}", said.text), grave: true },
            None => said,
        }
    }

    fn forbidden(&self) -> Option<Sentence> {
        if let Some(why) = &self.frozen {
            let text = format!("Frozen: no attempt begins until a person thaws the pool ({why}).");
            return Some(Sentence { text, grave: true });
        }
        let (used, limit) = self.memory_past?;
        let text = format!(
            "Redis’s memory: {used} % is used, and from {limit} % on no new job is taken in."
        );
        Some(Sentence { text, grave: true })
    }

    fn stopped(&self) -> Option<Sentence> {
        let stops: Vec<&Stop> = self.stops.iter().filter(|stop| stop.until > self.now).collect();
        let first = stops.first()?;
        if stops.len() < self.accounts {
            return None;
        }
        let text = format!(
            "The provider: account {} is stopped by {} for another {}.",
            first.account,
            first.code,
            lasting(first.until.since(self.now))
        );
        Some(Sentence { text, grave: true })
    }

    fn busy(&self) -> Sentence {
        let due: u64 = self.classes.iter().map(|class| class.due).sum();
        let calm = |text: String| Sentence { text, grave: false };
        let full = self.classes.iter().filter(|class| class.due > 0 && class.used >= class.limit);
        if let Some(class) = full.max_by_key(|class| class.due) {
            return calm(format!(
                "The provider’s concurrency: all {} slots of {} are in use and {}; more workers \
                 would change nothing.",
                grouped(class.limit),
                class.name,
                counted(class.due, "job waits", "jobs wait"),
            ));
        }
        if due > 0 && self.oldest.is_some_and(|oldest| oldest > PATIENCE) {
            let text = format!(
                "Submitters: slots are free, yet {} and the first for {}. See that one runs.",
                counted(due, "job waits", "jobs wait"),
                self.oldest.map(lasting).unwrap_or_default()
            );
            return Sentence { text, grave: true };
        }
        if self.downloads_due > DOWNLOADS_MANY {
            let waits = counted(self.downloads_due, "video waits", "videos wait");
            return calm(format!("Downloads: {waits} to be fetched."));
        }
        match self.classes.iter().filter(|class| class.due > 0).max_by_key(|class| class.due) {
            Some(class) => calm(format!(
                "The pace of creates: {} of {} are sent at up to {} a minute.",
                counted(class.due, "job", "jobs"),
                class.name,
                grouped(class.create_rpm),
            )),
            None if self.budget.is_some() => calm(self.budget.clone().unwrap_or_default()),
            None => calm("Nothing: no job waits for the fleet.".to_owned()),
        }
    }

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

    fn class(used: u64, due: u64) -> Class {
        Class { name: "2.0".into(), used, limit: 10, create_rpm: 600, due }
    }

    fn facts(used: u64, due: u64) -> Facts {
        Facts { accounts: 1, classes: vec![class(used, due)], ..Facts::default() }
    }

    #[test]
    fn the_hardest_limit_is_told_first() {
        let mut facts = facts(10, 1_204);
        let told = |facts: &Facts| facts.sentence().text;
        assert_eq!(
            told(&facts),
            "The provider’s concurrency: all 10 slots of 2.0 are in use and 1,204 jobs wait; more \
             workers would change nothing."
        );
        let until = Timestamp::from_unix_s(61);
        facts.stops = vec![Stop { account: "a".into(), until, code: "RateLimit".into() }];
        assert_eq!(
            told(&facts),
            "The provider: account a is stopped by RateLimit for another 1 m 01 s."
        );
        facts.memory_past = Some((83, 80));
        assert!(told(&facts).starts_with("Redis’s memory: 83 %"));
        facts.frozen = Some("Redis lost data".into());
        assert!(told(&facts).starts_with("Frozen: "));
        assert!(facts.sentence().grave);
    }

    #[test]
    fn a_stop_limits_only_where_no_account_is_left() {
        let mut facts = facts(0, 1);
        facts.accounts = 2;
        let until = Timestamp::from_unix_s(61);
        facts.stops = vec![Stop { account: "a".into(), until, code: "x".into() }];
        assert!(facts.sentence().text.starts_with("The pace of creates"));
        facts.accounts = 1;
        facts.now = Timestamp::from_unix_s(62);
        assert!(facts.sentence().text.starts_with("The pace of creates"), "it has passed");
    }

    #[test]
    fn waiting_beside_a_free_slot_is_somebodys_fault() {
        let mut facts = facts(3, 7);
        facts.oldest = Some(Duration::from_secs(125));
        let sentence = facts.sentence();
        assert!(sentence.grave);
        assert!(sentence.text.contains("7 jobs wait and the first for 2 m 05 s"), "{sentence:?}");
    }

    #[test]
    fn nothing_to_do_is_said_as_well() {
        let mut facts = facts(3, 0);
        assert_eq!(facts.sentence().text, "Nothing: no job waits for the fleet.");
        assert_eq!(facts.headroom(), (7, 10));
        facts.paused = Some("Paused: polls by ann.".into());
        assert!(facts.sentence().text.starts_with("Paused: polls by ann. Nothing: "));
        facts.paused = None;
        facts.downloads_due = 0;
        facts.budget = Some("Budget: 3 jobs are held.".into());
        assert_eq!(facts.sentence().text, "Budget: 3 jobs are held.");
        facts.downloads_due = 51;
        assert!(facts.sentence().text.starts_with("Downloads: 51 videos"));
    }
}
