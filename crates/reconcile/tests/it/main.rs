//! A pool that has lost some of what it knew, on a real Redis, with a fence in a folder.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod bed;
mod quarantine;
