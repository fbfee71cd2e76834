//! What tenants have and use, as people and quotas ask for it.

use crate::connection::Call;
use crate::facts::{self, USAGE_DAYS_KEPT};
use crate::{Store, StoreError, commit, script};
use job::{StateWord, Timestamp};
use redis::Value;
use std::collections::BTreeMap;

/// One day (UTC) of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DayUsage {
    /// What the jobs accepted that day cost or may yet cost, in millionths of the route's currency.
    pub micros: u64,
    /// Bytes of inline media taken in.
    pub media_bytes: u64,
}

/// Whether inline media may be taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// They count.
    Taken,
    /// The tenant's day has no room for them.
    Spent {
        /// When the next day begins.
        resets_at: Timestamp,
    },
}

impl Store {
    /// Every tenant that ever had a job in this pool, and when its first was accepted.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn tenants(&self) -> Result<BTreeMap<String, Timestamp>, StoreError> {
        let key = self.keys().tenants();
        let found: BTreeMap<String, i64> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        Ok(found.into_iter().map(|(name, ms)| (name, Timestamp::from_unix_ms(ms))).collect())
    }

    /// Jobs of a tenant per state.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn tenant_counts(
        &self,
        tenant: &str,
    ) -> Result<BTreeMap<StateWord, u64>, StoreError> {
        self.word_counts(self.keys().tenant_counts(tenant)).await
    }

    /// What a tenant used, by day counted from 1970 (UTC); the last 62 at most.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn usage_days(&self, tenant: &str) -> Result<BTreeMap<i64, DayUsage>, StoreError> {
        let key = self.keys().usage(tenant);
        let fields: BTreeMap<String, i64> =
            self.connection().ask(redis::cmd("HGETALL").arg(&key)).await?;
        let mut days: BTreeMap<i64, DayUsage> = BTreeMap::new();
        for (field, n) in fields {
            let n = u64::try_from(n).unwrap_or(0);
            let (day, what) = field.split_once('|').unwrap_or_default();
            let Ok(day) = day.parse::<i64>() else {
                return Err(StoreError::corrupt(&key, format!("`{field}` names no day")));
            };
            let of = days.entry(day).or_default();
            match what {
                "micros" => of.micros = n,
                "media" => of.media_bytes = n,
                // What a newer version counts as well.
                _ => {}
            }
        }
        Ok(days)
    }

    /// What a tenant used of its day so far, and when the next one begins.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn usage_today(&self, tenant: &str) -> Result<(DayUsage, Timestamp), StoreError> {
        let today = facts::day_of(self.now().await?);
        let used = self.usage_days(tenant).await?.remove(&today).unwrap_or_default();
        Ok((used, facts::day_end(today)))
    }

    /// Takes `bytes` of what a tenant with a cap may bring inline today.
    ///
    /// # Errors
    ///
    /// As every call; they may have been counted.
    pub async fn allot_media(&self, tenant: &str, bytes: u64) -> Result<Media, StoreError> {
        let most = self.caps_of(tenant).media_bytes_day_max;
        if most == 0 || bytes == 0 {
            return Ok(Media::Taken);
        }
        let args = vec![bytes.to_string(), most.to_string(), USAGE_DAYS_KEPT.to_string()];
        let call = Call::new(&script::ALLOT, vec![self.keys().usage(tenant)], args);
        let reply = self.connection().call(call).await?;
        let bug = || StoreError::reply("allot", &reply);
        let Value::Array(parts) = &reply else { return Err(bug()) };
        let number = |i: usize| parts.get(i).and_then(commit::integer).ok_or_else(bug);
        Ok(match number(0)? {
            1 => Media::Taken,
            _ => Media::Spent { resets_at: facts::day_end(number(1)?) },
        })
    }
}
