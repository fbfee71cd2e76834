//! How many event streams are open at this gateway, for each tenant and in all.

use crate::problem::Problem;
use axum::http::StatusCode;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use worker::Drain;

/// How many may follow; section `events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct StreamLimits {
    streams_max: usize,
    tenant_streams_max: usize,
}

/// The followers of this gateway.
#[derive(Clone)]
pub(crate) struct Seats {
    limits: StreamLimits,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
    pub(super) drain: Drain,
}

/// The right to one open stream.
pub(crate) struct Seat {
    tenant: String,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Seats {
    pub(crate) fn new(limits: StreamLimits, drain: Drain) -> Self {
        Self { limits, taken: Arc::default(), drain }
    }

    pub(crate) fn take(&self, tenant: &str) -> Result<Seat, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        if all >= self.limits.streams_max {
            let title = "this gateway serves as many event streams as it may";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too-many-streams", title)
                .retryable());
        }
        let own = taken.entry(tenant.to_owned()).or_default();
        if *own >= self.limits.tenant_streams_max {
            let title = format!("{own} event streams of this tenant are open, as many as may be");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-streams", title)
                .detail("follow all jobs with one GET /v1/events, or close a stream")
                .retryable());
        }
        *own += 1;
        Ok(Seat { tenant: tenant.to_owned(), taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.tenant) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}
