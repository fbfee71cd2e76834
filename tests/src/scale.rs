//! The scale drill: whether a fleet that grows and shrinks while it works loses nothing, buys nothing twice and keeps to
//! limits that change under it, and whether the gateway's word on how many processes are of use is right and steady.
//!
//! The drill plays the autoscaler of `docs/scaling.md`: it asks a real gateway, starts real programs and ends them, most
//! by SIGTERM and every tenth by SIGKILL. Twice on the way the provider's limits change. The audit reads the
//! simulator's ledger, and reckons by itself how many processes the limits in force can use.

mod autoscaler;
mod changes;
mod curve;
mod order;
mod page;
mod reckon;
mod run;
mod sample;
mod staff;
mod verdict;
mod watch;

pub use order::{Order, parse};
pub use run::{drill, run};
pub use verdict::Verdict;

/// The roles that are scaled, in the order of a job's way. A notifier has nothing to do here, and a gateway is not
/// reckoned.
pub(crate) const ROLES: [&str; 3] = ["submitter", "poller", "downloader"];
