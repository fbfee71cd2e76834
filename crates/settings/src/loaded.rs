//! The merged configuration: sections for rooms, origins and a masked view for people.

use crate::error::{Layer, SettingsError};
use crate::key::{Key, table};
use crate::mask::{as_toml, masked, secrets_in};
use crate::schema::{reload_words, schema};
use crate::sources::Sources;
use config::{Config, ConfigError, Map, Value, ValueKind};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Everything that was loaded and found good. Has no `Debug`: it holds secrets.
#[derive(Clone)]
pub struct Loaded {
    config: Config,
    /// Layers by the origin their values carry.
    layers: BTreeMap<String, Layer>,
    /// What all this was read from.
    sources: Sources,
}

/// One key as it may be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Full dotted key.
    pub key: String,
    /// The value as TOML, secrets masked.
    pub value: String,
    /// Who said it.
    pub layer: Layer,
    /// Whether a running process takes a change of it over.
    pub applied: bool,
}

impl Loaded {
    pub(crate) fn new(config: Config, layers: BTreeMap<String, Layer>, sources: Sources) -> Self {
        Self { config, layers, sources }
    }

    pub(crate) const fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Every value in force by its key.
    pub(crate) fn leaves(&self) -> BTreeMap<Key, &Value> {
        schema().leaves(&self.config.cache)
    }

    /// The section of a room, such as `submit` or `store.s3`. A section nobody wrote, such as
    /// `pools`, is read from an empty table. An empty text counts as not set and is left out, so that
    /// an `Option` reads as `None`; the struct says `#[serde(default)]`.
    ///
    /// # Errors
    ///
    /// The section does not make a `T`: a word that is none of the allowed, a required key that is
    /// missing, a number too large for its type. Names the full key.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, SettingsError> {
        let at = Key::from_dotted(name);
        let found = at.find_in(&self.config.cache).cloned();
        let mut section = found.unwrap_or_else(|| Map::<_, Value>::new().into());
        drop_unset(&mut section);
        section.try_deserialize().map_err(|error| self.misfit(at, error))
    }

    /// The section at `name`, with every key it does not set as the section at `base` has it. A key that
    /// is set to an empty text is set: it hides the base's value.
    ///
    /// # Errors
    ///
    /// As [`Loaded::section`].
    pub fn section_over<T: DeserializeOwned>(
        &self,
        name: &str,
        base: &str,
    ) -> Result<T, SettingsError> {
        let at = Key::from_dotted(name);
        let found = |key: &Key| key.find_in(&self.config.cache).cloned();
        let mut section =
            found(&Key::from_dotted(base)).unwrap_or_else(|| Map::<_, Value>::new().into());
        if let Some(own) = found(&at) {
            lay_over(&mut section, own);
        }
        drop_unset(&mut section);
        section.try_deserialize().map_err(|error| self.misfit(at, error))
    }

    /// The names below a section that the operator chose, such as the tenants of `tenants`.
    #[must_use]
    pub fn names(&self, name: &str) -> Vec<String> {
        let section = Key::from_dotted(name).find_in(&self.config.cache).and_then(table);
        let mut names: Vec<String> =
            section.map(|table| table.keys().cloned().collect()).unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// Whether anything is set below a key.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        Key::from_dotted(name).find_in(&self.config.cache).is_some()
    }

    /// Who said a key's value last; `None` for an unknown or unset key.
    #[must_use]
    pub fn origin(&self, key: &str) -> Option<&Layer> {
        let value = Key::from_dotted(key).find_in(&self.config.cache)?;
        self.layers.get(value.origin()?)
    }

    /// Every key in force in the order of `default.toml`, secrets masked.
    #[must_use]
    pub fn shown(&self) -> Vec<Shown> {
        let place = |key: &Key| {
            let same = |entry: &crate::schema::Entry| entry.key == *key;
            schema().entries.iter().position(same).unwrap_or(usize::MAX)
        };
        let mut leaves: Vec<_> = self.leaves().into_iter().collect();
        leaves.sort_by_cached_key(|(key, _)| place(key));
        leaves
            .into_iter()
            .map(|(key, value)| Shown {
                value: masked(key.last(), &as_toml(&value.kind)).to_string(),
                applied: schema().find(&key).is_some_and(|entry| entry.applied),
                key: key.to_string(),
                layer: self.layer_of(value).clone(),
            })
            .collect()
    }

    /// Values that [`Loaded::shown`] masks, as they are, and the logins inside of addresses: for whoever takes
    /// them out of other texts.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        let leaves = self.leaves();
        leaves
            .iter()
            .flat_map(|(key, value)| secrets_in(key.last(), &as_toml(&value.kind)))
            .collect()
    }

    /// The files that hold secrets: of every key that ends in `_file`, and of keys listed by their ids.
    #[must_use]
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let holds =
            |key: &Key| key.last().ends_with("_file") || key.0.iter().any(|w| w == "token_keys");
        let named = self.leaves().into_iter().filter(|(key, _)| holds(key));
        let texts = named.filter_map(|(_, value)| match &value.kind {
            ValueKind::String(path) if !path.is_empty() => Some(PathBuf::from(path)),
            _ => None,
        });
        texts.collect()
    }

    /// The same as lines of TOML; with `origin`, each tells its layer in a comment, and whether a running
    /// process takes a change of it over.
    #[must_use]
    pub fn show(&self, origin: bool) -> String {
        let mut page = String::new();
        for Shown { key, value, layer, applied } in self.shown() {
            let written = if origin {
                writeln!(page, "{key} = {value}  # {layer}; {}", reload_words(applied))
            } else {
                writeln!(page, "{key} = {value}")
            };
            written.expect("writing to a String cannot fail");
        }
        page
    }

    /// Values that break a bound. Known only now: a bound may name another key.
    pub(crate) fn out_of_bounds(&self) -> impl Iterator<Item = SettingsError> {
        let root = &self.config.cache;
        schema().leaves(root).into_iter().filter_map(move |(key, value)| {
            let entry = schema().find(&key)?;
            let lookup = |other: &Key| other.find_in(root).map(|found| &found.kind);
            let problem = entry.rule.broken_by(&value.kind, lookup)?;
            let layer = self.layer_of(value);
            Some(SettingsError::bad_value(key.to_string(), layer, problem, &entry.allowed))
        })
    }

    /// Who said a value; of a table, who said the first thing in it.
    fn layer_of(&self, value: &Value) -> &Layer {
        let first = table(value).and_then(|t| t.iter().min_by_key(|(word, _)| word.as_str()));
        match first {
            Some((_, inner)) => self.layer_of(inner),
            None => value.origin().and_then(|o| self.layers.get(o)).unwrap_or(&Layer::BuiltIn),
        }
    }

    /// Names the key that a room's struct could not take.
    fn misfit(&self, section: Key, error: ConfigError) -> SettingsError {
        let (told, problem) = match error {
            ConfigError::Type { unexpected, expected, key, .. } => {
                (key, format!("{unexpected} where {expected} belongs"))
            }
            ConfigError::NotFound(key) => (Some(key), "it is required and missing".to_owned()),
            ConfigError::At { error, key, .. } => (key, error.to_string()),
            other => (None, other.to_string()),
        };
        let found = section.find_in(&self.config.cache).unwrap_or(&self.config.cache);
        let (key, value) = told_key(section, found, &told.unwrap_or_default());
        let allowed = schema().find(&key).map_or("the keys of the section", |e| &e.allowed);
        SettingsError::bad_value(key.to_string(), self.layer_of(value), problem, allowed)
    }
}

/// The key `config` tells and the last value on its way. `config` joins words by bare dots, so
/// that only the values say where a word such as `2.0` ends.
fn told_key<'a>(at: Key, value: &'a Value, told: &str) -> (Key, &'a Value) {
    let Some(table) = table(value).filter(|_| !told.is_empty()) else { return (at, value) };
    let next = table.iter().filter_map(|(word, inner)| {
        let rest = told.strip_prefix(word.as_str())?;
        let ends = rest.is_empty() || rest.starts_with(['.', '[']);
        ends.then(|| (word, inner, rest.strip_prefix('.').unwrap_or(rest)))
    });
    match next.max_by_key(|(word, ..)| word.len()) {
        Some((word, inner, rest)) => told_key(at.child(word), inner, rest),
        None => (at.child(told), value),
    }
}

fn lay_over(base: &mut Value, own: Value) {
    match (&mut base.kind, own.kind) {
        (ValueKind::Table(base), ValueKind::Table(own)) => {
            let mut own: Vec<(String, Value)> = own.into_iter().collect();
            own.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (word, inner) in own {
                match base.get_mut(&word) {
                    Some(under) => lay_over(under, inner),
                    None => drop(base.insert(word, inner)),
                }
            }
        }
        (_, kind) => base.kind = kind,
    }
}

fn drop_unset(value: &mut Value) {
    if let ValueKind::Table(table) = &mut value.kind {
        table.retain(|_, inner| {
            drop_unset(inner);
            inner.kind != ValueKind::String(String::new())
        });
    }
}
