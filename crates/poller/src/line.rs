//! Who is looked at first when more looks wait than the account's reads allow.
//!
//! The looks of one process at one account stand in one line, and the most pressing has the next permit. Between
//! processes the instants that the limiter gives away decide, so each of them gives its own to what presses most.

use job::{Outlook, Policy, Record, TaskRef, Timestamp, rounds};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// What ends within this goes before what merely is expected to have ended.
const NEAR: Duration = Duration::from_secs(3_600);

/// How pressing a look is; the least goes first, and of equals the one that came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Somebody waits for the answer: a callback told the end, a person wants the task stopped, or a doubt hangs on it.
    AskedFor,
    /// Something ends then that a look may still save: the use of the video, our patience, its link, the
    /// provider's record.
    RunsOut(Timestamp),
    /// The end is expected then, and of two that are expected together the older job's.
    Expected(Timestamp, Timestamp),
}

impl Rank {
    /// Of an ordinary look at `now`.
    pub(crate) fn of(
        record: &Record,
        task: &TaskRef,
        policy: &Policy,
        outlook: &Outlook,
        now: Timestamp,
    ) -> Self {
        let since = rounds::since(record, task).unwrap_or(task.known_at);
        let takes = outlook.times.map_or(policy.poll.first, |times| (times.early + times.late) / 2);
        let expected = since + takes;
        let ends = [
            record.spec.useful_until,
            Some(task.known_at + policy.poll.deadline),
            Some(expected + policy.download.link_life),
            Some(task.known_at + policy.settle.records_kept),
        ];
        let near = |at: &Timestamp| now < *at && at.since(now) <= NEAR;
        let first = ends.into_iter().flatten().filter(near).min();
        first.map_or(Self::Expected(expected, record.created_at), Self::RunsOut)
    }
}

#[derive(Default)]
struct Waiting {
    taken: bool,
    came: u64,
    by_rank: BTreeMap<(Rank, u64), oneshot::Sender<Turn>>,
}

/// Looks that want the next permit of one account. All clones are one line.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<Waiting>>);

/// The right to ask for the next permit; dropped, it is the next one's.
pub(crate) struct Turn(Line);

impl Line {
    /// Waits until nobody in the line presses more. Drop the future to leave the line.
    pub(crate) async fn turn(&self, rank: Rank) -> Turn {
        let given = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if !waiting.taken {
                waiting.taken = true;
                return Turn(self.clone());
            }
            waiting.came += 1;
            let place = (rank, waiting.came);
            let (give, given) = oneshot::channel();
            waiting.by_rank.insert(place, give);
            given
        };
        // Who stands in the line is dropped only with its turn, or with the line that is held here.
        given.await.unwrap_or_else(|_| Turn(self.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut waiting = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
            let mut next = None;
            while let Some((_, give)) = waiting.by_rank.pop_first() {
                if !give.is_closed() {
                    next = Some(give);
                    break;
                }
            }
            waiting.taken = next.is_some();
            next
        };
        // Who left in this very moment drops its turn with the answer, and so passes it on.
        if let Some(give) = next {
            drop(give.send(Turn(self.0.clone())));
        }
    }
}

/// The lines of a pool's accounts.
#[derive(Default)]
pub(crate) struct Lines(Mutex<BTreeMap<String, Line>>);

impl Lines {
    pub(crate) fn of(&self, account: &str) -> Line {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.entry(account.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use std::pin::pin;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_ms(s * 1_000)
    }

    fn expected(s: i64) -> Rank {
        Rank::Expected(at(s), at(0))
    }

    #[tokio::test]
    async fn the_most_pressing_look_has_the_next_turn_whoever_came_first() {
        let line = Lines::default().of("a");
        let held = line.turn(expected(1)).await;
        let ranks = [
            expected(50),
            expected(20),
            Rank::RunsOut(at(90)),
            Rank::Expected(at(20), at(7)),
            Rank::AskedFor,
            Rank::RunsOut(at(80)),
            expected(20),
        ];
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut looks: Vec<_> = (0..)
            .zip(ranks)
            .map(|(n, rank)| {
                let (line, told) = (line.clone(), told.clone());
                async move {
                    let turn = line.turn(rank).await;
                    told.send(n).unwrap();
                    drop(turn);
                }
                .boxed()
            })
            .collect();
        // All stand in the line before the first turn is passed on.
        assert!(looks.iter_mut().all(|look| look.now_or_never().is_none()));
        drop(held);
        futures::future::join_all(looks).await;
        drop(told);
        let mut seen = Vec::new();
        while let Some(n) = order.recv().await {
            seen.push(n);
        }
        assert_eq!(seen, [4, 5, 2, 1, 6, 3, 0]);
    }

    #[tokio::test]
    async fn who_leaves_the_line_holds_nobody_up() {
        let line = Line::default();
        let held = line.turn(expected(1)).await;
        let (mut leaves, mut stays) =
            (Box::pin(line.turn(Rank::AskedFor)), pin!(line.turn(expected(2))));
        let mut given = Box::pin(line.turn(Rank::RunsOut(at(5))));
        assert!(leaves.as_mut().now_or_never().is_none());
        assert!(given.as_mut().now_or_never().is_none());
        assert!(stays.as_mut().now_or_never().is_none());
        drop(leaves);
        drop(held);
        // It was given its turn and never took it.
        drop(given);
        let turn = stays.as_mut().now_or_never().expect("its turn");
        drop(turn);
        drop(line.turn(expected(3)).now_or_never().expect("nobody is before it"));
    }
}
