//! The same layers once more: what a running process may take over, and what waits for its next start.

use crate::error::SettingsErrors;
use crate::key::Key;
use crate::loaded::Loaded;
use crate::schema::schema;
use config::{Value, ValueKind};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// One key whose value is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Full dotted key. Values are not told: one may be a secret.
    pub key: String,
    /// Whether a running process takes it over; else it holds from the next start on.
    pub applied: bool,
}

/// What can be seen of the files of all layers without reading them. Another value means that one was
/// written, replaced, added or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks(BTreeMap<PathBuf, Mark>);

/// None: it is not there.
type Mark = Option<(u64, u64, i64, i64)>;

impl Loaded {
    /// Reads the layers that this was read from as they are now.
    ///
    /// # Errors
    ///
    /// All faults of all layers, as at the start.
    pub fn reread(&self) -> Result<Self, SettingsErrors> {
        self.sources().clone().load()
    }

    /// The keys whose values differ in `newer`, in the order of their names.
    #[must_use]
    pub fn changes(&self, newer: &Self) -> Vec<Change> {
        let (before, after) = (self.leaves(), newer.leaves());
        let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
        let mut changes: Vec<Change> = keys
            .filter(|key| kind(&before, key) != kind(&after, key))
            .map(|key| Change { key: key.to_string(), applied: is_applied(key) })
            .collect();
        changes.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        changes
    }

    /// How the files of all layers look from outside.
    #[must_use]
    pub fn marks(&self) -> Marks {
        let paths = self.sources().paths();
        Marks(paths.into_iter().map(|path| (path.clone(), mark(&path))).collect())
    }
}

fn kind<'a>(leaves: &BTreeMap<Key, &'a Value>, key: &Key) -> Option<&'a ValueKind> {
    leaves.get(key).map(|value| &value.kind)
}

fn is_applied(key: &Key) -> bool {
    schema().find(key).is_some_and(|entry| entry.applied)
}

/// Follows links: a mounted folder is replaced by one that points elsewhere.
fn mark(path: &Path) -> Mark {
    let seen = std::fs::metadata(path).ok()?;
    Some((seen.ino(), seen.len(), seen.mtime(), seen.mtime_nsec()))
}
