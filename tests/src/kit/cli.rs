//! The operator's command line against the fleet.

use super::Fleet;
use sandbox::{Logs, Process, bins};
use serde_json::Value;
use std::process::{Command, Stdio};

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; -1 for none.
    pub code: i32,
    /// Data.
    pub stdout: String,
    /// Everything else.
    pub stderr: String,
}

impl Ended {
    /// Standard output as one JSON document.
    ///
    /// # Panics
    ///
    /// It is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Fleet {
    /// `seedfleet` in the fleet's folder, with its configuration and nobody at the keyboard, to be started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(bins::path("seedfleet"));
        command.env_clear().env("SEEDFLEET_ETC", "/nonexistent").stdin(Stdio::null());
        command.current_dir(self.path(""));
        for file in [self.config_file(), self.own_config_file()] {
            command.arg("--config").arg(file);
        }
        command.args(args);
        command
    }

    /// Runs `seedfleet` to its end.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    #[must_use]
    pub fn cli(&self, args: &[&str]) -> Ended {
        let output = self.command(args).output().unwrap_or_else(|error| panic!("{error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The same as a child that goes on by itself, to be waited for or killed.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    #[must_use]
    pub fn cli_child(&self, name: &str, args: &[&str]) -> Process {
        Process::spawn_logged(name, self.command(args), &Logs::to(&self.log_dir()))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}
