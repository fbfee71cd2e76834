//! The fleet from outside, and the house rules.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod api;
mod backlog;
mod bucket_s3;
mod callbacks;
mod kills;
mod matrix;
mod starting;
mod street;
mod tidy;
mod trouble;
mod waiting;
