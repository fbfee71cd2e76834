//! The room against real servers and real processes.
#![forbid(unsafe_code)]

mod processes;
mod servers;
