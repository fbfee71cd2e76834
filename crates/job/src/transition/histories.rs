//! Random histories of one job against an honest but unkind world.
//!
//! The world knows which attempts really made a task. It loses answers, kills workers, repeats
//! deliveries and shows tasks late, but it does not lie: "not sent" is only reported when nothing was
//! sent, and a scan after the quiet horizon shows what exists. Under these rules a job may never own
//! two paid tasks, unless a person ordered the second.

use crate::docs::{policy, record};
use crate::settle::quiet_horizon;
use crate::{
    AttemptId, By, DoubtCause, DoubtPolicy, Event, Facts, FoundVia, Links, Look, OpenAttempt,
    Policy, Record, Refusal, ResendLeave, State, TaskId, TaskReport, Ticket, Timestamp, Verdict,
    transition,
};
use proptest::prelude::*;
use seedance::{Class, Route, SlotClass};
use std::collections::BTreeMap;
use std::time::Duration;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What the provider does with a request that reached it whole.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Accepted,
    AcceptedAnswerLost,
    RefusedInput,
    RefusedRate,
    NeverSent,
    NothingMadeAnswerLost,
    WorkerKilledBeforeSend,
    WorkerKilledAfterAccept,
    /// The answer is lost and the request lies in the provider's front door for as long as it can:
    /// the task is made at the last moment at which one can be.
    MadeAtTheLastMoment,
    /// A 5xx, or a 4xx of the doubtful kind, although the task was made.
    ErrorAfterMaking(Class),
}

#[derive(Debug, Clone)]
enum Move {
    Submit(Fate),
    LeasePasses,
    Scan,
    Callback,
    PollRunning,
    PollSucceeded,
    Stored,
    LateReportOfOldAttempt,
    Cancel,
    OperatorResends,
    OperatorGivesUp,
    TimePasses(u64),
}

fn any_move() -> impl Strategy<Value = Move> {
    let fate = prop_oneof![
        Just(Fate::Accepted),
        Just(Fate::AcceptedAnswerLost),
        Just(Fate::RefusedInput),
        Just(Fate::RefusedRate),
        Just(Fate::NeverSent),
        Just(Fate::NothingMadeAnswerLost),
        Just(Fate::WorkerKilledBeforeSend),
        Just(Fate::WorkerKilledAfterAccept),
        Just(Fate::MadeAtTheLastMoment),
        Just(Fate::ErrorAfterMaking(Class::Ambiguous)),
        Just(Fate::ErrorAfterMaking(Class::Server)),
    ];
    prop_oneof![
        6 => fate.prop_map(Move::Submit),
        3 => Just(Move::LeasePasses),
        6 => Just(Move::Scan),
        1 => Just(Move::Callback),
        2 => Just(Move::PollRunning),
        1 => Just(Move::PollSucceeded),
        1 => Just(Move::Stored),
        2 => Just(Move::LateReportOfOldAttempt),
        1 => Just(Move::Cancel),
        1 => Just(Move::OperatorResends),
        1 => Just(Move::OperatorGivesUp),
        4 => (1_u64..200).prop_map(Move::TimePasses),
    ]
}

struct World {
    job: Record,
    policy: Policy,
    now: Timestamp,
    /// Tasks that really exist, by attempt, with the moment they were made.
    made: BTreeMap<AttemptId, (TaskId, Timestamp)>,
    /// Requests on their way, by the moment at which they become tasks.
    on_their_way: Vec<(Timestamp, AttemptId)>,
    attempts: u32,
    resends_ordered: usize,
    /// The ticket that the last write left.
    ticket: Option<Ticket>,
}

impl World {
    fn new(doubt: DoubtPolicy) -> Self {
        let job = record(State::Queued { tries: 0 });
        let now = job.created_at;
        let mut job = job;
        job.spec.useful_until = None;
        Self {
            job,
            policy: policy(doubt),
            now,
            made: BTreeMap::new(),
            on_their_way: Vec::new(),
            attempts: 0,
            resends_ordered: 0,
            ticket: None,
        }
    }

    fn tell(&mut self, event: &Event) {
        let verdict = transition(&self.job, event, self.now, &self.policy)
            .unwrap_or_else(|why| panic!("{event:?}: {why}"));
        if let Verdict::Write { life, ticket, .. } = verdict {
            let ordered = matches!(event, Event::ResendOrdered { .. });
            self.resends_ordered += usize::from(ordered);
            self.job.life = *life;
            self.ticket = Some(ticket);
        }
    }

    fn fresh_attempt(&mut self) -> OpenAttempt {
        self.attempts += 1;
        let tail = char::from(b'0' + u8::try_from(self.attempts % 10).expect("a digit"));
        let tens = char::from(b'0' + u8::try_from(self.attempts / 10 % 10).expect("a digit"));
        OpenAttempt {
            id: AttemptId::parse(&format!("att_01ARZ3NDEKTSV4RRFFQ69G5F{tens}{tail}")).expect("id"),
            number: self.attempts,
            nonce_s: 172_000 - self.attempts,
            begun_at: self.now,
            send_by: self.now + s(20),
            renderer: 1,
            body_sha256: String::new(),
            safety_identifier: None,
            intent: None,
            facts: Facts {
                route: Route::Byteplus,
                create_url: "https://a.test".into(),
                retrieve_url: "https://a.test".into(),
                model_id: "dreamina-seedance-2-0-260128".into(),
                account: "a".into(),
                class: SlotClass::V20,
                price_version: "1".into(),
            },
        }
    }

    fn make(&mut self, attempt: &AttemptId) -> TaskId {
        let task = TaskId::parse(&format!("cgt-{}", self.made.len())).expect("an id");
        self.made.insert(attempt.clone(), (task.clone(), self.now));
        task
    }

    fn submit(&mut self, fate: Fate) {
        let attempt = self.fresh_attempt();
        let id = attempt.id.clone();
        self.tell(&Event::SubmitBegan { attempt });
        // Only the worker whose Begin was committed may send.
        if self.job.life.state.open_attempt().map(|a| &a.id) != Some(&id) {
            return;
        }
        let refusal = |class| Refusal {
            class,
            code: "X".into(),
            message: String::new(),
            not_before: None,
            stops_in_row: 0,
        };
        let cause = || DoubtCause { kind: "timeout".into(), detail: String::new() };
        match fate {
            Fate::Accepted => {
                let task = self.make(&id);
                self.tell(&Event::AttemptAccepted { attempt: id, task });
            }
            Fate::AcceptedAnswerLost => {
                self.make(&id);
                self.tell(&Event::AttemptUnclear { attempt: id, cause: cause() });
            }
            Fate::NothingMadeAnswerLost => {
                self.tell(&Event::AttemptUnclear { attempt: id, cause: cause() });
            }
            Fate::RefusedInput => {
                self.tell(&Event::AttemptRefused { attempt: id, refusal: refusal(Class::Input) });
            }
            Fate::RefusedRate => {
                self.tell(&Event::AttemptRefused { attempt: id, refusal: refusal(Class::Rate) });
            }
            Fate::NeverSent => {
                let reason = "refused".into();
                let event = Event::AttemptNotSent {
                    attempt: id,
                    reason,
                    unreachable: true,
                    stops_in_row: 0,
                };
                self.tell(&event);
            }
            Fate::ErrorAfterMaking(class) => {
                self.make(&id);
                self.tell(&Event::AttemptRefused { attempt: id, refusal: refusal(class) });
            }
            Fate::MadeAtTheLastMoment => {
                let latest = self.policy.delivery_max + self.policy.settle.front_door_max;
                self.on_their_way.push((self.now + s(20) + latest, id.clone()));
                self.tell(&Event::AttemptUnclear { attempt: id, cause: cause() });
            }
            Fate::WorkerKilledBeforeSend => {}
            Fate::WorkerKilledAfterAccept => {
                self.make(&id);
            }
        }
    }

    fn time_passes(&mut self, seconds: u64) {
        self.now = self.now + s(seconds);
        let (there, left) = self.on_their_way.drain(..).partition(|(at, _)| *at <= self.now);
        self.on_their_way = left;
        let there: Vec<(Timestamp, AttemptId)> = there;
        for (at, id) in there {
            let task = self.make(&id);
            self.made.insert(id, (task, at));
        }
    }

    /// A scan that begins now, as honest as the contract: a task shows once its list lag is over.
    fn scan(&mut self) {
        let Some(open) = self.job.life.state.open_attempt().cloned() else { return };
        let visible = self
            .made
            .get(&open.id)
            .filter(|(_, at)| self.now >= *at + self.policy.settle.list_lag_max)
            .map(|(task, _)| task.clone());
        let event = match visible {
            Some(task) => {
                Event::TaskFound { attempt: open.id, task, via: FoundVia::List, said: None }
            }
            None => Event::Looked {
                attempt: open.id,
                look: Look::Nothing { scan_began_at: self.now, leave: ResendLeave::Granted },
            },
        };
        self.tell(&event);
    }

    fn step(&mut self, next: Move) {
        let by = || By::named("op");
        let owned = self.job.life.state.task().map(|t| t.id.clone());
        match (next, owned) {
            (Move::Submit(fate), _) => self.submit(fate),
            (Move::LeasePasses, _) => self.tell(&Event::SubmitLeasePassed),
            (Move::Scan, _) => self.scan(),
            (Move::Callback, _) => {
                let open = self.job.life.state.open_attempt().map(|a| a.id.clone());
                if let Some((id, (task, _))) =
                    open.and_then(|id| self.made.get(&id).map(|m| (id.clone(), m.clone())))
                {
                    let via = FoundVia::Callback;
                    self.tell(&Event::TaskFound { attempt: id, task, via, said: None });
                }
            }
            (Move::LateReportOfOldAttempt, _) => {
                for (id, (task, _)) in self.made.clone() {
                    self.tell(&Event::AttemptAccepted { attempt: id, task });
                }
            }
            (Move::PollRunning, Some(task)) => {
                let report = TaskReport::InProgress {
                    word: "running".into(),
                    unknown: false,
                    outlook: crate::Outlook::default(),
                };
                self.tell(&Event::TaskSeen { task, report });
            }
            (Move::PollSucceeded, Some(task)) => {
                let links = Links {
                    video: "https://v".into(),
                    last_frame: None,
                    die_at: self.now + s(86_400),
                };
                let report = TaskReport::Succeeded { links, payload: "{}".into() };
                self.tell(&Event::TaskSeen { task, report });
            }
            (Move::Stored, Some(task)) => {
                let output = crate::StoredOutput {
                    manifest: "m".into(),
                    video: "v".into(),
                    video_sha256: "0".into(),
                    video_bytes: 1,
                    last_frame: None,
                    tokens: None,
                };
                self.tell(&Event::OutputStored { task, output });
            }
            (Move::PollRunning | Move::PollSucceeded | Move::Stored, None) => {}
            (Move::Cancel, _) => self.tell(&Event::CancelAsked { by: by() }),
            (Move::OperatorResends, _) => {
                self.tell(&Event::ResendOrdered { by: by(), reason: "r".into() });
            }
            (Move::OperatorGivesUp, _) => {
                self.tell(&Event::GaveUp { by: by(), reason: "r".into() });
            }
            (Move::TimePasses(seconds), _) => self.time_passes(seconds),
        }
    }

    fn check(&self) {
        // At most one task per job may bill, unless a person ordered another.
        assert!(
            self.made.len() <= 1 + self.resends_ordered,
            "{} tasks were bought, {} re-sends ordered",
            self.made.len(),
            self.resends_ordered
        );
        // A job that still has somewhere to go has a ticket for exactly that step.
        let state = &self.job.life.state;
        match (state.step(), self.ticket) {
            (Some(step), Some(Ticket::Due(due, _))) => assert_eq!(step, due),
            (Some(_), Some(Ticket::Kept) | None) => {}
            (Some(_), Some(Ticket::Gone)) => assert!(matches!(state, State::Parked { .. })),
            (None, ticket) => assert!(!matches!(ticket, Some(Ticket::Due(..))), "{ticket:?}"),
        }
        // A send is under way only inside one open attempt whose horizon is known.
        if let Some(open) = state.open_attempt() {
            assert!(quiet_horizon(open, &self.policy) > open.send_by);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    // covers: M6, M22, M26, M24/create-no-id, M24/create-stored
    #[test]
    fn no_history_buys_twice(
        balanced in any::<bool>(),
        moves in proptest::collection::vec(any_move(), 1..60),
    ) {
        let doubt = if balanced { DoubtPolicy::Balanced } else { DoubtPolicy::Strict };
        let mut world = World::new(doubt);
        for next in moves {
            world.step(next);
            world.check();
        }
    }
}

/// Scans every second until the job leaves its doubt; says after how many seconds that was.
fn settle(world: &mut World) -> u64 {
    for seconds in 0..1_000 {
        world.scan();
        world.check();
        if !matches!(world.job.life.state, State::InDoubt { .. }) {
            return seconds;
        }
        world.time_passes(1);
    }
    panic!("in doubt for ever");
}

// covers: M6, M24/create-no-id
#[test]
fn a_task_made_at_the_last_moment_is_found_and_not_bought_again() {
    let mut world = World::new(DoubtPolicy::Balanced);
    world.submit(Fate::MadeAtTheLastMoment);
    let seconds = settle(&mut world);
    assert!(matches!(world.job.life.state, State::Generating { .. }), "{:?}", world.job.life.state);
    // Deadline, delivery, front door, list: 20 + 10 + 60 + 30.
    assert_eq!((seconds, world.made.len()), (120, 1));
}

#[test]
fn absence_takes_two_scans_apart_and_both_after_the_horizon() {
    let mut world = World::new(DoubtPolicy::Balanced);
    world.submit(Fate::NothingMadeAnswerLost);
    assert_eq!(settle(&mut world), 120 + 15);
    assert!(matches!(world.job.life.state, State::Queued { .. }));
    assert_eq!(world.job.life.resends, 1);
}

/// The evidence of absence was wrong, and the news comes before the second send: take it in.
#[test]
fn late_proof_for_a_job_that_waits_to_be_sent_again_is_taken_in() {
    let mut world = World::new(DoubtPolicy::Balanced);
    world.submit(Fate::NothingMadeAnswerLost);
    settle(&mut world);
    let first = world.job.life.attempts[0].open.id.clone();
    world.make(&first);
    world.step(Move::LateReportOfOldAttempt);
    assert!(matches!(world.job.life.state, State::Generating { .. }));
    world.step(Move::Submit(Fate::Accepted));
    world.check();
}
