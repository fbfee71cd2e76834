//! The right to call the provider, each call at its own instant.

use crate::begin::{Counted, Pace};
use crate::connection::Call;
use crate::{CallRow, Store, StoreError, commit, script};
use job::Timestamp;
use redis::{Pipeline, Value};
use seedance::SlotClass;
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
        /// The first instant by the server's clock, µs: what a counted call is known by.
        first_us: u64,
    },
    /// None before the horizon.
    Wait {
        /// Ask again after this.
        after: Duration,
        /// What is left of a hold; zero where the row is only busy.
        held: Duration,
    },
}

/// The calls that can be held. Creates have stops of their own.
const HELD_CALLS: [seedance::Call; 3] =
    [seedance::Call::Retrieve, seedance::Call::List, seedance::Call::Delete];

/// A kind of call that an account does not make for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRow {
    /// Which account.
    pub account: String,
    /// Which kind.
    pub call: seedance::Call,
    /// None before this, by the server's clock.
    pub until: Timestamp,
    /// The code of the answer that asked for it.
    pub code: String,
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
        let names = vec![self.keys().pace(account, call), self.keys().audit()];
        let (interval, horizon) = (pace.interval_us.to_string(), pace.horizon_us.to_string());
        let (calls, lead_max) = (pace.calls.to_string(), pace.lead_max_us.to_string());
        let counted = pace.counted.unwrap_or(Counted { window_us: 0, under_way_us: 0 });
        let counted = [counted.window_us, counted.under_way_us].map(|us| us.to_string());
        let mut args = vec![n.max(1).to_string(), interval, horizon, calls, lead_max];
        args.extend(counted);
        let reply = self.connection().call(Call::new(&script::GRANT, names, args)).await?;
        let Value::Array(parts) = &reply else { return Err(StoreError::reply("grant", &reply)) };
        let number = |i: usize| {
            let n = parts.get(i).and_then(commit::integer).and_then(|n| u64::try_from(n).ok());
            n.ok_or_else(|| StoreError::reply("grant", &reply))
        };
        let (count, first_us) = (number(0)?, number(1)?);
        Ok(if count == 0 {
            let after_us = first_us.saturating_sub(pace.horizon_us).max(1_000);
            let held = Duration::from_micros(number(2)?);
            Grant::Wait { after: Duration::from_micros(after_us), held }
        } else {
            Grant::Granted {
                count: u32::try_from(count).unwrap_or(n),
                first_in: Duration::from_micros(first_us),
                spacing: Duration::from_micros(number(3)?),
                first_us: number(4)?,
            }
        })
    }

    /// A counted call was answered, and counts for `counts_for` more: its window. Or it never left, and counts
    /// no more: zero. `id` is the instant that its grant told, µs, or the attempt of a create. What nobody tells
    /// ends by itself, later. Tells whether it was there.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn call_done(
        &self,
        account: &str,
        row: CallRow,
        id: &str,
        counts_for: Duration,
    ) -> Result<bool, StoreError> {
        let args = vec![id.to_owned(), counts_for.as_micros().to_string()];
        let call = Call::new(&script::DONE, vec![self.row_key(account, row)], args);
        let reply = self.connection().call(call).await?;
        let found = commit::integer(&reply).ok_or_else(|| StoreError::reply("done", &reply))?;
        Ok(found == 1)
    }

    /// No grant of this kind on this account before `until`: the provider asked for a pause, by `code`.
    /// It ends by itself; a longer one that stands already stays.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn hold_calls(
        &self,
        account: &str,
        call: &str,
        until: Timestamp,
        code: &str,
    ) -> Result<(), StoreError> {
        let names = vec![self.keys().pace(account, call)];
        let until_us = until.unix_ms().saturating_mul(1_000);
        let args = vec![until_us.to_string(), code.to_owned()];
        self.connection().call(Call::new(&script::HOLD, names, args)).await.map(drop)
    }

    /// The holds of these accounts that have not passed.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn holds<'a>(
        &self,
        accounts: impl IntoIterator<Item = &'a String>,
    ) -> Result<Vec<HoldRow>, StoreError> {
        let of = |account: &String| HELD_CALLS.map(|call| (account.clone(), call));
        let asked: Vec<_> = accounts.into_iter().flat_map(of).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = Pipeline::new();
        for (account, call) in &asked {
            pipe.cmd("HMGET").arg(self.keys().pace(account, call.word())).arg(&["hold", "code"]);
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let now = self.now().await?;
        let row = |((account, call), answer): ((String, seedance::Call), Value)| {
            let (held, code): (Option<i64>, Option<String>) =
                redis::from_redis_value(answer).ok()?;
            let until = Timestamp::from_unix_ms(held? / 1_000);
            (until > now).then(|| HoldRow { account, call, until, code: code.unwrap_or_default() })
        };
        Ok(asked.into_iter().zip(answers).filter_map(row).collect())
    }

    /// The first instant of creates of a class that nobody was given, where they keep this interval; none where nobody
    /// has asked for one yet. Creates that are counted and on their way may push it back further.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn next_create(
        &self,
        account: &str,
        class: SlotClass,
        interval: Duration,
    ) -> Result<Option<Timestamp>, StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(self.keys().creates(account, class)).arg(&["tat", "gap", "hold"]);
        let (free, gap, held): (Option<i64>, Option<i64>, Option<i64>) =
            self.connection().ask(&ask).await?;
        let interval_us = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX);
        // As snippet pace reads it: the gap behind the last one is that of the interval in force.
        let free =
            free.map(|free| gap.map_or(free, |gap| (free - gap).saturating_add(interval_us)));
        Ok(free.max(held).map(|us| Timestamp::from_unix_ms(us / 1_000)))
    }
}
