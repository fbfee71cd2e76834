//! The four calls against a route that answers what the test tells it to, over real sockets.

// clippy's own exception covers test functions only, not what they call.
#![allow(clippy::unwrap_used)]

mod create;
mod keys;
mod read;
mod route;
