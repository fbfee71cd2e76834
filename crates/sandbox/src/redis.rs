//! A private Redis or Valkey: found, obtained, started, killed.
//!
//! Nobody's shared server is ever touched: each [`Redis`] is a child of ours on a free loopback port
//! with a data directory of its own. [`find`] looks for a program; [`obtain`] may install or
//! download one and says what it does, so only a command a person typed calls it.

mod cluster;
mod find;
mod obtain;
mod resp;
mod sentinel;
mod server;
mod stamp;
mod tls;

pub use self::cluster::{Cluster, Moving};
pub use self::find::{Engine, NotFound, SERVER_ENV, Server, Version, find, probe};
pub use self::obtain::{NotObtained, obtain, obtain_wheel};
pub use self::resp::CommandError;
pub use self::sentinel::{Sentinel, Watch};
pub use self::server::{Options, Redis, StartError};
pub use self::tls::Tls;
