//! What can be wrong with a configuration: always the field, what is allowed, and the cure.

use std::fmt;
use std::path::PathBuf;

/// Where a value was said. Later layers win over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer {
    /// `config/default.toml`, compiled in.
    BuiltIn,
    /// A configuration file.
    File(PathBuf),
    /// A variable of the environment, by name.
    Env(String),
    /// A file named by a variable that ends in `_FILE`.
    EnvFile {
        /// The variable.
        name: String,
        /// The file it names.
        path: PathBuf,
    },
    /// A flag or another override by the program itself.
    Flag,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("built-in"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::EnvFile { name, path } => write!(f, "env {name} = {}", path.display()),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The kind of a fault, for callers that act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No such key; the nearest known one, when one is near.
    UnknownKey {
        /// Dotted key to suggest.
        nearest: Option<String>,
    },
    /// The key exists, the value does not fit.
    BadValue,
    /// A file is missing, unreadable, too long or not TOML.
    Unreadable,
}

/// One fault, told so that its reader can mend it without looking anything up. Its parts are read
/// as fields (`error.field`); they lie behind a pointer so that good results stay small.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct SettingsError(Box<Refusal>);

/// The parts of a [`SettingsError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} ({layer}): {problem}. Allowed: {allowed}. {cure}")]
pub struct Refusal {
    /// What kind of fault it is.
    pub fault: Fault,
    /// Full dotted key, or the path of a file that could not be read.
    pub field: String,
    /// Who said it.
    pub layer: Layer,
    /// What is wrong; never the value of a secret.
    pub problem: String,
    /// What would have been accepted.
    pub allowed: String,
    /// What to do now.
    pub cure: String,
}

impl std::ops::Deref for SettingsError {
    type Target = Refusal;

    fn deref(&self) -> &Refusal {
        &self.0
    }
}

impl From<Refusal> for SettingsError {
    fn from(refusal: Refusal) -> Self {
        Self(Box::new(refusal))
    }
}

impl SettingsError {
    pub(crate) fn bad_value(
        field: impl Into<String>,
        layer: &Layer,
        problem: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        let field = field.into();
        Self::from(Refusal {
            fault: Fault::BadValue,
            cure: format!("`seedfleet config explain {field}` tells more"),
            field,
            layer: layer.clone(),
            problem: problem.into(),
            allowed: allowed.into(),
        })
    }

    pub(crate) fn unreadable(
        field: impl Into<String>,
        layer: &Layer,
        problem: impl Into<String>,
        allowed: &str,
        cure: &str,
    ) -> Self {
        Self::from(Refusal {
            fault: Fault::Unreadable,
            field: field.into(),
            layer: layer.clone(),
            problem: problem.into(),
            allowed: allowed.to_owned(),
            cure: cure.to_owned(),
        })
    }
}

/// Everything wrong with the configuration, in the order of the layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsErrors(Vec<SettingsError>);

impl SettingsErrors {
    /// `None` when there is no fault.
    pub(crate) fn from_faults(faults: Vec<SettingsError>) -> Option<Self> {
        (!faults.is_empty()).then_some(Self(faults))
    }

    /// The faults, at least one.
    #[must_use]
    pub fn faults(&self) -> &[SettingsError] {
        &self.0
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsErrors {}
