//! What must hold after any test, whatever was broken on the way.

use super::ledger::bought_by;
use super::{BOUND, Fleet};
use job::{JobId, StateWord};
use sandbox::wait;
use std::collections::BTreeMap;

impl Fleet {
    /// Settles accounts between our records and the provider's ledger.
    ///
    /// Every job has ended or stands in `Parked`; every task that was made belongs to exactly one of
    /// them and is known to it; no job has two; nothing was billed twice; and with all jobs ended no
    /// slot is taken and every index and counter agrees with the records.
    ///
    /// # Panics
    ///
    /// Anything of this does not hold.
    pub fn audit(&self, ids: &[JobId]) {
        let records: Vec<_> = ids.iter().map(|id| self.record(id)).collect();
        for record in &records {
            let word = record.life.state.word();
            let settled = word.is_finished() || word == StateWord::Parked;
            assert!(settled, "{} is {}", record.id, word.as_str());
            assert!(record.life.strays.is_empty(), "{}: {:?}", record.id, record.life.strays);
        }
        let ledger = self.ledger();
        let mut made: BTreeMap<&str, u32> = BTreeMap::new();
        for line in ledger.events("task_made") {
            let owner = records.iter().find(|record| bought_by(record, line).is_some());
            let owner = owner.unwrap_or_else(|| panic!("nobody's task: {line}"));
            let knows = owner.life.tasks().any(|task| line["task"] == task.as_str());
            assert!(knows, "{} does not know its task: {line}", owner.id);
            *made.entry(owner.id.as_str()).or_default() += 1;
        }
        assert!(made.values().all(|count| *count == 1), "bought twice: {made:?}");
        let mut billed: BTreeMap<String, u32> = BTreeMap::new();
        for line in ledger.events("billed") {
            *billed.entry(line["task"].to_string()).or_default() += 1;
        }
        assert!(billed.values().all(|count| *count == 1), "billed twice: {billed:?}");
        let stats = self.stats();
        assert_eq!(stats["media"]["authorization_seen"], 0, "our key went to the file host");
        self.check_books(records.iter().all(|record| record.life.state.word().is_finished()));
    }

    /// Our own books against our records.
    fn check_books(&self, all_ended: bool) {
        // A recount reads a record first and its ticket after, and a finished job's payload may be on
        // its way into the bucket just then: only a difference that stays is damage.
        let mut drifts = Vec::new();
        let agreed = wait::until("books that agree", BOUND / 4, || {
            drifts = self.run(self.store().recount()).expect("Redis answers").drifts;
            drifts.is_empty().then_some(())
        });
        assert!(agreed.is_ok(), "{drifts:#?}");
        if all_ended {
            let slots = self.run(self.store().slots()).expect("Redis answers");
            assert!(slots.is_empty(), "taken for nobody: {slots:?}");
        }
    }
}
