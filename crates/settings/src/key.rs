//! A key as a list of words, and its two spellings: dotted, and as a name in the environment.

use crate::ENV_PREFIX;
use config::{Map, Value, ValueKind};
use std::fmt;

/// `submit.lease` as `["submit", "lease"]`. A word may hold dots (`"2.0"`), so the list is the truth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) Vec<String>);

impl Key {
    /// Splits at dots outside double quotes. Anything parses; whether it is known is asked later.
    pub(crate) fn from_dotted(text: &str) -> Self {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in text.chars() {
            match c {
                '"' => quoted = !quoted,
                '.' if !quoted => words.push(String::new()),
                other => {
                    if let Some(word) = words.last_mut() {
                        word.push(other);
                    }
                }
            }
        }
        Self(words)
    }

    /// The key that a name in the environment stands for; `None` if the name is not ours.
    pub(crate) fn from_env(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(ENV_PREFIX)?;
        Some(Self(rest.split("__").map(str::to_ascii_lowercase).collect()))
    }

    /// The name in the environment, unless a word cannot be spelled there.
    pub(crate) fn env_name(&self) -> Option<String> {
        let spellable = |word: &String| {
            !word.is_empty()
                && !word.contains("__")
                && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        self.0
            .iter()
            .all(spellable)
            .then(|| format!("{ENV_PREFIX}{}", self.0.join("__").to_ascii_uppercase()))
    }

    pub(crate) fn child(&self, word: &str) -> Self {
        let mut words = self.0.clone();
        words.push(word.to_owned());
        Self(words)
    }

    /// The value at the key, word by word: a path string of `config` would split a word like `"2.0"`.
    pub(crate) fn find_in<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, word| table(value)?.get(word))
    }

    pub(crate) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

pub(crate) fn table(value: &Value) -> Option<&Map<String, Value>> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'<' | b'>');
            if !word.is_empty() && word.bytes().all(bare) {
                f.write_str(word)?;
            } else {
                write!(f, "\"{word}\"")?;
            }
        }
        Ok(())
    }
}
