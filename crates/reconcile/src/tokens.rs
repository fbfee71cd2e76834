//! What the provider bills for, against what our records say.

use crate::report::{Finding, FindingKind, Report, Tokens};
use crate::{Ground, ReconcileError};
use job::{End, JobId, State, TaskId};
use store::LOAD_MAX;

/// A succeeded task of the list.
pub(crate) struct Billed {
    pub(crate) task: TaskId,
    pub(crate) tokens: u64,
    /// The job that owns it; none: nobody.
    pub(crate) owner: Option<JobId>,
}

/// Adds up one account's tasks; tells each whose record says otherwise.
pub(crate) async fn add_up(
    ground: &Ground,
    account: &str,
    billed: &[Billed],
    report: &mut Report,
) -> Result<Tokens, ReconcileError> {
    let mut sum = Tokens::default();
    for part in billed.chunks(LOAD_MAX) {
        let owned: Vec<(&Billed, JobId)> =
            part.iter().filter_map(|b| Some((b, b.owner.clone()?))).collect();
        sum.provider += part.iter().map(|b| b.tokens).sum::<u64>();
        sum.unowned += part.iter().filter(|b| b.owner.is_none()).map(|b| b.tokens).sum::<u64>();
        let ids: Vec<JobId> = owned.iter().map(|(_, id)| id.clone()).collect();
        for ((billed, id), found) in owned.iter().zip(ground.store.load_many(&ids).await?) {
            let Ok(Some(stored)) = found else { continue };
            match recorded(&stored.record.life.state, &billed.task) {
                Recorded::Tokens(ours) => {
                    sum.ours += ours;
                    if ours != billed.tokens {
                        report.find(differs(account, id, billed, ours));
                    }
                }
                Recorded::OnItsWay => sum.pending += billed.tokens,
                Recorded::Nothing => {}
            }
        }
    }
    Ok(sum)
}

enum Recorded {
    Tokens(u64),
    OnItsWay,
    /// A stray, or a task whose output was lost: billed, and in no record's result.
    Nothing,
}

fn recorded(state: &State, task: &TaskId) -> Recorded {
    match state {
        State::Finished { end: End::Stored { output }, task: Some(own), .. } if own.id == *task => {
            output.tokens.map_or(Recorded::Nothing, Recorded::Tokens)
        }
        State::Generating { task: own, .. }
        | State::Overdue { task: own, .. }
        | State::Downloading { task: own, .. }
            if own.id == *task =>
        {
            Recorded::OnItsWay
        }
        State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => Recorded::Nothing,
    }
}

fn differs(account: &str, job: &JobId, billed: &Billed, ours: u64) -> Finding {
    let Billed { task, tokens, .. } = billed;
    Finding {
        kind: FindingKind::TokensDiffer,
        account: Some(account.to_owned()),
        job: Some(job.clone()),
        task: Some(task.clone()),
        sentence: format!("the provider tells {tokens} tokens for {task}, our record {ours}"),
        cure: format!("seedfleet jobs show {job}: compare it with the bill"),
    }
}
