//! The order in which calls leave that have begun. Begin gives each an instant of its own, one after the other; but
//! the second fence takes one longer than the next, and so does a connection, and calls of several instants can be
//! ready at once. Then what is urgent goes first here too (`docs/decisions/0054-what-is-urgent-leaves-first.md`).

use job::Priority;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Longest head start of an urgent call that is out and not answered: calls on connections of their own may overtake
/// each other on the way, and an answer tells that this one has arrived.
const HEAD_START: Duration = Duration::from_millis(10);

/// Calls of one queue that have begun in this process, as far as others let them go first.
#[derive(Clone, Default)]
pub(crate) struct Departures(Arc<Begun>);

#[derive(Default)]
struct Begun {
    calls: Mutex<Calls>,
    gone: Notify,
}

#[derive(Default)]
struct Calls {
    begun: u64,
    /// Accounts of the urgent ones, in the order in which they began.
    urgent: BTreeMap<u64, String>,
}

/// A call from its Begin until it is out, or will never be.
pub(crate) struct Departure {
    of: Departures,
    number: u64,
    account: String,
    urgent: bool,
}

impl Departures {
    /// A Begin has been given to Redis.
    pub(crate) fn begin(&self, account: &str, priority: Priority) -> Departure {
        let (account, urgent) = (account.to_owned(), priority == Priority::High);
        let mut calls = self.calls();
        calls.begun += 1;
        let number = calls.begun;
        if urgent {
            calls.urgent.insert(number, account.clone());
        }
        drop(calls);
        Departure { of: self.clone(), number, account, urgent }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an urgent call of the account that began before this one is still here.
    fn has_urgent(&self, account: &str, before: u64) -> bool {
        self.calls().urgent.range(..before).any(|(_, other)| other == account)
    }
}

impl Departure {
    /// Waits for urgent calls of the account that began before this one, at most until `latest`. An urgent one waits
    /// for nobody.
    pub(crate) fn turn(&self, latest: Instant) -> impl Future<Output = ()> + Send + use<> {
        let (of, number, account) = (self.of.clone(), self.number, self.account.clone());
        let urgent = self.urgent;
        async move {
            let first = async {
                loop {
                    // Listens before it looks: who leaves in between is heard.
                    let mut gone = pin!(of.0.gone.notified());
                    gone.as_mut().enable();
                    if urgent || !of.has_urgent(&account, number) {
                        return;
                    }
                    gone.await;
                }
            };
            if tokio::time::timeout_at(latest.into(), first).await.is_err() {
                tracing::debug!(
                    account,
                    "an urgent call that began earlier is not ready; this one goes"
                );
            }
        }
    }

    /// The last byte has left. Whoever drops this future has had the answer.
    pub(crate) async fn out(self) {
        if self.urgent {
            // sleeps: the answer ends it sooner.
            tokio::time::sleep(HEAD_START).await;
        }
    }
}

impl Drop for Departure {
    fn drop(&mut self) {
        if self.urgent {
            self.of.calls().urgent.remove(&self.number);
            self.of.0.gone.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    /// Whether what waits goes on when it is looked at.
    async fn goes(mut turn: Pin<&mut impl Future<Output = ()>>) -> bool {
        poll_fn(|cx| Poll::Ready(turn.as_mut().poll(cx).is_ready())).await
    }

    async fn may_leave(call: &Departure) -> bool {
        goes(pin!(call.turn(Instant::now() + Duration::from_secs(60)))).await
    }

    #[tokio::test]
    async fn who_began_after_an_urgent_call_of_the_account_leaves_after_it() {
        let calls = Departures::default();
        let before = calls.begin("a", Priority::Normal);
        let urgent = calls.begin("a", Priority::High);
        let after = calls.begin("a", Priority::Normal);
        let elsewhere = calls.begin("b", Priority::Normal);
        let as_urgent = calls.begin("a", Priority::High);
        for call in [&before, &urgent, &elsewhere, &as_urgent] {
            assert!(may_leave(call).await);
        }
        let mut waits = pin!(after.turn(Instant::now() + Duration::from_secs(60)));
        assert!(!goes(waits.as_mut()).await);
        drop(as_urgent);
        assert!(!goes(waits.as_mut()).await, "that one began later");
        urgent.out().await;
        waits.await;
        assert!(calls.calls().urgent.is_empty());
    }

    #[tokio::test]
    async fn an_urgent_call_that_is_not_ready_keeps_the_others_for_a_moment_only() {
        let calls = Departures::default();
        let urgent = calls.begin("a", Priority::High);
        let after = calls.begin("a", Priority::Normal);
        let begun = Instant::now();
        after.turn(begun + Duration::from_millis(20)).await;
        assert!(begun.elapsed() >= Duration::from_millis(20));
        assert!(!may_leave(&after).await);
        drop(urgent);
        assert!(may_leave(&after).await, "one that never leaves keeps nobody");
    }
}
