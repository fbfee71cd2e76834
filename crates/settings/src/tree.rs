//! Values as `config` keeps them: tables within tables. They are reached word by word and never by
//! its path strings, which would split a word such as `"2.0"`.

use crate::key::Key;
use config::{Map, Value, ValueKind};

pub(crate) type Table = Map<String, Value>;

/// The value at `key`.
pub(crate) fn get<'a>(root: &'a Value, key: &Key) -> Option<&'a Value> {
    key.0.iter().try_fold(root, |value, word| table(value)?.get(word))
}

/// Puts a value where `words` lead, making the tables on the way.
pub(crate) fn put(table: &mut Table, words: &[String], value: Value) {
    let Some((first, rest)) = words.split_first() else { return };
    if rest.is_empty() {
        table.insert(first.clone(), value);
        return;
    }
    let inner = table.entry(first.clone()).or_insert_with(|| Value::from(Table::new()));
    if let ValueKind::Table(inner) = &mut inner.kind {
        put(inner, rest, value);
    }
}

pub(crate) fn table(value: &Value) -> Option<&Table> {
    match &value.kind {
        ValueKind::Table(table) => Some(table),
        _ => None,
    }
}

/// The value as people write it.
pub(crate) fn as_toml(kind: &ValueKind) -> toml::Value {
    let value = Value::from(kind.clone());
    value.try_deserialize().expect("what TOML files, texts and rules make can be said in TOML")
}
