//! Labels and the values they may take. Whatever is not allowed counts as `other`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock};

/// Stands for every value that is not allowed.
pub(crate) const OTHER: &str = "other";

/// Most values an open label takes in the life of a process.
const VALUES_MAX: usize = 256;

/// Longest value of an open label, in bytes.
const VALUE_BYTES_MAX: usize = 96;

/// A dimension of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Name in the exported text.
    pub name: &'static str,
    /// What it may say.
    pub values: Values,
}

/// Which values a label may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// Exactly these.
    Closed(&'static [&'static str]),
    /// These, and those told by [`declare`] at start; at most 256 in all.
    Declared(&'static [&'static str]),
    /// Words fixed in our own source, such as script names: the first 256 met.
    Internal,
}

/// Values told or met so far, by label.
static KNOWN: RwLock<BTreeMap<&'static str, BTreeSet<String>>> = RwLock::new(BTreeMap::new());

/// Allows values of a label that takes declared ones (`code`, `reason`, `tenant`). Call at start;
/// calling again adds. Values beyond the 256th, or longer than 96 bytes, stay `other`.
pub fn declare<S: Into<String>>(label: &'static str, values: impl IntoIterator<Item = S>) {
    for value in values {
        remember(label, value.into());
    }
}

impl Label {
    /// The value to export for `value`.
    pub(crate) fn admit<'a>(&self, value: &'a str) -> &'a str {
        let admitted = match self.values {
            Values::Closed(words) => words.contains(&value),
            Values::Declared(words) => words.contains(&value) || is_known(self.name, value),
            Values::Internal => is_known(self.name, value) || remember(self.name, value.to_owned()),
        };
        if admitted { value } else { OTHER }
    }
}

fn is_known(label: &str, value: &str) -> bool {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.get(label).is_some_and(|values| values.contains(value))
}

fn remember(label: &'static str, value: String) -> bool {
    if value.len() > VALUE_BYTES_MAX {
        return false;
    }
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    let values = known.entry(label).or_default();
    if values.len() >= VALUES_MAX && !values.contains(&value) {
        return false;
    }
    values.insert(value);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_values_pass() {
        let closed = Label { name: "t_closed", values: Values::Closed(&["a"]) };
        assert_eq!((closed.admit("a"), closed.admit("b")), ("a", OTHER));
        let declared = Label { name: "t_declared", values: Values::Declared(&["a"]) };
        assert_eq!((declared.admit("a"), declared.admit("b")), ("a", OTHER));
        declare("t_declared", ["b"]);
        assert_eq!((declared.admit("b"), declared.admit("c")), ("b", OTHER));
    }

    #[test]
    fn open_labels_stop_growing() {
        let internal = Label { name: "t_internal", values: Values::Internal };
        let words: Vec<String> = (0..VALUES_MAX + 10).map(|n| format!("w{n}")).collect();
        let passed = words.iter().filter(|word| internal.admit(word) != OTHER).count();
        assert_eq!(passed, VALUES_MAX);
        assert_eq!(internal.admit("w0"), "w0", "a word once met stays");
        let long = Label { name: "t_long", values: Values::Internal };
        assert_eq!(long.admit(&"x".repeat(VALUE_BYTES_MAX + 1)), OTHER);
    }
}
