//! The restore drill: `deploy/redis/backup.sh` copies the server of a fleet at work, the fleet goes on and buys, the
//! server loses everything, the copy is put back, and the provider's ledger is the judge.
//!
//! Played twice, each time with jobs in every state that lasts. Once the whole fleet dies with the server, so that nobody
//! remembers, and a person follows `docs/backup.md`: freeze, start, reconcile. Once only the server is lost and replaced
//! by an older snapshot, and the running fleet notices, reads its intents and lets itself go on.
//!
//! What was bought after the copy must come home without a second purchase; what was accepted after it and never sent
//! is its caller's, who asks again.

mod act;
mod cast;
mod order;
mod script;

pub use act::run;
pub use order::{Order, parse};
