//! The fault campaign: the whole fleet under load while everything around it breaks, and an audit
//! that judges it from outside.
//!
//! Many real programs work on a stream of jobs against a real server and the simulator, whose ledger
//! lies in a process and a file of its own and is the judge. One seed decides which program dies at
//! which named point, when the server loses power or time, which line goes dead, and what the
//! provider answers. When all jobs are in and all kills are done the faults stop, the fleet settles,
//! and [`audit`] compares ledger, bucket, records, receipts and logs. Knows the programs by name,
//! configuration and output; records are read through the store's read-only calls.

mod audit;
mod canary;
mod doors;
pub(crate) mod draw;
mod evidence;
mod ground;
mod ledger;
mod lives;
mod order;
mod provider;
mod record;
mod recounts;
mod run;
pub(crate) mod settings;
mod tally;
mod verdict;
mod weather;

pub use order::{Order, parse};
pub use run::run;
