//! What is due when: one heap per kind of time, no future per task.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::callback::Delivery;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Timer {
    /// Queueing is over: the task may run once a slot is free.
    Ready(u64),
    /// Generation is over.
    Finish(u64),
    /// The request's `execution_expires_after` is over.
    Expire(u64),
    /// Lists show the task from now on.
    Show(u64),
    /// The record's retention is over.
    Forget(u64),
    /// A callback waits no longer.
    Deliver(Box<Delivery>),
}

#[derive(Debug)]
struct Due {
    at_ms: i64,
    order: u64,
    timer: Timer,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at_ms, self.order).cmp(&(other.at_ms, other.order))
    }
}

/// Timers by due time; equal times keep the order they were set in.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<Due>>,
    order: u64,
}

impl Timers {
    /// Sets a timer; true if it is now the first.
    pub(crate) fn push(&mut self, at_ms: i64, timer: Timer) -> bool {
        self.order += 1;
        let is_first = self.next_ms().is_none_or(|first| at_ms < first);
        self.heap.push(Reverse(Due { at_ms, order: self.order, timer }));
        is_first
    }

    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse(due)| due.at_ms)
    }

    /// Takes the first timer that is due at `now_ms`, with its due time.
    pub(crate) fn pop_due(&mut self, now_ms: i64) -> Option<(i64, Timer)> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| (due.at_ms, due.timer))
    }
}
