//! Every state against every event, and the four promises over random histories.

use crate::docs::{events, instants, policy, records};
use crate::{
    DoubtPolicy, Effect, End, Event, Filing, Policy, Record, State, StateWord, Step, Ticket,
    Timestamp, Verdict, transition,
};

pub(super) fn policies() -> [Policy; 2] {
    [policy(DoubtPolicy::Strict), policy(DoubtPolicy::Balanced)]
}

/// Calls `check` for every state × event × instant × policy that is not a contradiction.
fn every_pair(mut check: impl FnMut(&Record, &Event, Timestamp, &Policy, &Verdict)) -> usize {
    let mut tried = 0;
    for job in records() {
        for event in events() {
            for policy in &policies() {
                for now in instants() {
                    tried += 1;
                    if let Ok(verdict) = transition(&job, &event, now, policy) {
                        check(&job, &event, now, policy, &verdict);
                    }
                }
            }
        }
    }
    tried
}

pub(super) fn applied(job: &Record, verdict: &Verdict) -> Record {
    let mut next = job.clone();
    if let Verdict::Write { life, .. } = verdict {
        next.life = (**life).clone();
    }
    next
}

#[test]
fn every_state_word_and_every_event_is_on_the_table() {
    let words: Vec<StateWord> = records().iter().map(|r| r.life.state.word()).collect();
    for word in StateWord::ALL {
        assert!(words.contains(&word), "no sample record is {}", word.as_str());
    }
    let tried = every_pair(|_, _, _, _, _| {});
    assert!(tried > 5_000, "only {tried} pairs were tried");
}

// covers: M6, M24/create-stored
#[test]
fn only_a_queued_job_begins_an_attempt() {
    every_pair(|job, event, _, _, verdict| {
        let begins = matches!(event, Event::SubmitBegan { .. });
        let wrote = matches!(verdict, Verdict::Write { .. });
        if begins && wrote {
            assert_eq!(job.life.state.word(), StateWord::Queued, "{event:?}");
        }
    });
}

#[test]
fn a_job_comes_back_to_the_queue_only_without_an_open_question() {
    every_pair(|job, event, _, policy, verdict| {
        let Verdict::Write { life, .. } = verdict else { return };
        if life.state.word() != StateWord::Queued || job.life.state.word() == StateWord::Queued {
            return;
        }
        let proven = match event {
            Event::Approved { .. }
            | Event::ResumeAsked { .. }
            | Event::BudgetFreed
            | Event::AttemptNotSent { .. } => true,
            Event::AttemptRefused { refusal, .. } => {
                crate::retry::after_refusal(refusal.class) != crate::retry::AfterRefusal::Doubt
            }
            Event::Looked { .. } => policy.doubt == DoubtPolicy::Balanced,
            Event::ResendOrdered { .. } => job.life.state.word() == StateWord::Parked,
            other => panic!("{other:?} brought a job back to the queue"),
        };
        assert!(proven, "{event:?} proves nothing");
        assert!(life.state.open_attempt().is_none());
    });
}

#[test]
fn a_job_with_somewhere_to_go_has_exactly_the_ticket_of_its_step() {
    every_pair(|job, event, now, _, verdict| {
        let Verdict::Write { life, ticket, .. } = verdict else { return };
        match ticket {
            Ticket::Due(step, at) => {
                assert_eq!(life.state.step(), Some(*step), "{event:?}");
                // A resumed job takes its old place in the queue.
                let back = matches!(event, Event::ResumeAsked { .. } | Event::BudgetFreed);
                let resumed = back && *at == job.created_at;
                assert!(*at >= now || resumed, "{event:?} made a ticket due in the past");
            }
            Ticket::Kept => assert_eq!(life.state.step(), job.life.state.step(), "{event:?}"),
            Ticket::Gone => {
                let watched_out = matches!(life.state, State::Parked { .. });
                assert!(life.state.step().is_none() || watched_out, "{event:?}");
            }
        }
    });
}

#[test]
fn a_finished_job_moves_only_on_proof_of_a_paid_task() {
    every_pair(|job, event, _, _, verdict| {
        let State::Finished { end, .. } = &job.life.state else { return };
        let Verdict::Write { life, .. } = verdict else { return };
        if life.state.word() == job.life.state.word() {
            return;
        }
        let late = matches!(end, End::GivenUp { .. } | End::TimedOut);
        let proof = matches!(
            event,
            Event::AttemptAccepted { .. } | Event::TaskFound { .. } | Event::TaskSeen { .. }
        );
        assert!(late && proof, "{} moved on {event:?}", job.life.state.word().as_str());
    });
}

#[test]
fn hearing_an_event_twice_leaves_what_hearing_it_once_leaves() {
    every_pair(|job, event, now, policy, verdict| {
        // A check, a look or a failed try that is heard twice is two checks; everything that
        // moves a job must be deaf to its echo.
        let once = applied(job, verdict);
        if once.life.state.word() == job.life.state.word() {
            return;
        }
        let Ok(again) = transition(&once, event, now, policy) else { return };
        let twice = applied(&once, &again);
        assert_eq!(once.life.state.word(), twice.life.state.word(), "{event:?}");
        assert_eq!(once.life.attempts.len(), twice.life.attempts.len(), "{event:?}");
        assert_eq!(once.life.strays, twice.life.strays, "{event:?}");
        assert_eq!(once.life.resends, twice.life.resends, "{event:?}");
    });
}

#[test]
fn a_task_is_never_forgotten() {
    every_pair(|job, event, _, _, verdict| {
        let next = applied(job, verdict);
        for task in job.life.tasks() {
            assert!(next.life.tasks().any(|t| t == task), "{event:?} dropped {task}");
        }
        if let (Event::AttemptAccepted { task, .. }, Verdict::Write { .. }) = (event, verdict) {
            assert!(next.life.tasks().any(|t| t == task), "{event:?} was not written down");
        }
    });
}

#[test]
fn an_outcome_of_another_attempt_changes_no_attempt() {
    let stranger = crate::AttemptId::parse("att_01ARZ3NDEKTSV4RRFFQ69G5FAZ").unwrap();
    for job in records() {
        for now in instants() {
            let event = Event::AttemptNotSent {
                attempt: stranger.clone(),
                reason: "x".into(),
                unreachable: false,
                stops_in_row: 0,
            };
            let verdict = transition(&job, &event, now, &policies()[0]).unwrap();
            assert!(matches!(verdict, Verdict::Ignore { .. }), "{:?}", job.life.state.word());
        }
    }
}

#[test]
fn nobody_cancels_what_may_have_been_paid_for() {
    every_pair(|job, event, _, _, verdict| {
        let Verdict::Write { life, .. } = verdict else { return };
        if !matches!(event, Event::CancelAsked { .. }) {
            return;
        }
        if let State::Finished { end: End::Cancelled { .. }, .. } = life.state {
            assert!(matches!(job.life.state, State::Held { .. } | State::Queued { .. }));
        }
    });
}

#[test]
fn a_cancel_that_was_asked_for_while_submitting_ends_the_requeue() {
    let job = records().into_iter().find(|r| r.life.state.word() == StateWord::Submitting).unwrap();
    let policy = &policies()[0];
    let now = instants()[0];
    let by = crate::By::named("caller");
    let asked = transition(&job, &Event::CancelAsked { by }, now, policy).unwrap();
    let job = applied(&job, &asked);
    let id = job.life.state.open_attempt().unwrap().id.clone();
    let refused = Event::AttemptNotSent {
        attempt: id,
        reason: "x".into(),
        unreachable: true,
        stops_in_row: 0,
    };
    let next = applied(&job, &transition(&job, &refused, now, policy).unwrap());
    assert_eq!(next.life.state.word(), StateWord::Cancelled);
}

#[test]
fn an_unreachable_route_stops_the_account_and_fails_no_job() {
    let policy = &policies()[0];
    let mut job = records().into_iter().find(|r| r.life.state.word() == StateWord::Queued).unwrap();
    let mut now = instants()[0];
    for round in 0..40_u32 {
        let attempt = crate::docs::events()
            .into_iter()
            .find_map(|e| match e {
                Event::SubmitBegan { attempt } => Some(attempt),
                _ => None,
            })
            .unwrap();
        let id = attempt.id.clone();
        job =
            applied(&job, &transition(&job, &Event::SubmitBegan { attempt }, now, policy).unwrap());
        let event = Event::AttemptNotSent {
            attempt: id,
            reason: "refused".into(),
            unreachable: true,
            stops_in_row: round,
        };
        let verdict = transition(&job, &event, now, policy).unwrap();
        let Verdict::Write { effects, .. } = &verdict else { panic!("ignored") };
        assert!(effects.iter().any(|e| matches!(e, Effect::StopAccount { .. })));
        job = applied(&job, &verdict);
        assert_eq!(job.life.state.word(), StateWord::Queued, "round {round}");
        now = now + std::time::Duration::from_secs(60);
    }
}

// covers: M12
#[test]
fn success_without_a_link_is_seen_asked_again_and_never_called_stored() {
    let policy = &policies()[0];
    let mut job =
        records().into_iter().find(|r| r.life.state.word() == StateWord::Running).unwrap();
    let task = job.life.state.task().unwrap().id.clone();
    let mut reads = 0;
    while !job.life.state.word().is_finished() {
        let report = crate::TaskReport::SucceededWithoutVideo { payload: "{}".into() };
        let event = Event::TaskSeen { task: task.clone(), report };
        let verdict = transition(&job, &event, instants()[0], policy).unwrap();
        let Verdict::Write { effects, .. } = &verdict else { panic!("ignored") };
        assert!(effects.iter().any(|e| matches!(e, Effect::Page(_))));
        job = applied(&job, &verdict);
        reads += 1;
        assert!(reads < 10);
    }
    assert_eq!(job.life.state.word(), StateWord::OutputLost);
    assert!(matches!(job.life.state, State::Finished { filing: Filing::Pending, .. }));
    assert_eq!(job.life.state.step(), Some(Step::Download));
}

fn running(troubles: u32) -> Record {
    let is_so =
        |r: &Record| matches!(r.life.state, State::Generating { troubles: t, .. } if t == troubles);
    let mut job = records().into_iter().find(is_so).unwrap();
    if let State::Generating { odd, .. } = &mut job.life.state {
        *odd = 0;
    }
    job
}

/// A route that stumbles says nothing about a task: the first odd answer after it is the first.
#[test]
fn one_odd_answer_after_troubled_reads_ends_nothing() {
    let policy = &policies()[0];
    let job = running(4);
    let task = job.life.state.task().unwrap().id.clone();
    let report = crate::TaskReport::SucceededWithoutVideo { payload: "{}".into() };
    let odd =
        [Event::TaskMissing { task: task.clone() }, Event::TaskSeen { task: task.clone(), report }];
    for event in odd {
        let verdict = transition(&job, &event, instants()[0], policy).unwrap();
        assert_eq!(applied(&job, &verdict).life.state.word(), StateWord::Running, "{event:?}");
    }
    // Nor does one "not found" give up a task that is watched for a late success.
    let overdue =
        records().into_iter().find(|r| r.life.state.word() == StateWord::Overdue).unwrap();
    let missing = Event::TaskMissing { task };
    let verdict = transition(&overdue, &missing, instants()[1], policy).unwrap();
    assert_eq!(applied(&overdue, &verdict).life.state.word(), StateWord::Overdue);
}

/// A key that was taken away, for ever: the job and its slot still come to an end.
#[test]
fn a_task_that_can_never_be_read_ends_by_the_clock() {
    let policy = &policies()[0];
    let mut job = running(0);
    let task = job.life.state.task().unwrap().id.clone();
    let (mut now, mut reads, mut freed) = (instants()[0], 0_u32, false);
    while !job.life.state.word().is_finished() {
        let trouble =
            crate::Trouble { class: seedance::Class::Auth, code: "x".into(), not_before: None };
        let event = Event::PollTroubled { task: task.clone(), trouble };
        let verdict = transition(&job, &event, now, policy).unwrap();
        let Verdict::Write { ticket, .. } = &verdict else { panic!("ignored") };
        if let Ticket::Due(_, at) = ticket {
            now = *at;
        }
        job = applied(&job, &verdict);
        freed |= job.life.state.word() == StateWord::Overdue && job.life.state.slot().is_none();
        reads += 1;
        assert!(reads < 20_000, "still {:?}", job.life.state.word());
    }
    assert_eq!(job.life.state.word(), StateWord::TimedOut);
    assert!(freed, "the slot is free once the provider has given up on the task");
}

/// `Retry-After` may be a day and a quota's reset a month away; a link lives for a day.
#[test]
fn no_wish_of_the_provider_puts_a_read_off_past_the_links_death() {
    let policy = &policies()[0];
    let (job, now) = (running(0), instants()[0]);
    let task = job.life.state.task().unwrap().id.clone();
    let not_before = Some(now + std::time::Duration::from_secs(30 * 86_400));
    let trouble = crate::Trouble { class: seedance::Class::Pause, code: "x".into(), not_before };
    let verdict = transition(&job, &Event::PollTroubled { task, trouble }, now, policy).unwrap();
    let Verdict::Write { ticket: Ticket::Due(_, at), .. } = verdict else { panic!("no ticket") };
    assert!(at <= now + policy.poll.overdue_look, "{at:?}");
}

/// Rate refusals cost nothing, so a job may close any number of attempts; the one of which a task
/// may still turn up must not be forgotten over them.
#[test]
fn an_attempt_that_may_have_bought_outlives_refused_ones() {
    let mut life = records().remove(2).life;
    let mut open = crate::docs::open_attempt('A');
    let suspect = open.id.clone();
    life.close(open.clone(), crate::AttemptOutcome::Absent, instants()[0]);
    open.id = crate::AttemptId::parse("att_01ARZ3NDEKTSV4RRFFQ69G5FAB").unwrap();
    for _ in 0..40 {
        let outcome = crate::AttemptOutcome::Refused { code: "RateLimitExceeded".into() };
        life.close(open.clone(), outcome, instants()[0]);
    }
    assert!(life.attempt(&suspect).is_some());
    assert!(life.attempts.len() <= 12);
}

/// Until the horizon a task may appear under the mark that giving up or sending again would free.
#[test]
fn nothing_is_given_up_or_sent_again_before_the_quiet_horizon() {
    let policy = &policies()[0];
    let job = records().into_iter().find(|r| r.life.state.word() == StateWord::InDoubt).unwrap();
    let open = job.life.state.open_attempt().unwrap();
    let horizon = crate::settle::quiet_horizon(open, policy);
    let event = Event::GaveUp { by: crate::By::named("op"), reason: "old".into() };
    let second = std::time::Duration::from_secs(1);
    let early = transition(&job, &event, horizon - second, policy).unwrap();
    assert!(matches!(early, Verdict::Ignore { .. }), "{early:?}");
    assert!(matches!(transition(&job, &event, horizon, policy), Ok(Verdict::Write { .. })));
    let parked = records().into_iter().find(|r| r.life.state.word() == StateWord::Parked).unwrap();
    let again = Event::ResendOrdered { by: crate::By::named("op"), reason: "old".into() };
    let early = transition(&parked, &again, horizon - second, policy).unwrap();
    assert!(matches!(early, Verdict::Ignore { .. }), "{early:?}");
    assert!(matches!(transition(&parked, &again, horizon, policy), Ok(Verdict::Write { .. })));
}

/// A provider that does not echo the mark shows nothing by which absence could be told.
#[test]
fn a_list_without_marks_proves_nothing() {
    use crate::settle::{Match, Sighting, find};
    let policy = &policies()[0];
    let open = crate::docs::open_attempt('A');
    let seen = |nonce_s, made| Sighting {
        id: crate::TaskId::parse("cgt-9").unwrap(),
        model_id: open.facts.model_id.clone(),
        nonce_s,
        created_at: Some(made),
        safety_identifier: None,
    };
    let (now, hour) = (open.begun_at, std::time::Duration::from_secs(3_600));
    let look = |s: Sighting, owned: bool| find(&open, &[s], policy, &|_| owned);
    assert!(matches!(look(seen(None, now), false), Match::Blurred(_)));
    assert_eq!(look(seen(None, now), true), Match::Nothing, "another job's");
    assert_eq!(look(seen(None, now - hour), false), Match::Nothing, "too old");
    assert_eq!(look(seen(Some(open.nonce_s - 1), now), false), Match::Nothing, "another mark");
    assert!(matches!(look(seen(Some(open.nonce_s), now), false), Match::One(_)));
}

/// A list that never answers whole would leave the job in doubt, its slot taken and nobody told.
#[test]
fn a_doubt_that_nothing_settles_is_told_to_a_person() {
    let policy = &policies()[1];
    let mut job =
        records().into_iter().find(|r| r.life.state.word() == StateWord::InDoubt).unwrap();
    let attempt = job.life.state.open_attempt().unwrap().id.clone();
    let (mut now, mut looks) = (instants()[0], 0_u32);
    while job.life.state.word() == StateWord::InDoubt {
        let look = crate::Look::Inconclusive;
        let event = Event::Looked { attempt: attempt.clone(), look };
        let verdict = transition(&job, &event, now, policy).unwrap();
        let Verdict::Write { ticket: Ticket::Due(_, at), .. } = &verdict else { panic!() };
        now = *at;
        job = applied(&job, &verdict);
        looks += 1;
        assert!(looks < 5_000, "in doubt for ever");
    }
    assert_eq!(job.life.state.word(), StateWord::Parked, "never sent again without proof");
}

/// Waiting costs no try; it must at least grow, since every turn uploads the body and takes a slot.
#[test]
fn a_gate_that_always_closes_is_tried_ever_more_rarely() {
    let policy = &policies()[0];
    let mut job = records().into_iter().find(|r| r.life.state.word() == StateWord::Queued).unwrap();
    let now = instants()[0];
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let attempt = crate::docs::open_attempt('B');
        let id = attempt.id.clone();
        let begun = transition(&job, &Event::SubmitBegan { attempt }, now, policy).unwrap();
        job = applied(&job, &begun);
        let event = Event::AttemptNotSent {
            attempt: id,
            reason: "too slow".into(),
            unreachable: false,
            stops_in_row: 0,
        };
        let verdict = transition(&job, &event, now, policy).unwrap();
        let Verdict::Write { ticket: Ticket::Due(_, at), .. } = &verdict else { panic!() };
        pauses.push(at.since(now));
        job = applied(&job, &verdict);
    }
    assert_eq!((pauses[0], pauses[7]), (policy.submit.retry_first, policy.submit.retry_max));
}

#[test]
fn whatever_may_run_at_the_provider_holds_its_slot() {
    for job in records() {
        let state = &job.life.state;
        let may_run = match state {
            State::Submitting { .. } | State::InDoubt { .. } | State::Generating { .. } => true,
            State::Overdue { slot_held, .. } => *slot_held,
            State::Held { .. }
            | State::Queued { .. }
            | State::Parked { .. }
            | State::Downloading { .. }
            | State::Finished { .. } => false,
        };
        assert_eq!(state.slot().is_some(), may_run, "{:?}", state.word());
    }
}
