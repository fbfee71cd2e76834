//! What a script is to write, and the keys it is told by number.

use job::Record;
use serde::Serialize;
use std::collections::HashMap;

/// The keys of one call, each with its index into KEYS (from 1).
#[derive(Debug, Default)]
pub(crate) struct KeyTable {
    keys: Vec<String>,
    at: HashMap<String, usize>,
}

impl KeyTable {
    pub(crate) fn at(&mut self, key: String) -> usize {
        let next = self.keys.len() + 1;
        *self.at.entry(key).or_insert_with_key(|key| {
            self.keys.push(key.clone());
            next
        })
    }

    pub(crate) fn into_keys(self) -> Vec<String> {
        self.keys
    }
}

/// A plain write: command, key index, arguments; of a list that is written to, the longest length.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Move(
    pub(crate) &'static str,
    pub(crate) usize,
    pub(crate) Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")] pub(crate) Option<usize>,
);

/// The writes of one call. Of those that are many and alike only what tells them apart is kept: the rest would be read
/// and unpacked by a script for each of them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Writes {
    /// Indexes that the job enters.
    pub(crate) list: Vec<usize>,
    /// Indexes that it leaves.
    pub(crate) unlist: Vec<usize>,
    /// Key, field and step.
    pub(crate) counts: Vec<(usize, String, String)>,
    /// All others.
    pub(crate) moves: Vec<Move>,
}

impl Writes {
    /// Each as it is sent.
    pub(crate) fn plain(self, record: &Record) -> Vec<Move> {
        let id = || record.id.to_string();
        let created = record.created_at.unix_ms().to_string();
        let unlist = self.unlist.into_iter().map(|key| Move("ZREM", key, vec![id()], None));
        let list = self.list.into_iter();
        let list = list.map(|key| Move("ZADD", key, vec![created.clone(), id()], None));
        let counts = self.counts.into_iter();
        let counts = counts.map(|(key, field, n)| Move("HINCRBY", key, vec![field, n], None));
        unlist.chain(list).chain(counts).chain(self.moves).collect()
    }
}
