//! The command line of a pilot.

use clap::Args;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct PilotArgs {
    /// Buy so many rows first, drawn across the file's distinct settings (model, resolution, ratio, duration, roles of
    /// media, sound), the commonest first. All rows are taken in, and the batch is paused for all but these, with
    /// the reason "pilot of ROWS". Waits for their end, shows videos, cost and failures, and says how to go on:
    /// `batch resume`. Only for a new batch, and a file that can be read twice. The same command again goes on where
    /// it was, and buys nothing more.
    #[arg(long, value_name = "ROWS", conflicts_with = "dry_run",
          value_parser = clap::value_parser!(u32).range(1..=i64::from(store::PILOT_MAX)))]
    pub(crate) pilot: Option<u32>,
    /// Longest wait for the pilot's end, such as 90s or 10m.
    #[arg(long, default_value = "30m", requires = "pilot", value_parser = super::duration)]
    pub(crate) timeout: Duration,
}
