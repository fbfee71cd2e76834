//! What must hold after any test, whatever was broken on the way.

use super::ledger::bought_by;
use super::{BOUND, Fleet};
use job::{JobId, Record, StateWord};
use sandbox::wait;
use std::collections::BTreeMap;

/// What became of jobs through a loss of data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Have their video.
    pub stored: usize,
    /// Wait for a person, and have bought nothing.
    pub parked: usize,
}

impl Fleet {
    /// The promise that outlives any loss of data, request by request: none was bought twice, each job has its video
    /// or waits for a person, and who waits has bought nothing, since what was bought has come home.
    ///
    /// Each job with the mark in its request, by which the ledger knows what was bought for it.
    ///
    /// # Panics
    ///
    /// Anything of this does not hold.
    #[must_use]
    pub fn kept<'a>(&self, jobs: impl IntoIterator<Item = (String, &'a Record)>) -> Kept {
        let bought = self.ledger().bought();
        let twice: Vec<_> = bought.iter().filter(|(_, tasks)| **tasks > 1).collect();
        assert!(twice.is_empty(), "bought twice: {twice:?}");
        let mut kept = Kept::default();
        for (mark, record) in jobs {
            match record.life.state.word() {
                StateWord::Succeeded => kept.stored += 1,
                StateWord::Parked => {
                    let paid = bought.contains_key(&mark);
                    assert!(!paid, "{mark} is paid and parked: {record:#?}");
                    kept.parked += 1;
                }
                other => panic!("{mark} ended {other:?} without its video: {record:#?}"),
            }
        }
        kept
    }

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
