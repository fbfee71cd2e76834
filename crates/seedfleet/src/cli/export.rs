//! The command line of `export`.

use super::Which;
use clap::Args;

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
}

impl ExportArgs {
    /// Whether jobs that ended on that day are wanted; none: of those that have not ended.
    pub(crate) fn ended_on(&self, day: Option<jiff::civil::Date>) -> bool {
        match day {
            Some(day) => {
                self.ended_from.is_none_or(|from| from <= day)
                    && self.ended_until.is_none_or(|until| day <= until)
            }
            None => self.ended_from.is_none() && self.ended_until.is_none(),
        }
    }
}
