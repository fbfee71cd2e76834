//! What was taken away from a row of creates after a refusal of the provider, and how it comes back.

use super::{instant, micros};
use crate::connection::Call as Ask;
use crate::{Store, StoreError, commit, script};
use job::Timestamp;
use seedance::{Brake, SlotClass};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Rivals for one row within one decision. More are a fault, not traffic.
const SLOW_TRIES_MAX: usize = 16;

/// What was taken away from a row of creates after a refusal, and how it comes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slowed {
    /// What of it.
    pub brake: Brake,
    /// How much at first: thousandths of the rate, or tasks of the look-ahead.
    pub first: u32,
    /// How much comes back at a time.
    pub step: u32,
    /// How often.
    pub every: Duration,
    /// Counted from here.
    pub since: Timestamp,
    /// When the first of the refusals came between which it never came back whole.
    pub began: Timestamp,
    /// The provider's code, of the last one.
    pub code: String,
}

impl Slowed {
    /// How much is away at an instant, as the scripts count it.
    #[must_use]
    pub fn away(&self, now: Timestamp) -> u32 {
        let passed_ms = now.unix_ms().saturating_sub(self.since.unix_ms()).max(0);
        let every_ms = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX).max(1);
        let times = u32::try_from(passed_ms / every_ms).unwrap_or(u32::MAX);
        self.first.saturating_sub(self.step.saturating_mul(times))
    }

    /// When all of it has come back.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.since + self.every.saturating_mul(self.first.div_ceil(self.step.max(1)))
    }
}

/// What stands behind the numbers of a slowed row.
#[derive(Serialize, Deserialize)]
struct Why {
    code: String,
    began: Timestamp,
}

impl Store {
    /// Takes something away from the creates of a class on an account: `decide` is given what is away and the
    /// server's clock, and says what is to be; nothing, to leave it. Returns what was written.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat as far as `decide` is.
    pub async fn slow(
        &self,
        account: &str,
        class: SlotClass,
        brake: Brake,
        decide: impl Fn(Option<&Slowed>, Timestamp) -> Option<Slowed>,
    ) -> Result<Option<Slowed>, StoreError> {
        let key = self.keys().creates(account, class);
        for _ in 0..SLOW_TRIES_MAX {
            let seen: Option<String> =
                self.connection().ask(redis::cmd("HGET").arg(&key).arg(brake.word())).await?;
            let seen = seen.unwrap_or_default();
            let before = read(brake, &seen);
            let Some(next) = decide(before.as_ref(), self.now().await?) else { return Ok(None) };
            let args = vec![brake.word().to_owned(), seen, text_of(&next)?];
            let call = Ask::new(&script::SLOW, vec![key.clone()], args);
            let reply = self.connection().call(call).await?;
            match commit::integer(&reply) {
                Some(1) => return Ok(Some(next)),
                Some(0) => {}
                _ => return Err(StoreError::reply("slow", &reply)),
            }
        }
        let cause = format!("{key} changed {SLOW_TRIES_MAX} times while one refusal was weighed");
        Err(StoreError::Refused { cause })
    }
}

pub(super) fn read(brake: Brake, text: &str) -> Option<Slowed> {
    let mut parts = text.splitn(5, ' ');
    let mut number = || parts.next().and_then(|text| text.parse::<u64>().ok());
    let (first, step, every_us) = (number()?, number()?, number()?);
    let since = instant(parts.next()?)?;
    let Why { code, began } = serde_json::from_str(parts.next()?).ok()?;
    let (first, step) = (u32::try_from(first).ok()?, u32::try_from(step).ok()?);
    let every = Duration::from_micros(every_us);
    Some(Slowed { brake, first, step, every, since, began, code })
}

fn text_of(slowed: &Slowed) -> Result<String, StoreError> {
    let Slowed { first, step, every, since, began, code, .. } = slowed;
    let why = Why { code: code.clone(), began: *began };
    let why = StoreError::json("a refusal that is", &why)?;
    Ok(format!("{first} {step} {} {} {why}", every.as_micros(), micros(*since)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000 + ms)
    }

    #[test]
    fn what_was_taken_away_comes_back_step_by_step_and_is_read_as_it_was_written() {
        let slowed_by = Slowed {
            brake: Brake::Rate,
            first: 25,
            step: 10,
            every: Duration::from_millis(100),
            since: at(0),
            began: at(-50),
            code: "A \"code\"".into(),
        };
        let away: Vec<u32> =
            [-9, 0, 99, 100, 250, 299, 300, i64::MAX / 4].map(|ms| slowed_by.away(at(ms))).into();
        assert_eq!(away, [25, 25, 25, 15, 5, 5, 0, 0]);
        assert_eq!(slowed_by.ends(), at(300));
        let text = text_of(&slowed_by).expect("plain data");
        assert_eq!(read(Brake::Rate, &text), Some(slowed_by));
        for other in ["", "25", "25 10 100 x {}", "25 10 100 1 {}", "-1 10 100 1 {}"] {
            assert_eq!(read(Brake::Rate, other), None, "{other:?}");
        }
    }
}
