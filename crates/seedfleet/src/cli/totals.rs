//! The command line of `failed`, `usage`, `cost`, `batch` and `limits`.

use super::doubt::Decision;
use super::import::RowFormat;
use clap::{Args, Subcommand, ValueEnum};
use job::Timestamp;
use std::path::PathBuf;
use std::str::FromStr;
use survey::Group;

#[derive(Debug, Subcommand)]
pub(crate) enum FailedVerb {
    /// Failures by code, with what to do about each.
    List(FailedArgs),
    /// The jobs that failed with one code, newest first.
    Show {
        /// The code, as `failed list` tells it.
        code: String,
        #[command(flatten)]
        whose: FailedArgs,
        /// Rows at most; 0 means all.
        #[arg(long, default_value_t = 50)]
        limit: u64,
    },
}

/// Whose failures; everybody's if not said.
#[derive(Debug, Args)]
pub(crate) struct FailedArgs {
    /// Batch.
    #[arg(long)]
    pub(crate) batch: Option<String>,
    /// Tenant.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    /// From this day on: a date or an instant; 30 days back if not given.
    #[arg(long, value_parser = instant)]
    pub(crate) from: Option<Timestamp>,
    /// Up to this day, included; today if not given.
    #[arg(long, value_parser = instant)]
    pub(crate) to: Option<Timestamp>,
    /// Sums by this.
    #[arg(long, value_enum, default_value = "day")]
    pub(crate) by: By,
    /// One tenant's.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
}

/// By what usage is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    /// UTC day of the job's end.
    Day,
    /// Tenant.
    Tenant,
    /// Batch: all that its jobs cost so far, of those that began in the time asked for.
    Batch,
    /// Model.
    Model,
}

impl From<By> for Group {
    fn from(by: By) -> Self {
        match by {
            By::Day => Self::Day,
            By::Tenant => Self::Tenant,
            By::Batch => Self::Batch,
            By::Model => Self::Model,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum BatchVerb {
    /// Newest first.
    List {
        /// One tenant's.
        #[arg(long)]
        tenant: Option<String>,
        /// Rows at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// Jobs by state, cost, and whether it is paused.
    Show(BatchNamed),
    /// Submit none of its queued jobs until it is resumed.
    Pause(BatchArgs),
    /// Let its paused jobs go on.
    Resume(BatchArgs),
    /// Stop its jobs; what runs at the provider is stopped only while it still waits there.
    Cancel(BatchArgs),
}

/// A batch.
#[derive(Debug, Args)]
pub(crate) struct BatchNamed {
    /// Its name.
    pub(crate) batch: String,
    /// Whose it is, where several tenants have one of this name.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
}

/// A batch, and who wants something of it.
#[derive(Debug, Args)]
pub(crate) struct BatchArgs {
    #[command(flatten)]
    pub(crate) named: BatchNamed,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CostVerb {
    /// What a file of requests would need, by the price table. Asks nobody: neither Redis nor the provider.
    Estimate(EstimateArgs),
}

#[derive(Debug, Args)]
pub(crate) struct EstimateArgs {
    /// One request as a JSON object, or a file of requests as `import` takes it; `-` for lines of JSON on
    /// standard input.
    pub(crate) file: PathBuf,
    /// How its rows are written; told by the end of its name if not given, and else lines of JSON.
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
    /// At the prices of this route; those of the pool if not given, and then no pool is needed.
    #[arg(long, value_parser = seedance::Route::from_str)]
    pub(crate) route: Option<seedance::Route>,
    /// At the prices of this day, such as 2026-12-01; today's if not given.
    #[arg(long, value_parser = seedance::Day::from_str)]
    pub(crate) on: Option<seedance::Day>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LimitsVerb {
    /// The provider's limits, their use, and what holds jobs up now.
    Show,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_instant(text)
}
