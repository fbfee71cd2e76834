//! The right to call the provider, each call at its own instant.

use crate::begin::Pace;
use crate::connection::Call;
use crate::{Store, StoreError, commit, script};
use job::Timestamp;
use redis::Value;
use std::time::Duration;

/// Instants given away by the server's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// `count` calls: the first after `first_in` from the reply, then one every `spacing`.
    Granted {
        /// At least one, at most as many as asked for.
        count: u32,
        /// From the reply to the first instant.
        first_in: Duration,
        /// Between two instants.
        spacing: Duration,
    },
    /// None before the horizon.
    Wait {
        /// Ask again after this.
        after: Duration,
    },
}

impl Store {
    /// Asks for up to `n` calls of one kind on one account: `call` is `retrieve`, `list` or `delete`.
    /// What is not used is lost; a lost reply costs time, never an excess.
    ///
    /// # Errors
    ///
    /// As every call: no grant then, whatever the cause.
    pub async fn grant(
        &self,
        account: &str,
        call: &str,
        n: u32,
        pace: Pace,
    ) -> Result<Grant, StoreError> {
        let names = vec![self.keys().pace(account, call)];
        let args =
            vec![n.max(1).to_string(), pace.interval_us.to_string(), pace.horizon_us.to_string()];
        let reply = self.connection().call(Call::new(&script::GRANT, names, args)).await?;
        let Value::Array(parts) = &reply else { return Err(StoreError::reply("grant", &reply)) };
        let number = |i: usize| {
            let n = parts.get(i).and_then(commit::integer).and_then(|n| u64::try_from(n).ok());
            n.ok_or_else(|| StoreError::reply("grant", &reply))
        };
        let (count, first_us) = (number(0)?, number(1)?);
        Ok(if count == 0 {
            let after_us = first_us.saturating_sub(pace.horizon_us).max(1_000);
            Grant::Wait { after: Duration::from_micros(after_us) }
        } else {
            Grant::Granted {
                count: u32::try_from(count).unwrap_or(n),
                first_in: Duration::from_micros(first_us),
                spacing: Duration::from_micros(pace.interval_us),
            }
        })
    }

    /// No grant of this kind on this account before `until`: the provider asked for a pause. It ends
    /// by itself.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn hold_calls(
        &self,
        account: &str,
        call: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        let mut command = redis::cmd("HSET");
        let until_us = until.unix_ms().saturating_mul(1_000);
        command.arg(self.keys().pace(account, call)).arg("hold").arg(until_us);
        self.connection().ask::<i64>(&command).await.map(drop)
    }
}
