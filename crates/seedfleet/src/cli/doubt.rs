//! The command line of `doubt` and `audit`.

use super::{duration, job_id, task_id};
use crate::exit::Failure;
use clap::{Args, Subcommand, ValueEnum};
use job::{JobId, TaskId};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum DoubtVerb {
    /// Jobs in doubt and parked ones.
    List,
    /// The evidence about one job, and what may be done next.
    Show {
        #[arg(value_parser = job_id)]
        id: JobId,
    },
    /// This task is the job's: watch it and bring it home.
    Adopt {
        #[arg(value_parser = job_id)]
        id: JobId,
        #[arg(value_parser = task_id)]
        task: TaskId,
        /// Take it although a read of the task does not show the attempt's mark.
        #[arg(long)]
        unverified: bool,
        #[command(flatten)]
        decision: Decision,
    },
    /// Send it again. If the first create made a task after all, two are paid.
    Resend(ChosenArgs),
    /// End it without a result.
    GiveUp(ChosenArgs),
    /// Do what a reviewed preview lists, job by job, where nothing has changed since.
    Apply {
        /// A file that `--preview` wrote; lines may have been deleted.
        file: PathBuf,
        #[command(flatten)]
        decision: Decision,
    },
}

/// One job by its id, or many by way of a preview.
#[derive(Debug, Args)]
pub(crate) struct ChosenArgs {
    #[arg(value_parser = job_id, required_unless_present = "all", conflicts_with = "all")]
    pub(crate) id: Option<JobId>,
    #[command(flatten)]
    pub(crate) bulk: Bulk,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

/// Which parked jobs; all conditions must hold.
#[derive(Debug, Args, Clone, Default)]
pub(crate) struct Bulk {
    /// Every parked job that the conditions let through; writes a preview and changes nothing.
    #[arg(long, requires = "preview")]
    pub(crate) all: bool,
    /// Where the preview is written, one job a line; `doubt apply` takes it from there.
    #[arg(long, requires = "all", value_name = "FILE")]
    pub(crate) preview: Option<PathBuf>,
    /// Parked for this reason. Jobs that several tasks fit are taken only if asked for by it.
    #[arg(long, requires = "all", value_enum)]
    pub(crate) reason_kind: Option<ReasonKind>,
    /// Attempts on this account.
    #[arg(long, requires = "all")]
    pub(crate) account: Option<String>,
    /// Parked within this time, such as 24h.
    #[arg(long, requires = "all", value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Batch.
    #[arg(long, requires = "all")]
    pub(crate) batch: Option<String>,
    /// Tenant.
    #[arg(long, requires = "all")]
    pub(crate) tenant: Option<String>,
    /// Jobs at most, the newest ones.
    #[arg(long, requires = "all", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max: u32,
}

/// Why jobs are parked, as the record tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum ReasonKind {
    /// No task was seen, and the pool's policy is strict.
    NoTaskStrict,
    /// No task was seen, and the job's automatic re-sends are spent.
    ResendSpent,
    /// No task was seen, and the account's list is not proven yet.
    EvidenceMissing,
    /// No task was seen, and the day's automatic re-sends are spent.
    DayBudgetSpent,
    /// No scan of the list proved anything.
    ListUnreadable,
    /// More than one task fits.
    SeveralTasks,
}

impl ReasonKind {
    /// The word in records and previews.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NoTaskStrict => "no_task_strict",
            Self::ResendSpent => "resend_spent",
            Self::EvidenceMissing => "evidence_missing",
            Self::DayBudgetSpent => "day_budget_spent",
            Self::ListUnreadable => "list_unreadable",
            Self::SeveralTasks => "several_tasks",
        }
    }
}

/// Who decides what no program may.
#[derive(Debug, Args)]
pub(crate) struct Decision {
    /// Why; it stays in the job's timeline and in the audit.
    #[arg(long)]
    reason: Option<String>,
    /// Your name in timeline and audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
    /// Do it; without, only the evidence is shown.
    #[arg(long)]
    pub(crate) yes: bool,
}

impl Decision {
    /// The reason.
    ///
    /// # Errors
    ///
    /// None was given.
    pub(crate) fn reason(&self) -> Result<&str, Failure> {
        match self.reason.as_deref().map(str::trim) {
            None => Err(Failure::usage("--reason is missing").hint("write what you know")),
            Some("") => Err(Failure::usage("--reason is empty").hint("write what you know")),
            Some(reason) => Ok(reason),
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// How far back, such as 24h.
    #[arg(long, value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// Lines at most.
    #[arg(long, default_value_t = 200)]
    pub(crate) limit: usize,
    /// Alarms as well, which no person raised.
    #[arg(long)]
    pub(crate) alarms: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_names_every_reason() {
        let manual = include_str!("../../../../docs/doubts.md");
        for kind in ReasonKind::value_variants() {
            assert!(manual.contains(&format!("| `{}` |", kind.word())), "{kind:?}");
            let name = kind.to_possible_value().expect("none is hidden");
            assert_eq!(name.get_name(), kind.word());
        }
    }
}
