//! House rules as tests: each reads the tree and lists every place that breaks it.
//!
//! A rule is a pure function from what was read to complaints, and beside the test that reads the
//! tree stands one that feeds it a bad sample, because a check that cannot fail checks nothing.

mod alerts;
mod autoscalers;
mod edges;
mod features;
mod goals;
mod layout;
mod licences;
mod metadata;
mod pages;
mod problems;
mod proofs;
mod redis_keys;
mod scripts;
mod size;
mod source;
mod words;
mod worlds;

/// Fails with every complaint, one per line.
fn none(rule: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}
