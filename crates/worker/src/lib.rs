//! Turns the crank: claims tickets, runs a step for each, commits what it learned, extends leases,
//! drains. And everything a process of the fleet has in common: arguments, settings, the wait for
//! Redis and the check of it, health, metrics, signals, exit codes. Whoever serves a pool carries its operations out
//! by the same code.
//!
//! A binary is a [`Role`], one [`Step`] per queue and a `main` of a few lines:
//!
//! ```no_run
//! # use std::time::Duration;
//! # use worker::{Crew, CrewSettings, Fleet, Outcome, Role, Step, Turn, WorkError};
//! # struct Read;
//! # #[worker::async_trait]
//! # impl Step for Read {
//! #     fn queue(&self) -> store::Queue { store::Queue::Poll }
//! #     async fn run(&self, _: &store::Held, _: &Turn) -> Outcome { Outcome::Lost }
//! # }
//! fn main() -> std::process::ExitCode {
//!     let role = Role { name: "poller", grace: Duration::from_secs(20) };
//!     worker::main(role, async |fleet: Fleet| -> Result<(), Box<dyn std::error::Error>> {
//!         let settings: CrewSettings = fleet.section("poll")?;
//!         let crews = fleet.pools().iter().map(|pool| Crew::new(pool, Read, settings));
//!         Ok(fleet.work(crews.collect()).await?)
//!     })
//! }
//! ```
//!
//! The loops that speak with Redis are the store's [`store::engine`]; apalis, known to one file here,
//! drives the runs between them. Must not know: what a step does, the provider, the bucket, Redis keys.
#![forbid(unsafe_code)]

mod admin;
pub mod around;
mod beat;
mod buckets;
pub mod fault;
mod fleet;
mod health;
mod news;
mod operations;
mod policy;
mod prices;
mod recount;
mod reload;
mod runtime;
mod safety;
mod settle;
mod signals;
mod start;
mod step;
mod telling;
mod trim;

pub use admin::AdminSettings;
/// For `impl Step`.
pub use async_trait::async_trait;
pub use buckets::{BucketsError, buckets, shelf};
pub use fleet::{Crew, CrewSettings, Fleet, Pool, Role, WorkError, main};
pub use health::{Health, NotReady};
pub use operations::{Operations, serve_operations};
pub use policy::policy;
pub use prices::{PricesError, PricingSettings, use_prices};
pub use reload::Live;
pub use signals::Drain;
pub use start::{StartError, tenant_caps};
pub use step::{Outcome, Step, Turn};
/// For [`around`].
pub use store::Around;
