//! What the fleet costs and how fast it is, measured on the machine at hand: `cargo xtask bench`.
//!
//! A [row](rows::ROWS) starts what it needs (a private Redis that syncs every write, the simulator, real
//! programs), measures a few times and hands out [figures](figure::Figure) with every sample. A figure
//! means something on a quiet machine and a release build only, and no test looks at one. The
//! [report](report::Report) keeps the samples in `docs/benchmarks/samples.json` and prints `docs/benchmarks.md`
//! from them, so that a row may be measured again without the others.
//!
//! Peers stand in `benches/peers/`, each in its own language with its own lock file; they are told apart from
//! us by nothing but the program that runs.
#![forbid(unsafe_code)]

pub mod figure;
mod heap;
pub mod house;
pub mod machine;
pub mod order;
pub mod peers;
pub mod report;
pub mod rows;
pub mod server;
pub mod stage;
