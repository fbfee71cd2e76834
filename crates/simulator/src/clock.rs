//! The simulator's two times.
//!
//! *Calendar* time is the wall clock plus what was advanced by hand; dates in answers, link expiry
//! and retention follow it, so a client may compare them with its own clock. *Work* time runs
//! `scale` times as fast and drives queueing and generation only.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Both times, in milliseconds. Never runs backwards.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    calendar_at_start_ms: i64,
    advanced_ms: i64,
    scale: f64,
    work_base_ms: f64,
    work_base_at: Instant,
}

impl Clock {
    pub(crate) fn new(scale: f64) -> Self {
        let started = Instant::now();
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            started,
            calendar_at_start_ms: i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX),
            advanced_ms: 0,
            scale,
            work_base_ms: 0.0,
            work_base_at: started,
        }
    }

    /// Real time since start, in microseconds: what rate windows are measured with.
    pub(crate) fn real_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Unix time in milliseconds, advances included.
    pub(crate) fn calendar_ms(&self) -> i64 {
        self.calendar_at_start_ms
            + i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
            + self.advanced_ms
    }

    /// Simulated working time since start, in milliseconds.
    pub(crate) fn work_ms(&self) -> i64 {
        let real_ms = self.work_base_at.elapsed().as_secs_f64() * 1000.0;
        (self.work_base_ms + real_ms * self.scale) as i64
    }

    pub(crate) fn scale(&self) -> f64 {
        self.scale
    }

    pub(crate) fn advanced_ms(&self) -> i64 {
        self.advanced_ms
    }

    /// From now on work runs `scale` times as fast as real time; what is done stays done.
    pub(crate) fn set_scale(&mut self, scale: f64) {
        self.work_base_ms = self.work_ms() as f64;
        self.work_base_at = Instant::now();
        self.scale = scale;
    }

    /// Moves both times ahead.
    pub(crate) fn advance(&mut self, by_ms: i64) {
        self.advanced_ms += by_ms;
        self.work_base_ms += by_ms as f64;
    }

    /// Real time until the calendar shows `due_ms`.
    pub(crate) fn until_calendar(&self, due_ms: i64) -> Duration {
        Duration::from_millis(u64::try_from(due_ms - self.calendar_ms()).unwrap_or(0))
    }

    /// Real time until work time reaches `due_ms`.
    pub(crate) fn until_work(&self, due_ms: i64) -> Duration {
        let left_ms = (due_ms - self.work_ms()).max(0) as f64 / self.scale;
        // Rounded up, else the sleeper wakes a fraction early and spins.
        Duration::from_secs_f64((left_ms / 1000.0).min(86_400.0)) + Duration::from_millis(1)
    }
}
