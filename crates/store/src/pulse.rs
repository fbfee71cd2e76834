//! The server's clock and memory in one look, for the door: is there room for new jobs?

use crate::{Store, StoreError, stored};
use job::Timestamp;
use redis::{Pipeline, Value};

/// What a look showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The server's clock.
    pub now: Timestamp,
    /// Memory in use, in bytes.
    pub used_bytes: u64,
    /// Its `maxmemory`; `None`: no limit is set, so no share of it is used up.
    pub max_bytes: Option<u64>,
    /// Entries in the pool's stream of events.
    pub events: u64,
}

impl Pulse {
    /// The share of `maxmemory` in use, 0 without a limit; may pass 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn memory_ratio(&self) -> f64 {
        self.max_bytes.map_or(0.0, |max| self.used_bytes as f64 / max as f64)
    }
}

impl Store {
    /// One round trip.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn pulse(&self) -> Result<Pulse, StoreError> {
        let mut pipe = Pipeline::with_capacity(3);
        pipe.cmd("TIME").cmd("INFO").arg("memory").cmd("XLEN").arg(self.keys().events());
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let now = stored::time(answers.next())?;
        let info: String = redis::from_redis_value(answers.next().unwrap_or(Value::Nil))
            .map_err(|error| StoreError::Bug(format!("INFO is no text: {error}")))?;
        let events = answers.next().as_ref().and_then(crate::commit::integer).unwrap_or(0);
        let events = u64::try_from(events).unwrap_or(0);
        let number = |name: &str| {
            let told = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
            info.lines().find_map(told).unwrap_or(0_u64)
        };
        let max_bytes = Some(number("maxmemory")).filter(|max| *max > 0);
        Ok(Pulse { now, used_bytes: number("used_memory"), max_bytes, events })
    }
}
