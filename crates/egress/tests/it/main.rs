//! The four clients against peers that misbehave on purpose, over real sockets.

// clippy's own exception covers test functions only, not what they call.
#![allow(clippy::unwrap_used)]

mod create;
mod guarded;
mod house;
mod peer;
mod probes;
mod redirects;
mod route;
mod secrets;
mod strangers;
mod trust;
