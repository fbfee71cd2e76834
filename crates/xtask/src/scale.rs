//! `cargo xtask scale`: builds the programs and hands over to the end-to-end package's `scale`.

use crate::campaign::commit;
use crate::run::{self, Failure};
use crate::workspace;

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let asks = |flag: &str| args.iter().any(|arg| arg == flag);
    let mut command = workspace::apart("scale", asks("--release"))?;
    command.args(args.iter().filter(|arg| *arg != "--release" && *arg != "--write"));
    if asks("--write") {
        let shown = [&["cargo xtask scale".to_owned()], args].concat().join(" ");
        command.args(["--write", ".", "--commit", &commit(), "--command", &shown]);
    }
    run::say("the drill begins");
    run::run(&mut command)
}
