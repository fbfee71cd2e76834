//! Running other programs, and saying what happens on standard error.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

/// A compiling cargo that nobody watches on a terminal speaks up once per this many crates.
const CRATES_PER_LINE: u32 = 100;

/// Why a chore ended early, and the code this program ends with.
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    /// The work itself failed.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 1 }
    }

    /// The command line made no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    pub(crate) fn report(self) -> ExitCode {
        // Nothing after a test runner's own closing lines, which say more than we could.
        if !self.message.is_empty() {
            say(&format!("error: {}", self.message));
        }
        ExitCode::from(self.code)
    }
}

/// To standard output.
pub(crate) fn tell(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::new(error.to_string()))
}

/// To standard error: standard output belongs to results.
pub(crate) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "xtask: {line}");
}

/// Runs to the end with our own standard output and error.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status();
    judge(command, status)
}

/// As [`run`], but a failure has no message of ours.
pub(crate) fn run_last(command: &mut Command) -> Result<(), Failure> {
    run(command).map_err(|failure| Failure { message: String::new(), ..failure })
}

/// Runs cargo; where nobody watches, its hundreds of "Compiling" lines become a few.
pub(crate) fn run_cargo_build(command: &mut Command) -> Result<(), Failure> {
    if io::stderr().is_terminal() {
        return run(command);
    }
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(format!("{} {error}", shown(command))))?;
    let mut crates: u32 = 0;
    if let Some(pipe) = child.stderr.take() {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let word = line.split_whitespace().next().unwrap_or_default();
            if matches!(word, "Compiling" | "Checking" | "Downloaded" | "Downloading") {
                crates += u32::from(matches!(word, "Compiling" | "Checking"));
                if word == "Compiling" && crates.is_multiple_of(CRATES_PER_LINE) {
                    say(&format!("{crates} crates compiled"));
                }
            } else {
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
    }
    let status = child.wait();
    judge(command, status)
}

/// True when the program runs and ends well; its output is thrown away.
pub(crate) fn answers(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn judge(command: &Command, status: io::Result<ExitStatus>) -> Result<(), Failure> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{} ended with {status}", shown(command)))),
        Err(error) => Err(Failure::new(format!("{} cannot be run: {error}", shown(command)))),
    }
}

fn shown(command: &Command) -> impl Display + use<> {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
