//! The fleet from outside, and the house rules.
#![forbid(unsafe_code)]

mod street;
mod config;
mod tidy;
