//! The order in which claimed jobs begin. A claim names what is urgent first; then each of its jobs looks at its
//! fence, reads the clock and renders its body, side by side, and whichever is done first would go first.

use crate::departures::{Departure, Departures};
use job::Priority;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// Longest wait of one job for those before it: one whose media come from a slow bucket keeps nobody else.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Urgent ones first, then as they were claimed: claim fences of a pool only ever grow.
type Rank = (bool, u64);

/// Jobs of one queue that this process has claimed and that have not begun.
#[derive(Default)]
pub(crate) struct Turnstile {
    waiting: Mutex<BTreeMap<Rank, Arc<Notify>>>,
    /// Those that have.
    begun: Departures,
}

/// One job's place, until it has begun or its step has ended.
pub(crate) struct Place<'a> {
    turnstile: &'a Turnstile,
    priority: Priority,
    rank: Rank,
    called: Arc<Notify>,
}

impl Turnstile {
    /// Stands in line, from the first moment of the step.
    pub(crate) fn enter(&self, priority: Priority, fence: u64) -> Place<'_> {
        let (rank, called) = ((priority != Priority::High, fence), Arc::new(Notify::new()));
        self.waiting().insert(rank, Arc::clone(&called));
        Place { turnstile: self, priority, rank, called }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Rank, Arc<Notify>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Gives Redis a Begin on an account when nobody before this job is left, and lets the next one through as soon as
    /// it is given, not when it is answered: calls of one connection run in the order in which they were given to it.
    /// One that has been through waits for nobody.
    pub(crate) async fn go<T>(
        &self,
        account: &str,
        call: impl Future<Output = T>,
    ) -> (T, Departure) {
        let first = async {
            while !self.is_next() {
                self.called.notified().await;
            }
        };
        if tokio::time::timeout(WAIT_MAX, first).await.is_err() {
            tracing::debug!(within = ?WAIT_MAX, "a job that was claimed earlier is not ready to begin; this one goes");
        }
        let mut call = pin!(call);
        // The first poll is what gives it.
        let given = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        let departure = self.turnstile.begun.begin(account, self.priority);
        self.leave();
        let answer = match given {
            Poll::Ready(answer) => answer,
            Poll::Pending => call.await,
        };
        (answer, departure)
    }

    fn is_next(&self) -> bool {
        let waiting = self.turnstile.waiting();
        let next = waiting.first_key_value().map(|(rank, _)| *rank);
        next == Some(self.rank) || !waiting.contains_key(&self.rank)
    }

    fn leave(&self) {
        let mut waiting = self.turnstile.waiting();
        waiting.remove(&self.rank);
        if let Some((_, next)) = waiting.first_key_value() {
            next.notify_one();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    /// Writes its name down when it is given, and is answered when it is told so.
    async fn call(name: u64, given: &Mutex<Vec<u64>>, answer: oneshot::Receiver<()>) {
        given.lock().expect("nobody panicked").push(name);
        answer.await.expect("the test answers");
    }

    #[tokio::test]
    async fn they_go_as_they_were_claimed_and_wait_for_no_answer() {
        let (turnstile, given) = (Turnstile::default(), Mutex::new(Vec::new()));
        let places = [3, 1, 2].map(|fence| turnstile.enter(Priority::Normal, fence));
        let urgent = turnstile.enter(Priority::High, 9);
        let answers = [(); 4].map(|()| oneshot::channel());
        let [(a, ready_a), (b, ready_b), (c, ready_c), (d, ready_d)] = answers;
        let all = async {
            tokio::join!(
                places[0].go("a", call(3, &given, ready_a)),
                places[1].go("a", call(1, &given, ready_b)),
                places[2].go("a", call(2, &given, ready_c)),
                urgent.go("a", call(9, &given, ready_d)),
            )
        };
        let answered = async {
            while given.lock().expect("nobody panicked").len() < 4 {
                tokio::task::yield_now().await;
            }
            for answer in [a, b, c, d] {
                answer.send(()).expect("it is waited for");
            }
        };
        tokio::join!(all, answered);
        assert_eq!(*given.lock().expect("nobody panicked"), [9, 1, 2, 3]);
    }

    #[tokio::test]
    async fn one_that_is_not_ready_keeps_the_others_for_a_moment_only_and_one_that_ends_for_none() {
        let turnstile = Turnstile::default();
        let slow = turnstile.enter(Priority::Normal, 1);
        let ended = turnstile.enter(Priority::Normal, 2);
        let (third, fourth) =
            (turnstile.enter(Priority::Normal, 3), turnstile.enter(Priority::Normal, 4));
        drop(ended);
        assert!(!third.is_next(), "the slow one is before it");
        let begun = std::time::Instant::now();
        third.go("a", async {}).await;
        assert!(begun.elapsed() >= WAIT_MAX);
        assert!(third.is_next(), "it has been through");
        assert!(!fourth.is_next());
        drop(slow);
        assert!(fourth.is_next());
        fourth.go("a", async {}).await;
        assert!(turnstile.waiting().is_empty());
    }
}
