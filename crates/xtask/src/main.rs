//! The repository's chores, for a machine that has only Rust: `cargo xtask demo`, `cargo xtask test`.
//!
//! Standard library only, so it builds in about a second and changes nobody's features. It names
//! cargo, the test runner and the outside tools; it knows nothing of jobs, keys or settings: what the
//! fleet does, the `seedfleet` program does.
#![forbid(unsafe_code)]

mod bench;
mod campaign;
mod demo;
mod docs;
mod fixtures;
mod fuzz;
mod limits;
mod run;
mod scale;
mod test;
mod verify;
mod workspace;

use std::process::ExitCode;

use self::run::Failure;

const HELP: &str = "\
The chores of this repository. Needs Rust, a C compiler and Redis (found, or installed with a word).

  cargo xtask demo [--jobs N] [--json] [...]
      Build everything, then run the whole fleet on this machine against the simulated provider:
      real programs, a private Redis, a submitter killed twice. Ends with a table, or with one JSON
      object on the last line. What follows `demo` goes to `seedfleet dev demo`.

  cargo xtask test [...]
      Formatting, clippy with warnings as errors, build, then every test. What follows `test` goes
      to the test runner (cargo-nextest where it is installed, else cargo test).

  cargo xtask lint
      Formatting and clippy alone.

  cargo xtask verify [NAME ...] [--without NAME ...]
      The suites in tests/verify that need outside tools, all or those named, but for those left out.
      A missing tool fails.

  cargo xtask campaign [--jobs N] [--kills K] [--seed S] [--fsync always|everysec] [--fence on|off]
                       [--policy balanced|strict] [--for 40m] [--without FAULT,...] [--mutant NAME]
                       [--release] [--json] [--keep] [--dir DIR] [--write-evidence] [--mutants]
                       [--doubts] [--doubt QUESTION=ANSWER,...] [--aimed] [--rolling] [--shorten N]
                       [--backlog N] [--create-rpm N] [--running N] [--held N] [--only WEATHER,...]
      The whole fleet under load while programs are killed at named points, the server loses power
      and time, lines go dead and the provider loses answers; then an audit from outside. The last
      line is one JSON object; exit 1 on a duplicate, a loss, a broken invariant or a fault that
      never fired. --write-evidence adds the run to docs/evidence.md; --mutants runs builds with one
      rule switched off, each of which must be caught.

  cargo xtask limits [creates|slots] [--submitters N] [--pollers N] [--accounts N] [--create-rpm N]
                     [--running N] [--run S] [--for S] [--warm-up S] [--scale N] [--faults all|FAULT,...]
                     [--every S] [--clocks] [--reply-ms N] [--spread-ms N] [--creates-min R] [--slots-min R]
                     [--seed N] [--release]
      Many submitters and pollers on one backlog, judged by the provider's stamps: exact maxima of all
      sliding windows, the share of allowed creates that were made (creates), the share of slot time in
      which a task ran (slots). The last line is one JSON object; exit 1 on any window over.
      `limits idle [--jobs N] [--fence on|off]`: from enqueue to create, where nothing else waits.
      `limits eta [--rows N] [--lower-at PERCENT] [--within R]` and the flags above: a fleet drains a batch of
      10,000 rows in about a quarter of an hour; what `batch watch` told at 25, 50 and 75 % against what came.

  cargo xtask scale [small] [--jobs N] [--replicas N] [--each N] [--generate-ms N] [--steady-ms N] [--scale N]
                    [--spread-ms N] [--at-most-s N] [--forget-media] [--write] [--release]
      An autoscaler is played on a real fleet: what the gateway tells is done, processes are started and
      ended (every tenth by SIGKILL), and the limits change twice while the backlog is worked off. The
      last line is one JSON object; exit 1 on a duplicate, a loss, a window over, a wrong or unsteady
      word of the gateway. --write puts the curve into docs/scaling.md; small: the size of the test.

  cargo xtask bench [ROW ...] [--list] [--long] [--peers] [--runs N] [--percent N] [--write] [--print] [--debug]
                    [--jobs N] [--seconds N] [--rate N] [--forged N]
      What the fleet costs and how fast it is, release build, on a quiet machine: the rows named, or all
      that take no minutes, or with --long all. --peers measures other queues on the same job; their
      tools (node, npm, python3) must be there. --write keeps the samples and prints docs/benchmarks.md;
      --print only prints it from the samples that are there.

  cargo xtask fuzz [TARGET] [--for 60s] [--seed N]
      Changed inputs for what strangers may send: one target or all of crates/fuzz/corpus, for so
      long each, or as short as in `test`. What fails is kept in the corpus.

  cargo xtask docs [--check]
      Print the generated pages in docs/ anew; with --check, fail when one differs.

  cargo xtask fixtures
      Write down what this version stores, for tests of the versions to come: records-v<N>.jsonl and
      pool-v<N>.jsonl in tests/fixtures of crates/job and crates/store. Files of older versions stay.

  cargo xtask redis [--valkey]
      Find or obtain a server program and print its path; --valkey: the pinned Valkey.

Environment: CARGO_TARGET_DIR is respected; SEEDFLEET_REDIS_SERVER names the server program to use.
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let chore = args.next();
    let rest: Vec<String> = args.collect();
    let asks_help = rest.first().is_some_and(|arg| arg == "--help" || arg == "-h");
    let done = match chore.as_deref() {
        None | Some("help" | "--help" | "-h") => run::tell(HELP),
        Some(_) if asks_help => run::tell(HELP),
        Some("demo") => demo::run(&rest),
        Some("test") => test::run(&rest),
        Some("lint") if rest.is_empty() => test::lint(),
        Some("verify") => verify::run(&rest),
        Some("campaign") => campaign::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("limits") => limits::run(&rest),
        Some("scale") => scale::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("docs") => docs::run(&rest),
        Some("fixtures") => fixtures::run(&rest),
        Some("redis") => workspace::print_redis(&rest),
        Some(other) => Err(Failure::usage(format!(
            "cargo xtask does not know {:?}; cargo xtask --help lists what it does",
            [&[other.to_owned()], rest.as_slice()].concat().join(" ")
        ))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
