//! Purses and their caps: what a pool, a tenant or a batch may buy, of a day and in all.
//!
//! The sums move in the commit that reserves, settles or releases, and the commit that would begin an attempt
//! over a cap begins none: see `lua/snippet/purse.lua`. Jobs that a cap holds stand in an index of their purse,
//! from which they are brought back, oldest first, as far as there is room.

use crate::connection::Call;
use crate::facts::day_of;
use crate::keys::{AUDIT_LINES_MAX, Keys};
use crate::operations::AuditedLine;
use crate::{Store, StoreError, Stored, commit, facts, script};
use job::{By, CapOf, CapSpan, JobId, Spec, SpendCap, Timestamp};
use redis::{Pipeline, Value};

/// Purses told at once.
pub const PURSES_MAX: usize = 100;

/// Whose money it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purse {
    /// All that the pool buys.
    Pool,
    /// What it buys for one tenant.
    Tenant(String),
    /// What it buys for one batch: tenant and name.
    Batch(String, String),
}

impl Purse {
    /// The purses that a job is paid from, the widest first.
    pub(crate) fn all_of(spec: &Spec) -> impl Iterator<Item = Self> + '_ {
        CapOf::ALL.into_iter().filter_map(move |of| Self::of(spec, of))
    }

    /// One of them; none where the job has no such one.
    pub(crate) fn of(spec: &Spec, of: CapOf) -> Option<Self> {
        let tenant = spec.tenant.clone();
        match of {
            CapOf::Pool => Some(Self::Pool),
            CapOf::Tenant => Some(Self::Tenant(tenant)),
            CapOf::Batch => spec.batch.clone().map(|batch| Self::Batch(tenant, batch)),
        }
    }

    /// Of which kind it is.
    #[must_use]
    pub const fn kind(&self) -> CapOf {
        match self {
            Self::Pool => CapOf::Pool,
            Self::Tenant(_) => CapOf::Tenant,
            Self::Batch(_, _) => CapOf::Batch,
        }
    }
}

impl std::fmt::Display for Purse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pool => f.write_str("the pool"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
            Self::Batch(_, batch) => write!(f, "batch {batch}"),
        }
    }
}

/// A cap and what of it is gone; money in millionths of the route's currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapUse {
    /// The most; 0: no cap.
    pub max_micros: u64,
    /// Bought, or reserved for what may have been.
    pub spent_micros: u64,
}

impl CapUse {
    /// What may still be bought; none: as much as there is.
    #[must_use]
    pub const fn left(self) -> Option<u64> {
        match self.max_micros {
            0 => None,
            max => Some(max.saturating_sub(self.spent_micros)),
        }
    }
}

/// What is known of a purse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PurseUse {
    /// Of the day (UTC).
    pub day: CapUse,
    /// In all.
    pub total: CapUse,
    /// Jobs that its caps hold.
    pub held: u64,
    /// When the next day begins.
    pub resets_at: Timestamp,
}

impl PurseUse {
    /// What may be bought now; none: as much as there is.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        [self.day.left(), self.total.left()].into_iter().flatten().min()
    }

    /// The cap with the least room, where there is one.
    #[must_use]
    pub fn tightest(&self, of: CapOf) -> Option<SpendCap> {
        let spans = [(CapSpan::Day, self.day), (CapSpan::Total, self.total)];
        let capped = spans.into_iter().filter_map(|(span, cap)| Some((cap.left()?, span, cap)));
        capped.min_by_key(|(left, _, _)| *left).map(|(_, span, cap)| {
            let CapUse { max_micros, spent_micros } = cap;
            SpendCap { of, span, max_micros, spent_micros }
        })
    }
}

/// Caps of a batch in millionths of the route's currency; 0: none any more, left out: as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchCaps {
    /// What may be bought for it on one day (UTC).
    pub day_micros: Option<u64>,
    /// What may be bought for it in all.
    pub total_micros: Option<u64>,
}

impl Store {
    /// What is known of some purses.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn purses(&self, purses: &[Purse]) -> Result<Vec<PurseUse>, StoreError> {
        let keys = self.keys();
        let today = day_of(self.now().await?);
        let mut pipe = Pipeline::new();
        for purse in purses {
            pipe.cmd("HMGET").arg(keys.bought(purse)).arg(today).arg("total");
            pipe.cmd("ZCARD").arg(keys.ix_budget(purse));
            if let Purse::Batch(tenant, batch) = purse {
                let key = keys.batch(tenant, batch);
                pipe.cmd("HMGET").arg(key).arg(&["buy_day_max", "buy_total_max"]);
            }
        }
        let mut answers = self.connection().pipe(&mut pipe).await?.into_iter();
        let mut told = Vec::with_capacity(purses.len());
        for purse in purses {
            let mut next = || answers.next().unwrap_or(Value::Nil);
            let spent = two(next()).map_err(|why| StoreError::corrupt(keys.bought(purse), why))?;
            let held = commit::integer(&next()).and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
            let most = match purse {
                Purse::Pool => self.buy_caps().micros(),
                Purse::Tenant(tenant) => self.caps_of(tenant).buy_caps().micros(),
                Purse::Batch(tenant, batch) => two(next())
                    .map_err(|why| StoreError::corrupt(keys.batch(tenant, batch), why))?,
            };
            let of = |at: usize| CapUse { max_micros: most[at], spent_micros: spent[at] };
            let resets_at = facts::day_end(today);
            told.push(PurseUse { day: of(0), total: of(1), held, resets_at });
        }
        Ok(told)
    }

    /// Purses whose caps hold jobs, the one that was looked at longest ago first; at most [`PURSES_MAX`].
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn purses_that_hold(&self) -> Result<Vec<(Purse, PurseUse)>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().budgets()).arg(0).arg(PURSES_MAX - 1);
        let members: Vec<String> = self.connection().ask(&command).await?;
        // What a newer version calls by another name is not ours to look after.
        let purses: Vec<Purse> =
            members.iter().filter_map(|member| Keys::purse_of_member(member)).collect();
        let uses = self.purses(&purses).await?;
        Ok(purses.into_iter().zip(uses).collect())
    }

    /// The oldest jobs that a purse holds.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn held_by(&self, purse: &Purse, n: usize) -> Result<Vec<Stored>, StoreError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.keys().ix_budget(purse)).arg(0).arg(n.max(1) - 1);
        let ids: Vec<String> = self.connection().ask(&command).await?;
        let ids: Vec<JobId> = ids.iter().filter_map(|id| JobId::parse(id).ok()).collect();
        let mut held = Vec::with_capacity(ids.len());
        for found in self.load_many(&ids).await? {
            match found {
                Ok(stored) => held.extend(stored),
                // A newer binary wrote it, and has to look after it.
                Err(error) => tracing::warn!(%error, "a held job cannot be read"),
            }
        }
        Ok(held)
    }

    /// A purse was looked at: it stands behind the others, and leaves them when it holds nothing.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn purse_seen(&self, purse: &Purse) -> Result<(), StoreError> {
        let keys = vec![self.keys().budgets(), self.keys().ix_budget(purse)];
        let args = vec![Keys::purse_member(purse)];
        self.connection().call(Call::new(&script::UNLIST, keys, args)).await.map(drop)
    }

    /// Sets what may be bought for a tenant's batch, with a line in the audit. What is left out stays; 0 takes a
    /// cap away. Jobs that the cap before held come back by themselves where there is room.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn set_batch_caps(
        &self,
        tenant: &str,
        name: &str,
        caps: BatchCaps,
        by: &By,
        reason: &str,
    ) -> Result<(), StoreError> {
        let (keys, at) = (self.keys(), self.now().await?);
        let key = keys.batch(tenant, name);
        let each = [("buy_day_max", caps.day_micros), ("buy_total_max", caps.total_micros)];
        let mut pipe = Pipeline::new();
        let mut said = Vec::new();
        for (field, micros) in each.into_iter().filter_map(|(field, max)| Some((field, max?))) {
            match micros {
                0 => pipe.cmd("HDEL").arg(&key).arg(field),
                max => pipe.cmd("HSET").arg(&key).arg(field).arg(max),
            };
            said.push(format!("{field} {}.{:06}", micros / 1_000_000, micros % 1_000_000));
        }
        if said.is_empty() {
            return Ok(());
        }
        let reason = format!("{} of batch {name} of {tenant}: {reason}", said.join(", "));
        let (alarm, by) = ("budget", by.as_str());
        let line = facts::written(&AuditedLine { at, alarm, by, reason: &reason });
        pipe.cmd("LPUSH").arg(keys.audit()).arg(&line);
        pipe.cmd("LTRIM").arg(keys.audit()).arg(0).arg(AUDIT_LINES_MAX - 1);
        self.connection().pipe(&mut pipe).await.map(drop)
    }
}

fn two(answer: Value) -> Result<[u64; 2], String> {
    let (one, other): (Option<i64>, Option<i64>) =
        redis::from_redis_value(answer).map_err(|error| error.to_string())?;
    Ok([one, other].map(|n| u64::try_from(n.unwrap_or(0)).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cap_with_the_least_room_is_the_one_that_counts() {
        let cap = |max_micros, spent_micros| CapUse { max_micros, spent_micros };
        let free = PurseUse { day: cap(0, 7), total: cap(0, 9), ..PurseUse::default() };
        assert_eq!((free.left(), free.tightest(CapOf::Pool)), (None, None));
        let full = PurseUse { day: cap(5, 7), total: cap(20, 9), ..PurseUse::default() };
        assert_eq!(full.left(), Some(0), "a cap may be lowered below what is spent");
        let tightest = full.tightest(CapOf::Batch).expect("it has caps");
        assert_eq!((tightest.of, tightest.span), (CapOf::Batch, CapSpan::Day));
        let used = PurseUse { day: cap(50, 7), total: cap(20, 9), ..PurseUse::default() };
        assert_eq!(used.left(), Some(11));
    }
}
