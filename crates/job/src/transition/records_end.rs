//! The provider keeps a task's record for seven days: what becomes of a job whose task is still not done
//! then, on every way there. Time is fed.

use super::tests::{applied, policies};
use crate::docs::{instants, records};
use crate::{
    Alarm, Effect, Event, Policy, Record, State, StateWord, TaskId, TaskReport, Ticket, Timestamp,
    Verdict, transition,
};

fn in_state(word: StateWord) -> Record {
    records().into_iter().find(|record| record.life.state.word() == word).unwrap()
}

fn task_of(job: &Record) -> (TaskId, Timestamp) {
    let task = job.life.state.task().unwrap();
    (task.id.clone(), task.known_at)
}

fn still_running(task: &TaskId) -> Event {
    let report = TaskReport::InProgress {
        word: "running".into(),
        unknown: false,
        outlook: crate::Outlook::default(),
    };
    Event::TaskSeen { task: task.clone(), report }
}

fn told(job: &Record, event: &Event, now: Timestamp, policy: &Policy) -> (Record, Verdict) {
    let verdict = transition(job, event, now, policy).unwrap();
    (applied(job, &verdict), verdict)
}

fn pages(verdict: &Verdict, alarm: Alarm) -> bool {
    let Verdict::Write { effects, .. } = verdict else { panic!("ignored") };
    effects.contains(&Effect::Page(alarm))
}

/// The provider says `running` for ever, and is asked at every due time.
#[test]
fn a_task_that_never_ends_is_watched_until_its_record_ends_and_not_longer() {
    let policy = &policies()[0];
    let mut job = in_state(StateWord::Running);
    let (task, known_at) = task_of(&job);
    let end = known_at + policy.settle.records_kept;
    let (mut now, mut last_look, mut was_overdue) = (instants()[0], instants()[0], false);
    while !job.life.state.word().is_finished() {
        let (next, verdict) = told(&job, &still_running(&task), now, policy);
        let Verdict::Write { ticket, .. } = &verdict else { panic!("ignored") };
        was_overdue |= next.life.state.word() == StateWord::Overdue;
        if next.life.state.word() == StateWord::Overdue {
            let held = next.life.state.slot().is_some();
            let may_run = job.life.state.task().is_some_and(|task| now < task.expires_at);
            assert_eq!(held, may_run, "the slot goes when the provider has given up, at {now:?}");
        }
        last_look = now;
        if let Ticket::Due(_, at) = ticket {
            assert!(*at > now && *at <= end + policy.poll.overdue_look * 2, "{at:?}");
            now = *at;
        }
        job = next;
    }
    assert!(was_overdue, "past our own limit it is watched on");
    assert_eq!(job.life.state.word(), StateWord::TimedOut);
    assert!(last_look >= end, "a late success would have been fetched until the very end");
    assert!(job.life.state.slot().is_none());
}

/// The fleet stood still for longer than the record lives: the first look ends it, from either state, and
/// a paid video is not said to be lost while the provider still calls the task unfinished.
#[test]
fn a_look_that_comes_after_the_records_end_ends_the_job() {
    let policy = &policies()[0];
    for word in [StateWord::Running, StateWord::Overdue] {
        let job = in_state(word);
        let (task, known_at) = task_of(&job);
        let end = match &job.life.state {
            State::Overdue { watch_until, .. } => *watch_until,
            _ => known_at + policy.settle.records_kept,
        };
        let (ended, verdict) = told(&job, &still_running(&task), end, policy);
        assert_eq!(ended.life.state.word(), StateWord::TimedOut, "{word:?}");
        assert!(!pages(&verdict, Alarm::OutputLost), "{word:?}");
        let just_before = Timestamp::from_unix_ms(end.unix_ms() - 1);
        let (watched, _) = told(&job, &still_running(&task), just_before, policy);
        assert_eq!(watched.life.state.word(), StateWord::Overdue, "{word:?}: not a moment earlier");
    }
}

/// After its end the record answers 404, or nothing at all: nobody knows any more whether a video was
/// made and paid for, so a person hears of it.
#[test]
fn a_record_that_ended_unread_calls_a_person() {
    let policy = &policies()[0];
    let job = in_state(StateWord::Overdue);
    let State::Overdue { watch_until, .. } = job.life.state else { panic!() };
    let (task, _) = task_of(&job);
    let trouble = crate::Trouble {
        class: seedance::Class::Server,
        code: "InternalServiceError".into(),
        not_before: None,
    };
    let unread = [
        Event::TaskMissing { task: task.clone() },
        Event::PollTroubled { task: task.clone(), trouble },
    ];
    for event in unread {
        let earlier = Timestamp::from_unix_ms(watch_until.unix_ms() - 1);
        let (watched, verdict) = told(&job, &event, earlier, policy);
        assert_eq!(watched.life.state.word(), StateWord::Overdue, "{event:?}");
        assert!(!pages(&verdict, Alarm::OutputLost), "{event:?}");
        let (ended, verdict) = told(&job, &event, watch_until, policy);
        assert_eq!(ended.life.state.word(), StateWord::TimedOut, "{event:?}");
        assert!(pages(&verdict, Alarm::OutputLost), "{event:?}");
    }
    // A success that came at the last moment is still fetched.
    let links = crate::Links {
        video: "https://x.volces.com/v.mp4".into(),
        last_frame: None,
        die_at: watch_until + std::time::Duration::from_secs(3_600),
    };
    let report = TaskReport::Succeeded { links, payload: "{}".into() };
    let (fetched, _) = told(&job, &Event::TaskSeen { task, report }, watch_until, policy);
    assert_eq!(fetched.life.state.word(), StateWord::Downloading);
}
