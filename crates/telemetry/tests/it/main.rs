//! The crate as a process uses it.

mod exported;
mod logged;
