//! What `job` promises, seen from outside.

mod fingerprint;
mod histories;
mod pages;
