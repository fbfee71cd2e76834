//! The rejects file: one JSON object for each fault, so that a person or a program can mend the rows.

use crate::exit::{Exit, Failure};
use admission::Refusal;
use serde::Serialize;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// One fault of one row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Reject {
    /// JSON pointer into the row; empty for the whole of it.
    pub(crate) pointer: String,
    pub(crate) code: String,
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allowed: Option<String>,
    pub(crate) fix: String,
}

impl Reject {
    /// Everything wrong with a row.
    pub(crate) fn of(refusal: &Refusal) -> Vec<Self> {
        if refusal.faults().is_empty() {
            let fix = match refusal {
                Refusal::KeyReused { .. } => {
                    "give the row another custom_id, or import it under another batch"
                }
                Refusal::NoPrice(_) => "choose settings the route publishes a price for",
                Refusal::Faults(_)
                | Refusal::Paused { .. }
                | Refusal::BacklogFull { .. }
                | Refusal::BudgetExhausted { .. }
                | Refusal::MediaExhausted { .. }
                | Refusal::Unavailable { .. } => "import the file again later",
            };
            return vec![Self::whole(refusal.code(), refusal.to_string(), fix)];
        }
        let told = refusal.faults().iter().map(|fault| Self {
            pointer: fault.pointer.clone(),
            code: fault.code.clone(),
            reason: fault.message.clone(),
            allowed: fault.allowed.clone(),
            fix: fault.fix.clone(),
        });
        told.collect()
    }

    /// One of the whole row.
    pub(crate) fn whole(code: &str, reason: String, fix: &str) -> Self {
        let (pointer, allowed) = (String::new(), None);
        Self { pointer, code: code.to_owned(), reason, allowed, fix: fix.to_owned() }
    }
}

/// Made when the first fault is told; a file of an earlier import is taken away.
pub(crate) struct Rejects {
    path: PathBuf,
    file: Option<BufWriter<File>>,
}

impl Rejects {
    pub(crate) fn at(path: &Path) -> Result<Self, Failure> {
        let rejects = Self { path: path.to_owned(), file: None };
        match std::fs::remove_file(path) {
            Ok(()) => Ok(rejects),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(rejects),
            Err(error) => Err(rejects.cannot(&error)),
        }
    }

    pub(crate) fn write(
        &mut self,
        line: u64,
        custom_id: Option<&str>,
        reject: &Reject,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Told<'a> {
            line: u64,
            #[serde(skip_serializing_if = "Option::is_none")]
            custom_id: Option<&'a str>,
            #[serde(flatten)]
            reject: &'a Reject,
        }
        let told = serde_json::to_string(&Told { line, custom_id, reject })
            .map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;
        if self.file.is_none() {
            let file = File::create(&self.path).map_err(|error| self.cannot(&error))?;
            self.file = Some(BufWriter::new(file));
        }
        let written = self.file.as_mut().map_or(Ok(()), |file| writeln!(file, "{told}"));
        written.map_err(|error| self.cannot(&error))
    }

    pub(crate) fn end(&mut self) -> Result<(), Failure> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|error| self.cannot(&error))
    }

    fn cannot(&self, error: &io::Error) -> Failure {
        let what = format!("cannot write the rejects file {}", self.path.display());
        Failure::new(Exit::Failed, what).because(error).hint("name another with --rejects")
    }
}
