//! The command line of `export`.

use super::Which;
use clap::Args;
use erasure::Days;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Only jobs that ended on this UTC day or later, such as 2026-11-27.
    #[arg(long, value_name = "DAY")]
    pub(crate) ended_from: Option<jiff::civil::Date>,
    /// Only jobs that ended on this UTC day or before.
    #[arg(long, value_name = "DAY")]
    pub(crate) ended_until: Option<jiff::civil::Date>,
    /// Leave out jobs whose records have left Redis for the bucket.
    #[arg(long)]
    pub(crate) no_archive: bool,
    /// Fetch the stored videos and last frames as well, into this folder; whole files that are there are
    /// kept, so the same command goes on where it was broken off. Exit 7 when some could not be fetched.
    #[arg(long, value_name = "DIR")]
    pub(crate) download: Option<PathBuf>,
    /// Jobs whose files are fetched at once.
    #[arg(long, value_name = "N", default_value_t = 8, requires = "download",
          value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) parallel: u8,
}

impl ExportArgs {
    /// The days on which the jobs ended.
    pub(crate) fn days(&self) -> Days {
        let name = |day: jiff::civil::Date| day.to_string();
        Days { from: self.ended_from.map(name), until: self.ended_until.map(name) }
    }
}
