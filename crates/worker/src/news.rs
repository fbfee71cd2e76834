//! What a durable event means to people who watch the fleet: counters, durations, alarms.
//!
//! Counted once, here, after the commit: a run whose commit was refused has changed nothing and is
//! counted nowhere but in the fenced writes.

use job::{Alarm, Effect, Event, State, TaskReport, Timestamp, Verdict};
use seedance::SlotClass;
use std::time::Duration;
use store::{Claim, Stored};

/// The part of an event that is counted, kept while the event itself travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    polled: Option<&'static str>,
    downloaded: Option<&'static str>,
    settled: Option<&'static str>,
    lost: Option<&'static str>,
    seen: bool,
}

impl Heard {
    pub(crate) fn of(event: &Event) -> Self {
        let nothing =
            Self { polled: None, downloaded: None, settled: None, lost: None, seen: false };
        let polled = |word| Self { polled: Some(word), seen: true, ..nothing };
        let downloaded = |word| Self { downloaded: Some(word), ..nothing };
        match event {
            Event::TaskSeen { report, .. } => match report {
                TaskReport::InProgress { .. } => Self { polled: Some("in_progress"), ..nothing },
                TaskReport::Succeeded { .. } => polled("succeeded"),
                TaskReport::SucceededWithoutVideo { .. } => {
                    Self { lost: Some("link_dead"), ..polled("succeeded") }
                }
                TaskReport::Failed { .. } => polled("failed"),
                TaskReport::Expired { .. } => polled("expired"),
                TaskReport::Cancelled { .. } => polled("cancelled"),
            },
            Event::PollTroubled { trouble, .. } => {
                let throttled = trouble.class == seedance::Class::Rate;
                let word = if throttled { "throttled" } else { "error" };
                Self { polled: Some(word), ..nothing }
            }
            Event::TaskMissing { .. } => {
                Self { lost: Some("record_gone"), polled: Some("not_found"), ..nothing }
            }
            Event::OutputStored { .. } => downloaded("stored"),
            Event::DownloadTroubled { .. } | Event::BucketTroubled { .. } => downloaded("retry"),
            Event::LinkDied { .. } => Self { lost: Some("link_dead"), ..downloaded("link_dead") },
            Event::TaskFound { .. } => Self { settled: Some("adopted"), ..nothing },
            Event::Looked { .. } => Self { settled: Some("resent"), ..nothing },
            Event::Approved { .. }
            | Event::ReviewRejected { .. }
            | Event::PauseAsked { .. }
            | Event::ResumeAsked { .. }
            | Event::BudgetReached { .. }
            | Event::BudgetFreed
            | Event::SubmitBegan { .. }
            | Event::IntentForgotten { .. }
            | Event::UsefulnessPassed
            | Event::AttemptNotSent { .. }
            | Event::AttemptRefused { .. }
            | Event::AttemptAccepted { .. }
            | Event::AttemptUnclear { .. }
            | Event::SubmitLeasePassed
            | Event::PayloadFiled
            | Event::FilingTroubled
            | Event::CancelAsked { .. }
            | Event::CancelDone { .. }
            | Event::CancelTooLate { .. }
            | Event::ResendOrdered { .. }
            | Event::GaveUp { .. }
            | Event::Dismissed { .. }
            | Event::EraseAsked { .. }
            | Event::StepLeft
            | Event::StepBroke { .. } => nothing,
        }
    }
}

/// Counts what was committed. `before` is the record as it was claimed, `after` as it is now.
pub(crate) fn tell(
    claim: &Claim,
    heard: Heard,
    before: &Stored,
    after: &Stored,
    verdict: &Verdict,
) {
    let Verdict::Write { note, effects, .. } = verdict else { return };
    let metrics = telemetry::metrics();
    let step = claim.queue.step().word();
    if let Some(note) = note {
        metrics.transitions.add(1, [note.from.as_str(), note.to.as_str(), step]);
    }
    if let Some(result) = heard.polled {
        metrics.polls.add(1, [result]);
    }
    if let Some(result) = heard.downloaded {
        metrics.downloads.add(1, [result]);
    }
    let (was, is) = (&before.record.life.state, &after.record.life.state);
    if heard.seen && was.word() != is.word() {
        // A callback leaves the task's id as a hint; a check that came by its own leaves none.
        let source = if before.hint.is_some() { "callback" } else { "poll" };
        metrics.detections.add(1, [source]);
    }
    match (was, is, heard.settled) {
        (State::InDoubt { .. } | State::Parked { .. }, State::Parked { .. }, _)
            if was.word() != is.word() =>
        {
            metrics.doubts_settled.add(1, ["parked"]);
        }
        (State::InDoubt { .. } | State::Parked { .. }, _, Some(result))
            if was.word() != is.word() =>
        {
            metrics.doubts_settled.add(1, [result]);
        }
        (_, _, _) => {}
    }
    for effect in effects {
        match effect {
            Effect::Page(alarm) => raise(claim, *alarm, heard),
            Effect::StopAccount { account, only, until, code, in_row, .. } => tracing::warn!(
                account, code, in_row, until = %until.rfc3339(), class = only.map(SlotClass::word),
                "the account makes no create before this instant"
            ),
            Effect::ClearStop { .. } => {}
        }
    }
    durations(is, after, metrics);
}

/// One line a person can act on, and the counter behind the alert.
fn raise(claim: &Claim, alarm: Alarm, heard: Heard) {
    let metrics = telemetry::metrics();
    let job_id = &claim.id;
    match alarm {
        Alarm::StrayTask => {
            metrics.duplicate_submissions.add(1, ["list"]);
            tracing::error!(%job_id, "a second task exists for this job: see `seedfleet jobs show`");
        }
        Alarm::JobParked => {
            tracing::error!(%job_id, "parked: decide with `seedfleet doubt show`");
        }
        Alarm::OutputLost => {
            metrics.outputs_lost.add(1, [heard.lost.unwrap_or("tries_spent")]);
            tracing::error!(%job_id, "paid, and the output is lost");
        }
        Alarm::UnknownStatus => {
            tracing::error!(%job_id, "the provider uses a status word the contract does not know");
        }
        Alarm::AccountStopped => {
            tracing::error!(%job_id, "key or account refused: `seedfleet doctor` says which");
        }
        Alarm::SuccessWithoutVideo => {
            tracing::error!(%job_id, "the provider reports success without a video link");
        }
    }
}

/// Where the time of a stored job went.
fn durations(is: &State, after: &Stored, metrics: &telemetry::Metrics) {
    let State::Finished { end: job::End::Stored { .. }, at, task: Some(task), .. } = is else {
        return;
    };
    let record = &after.record;
    let model = record.spec.request.model.word();
    let begun = record.life.attempt(&task.attempt).map(|attempt| attempt.begun_at);
    let parts: [(&str, Option<Timestamp>, Timestamp); 3] = [
        ("submit_wait", Some(record.created_at), begun.unwrap_or(task.known_at)),
        ("submit_call", begun, task.known_at),
        ("total", Some(record.created_at), *at),
    ];
    for (part, from, to) in parts {
        let took: Option<Duration> = from.map(|from| to.since(from));
        if let Some(took) = took {
            metrics.step_duration.record(took, [part, model]);
        }
    }
}
