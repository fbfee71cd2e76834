//! Poll: what reads of the task say. Callbacks end in the same events, so there is one path.

use super::draft::{Draft, ignore};
use crate::attempt::TaskRef;
use crate::event::{By, Links, StoredOutput, TaskReport, Trouble};
use crate::retry::{self, AfterTrouble};
use crate::rounds::{self, Outlook};
use crate::state::{End, State, Step};
use crate::{Alarm, Contradiction, TaskId, Ticket, Verdict, adopt};
use seedance::Task;

/// Reads in a row that must agree before an oddity becomes an end: a success without a link, or a
/// task the provider no longer knows.
const ODD_READS_MAX: u32 = 5;

pub(super) fn seen(
    draft: Draft<'_>,
    id: &TaskId,
    report: &TaskReport,
) -> Result<Verdict, Contradiction> {
    if !draft.job.life.tasks().any(|t| t == id) {
        return Err(Contradiction::ForeignTask {
            job: draft.job.id.clone(),
            state: draft.state().word(),
            task: id.clone(),
        });
    }
    Ok(match draft.state() {
        State::Generating { task, .. } if task.id == *id => generating(draft, task, report),
        State::Overdue { task, .. } if task.id == *id => overdue(draft, task, report),
        // Proof of a paid task moves even a finished job.
        State::Finished { end: End::TimedOut, task: Some(task), .. } if task.id == *id => {
            match report {
                TaskReport::Succeeded { links, payload } => fetch(draft, task, links, payload),
                TaskReport::InProgress { .. }
                | TaskReport::SucceededWithoutVideo { .. }
                | TaskReport::Failed { .. }
                | TaskReport::Expired { .. }
                | TaskReport::Cancelled { .. } => ignore("finished"),
            }
        }
        State::Generating { .. }
        | State::Overdue { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("this task is no longer watched"),
    })
}

fn generating(draft: Draft<'_>, task: &TaskRef, report: &TaskReport) -> Verdict {
    let owned = Some(task.clone());
    match report {
        TaskReport::InProgress { word, unknown, outlook } => {
            in_progress(draft, task, word, *unknown, outlook)
        }
        TaskReport::Succeeded { links, payload } => fetch(draft, task, links, payload),
        TaskReport::SucceededWithoutVideo { payload } => without_video(draft, task, payload),
        TaskReport::Failed { cause, payload } => {
            let what = format!("failed: {}", cause.code);
            draft.finish(End::Failed { cause: cause.clone() }, owned, Some(payload.clone()), what)
        }
        TaskReport::Expired { payload } => {
            let retryable = draft.job.spec.useful_until.is_none_or(|until| until > draft.now);
            let what = "expired at the provider, unpaid";
            draft.finish(End::Expired { retryable }, owned, Some(payload.clone()), what)
        }
        TaskReport::Cancelled { payload } => {
            let asked = draft.job.life.cancel.as_ref();
            let by = asked.map_or_else(|| By::named("provider"), |ask| ask.by.clone());
            draft.finish(End::Cancelled { by }, owned, Some(payload.clone()), "cancelled, unpaid")
        }
    }
}

fn in_progress(
    mut draft: Draft<'_>,
    task: &TaskRef,
    word: &str,
    unknown: bool,
    outlook: &Outlook,
) -> Verdict {
    let (now, poll) = (draft.now, &draft.policy.poll);
    let State::Generating { seen, checks, give_up_at, .. } = draft.state() else {
        return ignore("not generating");
    };
    if now >= *give_up_at {
        return past_our_limit(draft, task);
    }
    let turn = checks.saturating_add(1);
    let pause = retry::cadence(poll.first, poll.steady, turn);
    // Once looks are as rare as they get, counting them says nothing: such a look leaves the record as it is.
    let counted = if pause < poll.steady { turn } else { *checks };
    let account = task.facts.account.as_str();
    let learned = rounds::since(draft.job, task)
        .and_then(|since| outlook.next_look(account, poll, since, now));
    let due = match learned {
        Some(due) => due.min(*give_up_at),
        None if pause < poll.steady => draft.in_jittered(pause, turn),
        None => rounds::next(account, poll.steady, now),
    };
    let news = seen != word;
    let too_late = draft.job.life.cancel.is_some() && word == "running";
    if let State::Generating { seen, checks, troubles, odd, .. } = &mut draft.life.state {
        *seen = word.chars().take(40).collect();
        *checks = counted;
        (*troubles, *odd) = (0, 0);
    }
    if too_late {
        draft.life.cancel = None;
    }
    let what = match (news, too_late) {
        (_, true) => Some("too late to cancel: running".to_owned()),
        (true, false) => Some(format!("provider says {word}")),
        (false, false) => None,
    };
    let draft = if unknown && news { draft.page(Alarm::UnknownStatus) } else { draft };
    draft.stay(Ticket::Due(Step::Poll, due), what.as_deref())
}

/// Our own wall-clock limit: watched on rarely, for as long as the provider keeps the record.
fn past_our_limit(draft: Draft<'_>, task: &TaskRef) -> Verdict {
    let watch_until = task.known_at + draft.policy.settle.records_kept;
    if draft.now >= watch_until {
        let owned = Some(task.clone());
        return draft.finish(End::TimedOut, owned, None, "the provider's record has ended");
    }
    let slot_held = draft.now < task.expires_at;
    let due = draft.in_jittered(draft.policy.poll.overdue_look, 1);
    let state = State::Overdue { task: task.clone(), watch_until, slot_held };
    draft.go(state, Ticket::Due(Step::Poll, due), "past our limit, watched on")
}

fn fetch(mut draft: Draft<'_>, task: &TaskRef, links: &Links, payload: &str) -> Verdict {
    draft.learn(Some(payload));
    if draft.job.life.erased.is_some() {
        // Paid for, and not wanted any more: the bill is written down and the video left to expire.
        let told = Task::parse(payload.as_bytes()).ok();
        let tokens = told.and_then(|told| told.completion_tokens.or(told.total_tokens));
        let end = End::Stored { output: StoredOutput::gone(0, tokens) };
        return draft.finish(
            end,
            Some(task.clone()),
            None,
            "succeeded after the erasure: not fetched",
        );
    }
    let since = draft.now;
    draft.life.payload = Some(payload.to_owned());
    draft.life.cancel = None;
    let state = State::Downloading {
        task: task.clone(),
        links: links.clone(),
        tries: 0,
        bucket_troubles: 0,
        renewed: false,
        dead_reads: 0,
        since,
    };
    draft.go(state, Ticket::Due(Step::Download, since), "succeeded at the provider")
}

/// M12: seen, never silent. A few more reads first: the link is paid for and may appear.
fn without_video(mut draft: Draft<'_>, task: &TaskRef, payload: &str) -> Verdict {
    let State::Generating { odd, .. } = draft.state() else {
        return ignore("not generating");
    };
    let odd = odd.saturating_add(1);
    if odd >= ODD_READS_MAX {
        let end = End::OutputLost { reason: "success without a video link".to_owned() };
        let what = "succeeded without a video link";
        return draft.page(Alarm::OutputLost).finish(
            end,
            Some(task.clone()),
            Some(payload.to_owned()),
            what,
        );
    }
    if let State::Generating { odd: kept, .. } = &mut draft.life.state {
        *kept = odd;
    }
    let due = draft.in_jittered(draft.policy.poll.first, odd);
    draft
        .page(Alarm::SuccessWithoutVideo)
        .stay(Ticket::Due(Step::Poll, due), Some("success without a video link, asked again"))
}

fn overdue(mut draft: Draft<'_>, task: &TaskRef, report: &TaskReport) -> Verdict {
    let owned = Some(task.clone());
    match report {
        TaskReport::Succeeded { links, payload } => fetch(draft, task, links, payload),
        TaskReport::SucceededWithoutVideo { payload } => {
            let end = End::OutputLost { reason: "late success without a video link".to_owned() };
            let what = "late success without a video link";
            draft.page(Alarm::OutputLost).finish(end, owned, Some(payload.clone()), what)
        }
        TaskReport::Failed { payload, .. }
        | TaskReport::Expired { payload }
        | TaskReport::Cancelled { payload } => {
            draft.finish(End::TimedOut, owned, Some(payload.clone()), "ended late without output")
        }
        TaskReport::InProgress { .. } => {
            let State::Overdue { watch_until, .. } = draft.state() else {
                return ignore("not overdue");
            };
            if draft.now >= *watch_until {
                return draft.finish(End::TimedOut, owned, None, "the provider's record has ended");
            }
            if let State::Overdue { slot_held, .. } = &mut draft.life.state {
                *slot_held = draft.now < task.expires_at;
            }
            let due = draft.in_jittered(draft.policy.poll.overdue_look, 1);
            draft.stay(Ticket::Due(Step::Poll, due), None)
        }
    }
}

/// The task could not be read: again later, under the wall-clock limit.
pub(super) fn troubled(draft: Draft<'_>, id: &TaskId, trouble: &Trouble) -> Verdict {
    let pages = retry::after_trouble(trouble.class) == AfterTrouble::BackoffAndPage;
    unread(draft, id, trouble.not_before, pages)
}

/// 404: not visible yet, or gone for good.
pub(super) fn missing(mut draft: Draft<'_>, id: &TaskId) -> Verdict {
    match draft.state() {
        State::Generating { task, odd, .. } if task.id == *id => {
            let young = draft.now < task.known_at + draft.policy.poll.not_found_grace;
            let odd = odd.saturating_add(1);
            if !young && odd >= ODD_READS_MAX && adopt::was_never_seen(draft.job) {
                let task = Some(task.clone());
                let end = End::Failed { cause: adopt::unknown_task() };
                return draft.finish(
                    end,
                    task,
                    None,
                    "the provider does not know the adopted task",
                );
            }
            if !young && odd >= ODD_READS_MAX {
                let task = Some(task.clone());
                let what = "the provider no longer knows the task";
                return draft.page(Alarm::OutputLost).finish(End::TimedOut, task, None, what);
            }
            if young {
                let due = draft.in_jittered(draft.policy.poll.first, 0);
                return draft.stay(Ticket::Due(Step::Poll, due), None);
            }
            if let State::Generating { odd: kept, .. } = &mut draft.life.state {
                *kept = odd;
            }
            unread(draft, id, None, false)
        }
        // One look in half an hour is no row of reads that agree, and a late success has been paid
        // for: watched to the end.
        State::Overdue { task, .. } if task.id == *id => unread(draft, id, None, false),
        State::Generating { .. }
        | State::Overdue { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => ignore("this task is no longer watched"),
    }
}

fn unread(
    mut draft: Draft<'_>,
    id: &TaskId,
    not_before: Option<crate::Timestamp>,
    pages: bool,
) -> Verdict {
    let (now, poll) = (draft.now, &draft.policy.poll);
    let (pause, turn) = match draft.state() {
        State::Generating { task, give_up_at, .. } if task.id == *id && now >= *give_up_at => {
            return past_our_limit(draft, task);
        }
        State::Generating { task, troubles, .. } if task.id == *id => {
            (retry::backoff(poll.steady, poll.max, *troubles), *troubles)
        }
        State::Overdue { task, watch_until, .. } if task.id == *id && now >= *watch_until => {
            let task = Some(task.clone());
            let what = "the provider's record has ended, unread";
            return draft.page(Alarm::OutputLost).finish(End::TimedOut, task, None, what);
        }
        State::Overdue { task, .. } if task.id == *id => {
            let free = now >= task.expires_at;
            if let State::Overdue { slot_held, .. } = &mut draft.life.state {
                *slot_held &= !free;
            }
            (poll.overdue_look, 0)
        }
        State::Generating { .. }
        | State::Overdue { .. }
        | State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => return ignore("this task is no longer watched"),
    };
    let pause = if pages { poll.max.max(pause) } else { pause };
    let due = draft.in_jittered(pause, turn);
    // A read is free, and a task may have succeeded: whatever the provider asks for, the next look
    // must not lie behind the death of the link.
    let asked = not_before.unwrap_or(now).min(now + poll.overdue_look);
    let due = due.max(asked);
    if let State::Generating { troubles, .. } = &mut draft.life.state {
        *troubles = troubles.saturating_add(1);
    }
    let draft = if pages && turn == 0 { draft.page(Alarm::AccountStopped) } else { draft };
    draft.stay(Ticket::Due(Step::Poll, due), None)
}
