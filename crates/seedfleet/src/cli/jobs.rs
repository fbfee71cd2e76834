//! The command line of `jobs`.

use super::{AdoptArgs, Decision, Many, Which, duration, job_id};
use clap::{Args, Subcommand};
use job::JobId;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum JobsVerb {
    /// Newest first.
    List {
        #[command(flatten)]
        which: Which,
        /// Rows at most; 0 means all.
        #[arg(long, default_value_t = 50)]
        limit: u64,
        /// Where the page before ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// One job with its attempts and its timeline.
    Show {
        #[arg(value_parser = job_id)]
        id: JobId,
    },
    /// Follow one job, a line for each step, until it has ended; exit codes as those of `wait`.
    Watch {
        #[arg(value_parser = job_id)]
        id: JobId,
        /// Longest wait, such as 90s or 10m.
        #[arg(long, default_value = "30m", value_parser = duration)]
        timeout: Duration,
    },
    /// Wait until jobs have ended; exit 8 when time is up, 1 when not all succeeded.
    Wait {
        #[arg(value_parser = job_id, required_unless_present = "batch")]
        ids: Vec<JobId>,
        /// Every job of this batch.
        #[arg(long)]
        batch: Option<String>,
        /// Whose batch, where several tenants have one of this name.
        #[arg(long, requires = "batch")]
        tenant: Option<String>,
        /// Longest wait, such as 90s or 10m.
        #[arg(long, default_value = "30m", value_parser = duration)]
        timeout: Duration,
    },
    /// Take over a task that was bought elsewhere: watch it and fetch its video, buy nothing.
    Adopt(AdoptArgs),
    /// The link of a stored video; on a desktop it is opened as well.
    Open {
        #[arg(value_parser = job_id)]
        id: JobId,
        /// Its last frame in place of the video.
        #[arg(long)]
        last_frame: bool,
        /// Print the link and open nothing.
        #[arg(long)]
        print: bool,
        /// How long a signed link is good, such as 10m or 12h.
        #[arg(long, default_value = "1h", value_parser = duration)]
        lives: Duration,
    },
    /// A new job of an older one's request, as it was or with fields changed; without --yes it is only told what it
    /// costs. Without a change it is the next take of the request.
    Clone(CloneArgs),
    /// Make ended jobs again, each as a new job that is bought. Those that ended failed, expired, cancelled,
    /// output_lost or timed_out can; without --yes it is only told how many, and what they cost.
    Retry(JobsArgs),
    /// Stop jobs. What runs at the provider is stopped only while it still waits there. Jobs that are chosen and not
    /// named are counted first, and need --yes.
    Cancel(JobsArgs),
}

/// Jobs by name, or those of a filter, and who wants something of them.
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    #[arg(value_parser = job_id)]
    pub(crate) ids: Vec<JobId>,
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) many: Many,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

#[derive(Debug, Args)]
pub(crate) struct CloneArgs {
    #[arg(value_parser = job_id)]
    pub(crate) id: JobId,
    /// A field of the request and its value: prompt=…, duration=8, metadata.order=991, custom_id=row-7; nothing behind
    /// the sign takes the field out. Repeat it for more.
    #[arg(long, value_name = "FIELD=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// Buy it; without, the cost is told, and asked for on a terminal.
    #[arg(long)]
    pub(crate) yes: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((field, value)) if !field.trim().is_empty() => {
            Ok((field.trim().to_owned(), value.to_owned()))
        }
        _ => Err("write it as FIELD=VALUE, such as duration=8".to_owned()),
    }
}
