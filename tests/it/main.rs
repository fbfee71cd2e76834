//! The fleet from outside, and the house rules.
#![forbid(unsafe_code)]

mod backlog;
mod bucket_s3;
mod kills;
mod matrix;
mod street;
mod tidy;
mod waiting;
