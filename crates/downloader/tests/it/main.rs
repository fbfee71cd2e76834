//! One turn of a download over real HTTP into a real directory.

// A test's own scaffolding may panic: that is how a test fails.
#![allow(clippy::unwrap_used)]

mod bring;
mod filing;
mod host;
mod jobs;
