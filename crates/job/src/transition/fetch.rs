//! Download: from a temporary link into the bucket, or only the payload of a task without output.

use super::draft::{Draft, ignore};
use crate::event::{Links, StoredOutput};
use crate::state::{End, Filing, State, Step};
use crate::{Alarm, TaskId, Ticket, Verdict, retry};

/// Reads in a row, `download.retry_max` apart, by which the provider must give no living link before
/// a paid output is given up.
const DEAD_READS_MAX: u32 = 3;

pub(super) fn stored(mut draft: Draft<'_>, id: &TaskId, output: &StoredOutput) -> Verdict {
    let State::Downloading { task, .. } = draft.state() else {
        return ignore("not downloading");
    };
    if task.id != *id {
        return ignore("another task's output");
    }
    // The payload lies beside the video already.
    draft.life.payload = None;
    let state = State::Finished {
        end: End::Stored { output: output.clone() },
        task: Some(task.clone()),
        filing: Filing::Filed,
        at: draft.now,
    };
    draft.go(state, Ticket::Gone, "stored")
}

pub(super) fn troubled(mut draft: Draft<'_>, id: &TaskId, reason: &str) -> Verdict {
    let State::Downloading { task, tries, links, .. } = draft.state() else {
        return ignore("not downloading");
    };
    if task.id != *id {
        return ignore("another task's output");
    }
    let policy = &draft.policy.download;
    let pause = retry::backoff(policy.retry_first, policy.retry_max, *tries);
    // An outage of the host, however long, must not use up a link that lives on:
    // the second half of the tries is spread over what is left of its life.
    let left = policy.tries_max.saturating_sub(*tries).max(1);
    let rare = links.die_at.since(draft.now) / left;
    let pause = if *tries >= policy.tries_max / 2 { pause.max(rare) } else { pause };
    let due = draft.now + pause;
    // Never sleep past the link's death: that visit asks for a fresh one.
    let due = if links.die_at > draft.now { due.min(links.die_at) } else { due };
    if let State::Downloading { tries, bucket_troubles, .. } = &mut draft.life.state {
        *tries = tries.saturating_add(1);
        *bucket_troubles = 0;
    }
    let what = format!("download failed: {reason}");
    draft.stay(Ticket::Due(Step::Download, due), Some(&what))
}

/// Our own bucket is ill: asked again at a pause that never grows past `download.retry_max`, for as
/// long as the link lives, and soon after the bucket is well.
pub(super) fn bucket_troubled(mut draft: Draft<'_>, id: &TaskId, reason: &str) -> Verdict {
    let State::Downloading { task, bucket_troubles, links, .. } = draft.state() else {
        return ignore("not downloading");
    };
    if task.id != *id {
        return ignore("another task's output");
    }
    let policy = &draft.policy.download;
    let pause = retry::backoff(policy.retry_first, policy.retry_max, *bucket_troubles);
    let due = draft.in_jittered(pause, *bucket_troubles);
    let due = if links.die_at > draft.now { due.min(links.die_at) } else { due };
    if let State::Downloading { bucket_troubles, .. } = &mut draft.life.state {
        *bucket_troubles = bucket_troubles.saturating_add(1);
    }
    let what = format!("the bucket is ill: {reason}");
    draft.stay(Ticket::Due(Step::Download, due), Some(&what))
}

/// The link is dead. A read of the task may have given fresh ones, and each time it does they are
/// taken: a bucket may be ill for longer than a link lives.
pub(super) fn link_died(
    mut draft: Draft<'_>,
    id: &TaskId,
    fresh: Option<&Links>,
    reason: &str,
) -> Verdict {
    let State::Downloading { task, renewed, dead_reads, .. } = draft.state() else {
        return ignore("not downloading");
    };
    if task.id != *id {
        return ignore("another task's output");
    }
    let (renewed_before, dead_reads_now) = (*renewed, dead_reads.saturating_add(1));
    if fresh.is_none() && dead_reads_now >= DEAD_READS_MAX {
        let end = End::OutputLost { reason: reason.to_owned() };
        let payload = draft.life.payload.clone();
        let (task, what) = (Some(task.clone()), format!("output lost: {reason}"));
        return draft.page(Alarm::OutputLost).finish(end, task, payload, what);
    }
    let (now, pause) = (draft.now, draft.policy.download.retry_max);
    let State::Downloading { links, tries, renewed, dead_reads, .. } = &mut draft.life.state else {
        return ignore("not downloading");
    };
    let Some(fresh) = fresh else {
        *dead_reads = dead_reads_now;
        let what = format!("the provider gives no living link yet: {reason}");
        return draft.stay(Ticket::Due(Step::Download, now + pause), Some(&what));
    };
    *links = fresh.clone();
    (*tries, *dead_reads, *renewed) = (0, 0, true);
    // A host that refuses every fresh link as well is not asked in a loop.
    let pause = pause.min(fresh.die_at.since(now) / 2);
    let due = if renewed_before { now + pause } else { now };
    draft.stay(Ticket::Due(Step::Download, due), Some("link died, a fresh one was given"))
}

pub(super) fn payload_filed(mut draft: Draft<'_>) -> Verdict {
    if !matches!(draft.state(), State::Finished { filing: Filing::Pending, .. }) {
        return ignore("nothing to file");
    }
    draft.life.payload = None;
    if let State::Finished { filing, .. } = &mut draft.life.state {
        *filing = Filing::Filed;
    }
    draft.stay(Ticket::Gone, None)
}

pub(super) fn filing_troubled(draft: Draft<'_>) -> Verdict {
    if !matches!(draft.state(), State::Finished { filing: Filing::Pending, .. }) {
        return ignore("nothing to file");
    }
    let due = draft.in_jittered(draft.policy.download.retry_max, 0);
    draft.stay(Ticket::Due(Step::Download, due), None)
}
