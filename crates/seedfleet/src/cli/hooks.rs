//! The command line of `events` and `webhooks`.

use super::duration;
use clap::{Args, Subcommand};
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum EventsVerb {
    /// Changes of jobs' states as they are committed, until Ctrl-C.
    Tail(TailArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// Begin so far back, such as 1h; with what comes from now on if not given.
    #[arg(long, value_parser = duration)]
    pub(crate) since: Option<Duration>,
    /// One tenant's only.
    #[arg(long)]
    pub(crate) tenant: Option<String>,
    /// Only these types, such as job.succeeded,job.failed.
    #[arg(long, value_delimiter = ',')]
    pub(crate) types: Vec<String>,
    /// End when no more is there, instead of waiting for more.
    #[arg(long)]
    pub(crate) no_follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksVerb {
    /// A tenant's endpoints and how they stand.
    List {
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Send an endpoint a test event.
    Test {
        /// Which endpoint.
        endpoint: String,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
    },
    /// Tell an endpoint again what happened.
    Replay {
        /// Which endpoint.
        endpoint: String,
        /// Whose.
        #[arg(long, default_value = "default")]
        tenant: String,
        /// From so far back, such as 2h.
        #[arg(long, value_parser = duration)]
        since: Duration,
        /// Only these types; those of the endpoint if none are named.
        #[arg(long, value_delimiter = ',')]
        types: Vec<String>,
    },
}
