//! One permit, spent on use.

use crate::wait::Limiter;
use seedance::Call;
use std::time::{Duration, Instant};

/// The right to one call of one kind on one account, at once. Spent by value: a call takes it, so no
/// call happens without one and none happens twice on the same one.
#[derive(Debug)]
#[must_use = "a permit that is dropped unused is a call the fleet cannot make"]
pub struct Permit {
    account: String,
    call: Call,
    /// Who hears how the call was answered; nobody where the right to call came from elsewhere.
    teller: Option<Limiter>,
}

/// A permit whose call has been made, to be told what the answer says about the limit.
#[derive(Debug)]
pub struct Spent {
    permit: Permit,
    at: Instant,
}

/// The instant of the slot has passed: throw it away and ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the slot for this call was reached {late:?} too late and is thrown away")]
pub struct Stale {
    /// By how much.
    pub late: Duration,
}

impl Permit {
    /// Waits for the instant of a slot that Redis reserved.
    ///
    /// `asked` is this process's clock before the request left, `answered` after the reply came, and
    /// `usable_in` the reserved instant as seen from the server at some moment between the two. Never
    /// early: counted from `answered`. Never late: counted from `asked`.
    ///
    /// # Errors
    ///
    /// [`Stale`] when this process reached the instant more than `use_within` late.
    pub async fn at_slot(
        account: &str,
        call: Call,
        asked: Instant,
        answered: Instant,
        usable_in: Duration,
        use_within: Duration,
    ) -> Result<Self, Stale> {
        tokio::time::sleep_until((answered + usable_in).into()).await;
        match Instant::now().checked_duration_since(asked + usable_in + use_within) {
            Some(late) if !late.is_zero() => Err(Stale { late }),
            Some(_) | None => Ok(Self::new(account.to_owned(), call)),
        }
    }

    /// A permit whose instant is now: for callers that have another proof of their right to call, and
    /// for the tests of the rooms that spend permits.
    pub const fn new(account: String, call: Call) -> Self {
        Self { account, call, teller: None }
    }

    /// The same, and the limiter hears how the call is answered.
    pub(crate) fn told_to(self, limiter: &Limiter) -> Self {
        Self { teller: Some(limiter.clone()), ..self }
    }

    /// The call is made now.
    #[must_use]
    pub fn spend(self) -> Spent {
        Spent { permit: self, at: Instant::now() }
    }

    /// The account whose limit this call counts against.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The kind of call it allows.
    #[must_use]
    pub const fn call(&self) -> Call {
        self.call
    }
}

impl Spent {
    /// The account was told off for this kind of call, by `code`, and perhaps `asked` to wait: nobody
    /// of the fleet makes another before a rest is over. Creates have stops of their own.
    pub async fn refused(&self, code: &str, asked: Option<Duration>) {
        let Permit { account, call, teller } = &self.permit;
        if let Some(limiter) = teller {
            limiter.hold(account, *call, self.at, code, asked).await;
        }
    }

    /// It was answered otherwise.
    pub fn passed(&self) {
        let Permit { account, call, teller } = &self.permit;
        if let Some(limiter) = teller {
            limiter.passed(account, *call, self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slot_reached_too_late_is_thrown_away() {
        let asked = Instant::now() - Duration::from_secs(1);
        let within = Duration::from_millis(100);
        let late = Permit::at_slot("a", Call::List, asked, asked, Duration::ZERO, within)
            .await
            .unwrap_err();
        assert!(late.late >= Duration::from_millis(800), "{late}");
    }

    #[tokio::test]
    async fn a_slot_is_never_used_early() {
        let asked = Instant::now();
        let usable_in = Duration::from_millis(30);
        let within = Duration::from_secs(5);
        let permit =
            Permit::at_slot("a", Call::Retrieve, asked, asked, usable_in, within).await.unwrap();
        assert!(asked.elapsed() >= usable_in);
        assert_eq!((permit.account(), permit.call()), ("a", Call::Retrieve));
    }
}
