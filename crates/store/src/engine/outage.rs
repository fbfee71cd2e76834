//! Telling a person about an outage once, not at every try.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Queue;

const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const TOLD_EVERY: Duration = Duration::from_secs(30);

/// What one loop has told about Redis. Shared by everything that loop has under way.
pub(super) struct Outage {
    what: &'static str,
    queue: Queue,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    began: Option<Instant>,
    told: Option<Instant>,
}

/// Growing pauses between the tries of one thing.
pub(super) struct Pauses(Duration);

impl Outage {
    pub(super) fn new(what: &'static str, queue: Queue) -> Self {
        Self { what, queue, state: Mutex::default() }
    }

    /// Takes note of an error; tells about the first, and again every half minute.
    pub(super) fn failed(&self, error: &dyn fmt::Display) {
        let now = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let began = *state.began.get_or_insert(now);
        if state.told.is_none_or(|told| now.duration_since(told) >= TOLD_EVERY) {
            state.told = Some(now);
            tracing::warn!(
                step = %self.queue, what = self.what, error = %error, duration_ms = ms(now.duration_since(began)),
                "Redis does not answer as it should; work is paused and goes on by itself"
            );
        }
    }

    /// Takes note of an answer.
    pub(super) fn answered(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(began) = state.began.take() {
            state.told = None;
            tracing::info!(
                step = %self.queue, what = self.what, duration_ms = ms(began.elapsed()),
                "Redis answers again"
            );
        }
    }
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self(PAUSE_FIRST)
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (self.0 * 2).min(PAUSE_MAX);
        pause
    }

    pub(super) fn reset(&mut self) {
        self.0 = PAUSE_FIRST;
    }
}

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}
