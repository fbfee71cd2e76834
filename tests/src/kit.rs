//! A whole fleet on this machine: a private Redis, the simulator and the real programs, each a child
//! process, with one configuration file and one folder for everything they write.
//!
//! A scenario starts a [`Fleet`], hands it jobs, breaks something, and waits for facts: the records in
//! Redis, the files in the bucket, and the simulator's ledger, which is the only word on what was
//! bought. Dropping the fleet ends every child; a test that fails prints the last lines of each.
//! Knows the programs by name and configuration only, as an operator does.

mod audit;
mod bodies;
mod cli;
mod clock;
mod config;
mod door;
mod files;
mod fleet;
mod guard;
mod http;
pub mod inbound;
mod ledger;
mod pages;
mod power;
mod provider;
mod proxy;
mod receiver;
mod roles;
mod sse;
mod walls;
mod wire;

pub use audit::Kept;
pub use bodies::{Prompt, item, text};
pub use cli::Ended;
pub use clock::Clock;
pub use files::{FileHost, Served, picture};
pub use fleet::{BOUND, Fleet, Options, StopWatch};
pub use guard::login;
pub use http::{ALICE, BOB, Reply};
pub use ledger::{Billed, Ledger, LedgerTail};
pub use pages::{Shown, Visitor};
pub use power::{Cut, PowerOptions, PowerRedis, Snapshot};
pub use proxy::{Counts, Line, TcpProxy, Way};
pub use receiver::{Answer, Hook, Receiver};
pub use sse::{Block, Follower};
pub use walls::Walls;
pub use wire::{Spoken, Wire};
