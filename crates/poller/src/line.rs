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
    use job::rounds::Quantiles;
    use job::{
        Attempt, AttemptId, AttemptOutcome, Facts, Fingerprint, JobId, OpenAttempt, PoolSettings,
        Source, Spec, State, TaskId,
    };
    use seedance::Route;
    use std::pin::pin;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_ms(s * 1_000)
    }

    fn expected(s: i64) -> Rank {
        Rank::Expected(at(s), at(0))
    }

    const HOUR: Duration = Duration::from_secs(3_600);
    const MS: Duration = Duration::from_millis(1);

    /// The shipped numbers.
    fn policy() -> Policy {
        let source = settings::Sources::default().set("pools.main.route", "byteplus");
        let loaded = source.set("pools.main.accounts.a.api_key_file", "x").load().expect("loads");
        let pools: BTreeMap<String, PoolSettings> = loaded.section("pools").expect("a section");
        worker::policy(&loaded, &pools["main"]).expect("a policy")
    }

    /// A job that was taken in at one instant and bought its task at another, which we knew a second later.
    fn watched(created: Timestamp, bought: Timestamp) -> (Record, TaskRef) {
        let body = serde_json::json!({
            "model": "seedance-2.0", "content": [{"type": "text", "text": "a lighthouse"}]
        });
        let request = seedance::validate(Route::Byteplus, &body, &seedance::Rules::default())
            .expect("valid")
            .request;
        let facts = Facts {
            route: Route::Byteplus,
            create_url: "https://example.test/tasks".into(),
            retrieve_url: "https://example.test/tasks".into(),
            model_id: request.model_id.clone(),
            account: "a".into(),
            class: request.slot_class(),
            price_version: "2026-10-01".into(),
        };
        let open = OpenAttempt {
            id: AttemptId::parse("att_01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("an id"),
            number: 1,
            nonce_s: 172_800,
            begun_at: bought,
            send_by: bought + HOUR,
            renderer: 1,
            body_sha256: "00".repeat(32),
            safety_identifier: None,
            intent: None,
            facts: facts.clone(),
        };
        let id = TaskId::parse("cgt-1").expect("an id");
        let known_at = bought + Duration::from_secs(1);
        let (attempt, expires_at) = (open.id.clone(), known_at + 48 * HOUR);
        let task = TaskRef { id: id.clone(), attempt, known_at, expires_at, facts };
        let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, 1);
        let spec = Spec::plain("acme", "main", Source::Api, fingerprint, request);
        let job = JobId::parse("job_01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("an id");
        let mut record = Record::begin(job, spec, State::Queued { tries: 0 }, created);
        let outcome = AttemptOutcome::Accepted { task: id };
        record.life.attempts = vec![Attempt { open, closed_at: known_at, outcome }];
        (record, task)
    }

    #[test]
    fn an_ordinary_look_goes_by_the_instant_at_which_the_end_is_expected() {
        let policy = policy();
        let (created, bought) = (at(0), at(5_000));
        let (mut record, task) = watched(created, bought);
        let rank = |record: &Record, outlook: &Outlook| {
            Rank::of(record, &task, &policy, outlook, bought + 60 * MS)
        };
        // Nothing is known of such tasks: the first look is the best guess.
        let expected = Rank::Expected(bought + policy.poll.first, created);
        assert_eq!(rank(&record, &Outlook::default()), expected);
        // Half of those like it have ended by the middle of the two.
        let (early, late) = (Duration::from_secs(60), Duration::from_secs(180));
        let known = Outlook { times: Some(Quantiles { early, late }), told: false };
        let middle = Duration::from_secs(120);
        assert_eq!(rank(&record, &known), Rank::Expected(bought + middle, created));
        // Nobody knows how old a task is that was bought elsewhere: it counts from when we knew of it.
        record.spec.source = Source::Adopted;
        assert_eq!(rank(&record, &known), Rank::Expected(task.known_at + middle, created));
    }

    #[test]
    fn what_ends_within_the_hour_runs_out_and_neither_what_is_over_nor_what_is_far() {
        let policy = policy();
        let bought = at(5_000);
        let (record, task) = watched(at(0), bought);
        let outlook = Outlook::default();
        let dies_at = bought + policy.poll.first + policy.download.link_life;
        let ends = [
            ("our patience", task.known_at + policy.poll.deadline),
            ("its link", dies_at),
            ("the provider's record", task.known_at + policy.settle.records_kept),
        ];
        let useful_until = bought + 5 * HOUR;
        let wanted = |until| {
            let mut record = record.clone();
            record.spec.useful_until = until;
            record
        };
        let useful = [("the use of it", Some(useful_until), useful_until)];
        let ends = ends.into_iter().map(|(what, end)| (what, None, end)).chain(useful);
        let expected = Rank::Expected(bought + policy.poll.first, at(0));
        for (what, until, end) in ends {
            let rank = |now| Rank::of(&wanted(until), &task, &policy, &outlook, now);
            assert_eq!(rank(end - HOUR - MS), expected, "{what} is far");
            assert_eq!(rank(end - HOUR), Rank::RunsOut(end), "{what} is near");
            assert_eq!(rank(end - MS), Rank::RunsOut(end), "{what} is very near");
            assert_eq!(rank(end), expected, "{what} is over: no look saves it");
        }
        // Of several the first counts.
        let sooner = wanted(Some(dies_at - HOUR / 2));
        let rank = Rank::of(&sooner, &task, &policy, &outlook, dies_at - HOUR * 3 / 4);
        assert_eq!(rank, Rank::RunsOut(dies_at - HOUR / 2));
    }

    #[test]
    fn where_reads_are_short_these_looks_go_in_this_order() {
        let policy = policy();
        let now = at(200_000);
        let rank = |created, bought, useful_until: Option<Timestamp>| {
            let (mut record, task) = watched(created, bought);
            record.spec.useful_until = useful_until;
            Rank::of(&record, &task, &policy, &Outlook::default(), now)
        };
        let (old, young) = (now - 2 * HOUR, now - HOUR);
        let in_order = [
            Rank::AskedFor,
            rank(at(9), young, Some(now + MS)),
            rank(at(8), old, Some(now + HOUR)),
            // What is of use for longer than the hour presses no more than what is of use for ever.
            rank(at(7), old, Some(now + HOUR + MS)),
            rank(at(8), old, None),
            rank(at(1), young, None),
            rank(at(2), young, None),
        ];
        assert!(in_order.is_sorted(), "{in_order:?}");
        assert!(in_order.windows(2).all(|two| two[0] != two[1]), "{in_order:?}");
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
