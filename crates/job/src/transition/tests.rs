//! Every state against every event, and the four promises over random histories.

use crate::docs::{events, instants, policy, records};
use crate::{
    DoubtPolicy, Effect, End, Event, Filing, Policy, Record, State, StateWord, Step, Ticket,
    Timestamp, Verdict, transition,
};

fn policies() -> [Policy; 2] {
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

fn applied(job: &Record, verdict: &Verdict) -> Record {
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
            Event::Approved { .. } | Event::AttemptNotSent { .. } => true,
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
                assert!(*at >= now, "{event:?} made a ticket due in the past");
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
