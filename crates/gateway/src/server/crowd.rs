//! Who is connected, up to a number. When the house is full, whoever has waited longest without asking for anything
//! has to go, so that no crowd of silent callers keeps others out.

use super::line::Line;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Between two looks for somebody to send away, while all were busy.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Everybody who is connected.
#[derive(Clone)]
pub(super) struct Crowd {
    seats: Arc<Semaphore>,
    lines: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    next: u64,
    open: BTreeMap<u64, Arc<Line>>,
}

/// One connection's place.
pub(super) struct Place {
    crowd: Crowd,
    number: u64,
    _seat: OwnedSemaphorePermit,
}

impl Crowd {
    pub(super) fn new(connections_max: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(connections_max)), lines: Arc::default() }
    }

    /// The right to take one more connection. `None` never comes: the semaphore is never closed.
    pub(super) async fn seat(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(seat) = Arc::clone(&self.seats).try_acquire_owned() {
            return Some(seat);
        }
        loop {
            self.send_one_away();
            let seat = Arc::clone(&self.seats).acquire_owned();
            if let Ok(seat) = tokio::time::timeout(LOOK_EVERY, seat).await {
                return seat.ok();
            }
        }
    }

    pub(super) fn enter(&self, line: &Arc<Line>, seat: OwnedSemaphorePermit) -> Place {
        let mut lines = self.lines();
        let number = lines.next;
        lines.next += 1;
        lines.open.insert(number, Arc::clone(line));
        Place { crowd: self.clone(), number, _seat: seat }
    }

    /// The one that has been idle for longest. Where all are busy, one of them ends by itself in time.
    fn send_one_away(&self) {
        let lines = self.lines();
        let idle = lines.open.values().filter_map(|line| Some((line.idle_since()?, line)));
        if let Some((_, line)) = idle.min_by_key(|(since, _)| *since) {
            line.ended.notify_one();
        }
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lines().open.remove(&self.number);
    }
}
