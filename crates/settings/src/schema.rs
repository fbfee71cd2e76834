//! The known keys: those of `default.toml` with their comments, and the patterns.

use crate::error::{Fault, Layer, Refusal, SettingsError};
use crate::key::{Key, table};
use crate::mask::as_toml;
use crate::patterns::{MIRRORS, Mirror, PATTERNS};
use crate::rule::Rule;
use crate::{DEFAULT_TOML, ENV_PREFIX};
use config::{File, FileFormat, Source, Value, ValueKind};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// One known key.
#[derive(Debug)]
pub(crate) struct Entry {
    /// A word in angle brackets stands for any name.
    pub(crate) key: Key,
    pub(crate) meaning: String,
    pub(crate) allowed: String,
    pub(crate) rule: Rule,
    /// `None` for a pattern.
    pub(crate) default: Option<ValueKind>,
    /// Whether a running process takes a change over.
    pub(crate) applied: bool,
}

/// What stands before `Allowed:` at a key that a running process takes over.
const APPLIED: &str = "Reload: applied.";

/// Whether a change waits for a restart, in words.
pub(crate) const fn reload_words(applied: bool) -> &'static str {
    if applied { "applied at reload" } else { "needs a restart" }
}

impl Entry {
    fn new(key: Key, meaning: &str, allowed: &str, default: Option<ValueKind>) -> Self {
        let rule = Rule::from_allowed(allowed);
        let marked = meaning.strip_suffix(APPLIED);
        let (applied, meaning) = (marked.is_some(), marked.unwrap_or(meaning).trim_end());
        let (meaning, allowed) = (meaning.to_owned(), allowed.trim_end_matches('.').to_owned());
        Self { key, meaning, allowed, rule, default, applied }
    }

    fn fits(&self, key: &Key) -> bool {
        self.key.0.len() == key.0.len() && self.begins_with(&key.0)
    }

    fn begins_with(&self, words: &[String]) -> bool {
        self.key.0.len() >= words.len()
            && self
                .key
                .0
                .iter()
                .zip(words)
                .all(|(own, word)| if is_any(own) { !word.is_empty() } else { own == word })
    }

    /// The entry's key with the names the operator chose, where they stand at the same place.
    fn filled_from(&self, key: &Key) -> Key {
        let filled = self.key.0.iter().enumerate().map(|(at, own)| match key.0.get(at) {
            Some(word) if is_any(own) && !word.is_empty() => word.clone(),
            Some(_) | None => own.clone(),
        });
        Key(filled.collect())
    }
}

/// The keys of a section as they may stand again at another place. Their bounds are those of the
/// original, also where they name another key of it.
fn mirrored(mirror: &Mirror, entries: &[Entry]) -> Vec<Entry> {
    let (of, at) = (Key::from_dotted(mirror.of), Key::from_dotted(mirror.at));
    let own = entries.iter().filter(|entry| entry.key.0.starts_with(&of.0));
    own.map(|entry| {
        let rest = entry.key.0.get(of.0.len()..).unwrap_or_default();
        let key = Key(at.0.iter().chain(rest).cloned().collect());
        let meaning = format!("{}, in place of `{}`: {}", mirror.whose, entry.key, entry.meaning);
        Entry::new(key, &meaning, &entry.allowed, None)
    })
    .collect()
}

fn is_any(word: &str) -> bool {
    word.starts_with('<')
}

/// All known keys, in the order of `default.toml`, patterns last.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) entries: Vec<Entry>,
}

/// The schema of this program.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let defaults = File::from_str(DEFAULT_TOML, FileFormat::Toml)
            .collect()
            .expect("default.toml is compiled in and parsed by a test");
        Schema::from_annotated(DEFAULT_TOML, &Value::from(defaults))
    })
}

impl Schema {
    /// Reads the keys line by line, because a TOML parser drops comments and order.
    fn from_annotated(text: &str, defaults: &Value) -> Self {
        let mut entries = Vec::new();
        let mut section = Key(Vec::new());
        let mut comment: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some(words) = line.strip_prefix('#') {
                comment.push(words.trim());
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                section = Key::from_dotted(name.trim_end_matches(']'));
            } else if let Some((name, _)) = line.split_once(" = ") {
                let key = section.child(name);
                let text = comment.join(" ");
                let (meaning, allowed) = text.split_once(" Allowed: ").unwrap_or((&text, ""));
                let default = key.find_in(defaults).map(|value| value.kind.clone());
                entries.push(Entry::new(key, meaning, allowed, default));
            }
            comment.clear();
        }
        entries.extend(
            PATTERNS
                .iter()
                .map(|p| Entry::new(Key::from_dotted(p.key), p.meaning, p.allowed, None)),
        );
        let mirrored: Vec<Entry> =
            MIRRORS.iter().flat_map(|mirror| mirrored(mirror, &entries)).collect();
        entries.extend(mirrored);
        Self { entries }
    }

    pub(crate) fn find(&self, key: &Key) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.fits(key))
    }

    /// Whether known keys lie below this one.
    pub(crate) fn is_section(&self, key: &Key) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.key.0.len() > key.0.len() && entry.begins_with(&key.0))
    }

    /// The values below `root`, by key. A table at the place of a value is one, and so is an empty
    /// one where nothing is known, so that both are refused.
    pub(crate) fn leaves<'a>(&self, root: &'a Value) -> BTreeMap<Key, &'a Value> {
        let mut leaves = BTreeMap::new();
        let mut open = vec![(Key(Vec::new()), root)];
        while let Some((key, value)) = open.pop() {
            match table(value).filter(|t| !t.is_empty() || self.is_section(&key)) {
                Some(table) if self.find(&key).is_none() => {
                    open.extend(table.iter().map(|(word, inner)| (key.child(word), inner)));
                }
                Some(_) | None => drop(leaves.insert(key, value)),
            }
        }
        leaves
    }

    /// The known key most like `key`, if it is like enough to be what was meant.
    fn nearest(&self, key: &Key) -> Option<Key> {
        let wanted = key.to_string();
        let distance_max = 2.max(wanted.len() / 4);
        self.entries
            .iter()
            .map(|entry| entry.filled_from(key))
            .map(|known| (strsim::osa_distance(&wanted, &known.to_string()), known))
            .filter(|(distance, _)| *distance <= distance_max)
            .min_by_key(|(distance, known)| {
                // Between equals, the one that shares most words is what was meant.
                let shared = known.0.iter().zip(&key.0).filter(|(a, b)| a == b).count();
                (*distance, usize::MAX - shared)
            })
            .map(|(_, known)| known)
    }

    /// The refusal of a key nobody knows.
    pub(crate) fn unknown(&self, key: &Key, layer: &Layer) -> SettingsError {
        let nearest = self.nearest(key);
        let cure = match &nearest {
            Some(known) => match (layer, known.env_name()) {
                (Layer::Env(_) | Layer::EnvFile { .. }, Some(env)) => {
                    format!("Did you mean `{known}` ({env})?")
                }
                _ => format!("Did you mean `{known}`?"),
            },
            None => "Remove it, or choose a key from `seedfleet config show`".to_owned(),
        };
        SettingsError::from(Refusal {
            fault: Fault::UnknownKey { nearest: nearest.map(|known| known.to_string()) },
            field: key.to_string(),
            layer: layer.clone(),
            problem: "unknown key".to_owned(),
            allowed: "keys of config/default.toml".to_owned(),
            cure,
        })
    }
}

/// What a key means, what it accepts, its default and its name in the environment.
///
/// # Errors
///
/// No such key; the error names the nearest.
pub fn explain(key: &str) -> Result<String, SettingsError> {
    let key = Key::from_dotted(key);
    let entry = schema().find(&key).ok_or_else(|| schema().unknown(&key, &Layer::Flag))?;
    let default = match &entry.default {
        Some(value) => as_toml(value).to_string(),
        None => "none".to_owned(),
    };
    let env = match entry.filled_from(&key).env_name() {
        Some(name) => name,
        None => format!("none (names there are {ENV_PREFIX}A__B of A-Z, 0-9 and _)"),
    };
    let Entry { meaning, allowed, applied, .. } = entry;
    let reload = reload_words(*applied);
    Ok(format!(
        "{key}\n  {meaning}\n  allowed: {allowed}\n  default: {default}\n  env: {env}\n  reload: {reload}\n"
    ))
}

/// A name the environment may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvName {
    /// The name; names chosen by the operator stand as `<POOL>`.
    pub name: String,
    /// Whether a running process takes a change of the key over: from files, since its environment stays.
    pub applied: bool,
}

/// Every name the environment may hold. Each may also end in `_FILE` and then names a file with the value.
#[must_use]
pub fn env_names() -> Vec<EnvName> {
    schema()
        .entries
        .iter()
        // A class of model has a dot in its name, which the environment cannot spell.
        .filter(|entry| !entry.key.0.iter().any(|word| word == "<class>"))
        .map(|entry| EnvName {
            name: format!("{ENV_PREFIX}{}", entry.key.0.join("__").to_ascii_uppercase()),
            applied: entry.applied,
        })
        .collect()
}

#[cfg(test)]
mod tests;
