//! The command line of `queue`.

use super::doubt::Decision;
use clap::{Args, Subcommand, ValueEnum};
use seedance::SlotClass;
use std::time::Duration;
use store::PauseScope;

#[derive(Debug, Subcommand)]
pub(crate) enum QueueVerb {
    /// What waits in each queue, and what is paused.
    Status,
    /// Hand out nothing new of a part of the pool for a while; what was begun goes on.
    Pause(PauseArgs),
    /// Let a paused part go on.
    Resume(ResumeArgs),
    /// Pause a part and wait until nothing of it is in hand any more. It stays paused.
    Drain(DrainArgs),
}

/// A part of the pool; all creates if nothing is said.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PartArgs {
    /// The creates of one tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// The creates of one class of models: 2.0, 2.0-4k, 2.0-fast, 2.0-mini.
    #[arg(long, value_parser = class)]
    model: Option<SlotClass>,
    /// One stage of all jobs.
    #[arg(long, value_enum)]
    stage: Option<Stage>,
}

/// What can be paused of all jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// Creates. Doubts are settled all the same.
    Submit,
    /// Looks at tasks, for 12h at most. Callbacks are heard all the same.
    Poll,
    /// Copies into the bucket, save those whose link dies within two hours.
    Download,
}

#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    #[command(flatten)]
    part: PartArgs,
    /// How long; it ends by itself. 1h if not given.
    #[arg(long = "for", value_parser = super::duration, conflicts_with = "until_resumed")]
    lasts: Option<Duration>,
    /// It does not end by itself; `queue status`, `limits show` and the dashboard show it.
    #[arg(long)]
    until_resumed: bool,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) pause: PauseArgs,
    /// Longest wait, such as 90s or 10m.
    #[arg(long, default_value = "30m", value_parser = super::duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    #[command(flatten)]
    part: PartArgs,
    #[command(flatten)]
    pub(crate) decision: Decision,
}

impl PartArgs {
    fn scope(&self) -> PauseScope {
        match (&self.tenant, self.model, self.stage) {
            (Some(tenant), _, _) => PauseScope::Tenant(tenant.clone()),
            (None, Some(class), _) => PauseScope::Model(class),
            (None, None, Some(Stage::Poll)) => PauseScope::Poll,
            (None, None, Some(Stage::Download)) => PauseScope::Download,
            (None, None, Some(Stage::Submit) | None) => PauseScope::Submit,
        }
    }
}

impl PauseArgs {
    /// What.
    pub(crate) fn scope(&self) -> PauseScope {
        self.part.scope()
    }

    /// How long; none: until it is resumed.
    pub(crate) fn lasts(&self) -> Option<Duration> {
        (!self.until_resumed).then(|| self.lasts.unwrap_or(store::PAUSE_FOR))
    }
}

impl ResumeArgs {
    /// What.
    pub(crate) fn scope(&self) -> PauseScope {
        self.part.scope()
    }
}

fn class(text: &str) -> Result<SlotClass, String> {
    SlotClass::ALL.into_iter().find(|class| class.word() == text).ok_or_else(|| {
        let known = SlotClass::ALL.map(SlotClass::word).join(", ");
        format!("{text:?} is no class of models; there are {known}")
    })
}
