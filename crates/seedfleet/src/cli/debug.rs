//! The command line of `debug`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum DebugVerb {
    /// Write what others need to help into one archive: no keys, no prompts, no links.
    Bundle(BundleArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The archive (tar); named after the time if not given. It must not be there yet.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// So many events and failed jobs of each pool, the newest.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub(crate) last: u64,
    /// Leave the doctor out: it asks the provider and the bucket.
    #[arg(long)]
    pub(crate) no_doctor: bool,
}
