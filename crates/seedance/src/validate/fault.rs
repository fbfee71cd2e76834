//! What the validator says when it refuses, and the book in which it collects what it says.

use serde::{Deserialize, Serialize};

use super::codes;

/// One thing that is wrong with a request, told so that the caller can mend it (M25).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the offending value; empty for the whole body.
    pub pointer: String,
    /// Kebab-case, stable; the same in CLI, API, rejects file and metrics.
    pub code: String,
    /// What is wrong, one sentence, without the caller's media or addresses in it.
    pub message: String,
    /// What would have been accepted here, where that can be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What to do about it.
    pub fix: String,
}

impl Fault {
    /// A fault at `pointer`; add what is allowed with [`Fault::allowing`].
    pub fn new(
        pointer: impl Into<String>,
        code: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Fault {
            pointer: pointer.into(),
            code: code.into(),
            message: message.into(),
            allowed: None,
            fix: fix.into(),
        }
    }

    /// The same fault, saying what is allowed.
    #[must_use]
    pub fn allowing(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.pointer.is_empty() { "(body)" } else { &self.pointer };
        write!(f, "{place}: {} [{}]", self.message, self.code)?;
        if let Some(allowed) = &self.allowed {
            write!(f, " allowed: {allowed};")?;
        }
        write!(f, " fix: {}", self.fix)
    }
}

/// Something legal that the caller probably wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// JSON pointer to the value.
    pub pointer: String,
    /// Kebab-case, stable.
    pub code: String,
    /// One sentence.
    pub message: String,
}

/// Faults listed for one request; a body built to be wrong a million times gets no longer answer.
pub(super) const FAULTS_MAX: usize = 100;

/// Everything noticed so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<Warning>,
    left_out: usize,
}

impl Findings {
    pub(super) fn fault(&mut self, fault: Fault) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn warn(&mut self, pointer: impl Into<String>, code: &str, message: String) {
        self.warnings.push(Warning { pointer: pointer.into(), code: code.to_owned(), message });
    }

    /// All faults, with a last line that says how many more there were.
    pub(super) fn into_faults(mut self) -> Vec<Fault> {
        if self.left_out > 0 {
            self.faults.push(Fault::new(
                "",
                codes::MORE_FAULTS,
                format!("{} more faults are not listed", self.left_out),
                "mend the listed ones and send the request again",
            ));
        }
        self.faults
    }
}

/// A caller's value as shown in a message: quoted, and cut so that no payload ends up in a log.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 48;
    let mut cut: String = text.chars().take(CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

/// One more step down a JSON pointer.
pub(super) fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}
