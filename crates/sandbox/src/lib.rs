//! Private servers and child processes for demos, tests and `seedfleet dev`.
//!
//! Everything here works with the standard library alone, so that `xtask` builds in a second and no
//! dependency sneaks into the graph through a test. The room names `redis-server` and
//! `valkey-server` as *programs*; it knows no key, no script, no setting and no type of the fleet.
//!
//! What it promises: every child gets its own process group, so Ctrl-C reaches only the program
//! that owns it, and a leash (see [`process`]), so that nothing outlives an owner killed by SIGKILL.
#![forbid(unsafe_code)]

pub mod bins;
pub mod machine;
pub mod ports;
pub mod process;
pub mod redis;
mod temp_dir;
pub mod wait;

pub use process::{Logs, Process};
pub use redis::{Options, Redis};
pub use temp_dir::TempDir;
