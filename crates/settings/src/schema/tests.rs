use super::*;
use crate::rule::{Kind, accept};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeSet;
use toml::{Table, Value};

fn leaves(prefix: &Key, table: &Table, into: &mut BTreeSet<Key>) {
    for (word, value) in table {
        let key = prefix.child(word);
        match value {
            Value::Table(inner) => leaves(&key, inner, into),
            _ => {
                into.insert(key);
            }
        }
    }
}

fn numeric(kind: Kind) -> bool {
    match kind {
        Kind::Integer | Kind::Ratio | Kind::Duration => true,
        Kind::Text | Kind::List | Kind::Bool => false,
    }
}

#[test]
fn every_default_is_read_by_the_comment_scan() {
    let defaults: Table = DEFAULT_TOML.parse().expect("default.toml parses");
    let mut parsed = BTreeSet::new();
    leaves(&Key(Vec::new()), &defaults, &mut parsed);
    let scanned: BTreeSet<Key> =
        schema().entries.iter().filter(|e| e.default.is_some()).map(|e| e.key.clone()).collect();
    assert_eq!(parsed, scanned);
    let mirrored = schema().entries.iter().filter(|e| is_mirrored(&e.key)).count();
    assert_eq!(
        schema().entries.len(),
        scanned.len() + PATTERNS.len() + mirrored,
        "a key without a value"
    );
}

fn is_mirrored(key: &Key) -> bool {
    MIRRORS.iter().any(|mirror| key.0.starts_with(&Key::from_dotted(mirror.at).0))
}

#[test]
fn a_mirrored_section_has_the_keys_and_bounds_of_its_original() {
    for mirror in MIRRORS {
        let of = Key::from_dotted(mirror.of);
        let own = schema().entries.iter().filter(|e| e.key.0.starts_with(&of.0));
        for entry in own {
            let rest = entry.key.0[of.0.len()..].to_vec();
            let twin = Key([Key::from_dotted(mirror.at).0, rest].concat());
            let twin = schema().find(&twin).unwrap_or_else(|| panic!("{twin} is unknown"));
            assert_eq!((&twin.allowed, twin.rule.kind), (&entry.allowed, entry.rule.kind));
        }
    }
}

#[test]
fn every_key_says_what_it_means_and_what_it_accepts() {
    for entry in &schema().entries {
        let key = &entry.key;
        assert!(entry.meaning.len() >= 7, "{key} has no comment");
        assert!(!entry.meaning.contains("Allowed"), "{key}: the bounds do not follow the meaning");
        assert!(!entry.allowed.is_empty(), "{key} does not say what it accepts");
        if numeric(entry.rule.kind) {
            let (lowers, uppers) = entry.rule.bound_counts();
            assert!(lowers > 0 && uppers > 0, "{key}: {:?} lacks a bound", entry.allowed);
        }
    }
}

#[test]
fn every_default_is_of_its_own_kind_and_within_its_own_bounds() {
    let look = |key: &Key| schema().find(key)?.default.as_ref();
    for entry in &schema().entries {
        for other in entry.rule.referred() {
            assert!(look(other).is_some(), "{} refers to unknown {other}", entry.key);
        }
        let Some(value) = &entry.default else { continue };
        assert_eq!(accept(entry.rule.kind, value.clone()).as_ref(), Ok(value), "{}", entry.key);
        assert_eq!(entry.rule.broken_by(value, look), None, "{}", entry.key);
        if matches!(value, ValueKind::I64(_) | ValueKind::Float(_)) {
            assert!(numeric(entry.rule.kind), "{} has no unit", entry.key);
        }
    }
}

/// The commented examples are what operators copy; each of their keys must be known, and each
/// pattern must be shown.
#[test]
fn the_commented_examples_and_the_patterns_are_the_same_keys() {
    let mut example = String::new();
    let mut inside = false;
    for line in DEFAULT_TOML.lines() {
        let words = line.trim_start_matches('#').trim();
        inside = line.starts_with('#') && (inside || words.starts_with('['));
        if inside && (words.starts_with('[') || words.contains(" = ")) {
            example.push_str(words);
            example.push('\n');
        }
    }
    let example: Table = example.parse().expect("the examples are TOML");
    let mut shown = BTreeSet::new();
    leaves(&Key(Vec::new()), &example, &mut shown);
    let mut met = BTreeSet::new();
    for key in shown {
        let entry = schema().find(&key).unwrap_or_else(|| panic!("{key} is unknown"));
        assert!(entry.default.is_none(), "{key} has a default: no example needed");
        if !is_mirrored(&entry.key) {
            met.insert(entry.key.to_string());
        }
    }
    let patterns: BTreeSet<String> = PATTERNS.iter().map(|p| p.key.to_owned()).collect();
    assert_eq!(met, patterns);
}

#[test]
fn names_of_the_environment_lead_back_to_their_keys() {
    for entry in schema().entries.iter().filter(|e| e.default.is_some()) {
        let name = entry.key.env_name().expect("every default can be set from the environment");
        assert_eq!(Key::from_env(&name).as_ref(), Some(&entry.key));
        assert_eq!(Key::from_dotted(&entry.key.to_string()), entry.key);
        assert!(env_names().iter().any(|env| env.name == name));
    }
    let dotted = Key::from_dotted(r#"pools.main.accounts.a.limits.classes."2.0".running"#);
    assert_eq!(dotted.0.len(), 8);
    assert!(schema().find(&dotted).is_some());
    assert_eq!(dotted.env_name(), None);
}

/// A known key with one character inserted, dropped, replaced, or swapped with the next, in a word
/// that we chose (a name the operator chooses has no wrong spelling).
fn typo() -> impl Strategy<Value = (Key, Key)> {
    let keys: Vec<Key> = schema().entries.iter().map(|e| e.key.clone()).collect();
    let letter = select("abcdefghijklmnopqrstuvwxyz0123456789_".chars().collect::<Vec<_>>());
    (select(keys), any::<Index>(), any::<Index>(), 0..4_u8, letter).prop_filter_map(
        "the change must change a word of ours",
        |(pattern, word, place, change, letter)| {
            let named = pattern.0.iter().map(|w| w.replace(['<', '>'], "")).collect();
            let meant = Key(named);
            let own: Vec<usize> =
                (0..pattern.0.len()).filter(|&i| !is_any(&pattern.0[i])).collect();
            let word = own[word.index(own.len())];
            let mut letters: Vec<char> = meant.0[word].chars().collect();
            let at = place.index(letters.len());
            match change {
                0 => letters.insert(at, letter),
                1 => drop(letters.remove(at)),
                2 => letters[at] = letter,
                _ if at + 1 < letters.len() => letters.swap(at, at + 1),
                _ => return None,
            }
            let mut written = meant.clone();
            written.0[word] = letters.into_iter().collect();
            (written != meant && !written.0[word].is_empty()).then_some((meant, written))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn one_wrong_character_is_refused_with_the_key_that_was_meant((meant, written) in typo()) {
        prop_assert!(schema().find(&written).is_none(), "{written} was taken");
        let refusal = schema().unknown(&written, &Layer::Flag);
        let Fault::UnknownKey { nearest: Some(nearest) } = &refusal.fault else {
            return Err(TestCaseError::fail(format!("{written}: {:?}", refusal.fault)));
        };
        // `mix` may be `min` as well as `max`: another key will do that is known, and as near.
        let as_near = schema().find(&Key::from_dotted(nearest)).is_some()
            && strsim::osa_distance(&written.to_string(), nearest) == 1;
        prop_assert!(*nearest == meant.to_string() || as_near, "{written}: {nearest}");
    }
}
