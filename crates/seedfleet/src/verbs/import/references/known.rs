//! What is known of addresses, within a bound.

use super::Key;
use super::ask::Answer;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Answers that are remembered, about 150 bytes each. Beyond, the oldest go: an address that comes again after so
/// many others is asked again.
const ANSWERS_MAX: usize = 200_000;
/// Hosts whose silence is counted; of more, every address is asked.
const HOSTS_MAX: usize = 10_000;
/// A host of which so many addresses in a row gave no answer is not asked any more: each costs all its tries.
const SILENT_MAX: u32 = 5;

/// The answers of one run.
#[derive(Debug)]
pub(super) struct Known {
    answers: HashMap<Key, Answer>,
    order: VecDeque<Key>,
    answers_max: usize,
    silent: BTreeMap<String, u32>,
    pub(super) looked_at: u64,
    pub(super) in_doubt: u64,
}

impl Default for Known {
    fn default() -> Self {
        Self::up_to(ANSWERS_MAX)
    }
}

impl Known {
    fn up_to(answers_max: usize) -> Self {
        let (answers, order, silent) = (HashMap::new(), VecDeque::new(), BTreeMap::new());
        Self { answers, order, answers_max, silent, looked_at: 0, in_doubt: 0 }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Answer> {
        self.answers.get(key)
    }

    /// Notes what a host answered.
    pub(super) fn put(&mut self, key: Key, host: &str, answer: Answer) {
        self.looked_at += 1;
        match &answer {
            Answer::Silent(_) => {
                let has_room = self.silent.len() < HOSTS_MAX;
                match self.silent.get_mut(host) {
                    Some(times) => *times = times.saturating_add(1),
                    None if has_room => drop(self.silent.insert(host.to_owned(), 1)),
                    None => {}
                }
            }
            Answer::Reached(_) => {
                self.silent.remove(host);
            }
            Answer::NotAsked(_) => {}
        }
        if self.answers.insert(key, answer).is_none() {
            self.order.push_back(key);
        }
        if self.answers.len() > self.answers_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    /// Whether nothing more is to be hoped for from a host.
    pub(super) fn is_silent(&self, host: &str) -> bool {
        self.silent.get(host).is_some_and(|times| *times >= SILENT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedance::Reached;

    fn key(n: u8) -> Key {
        [n; 16]
    }

    #[test]
    fn the_oldest_answers_are_forgotten_and_the_number_stays_bounded() {
        let mut known = Known::up_to(3);
        for n in 0..10 {
            known.put(key(n), "h:443", Answer::Reached(Reached::Status(404)));
            assert!(known.get(&key(n)).is_some());
            assert!(known.answers.len() <= 3 && known.order.len() <= 3);
        }
        assert_eq!(known.get(&key(6)), None);
        assert!(known.get(&key(7)).is_some());
        assert_eq!(known.looked_at, 10);
    }

    #[test]
    fn a_host_is_given_up_after_silence_without_a_break() {
        let mut known = Known::default();
        let silent = || Answer::Silent("nobody".into());
        for n in 0..4 {
            known.put(key(n), "h:443", silent());
        }
        known.put(key(4), "h:443", Answer::Reached(Reached::Status(404)));
        for n in 5..9 {
            known.put(key(n), "h:443", silent());
            // What was not asked says nothing of the host.
            known.put(key(n + 20), "h:443", Answer::NotAsked("port".into()));
            assert!(!known.is_silent("h:443"), "{n}");
        }
        known.put(key(9), "h:443", silent());
        assert!(known.is_silent("h:443") && !known.is_silent("h:444"));
    }
}
