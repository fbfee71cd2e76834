//! How often a tenant asks, counted once for all gateways.

use super::FleetStore;
use crate::connection::Call;
use crate::lease::millis;
use crate::{StoreError, commit, script};
use redis::Value;
use std::time::Duration;

/// The window that requests are counted in.
pub const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Where a tenant stands after one more request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rated {
    /// The request fits and was counted.
    pub passes: bool,
    /// Requests left.
    pub left: u32,
    /// When it passes: until the count begins anew. Else: until one more fits.
    pub wait: Duration,
}

impl FleetStore {
    /// Counts one request of a tenant against its quota per [`RATE_WINDOW`].
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn request(&self, tenant: &str, quota: u32) -> Result<Rated, StoreError> {
        let args = vec![quota.to_string(), millis(RATE_WINDOW).to_string()];
        let call = Call::new(&script::RATE, vec![self.keys().rate(tenant)], args);
        let reply = self.connection().call(call).await?;
        let bug = || StoreError::reply("rate", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let number = |i: usize| {
            let n = parts.get(i).and_then(commit::integer).ok_or_else(bug)?;
            u64::try_from(n).map_err(|_| bug())
        };
        let (passes, second, ends) = (number(0)? == 1, number(1)?, number(2)?);
        let left = if passes { u32::try_from(second).unwrap_or(u32::MAX) } else { 0 };
        let wait = Duration::from_millis(if passes { ends } else { second });
        Ok(Rated { passes, left, wait })
    }
}
