//! The command line of `schema`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum SchemaVerb {
    /// Which version of the record is in force, what each live process reads and writes, and how many jobs are older.
    Status(SchemaStatusArgs),
    /// Put a newer version in force, once every live process reads it. There is no way back to programs that do not.
    Finalize(FinalizeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct SchemaStatusArgs {
    /// Jobs looked at in each pool, about: a sample where there are more; 0 looks at all of them.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) jobs: u64,
    /// Go on where an earlier look at the pool of --pool ended.
    #[arg(long, value_name = "CURSOR", default_value_t = 0)]
    pub(crate) after: u64,
}

#[derive(Debug, Args)]
pub(crate) struct FinalizeArgs {
    /// The version; the newest that this program knows if not given.
    #[arg(long)]
    pub(crate) to: Option<u32>,
    /// Why; it stays in the audit.
    #[arg(long)]
    pub(crate) reason: String,
    /// Your name in the audit; the login name if not given.
    #[arg(long)]
    pub(crate) by: Option<String>,
    /// Agree; without, it is asked for on a terminal.
    #[arg(long)]
    pub(crate) yes: bool,
}
