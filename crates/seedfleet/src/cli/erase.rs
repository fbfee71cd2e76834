//! What goes, and what comes from elsewhere.

use super::{job_id, task_id};
use clap::{Args, Subcommand};
use job::{ErasureId, JobId, TaskId};
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub(crate) enum EraseVerb {
    /// One job's content.
    Job {
        #[arg(value_parser = job_id)]
        id: JobId,
        #[command(flatten)]
        how: Erasing,
    },
    /// The content of every job of one customer (`end_user`) of a tenant.
    EndUser {
        /// As the jobs named it.
        end_user: String,
        /// Whose customer.
        #[arg(long, default_value = "default")]
        tenant: String,
        #[command(flatten)]
        how: Erasing,
    },
    /// The content of every job of a tenant.
    Tenant {
        tenant: String,
        #[command(flatten)]
        how: Erasing,
    },
    /// How an erasure stands; when it is done, its receipt.
    Show {
        #[arg(value_parser = erasure_id)]
        id: ErasureId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Erasing {
    /// Why; it stays in the audit and in the receipt, so it must not quote what goes.
    #[arg(long)]
    pub(crate) reason: String,
    /// Do it; without, only what would go is told.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Stop what has not ended, as far as it can be, instead of waiting for its end.
    #[arg(long)]
    pub(crate) cancel: bool,
    /// Your name in the audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    /// The provider's id of the task.
    #[arg(value_parser = task_id)]
    pub(crate) task: TaskId,
    /// The account whose key bought it, where the pool has several.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Its model, if you know; the provider tells it with the end.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Its resolution, if you know.
    #[arg(long)]
    pub(crate) resolution: Option<String>,
    /// Your own id.
    #[arg(long)]
    pub(crate) custom_id: Option<String>,
    /// Whose job it becomes.
    #[arg(long, default_value = "default")]
    pub(crate) tenant: String,
}

impl AdoptArgs {
    /// The request as the door reads it; the tenant goes beside it.
    pub(crate) fn body(&self) -> Value {
        let fields = [
            ("task_id", Some(self.task.as_str())),
            ("account", self.account.as_deref()),
            ("model", self.model.as_deref()),
            ("resolution", self.resolution.as_deref()),
            ("custom_id", self.custom_id.as_deref()),
        ];
        fields.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

fn erasure_id(text: &str) -> Result<ErasureId, String> {
    ErasureId::parse(text).map_err(|error| error.to_string())
}
