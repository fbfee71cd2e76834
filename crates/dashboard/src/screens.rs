//! One file per screen.

pub mod audit;
pub mod batches;
pub mod doubt;
pub mod failures;
pub mod fleet;
pub mod job;
pub mod jobs;
pub mod limits;
pub mod login;
pub mod operations;
pub mod review;
pub mod trouble;
pub mod webhooks;
pub mod workers;

pub use crate::forms::REASON_LETTERS_MAX;

#[cfg(test)]
mod tests;
