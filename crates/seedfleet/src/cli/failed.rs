//! The command line of `failed`.

use super::{Decision, Many};
use clap::{Args, Subcommand};
use job::filter::Filter;

#[derive(Debug, Subcommand)]
pub(crate) enum FailedVerb {
    /// Failures by code, with what to do about each; those that were dismissed or have left Redis are only counted.
    List {
        #[command(flatten)]
        whose: FailedArgs,
        /// Those that were dismissed.
        #[arg(long, conflicts_with = "all")]
        dismissed: bool,
        /// Every code, with all that ever failed with it.
        #[arg(long)]
        all: bool,
    },
    /// The jobs that failed with one code, newest first.
    Show {
        /// The code, as `failed list` tells it.
        code: String,
        #[command(flatten)]
        which: FailedWhich,
        /// Rows at most; 0 means all.
        #[arg(long, default_value_t = 50)]
        limit: u64,
        /// Where the page before ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Make the jobs that failed with one code again, each as a new job that is bought; without --yes it is only
    /// told how many, and what they cost.
    Retry {
        /// The code, as `failed list` tells it.
        code: String,
        #[command(flatten)]
        which: FailedWhich,
        #[command(flatten)]
        many: Many,
        #[command(flatten)]
        decision: Decision,
    },
    /// Failures as rows of a file that `import` takes, whole requests with code, message and advice beside them under
    /// names that begin with `_`: mend the rows, then `import FILE --retry-of BATCH`. Lines of JSON, or -o csv.
    Export {
        /// The code, as `failed list` tells it; all if not given.
        code: Option<String>,
        #[command(flatten)]
        which: FailedWhich,
        /// Leave out jobs whose records have left Redis for the bucket.
        #[arg(long)]
        no_archive: bool,
    },
    /// Take failures out of the list of failures. Each job stands as it ended, tells who dismissed it and why, and
    /// may still be made again with --dismissed.
    Dismiss {
        /// The code, as `failed list` tells it.
        code: String,
        #[command(flatten)]
        whose: FailedArgs,
        /// More conditions, such as 'age>1d'; docs/filters.md has them all.
        #[arg(long = "where", value_name = "FILTER")]
        conditions: Option<Filter>,
        #[command(flatten)]
        many: Many,
        #[command(flatten)]
        decision: Decision,
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

/// Which failures.
#[derive(Debug, Args)]
pub(crate) struct FailedWhich {
    #[command(flatten)]
    pub(crate) whose: FailedArgs,
    /// More conditions, such as 'age>1d'; docs/filters.md has them all.
    #[arg(long = "where", value_name = "FILTER")]
    pub(crate) conditions: Option<Filter>,
    /// Those that were dismissed, and no others.
    #[arg(long)]
    pub(crate) dismissed: bool,
}

impl FailedArgs {
    /// As a filter.
    pub(crate) fn filter(&self, conditions: Option<&Filter>) -> Filter {
        let mut filter = conditions.cloned().unwrap_or_default();
        if let Some(batch) = &self.batch {
            filter = filter.batch(batch);
        }
        match &self.tenant {
            Some(tenant) => filter.tenant(tenant),
            None => filter,
        }
    }
}

impl FailedWhich {
    /// As a filter.
    pub(crate) fn filter(&self) -> Filter {
        self.whose.filter(self.conditions.as_ref()).dismissed(self.dismissed)
    }
}
