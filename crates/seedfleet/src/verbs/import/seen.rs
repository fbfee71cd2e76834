//! Which rows of a file would be one job: a dry run has no store that says so.

use admission::Checked;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// What a row is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It would be a job.
    New,
    /// It would be the job of an earlier row.
    Twin,
    /// Its `custom_id` is that of an earlier row, which asks for something else.
    OtherUnderItsName,
}

/// Rows by what they ask for and by their name, in 64 bits each: among a million rows, two are taken for one
/// by mistake in one of ten million files.
#[derive(Debug, Default)]
pub(super) struct Seen {
    requests: HashSet<u64>,
    names: HashMap<u64, u64>,
}

impl Seen {
    /// Notes a good row. The order of the questions is the store's: names first.
    pub(super) fn row(&mut self, checked: &Checked) -> Told {
        self.note(checked.custom_id.as_deref(), checked.fingerprint.as_str())
    }

    fn note(&mut self, name: Option<&str>, fingerprint: &str) -> Told {
        let request = short(fingerprint);
        let before = name.and_then(|name| self.names.get(&short(name)));
        match before {
            Some(before) if *before == request => return Told::Twin,
            Some(_) => return Told::OtherUnderItsName,
            None => {}
        }
        if let Some(name) = name {
            self.names.insert(short(name), request);
        }
        if self.requests.insert(request) { Told::New } else { Told::Twin }
    }
}

fn short(text: &str) -> u64 {
    let digest = Sha256::digest(text);
    digest.iter().take(8).fold(0, |short, byte| short << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_known_by_their_name_and_then_by_what_they_ask_for() {
        let mut seen = Seen::default();
        for (name, request, told) in [
            (None, "a", Told::New),
            (None, "a", Told::Twin),
            (Some("1"), "a", Told::Twin),
            (Some("1"), "b", Told::OtherUnderItsName),
            (Some("2"), "b", Told::New),
            (Some("2"), "b", Told::Twin),
            (Some("3"), "b", Told::Twin),
            (None, "b", Told::Twin),
            (None, "c", Told::New),
        ] {
            assert_eq!(seen.note(name, request), told, "{name:?} {request}");
        }
    }
}
