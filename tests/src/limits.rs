//! Whether the fleet keeps to the provider's limits, and uses them: many real submitters and pollers on one backlog,
//! with a fault every few seconds if asked for, judged by the provider's own stamps.
//!
//! Three questions. Was any sliding window ever over, per account, model and kind of call? What share of the
//! creates that are allowed was made? And what share of the time that tasks could have run, did they? The judge
//! reads the simulator's ledger and counters, and nothing of ours.

mod eta;
mod idle;
pub(crate) mod judge;
mod order;
mod run;
pub(crate) mod stall;
mod trouble;

pub use judge::Verdict;
pub use order::{Asked, EtaOrder, IdleOrder, Order, parse};
pub use run::{measure, run};
pub use trouble::Fault;
pub(crate) use {idle::unix_ms, trouble::pass};
