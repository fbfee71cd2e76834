//! What `job` promises, seen from outside.

mod fingerprint;
mod pages;
