//! The command line of `reconcile`, `freeze` and `thaw`.

use super::{duration, job_id, task_id};
use clap::Args;
use job::{JobId, TaskId};
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct ReconcileArgs {
    /// How far back the provider's list is read, at most 7 days.
    #[arg(long, default_value = "24h", value_parser = duration)]
    pub(crate) since: Duration,
    /// Look only: nothing is adopted, restored or put in doubt.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// After Redis was restored or lost data: freeze creates, wait until all that was sent shows in
    /// lists, bring back what the second fence holds, report; thaw with --yes.
    #[arg(long, conflicts_with = "claim")]
    pub(crate) after_restore: bool,
    /// Withdraw tasks nobody owns, if a read says that they still wait at the provider.
    #[arg(long, conflicts_with = "claim")]
    pub(crate) cancel_queued: bool,
    /// This unowned task was bought for this waiting job.
    #[arg(long, value_name = "JOB=TASK", value_parser = pair)]
    pub(crate) claim: Option<(JobId, TaskId)>,
    /// Thaw at the end, or take the claim.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Why; it stays in the audit.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Your name in the audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
    /// The whole report as one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FreezeArgs {
    /// Why; it stays in the audit.
    #[arg(long)]
    pub(crate) reason: String,
    /// Your name in the audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ThawArgs {
    /// Why; it stays in the audit.
    #[arg(long)]
    pub(crate) reason: String,
    /// Your name in the audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
    /// Thaw although Redis lost data and nobody has reconciled since.
    #[arg(long)]
    pub(crate) yes: bool,
}

fn pair(text: &str) -> Result<(JobId, TaskId), String> {
    let (job, task) = text.split_once('=').ok_or("expected JOB=TASK")?;
    Ok((job_id(job)?, task_id(task)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_names_a_job_and_a_task() {
        let (job, task) = pair("job_01JB2AAAAAAAAAAAAAAAAAAAAA=cgt-1").unwrap();
        assert_eq!((job.as_str(), task.as_str()), ("job_01JB2AAAAAAAAAAAAAAAAAAAAA", "cgt-1"));
        assert!(pair("cgt-1").is_err());
        assert!(pair("job_1=cgt-1").is_err());
    }
}
