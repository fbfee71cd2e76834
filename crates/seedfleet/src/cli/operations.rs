//! The command line of `operations`, and what every verb on many jobs takes.

use super::duration;
use clap::{Args, Subcommand};
use std::time::Duration;

/// How many jobs, and how long they are waited for.
#[derive(Debug, Args)]
pub(crate) struct Many {
    /// Jobs at most, those first that were taken in first; all if not given. For jobs that are chosen and not named.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Longest time to follow it, such as 90s or 10m; then it goes on without.
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OperationsVerb {
    /// Newest first.
    List {
        /// Rows at most.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=200))]
        limit: u16,
    },
    /// One of them.
    Show {
        /// As it was told when it began.
        id: String,
    },
    /// Follow one to its end; carries it out where no gateway does.
    Watch {
        /// As it was told when it began.
        id: String,
        /// Longest wait, such as 90s or 10m.
        #[arg(long, default_value = "1h", value_parser = duration)]
        timeout: Duration,
    },
}
