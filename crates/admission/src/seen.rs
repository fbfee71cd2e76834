//! Which rows of a file would be one job: who only judges has no store that says so.

use crate::{Checked, codes};
use seedance::Fault;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};

/// What a row is to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SeenAs {
    /// It would be a job.
    New,
    /// It would be the job of an earlier row.
    Twin,
    /// Its `custom_id` is that of an earlier row, which asks for something else.
    OtherUnderItsName,
}

/// Rows by what they ask for and by their name, in 64 bits each: among a million rows, two are taken for one
/// by mistake in one of ten million files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    requests: HashSet<u64>,
    names: HashMap<u64, u64>,
}

impl Seen {
    /// Notes a good row. The order of the questions is the store's: names first.
    pub(crate) fn row(&mut self, checked: &Checked) -> SeenAs {
        self.note(checked.custom_id.as_deref(), checked.fingerprint.as_str())
    }

    /// Requests and names that are kept in memory.
    pub(crate) fn remembered(&self) -> usize {
        self.requests.len() + self.names.len()
    }

    /// Why a row is refused that is [`SeenAs::OtherUnderItsName`]; the store would say so of it.
    pub(crate) fn name_repeated() -> Fault {
        let reason = "an earlier row of the file has this custom_id and asks for something else";
        Fault::new("/custom_id", codes::KEY_REUSED, reason, "give the row another custom_id")
    }

    fn note(&mut self, name: Option<&str>, fingerprint: &str) -> SeenAs {
        let request = short(fingerprint);
        let before = name.and_then(|name| self.names.get(&short(name)));
        match before {
            Some(before) if *before == request => return SeenAs::Twin,
            Some(_) => return SeenAs::OtherUnderItsName,
            None => {}
        }
        if let Some(name) = name {
            self.names.insert(short(name), request);
        }
        if self.requests.insert(request) { SeenAs::New } else { SeenAs::Twin }
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
            (None, "a", SeenAs::New),
            (None, "a", SeenAs::Twin),
            (Some("1"), "a", SeenAs::Twin),
            (Some("1"), "b", SeenAs::OtherUnderItsName),
            (Some("2"), "b", SeenAs::New),
            (Some("2"), "b", SeenAs::Twin),
            (Some("3"), "b", SeenAs::Twin),
            (None, "b", SeenAs::Twin),
            (None, "c", SeenAs::New),
        ] {
            assert_eq!(seen.note(name, request), told, "{name:?} {request}");
        }
    }
}
