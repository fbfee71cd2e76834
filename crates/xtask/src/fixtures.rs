//! `cargo xtask fixtures`: what this version stores, written down for the versions to come.
//!
//! Tests of the rooms that store it do the writing, on real servers; the ordinary test run reads it back.

use crate::run::{self, Failure};
use crate::workspace::{self, cargo};

/// What those tests read.
const WRITE_ENV: &str = "SEEDFLEET_TEST_WRITE_FIXTURES";
/// What they are called.
const WRITERS: &str = "writes_the_fixtures_of_this_version_when_asked";

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    if !args.is_empty() {
        return Err(Failure::usage("cargo xtask fixtures takes nothing"));
    }
    let server = workspace::redis()?;
    let mut test = cargo();
    test.args(["test", "--workspace", "--lib", "--bins", "--tests", "--quiet", "--", WRITERS]);
    run::run(test.env(WRITE_ENV, "1").env(sandbox::redis::SERVER_ENV, server))
}
