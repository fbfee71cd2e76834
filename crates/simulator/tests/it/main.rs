//! The simulator checked against the contract's fixtures and against its own manual, over real
//! sockets. One binary; every test starts a simulator of its own.

#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod bench;
mod callbacks;
mod creates;
mod doubts;
mod faults;
mod files;
mod ledger;
mod limits;
mod manual;
mod reads;
mod tasks;
