//! The bucket room's tests: one conformance suite over memory, local files and S3 by a real
//! server on a free port, and tests of the pure parts.

// A test's own scaffolding may panic: that is how a test fails.
#![allow(clippy::unwrap_used)]

mod beds;
mod conformance;
mod fetch;
mod films;
mod intents;
mod layout;
mod local;
mod manifests;
mod mp4;
mod records;
mod s3;
mod s3_server;
mod strangers;
