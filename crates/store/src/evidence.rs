//! What an account's provider has shown of itself in the last days, and the day's leave to send again.

use crate::connection::Call;
use crate::lease::millis;
use crate::{Store, StoreError, commit, script};
use job::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Days that count, today included.
const DAYS: i64 = 7;
const DAY_MS: i64 = 24 * 3_600_000;

/// What was seen on one account in the last 7 days (UTC), today included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Tasks that carried our mark when they were read.
    pub echoes_ok: u64,
    /// Tasks of ours that carried another mark or none: one is enough to distrust the match.
    pub echoes_bad: u64,
    /// How often the list's lag was measured.
    pub lags: u64,
    /// The longest lag among them.
    pub lag_max: Duration,
    /// Callbacks that came before the create's own reply.
    pub callbacks_before: u64,
    /// Callbacks that came after it.
    pub callbacks_after: u64,
}

impl Store {
    /// What is known of an account on the day of `now`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn evidence(&self, account: &str, now: Timestamp) -> Result<Evidence, StoreError> {
        let key = self.keys().evidence(account);
        let fields: BTreeMap<String, u64> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        let today = now.unix_ms().div_euclid(DAY_MS);
        let mut sum = Evidence::default();
        for (field, n) in fields {
            let Some((day, what)) = field.split_once('|') else { continue };
            let day: i64 = day.parse().map_err(|e| StoreError::corrupt(&key, e))?;
            if day <= today - DAYS {
                continue;
            }
            match what {
                "echo_ok" => sum.echoes_ok += n,
                "echo_bad" => sum.echoes_bad += n,
                "lags" => sum.lags += n,
                "lag_max_ms" => sum.lag_max = sum.lag_max.max(Duration::from_millis(n)),
                "cb_before" => sum.callbacks_before += n,
                "cb_after" => sum.callbacks_after += n,
                _ => return Err(StoreError::corrupt(&key, format!("field {field}"))),
            }
        }
        Ok(sum)
    }

    /// So many tasks of ours were read: did they carry the marks we had sent?
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn note_echoes(&self, account: &str, ok: bool, n: u64) -> Result<(), StoreError> {
        self.note(account, if ok { "echo_ok" } else { "echo_bad" }, n, None).await
    }

    /// A task that was known to exist turned up in the list after `lag`.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn note_lag(&self, account: &str, lag: Duration) -> Result<(), StoreError> {
        self.note(account, "lags", 1, Some(("lag_max_ms", millis(lag)))).await
    }

    /// A callback came before or after the reply of the create it speaks of.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn note_callback(&self, account: &str, before_reply: bool) -> Result<(), StoreError> {
        self.note(account, if before_reply { "cb_before" } else { "cb_after" }, 1, None).await
    }

    async fn note(
        &self,
        account: &str,
        what: &str,
        n: u64,
        top: Option<(&str, u64)>,
    ) -> Result<(), StoreError> {
        let (top, value) = top.unwrap_or_default();
        let args = vec![what.to_owned(), n.to_string(), top.to_owned(), value.to_string()];
        let call = Call::new(&script::NOTE, vec![self.keys().evidence(account)], args);
        self.connection().call(call).await.map(drop)
    }

    /// Reserves one of today's automatic re-sends of the pool: as many as `ratio` of today's creates, at
    /// least `min`. A reservation that is not used is lost.
    ///
    /// # Errors
    ///
    /// As every call: nothing is reserved then, or one in vain.
    pub async fn reserve_resend(&self, ratio: f64, min: u32) -> Result<bool, StoreError> {
        let args = vec![ratio.to_string(), min.to_string()];
        let call = Call::new(&script::RESERVE, vec![self.keys().days()], args);
        let reply = self.connection().call(call).await?;
        commit::integer(&reply).map(|n| n == 1).ok_or_else(|| StoreError::reply("reserve", &reply))
    }
}
