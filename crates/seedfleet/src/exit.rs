//! How the program ends: exit codes, and what is said when something is wrong.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// The exit codes that scripts may rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Done = 0,
    /// It was tried and failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Something was looked at and is not in order: rows, configuration, surroundings.
    Findings = 3,
    /// A key was refused.
    Auth = 4,
    /// There is no such thing.
    NotFound = 5,
    /// It contradicts what is there.
    Conflict = 6,
    /// Some of it went well.
    Partial = 7,
    /// The wait is over, the work goes on.
    Deadline = 8,
    /// A guard refuses; the message says what lifts it.
    Guard = 9,
    /// Something we need is away; the same command may work later.
    Outage = 75,
    /// Ctrl-C; the message says how to go on.
    Interrupted = 130,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What every verb ends with.
pub(crate) type Outcome = Result<Exit, Failure>;

/// Why a verb ended early, told in three parts: what, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    what: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// How long whoever refused asks to wait before it is tried again.
    pub(crate) again_after: Option<Duration>,
}

impl Failure {
    /// A failure with its first line.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), hint: None, again_after: None }
    }

    /// Shorthand for what the command line got wrong.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Adds a cause; each line of it counts as one.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.extend(cause.to_string().lines().map(str::to_owned));
        self
    }

    /// Adds what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do, unless that is said already.
    #[must_use]
    pub(crate) fn or_hint(self, hint: impl Into<String>) -> Self {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }

    /// Adds what to do where it is that there is no such thing.
    #[must_use]
    pub(crate) fn if_absent(self, hint: &str) -> Self {
        if self.exit == Exit::NotFound { self.or_hint(hint) } else { self }
    }

    /// Tells it on standard error.
    pub(crate) fn tell(&self) {
        let stderr = io::stderr();
        let bold =
            stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        let error = if bold { "\u{1b}[1;31merror\u{1b}[0m" } else { "error" };
        let mut text = format!("{error}: {}\n", self.what);
        if !self.causes.is_empty() {
            text.push_str("Caused by:\n");
            for cause in &self.causes {
                text.push_str(&format!("  {cause}\n"));
            }
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        let _ = stderr.lock().write_all(text.as_bytes());
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        for cause in &self.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        match &error {
            store::StoreError::Unreachable(_) => Self::new(Exit::Outage, error.to_string())
                .hint("nothing is lost; start it or correct redis.url, then repeat the command"),
            store::StoreError::Refused { .. } => {
                Self::new(Exit::Outage, error.to_string()).hint("`seedfleet doctor` tells more")
            }
            store::StoreError::Corrupt { .. } | store::StoreError::Bug(_) => {
                Self::new(Exit::Failed, error.to_string())
            }
        }
    }
}

impl From<job::Misfit> for Failure {
    fn from(misfit: job::Misfit) -> Self {
        Self::new(Exit::Guard, "another version of the record is in force").because(misfit)
    }
}

impl From<store::CursorError> for Failure {
    fn from(error: store::CursorError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<store::ReportError> for Failure {
    fn from(error: store::ReportError) -> Self {
        match error {
            store::ReportError::Store(error) => error.into(),
            store::ReportError::Contradiction(contradiction) => {
                Self::new(Exit::Conflict, "the job's history does not allow this")
                    .because(contradiction)
            }
        }
    }
}

impl From<settings::SettingsErrors> for Failure {
    fn from(errors: settings::SettingsErrors) -> Self {
        let n = errors.faults().len();
        let what =
            if n == 1 { "the configuration has a fault" } else { "the configuration has faults" };
        let failure = errors
            .faults()
            .iter()
            .fold(Self::new(Exit::Findings, what), |failure, fault| failure.because(fault));
        failure.hint("`seedfleet config check` looks at it alone")
    }
}

impl From<settings::SettingsError> for Failure {
    fn from(error: settings::SettingsError) -> Self {
        Self::new(Exit::Findings, "the configuration has a fault").because(error)
    }
}

impl From<assets::Error> for Failure {
    fn from(error: assets::Error) -> Self {
        let exit = match &error {
            assets::Error::Settings(_) | assets::Error::Layout(_) => Exit::Findings,
            assets::Error::Unavailable { .. } => Exit::Outage,
            assets::Error::Missing { .. } => Exit::NotFound,
            assets::Error::Denied { .. }
            | assets::Error::Damaged { .. }
            | assets::Error::Conflict { .. }
            | assets::Error::TooBig { .. }
            | assets::Error::WrongLength { .. }
            | assets::Error::NotVideo(_)
            | assets::Error::NotImage { .. } => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<worker::BucketsError> for Failure {
    fn from(error: worker::BucketsError) -> Self {
        match error {
            worker::BucketsError::Settings(error) => error.into(),
            worker::BucketsError::Bucket(error) => error.into(),
        }
    }
}

impl From<worker::PricesError> for Failure {
    fn from(error: worker::PricesError) -> Self {
        match error {
            worker::PricesError::Settings(error) => error.into(),
            worker::PricesError::Unreadable { .. } | worker::PricesError::Table { .. } => {
                Self::new(Exit::Findings, "the price table cannot be used").because(error)
            }
        }
    }
}

impl From<job::IdError> for Failure {
    fn from(error: job::IdError) -> Self {
        Self::usage(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}
