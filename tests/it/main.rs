//! The fleet from outside, and the house rules.
#![forbid(unsafe_code)]

mod api;
mod backlog;
mod bucket_s3;
mod callbacks;
mod crowd;
mod kills;
mod matrix;
mod starting;
mod street;
mod tidy;
mod trouble;
mod waiting;
