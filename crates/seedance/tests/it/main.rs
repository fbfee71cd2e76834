//! What the contract room promises, in one test binary.
//!
//! Tests that pin a requirement of the mission begin with its number, such as `m16_`.

mod bench;
mod errors;
mod fields;
mod fixtures;
mod links;
mod media;
mod modes;
mod normal_form;
mod prices;
mod prompt;
mod references;
mod reports;
mod routes;
mod tasks;
mod tokens;
mod wire;
