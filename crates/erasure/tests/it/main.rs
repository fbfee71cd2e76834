//! Ended jobs on their way out of Redis and back, on a private Redis and a bucket of files.

// A test's own scaffolding may panic: that is how a test fails.
#![allow(clippy::unwrap_used)]

mod archive;
mod ground;
