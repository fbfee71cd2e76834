//! The command line of `context`, and the options that say whom a verb talks to.

use clap::{Args, Subcommand};
use std::path::PathBuf;

// `docs/decisions/0038-whom-the-command-line-talks-to.md` has the rule.
/// Whom a verb talks to.
#[derive(Debug, Args)]
pub(crate) struct Whereto {
    /// The gateway, such as https://fleet.example; else $SEEDFLEET_SERVER, else the current context
    /// (`seedfleet context`). Where none is named, and with --config and no server, verbs open Redis.
    #[arg(long, global = true, value_name = "URL", conflicts_with_all = ["context", "direct"])]
    pub(crate) server: Option<String>,
    /// File with the API key for the gateway; else $SEEDFLEET_API_KEY_FILE or $SEEDFLEET_API_KEY.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "direct")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// The gateway of this name (`seedfleet context list`), instead of the current one.
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "direct")]
    pub(crate) context: Option<String>,
    /// Open Redis with the configuration of this machine, whatever gateway is named: break-glass.
    #[arg(long, global = true)]
    pub(crate) direct: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContextVerb {
    /// All of them.
    List,
    /// One of them; the current one if no name is given.
    Show { name: Option<String> },
    /// Talk to this one from now on.
    Use { name: String },
    /// Write one down, or change it, from --server, --api-key-file and --pool; what is left out stays as it is. The
    /// first one becomes the current one. The key itself is never written down.
    Set { name: String },
    /// Forget one.
    Remove { name: String },
}
