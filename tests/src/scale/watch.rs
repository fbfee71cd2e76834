//! What the provider's ledger tells while it grows.

use crate::kit::{Fleet, LedgerTail};
use crate::limits::judge::Judge;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

const MINUTE_US: i64 = 60_000_000;
/// Tasks whose times are averaged: about as many as the fleet averages itself.
const TIMES: usize = 1_000;

/// Creates that arrived between two instants, under limits of their own.
struct Span {
    from_us: i64,
    to_us: i64,
    judge: Judge,
    /// Creates of it.
    creates: usize,
}

/// The digest.
pub(super) struct Watch {
    tail: LedgerTail,
    whole: Judge,
    lowered: Option<Span>,
    /// Tasks that were made for each mark, and those of them that were billed.
    made: BTreeMap<String, u32>,
    billed: BTreeMap<String, u32>,
    /// Mark and beginning of each task that has not ended.
    open: BTreeMap<String, (String, i64)>,
    times_ms: VecDeque<i64>,
    /// Arrivals of the last minute, µs.
    minute: VecDeque<i64>,
    pub(super) creates: usize,
    /// The most tasks at once since the lower limit was reached.
    pub(super) open_max_lowered: Option<usize>,
}

impl Watch {
    /// From this instant on, Unix ms.
    pub(super) fn new(from_ms: i64) -> Self {
        Self {
            tail: LedgerTail::default(),
            whole: Judge::new((from_ms, i64::MAX)),
            lowered: None,
            made: BTreeMap::new(),
            billed: BTreeMap::new(),
            open: BTreeMap::new(),
            times_ms: VecDeque::new(),
            minute: VecDeque::new(),
            creates: 0,
            open_max_lowered: None,
        }
    }

    /// Reads what has come.
    pub(super) fn look(&mut self, fleet: &Fleet) {
        for line in self.tail.more(fleet) {
            self.take(&line);
        }
    }

    fn take(&mut self, line: &Value) {
        self.whole.line(line);
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let at_ms = line["at_ms"].as_i64().unwrap_or(0);
        match line["event"].as_str().unwrap_or_default() {
            "create_seen" => {
                self.create(line, line["arrived_us"].as_i64().unwrap_or(at_ms * 1_000))
            }
            "task_made" => {
                *self.made.entry(word("mark")).or_default() += 1;
                self.open.insert(word("task"), (word("mark"), at_ms));
                let open = self.open.len();
                if self.lowered.as_ref().is_some_and(|span| at_ms * 1_000 < span.to_us) {
                    self.open_max_lowered = self.open_max_lowered.map(|most| most.max(open));
                }
            }
            "billed" => {
                let Some((mark, began_ms)) = self.open.remove(&word("task")) else { return };
                *self.billed.entry(mark).or_default() += 1;
                self.times_ms.push_back(at_ms - began_ms);
                if self.times_ms.len() > TIMES {
                    self.times_ms.pop_front();
                }
            }
            "failed" | "expired" | "cancelled" | "vanished" => {
                self.open.remove(&word("task"));
            }
            _ => {}
        }
    }

    fn create(&mut self, line: &Value, arrived_us: i64) {
        self.creates += 1;
        self.minute.push_back(arrived_us);
        while self.minute.front().is_some_and(|first| first + MINUTE_US <= arrived_us) {
            self.minute.pop_front();
        }
        if let Some(span) = &mut self.lowered
            && (span.from_us..span.to_us).contains(&arrived_us)
        {
            span.judge.line(line);
            span.creates += 1;
        }
    }

    /// From here on creates are held against a lower limit as well.
    pub(super) fn lower_from(&mut self, from_ms: i64) {
        let judge = Judge::new((from_ms, i64::MAX));
        let (from_us, to_us) = (from_ms * 1_000, i64::MAX);
        self.lowered = Some(Span { from_us, to_us, judge, creates: 0 });
    }

    /// Up to here.
    pub(super) fn lower_to(&mut self, to_ms: i64) {
        if let Some(span) = &mut self.lowered {
            span.to_us = to_ms * 1_000;
        }
    }

    /// Creates that were held against the lower limit.
    pub(super) fn lowered_creates(&self) -> usize {
        self.lowered.as_ref().map_or(0, |span| span.creates)
    }

    /// Tasks at the provider that have not ended.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Creates that arrived in the minute before this instant.
    pub(super) fn last_minute(&self, now_ms: i64) -> usize {
        self.within(now_ms, MINUTE_US)
    }

    /// Creates a second, over the seconds before this instant.
    pub(super) fn creates_per_s(&self, now_ms: i64, seconds: i64) -> f64 {
        self.within(now_ms, seconds * 1_000_000) as f64 / seconds.max(1) as f64
    }

    fn within(&self, now_ms: i64, span_us: i64) -> usize {
        let from_us = now_ms * 1_000 - span_us;
        self.minute.iter().rev().take_while(|at| **at > from_us).count()
    }

    /// How long a task takes on average, in seconds; none before one has ended.
    pub(super) fn task_s(&self) -> Option<f64> {
        let sum: i64 = self.times_ms.iter().sum();
        (!self.times_ms.is_empty()).then(|| sum as f64 / self.times_ms.len() as f64 / 1_000.0)
    }

    /// Requests for which more than one task was made, or billed.
    pub(super) fn duplicates(&self) -> Vec<&str> {
        let twice = self.made.iter().chain(&self.billed).filter(|(_, count)| **count > 1);
        let mut marks: Vec<&str> = twice.map(|(mark, _)| mark.as_str()).collect();
        marks.sort_unstable();
        marks.dedup();
        marks
    }

    /// Requests that were paid.
    pub(super) fn paid(&self) -> usize {
        self.billed.len()
    }

    /// The judge of all creates; the one of those under the lower limit, with how many they were.
    pub(super) fn judges(self) -> (Judge, Option<(Judge, usize)>) {
        (self.whole, self.lowered.map(|span| (span.judge, span.creates)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(event: &str, at_ms: i64, task: &str, mark: &str) -> Value {
        json!({"event": event, "at_ms": at_ms, "task": task, "mark": mark, "account": "a", "model": "m"})
    }

    #[test]
    fn tasks_are_counted_and_what_is_bought_twice_is_seen() {
        let mut watch = Watch::new(0);
        for n in 0..3 {
            watch.take(&line("create_seen", n * 1_000, "", &format!("mark-{n}")));
            watch.take(&line("task_made", n * 1_000, &format!("t{n}"), &format!("mark-{n}")));
        }
        assert_eq!((watch.open(), watch.creates, watch.last_minute(61_500)), (3, 3, 1));
        assert_eq!(watch.task_s(), None);
        watch.take(&line("billed", 4_000, "t0", ""));
        watch.take(&line("billed", 7_000, "t1", ""));
        assert_eq!((watch.open(), watch.task_s(), watch.paid()), (1, Some(5.0), 2));
        assert!(watch.duplicates().is_empty());
        watch.take(&line("task_made", 9_000, "t9", "mark-2"));
        assert_eq!(watch.duplicates(), ["mark-2"]);
    }

    #[test]
    fn only_what_arrives_under_the_lower_limit_is_held_against_it() {
        let mut watch = Watch::new(0);
        for n in 0..4 {
            if n == 1 {
                watch.lower_from(1_500);
            }
            if n == 3 {
                watch.lower_to(2_500);
            }
            watch.take(&line("create_seen", n * 1_000, "", "mark"));
        }
        assert_eq!(watch.judges().1.map(|(_, creates)| creates), Some(1));
    }
}
