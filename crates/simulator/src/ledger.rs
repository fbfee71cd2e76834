//! The append-only account of what the simulator saw and billed.
//!
//! One JSON object per line, each handed to the kernel before the answer it belongs to leaves, so
//! the file outlives a killed simulator and tests can trust it over any counter.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

/// The ledger, on disk or in memory.
#[derive(Debug)]
pub(crate) struct Ledger {
    place: Mutex<Place>,
    path: Option<PathBuf>,
}

#[derive(Debug)]
enum Place {
    File { file: File, lines: u64 },
    Memory { text: Vec<u8>, lines: u64 },
}

/// Where the whole ledger can be read.
pub(crate) enum Contents {
    File(PathBuf),
    Memory(Bytes),
}

impl Ledger {
    /// Opens `path` for appending, or keeps the ledger in memory.
    pub(crate) fn open(path: Option<&Path>) -> io::Result<Self> {
        let place = match path {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path)?;
                Place::File { file, lines: 0 }
            }
            None => Place::Memory { text: Vec::new(), lines: 0 },
        };
        Ok(Self { place: Mutex::new(place), path: path.map(Path::to_owned) })
    }

    /// Appends one event.
    pub(crate) fn write(&self, at_ms: i64, event: &str, facts: Entry) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let (Place::File { lines, .. } | Place::Memory { lines, .. }) = &mut *place;
        *lines += 1;
        let head =
            [("line", Value::from(*lines)), ("at_ms", at_ms.into()), ("event", event.into())];
        let whole: Map<String, Value> =
            head.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(facts.0).collect();
        let mut line = Value::Object(whole).to_string();
        line.push('\n');
        match &mut *place {
            Place::Memory { text, .. } => text.extend_from_slice(line.as_bytes()),
            Place::File { file, .. } => {
                // A ledger with a hole would let a test pass that should not.
                if let Err(error) = file.write_all(line.as_bytes()) {
                    panic!("the ledger cannot be written: {error}");
                }
            }
        }
    }

    pub(crate) fn contents(&self) -> Contents {
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*place, &self.path) {
            (Place::Memory { text, .. }, _) => Contents::Memory(Bytes::from(text.clone())),
            (Place::File { .. }, Some(path)) => Contents::File(path.clone()),
            (Place::File { .. }, None) => Contents::Memory(Bytes::new()),
        }
    }
}

/// The facts of one event, in the order they were added.
#[derive(Debug, Default)]
pub(crate) struct Entry(Map<String, Value>);

impl Entry {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a fact; null facts are written too, so that every line of an event has the same keys.
    pub(crate) fn with(mut self, key: &str, value: impl Serialize) -> Self {
        self.0.insert(key.into(), serde_json::to_value(value).unwrap_or(Value::Null));
        self
    }
}
