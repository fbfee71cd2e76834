//! Which rows of a file are its pilot: some of each kind of settings, the same ones whenever the file is read.

use crate::Checked;
use crate::takes::start;
use seedance::{ContentItem, DurationChoice, Request};
use std::collections::BTreeMap;

/// Kinds of settings that are told apart; there are fewer.
const KINDS_MAX: usize = 10_000;

/// What is known of the rows of a file while it is read, bounded by rows wanted and kinds.
#[derive(Debug)]
pub struct Deck {
    wanted: usize,
    kinds: BTreeMap<String, Kind>,
}

#[derive(Debug, Default)]
struct Kind {
    rows: u64,
    /// By the start of their fingerprints, which is as good as chance and the same each time: as many as are wanted.
    first: BTreeMap<u64, u64>,
}

/// The rows that were drawn.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Their numbers, with the settings of each.
    pub rows: BTreeMap<u64, String>,
    /// Kinds of settings among them.
    pub kinds: usize,
    /// Kinds of settings in the file.
    pub kinds_in_file: usize,
}

impl Deck {
    /// For so many rows.
    #[must_use]
    pub const fn of(wanted: usize) -> Self {
        Self { wanted, kinds: BTreeMap::new() }
    }

    /// A good row. Equal rows are one job, and drawn once. What waits for a review tells nothing before somebody has
    /// looked at it, and is not drawn.
    pub fn row(&mut self, checked: &Checked, row: u64) {
        if checked.held.is_none() {
            self.put(&settings_of(&checked.request), checked.fingerprint.as_str(), row);
        }
    }

    fn put(&mut self, settings: &str, fingerprint: &str, row: u64) {
        if !self.kinds.contains_key(settings) {
            if self.kinds.len() >= KINDS_MAX {
                return;
            }
            self.kinds.insert(settings.to_owned(), Kind::default());
        }
        let Some(kind) = self.kinds.get_mut(settings) else { return };
        kind.rows += 1;
        kind.first.entry(start(fingerprint)).or_insert(row);
        if kind.first.len() > self.wanted {
            kind.first.pop_last();
        }
    }

    /// One of each kind, the commonest first, then a second of each, until there are enough.
    #[must_use]
    pub fn draw(self) -> Drawn {
        let kinds_in_file = self.kinds.len();
        let mut kinds: Vec<(String, Kind)> = self.kinds.into_iter().collect();
        // Stable: of equally common ones the order of their names decides.
        kinds.sort_by_key(|(_, kind)| std::cmp::Reverse(kind.rows));
        let mut drawn = Drawn { kinds_in_file, ..Drawn::default() };
        while drawn.rows.len() < self.wanted {
            let before = drawn.rows.len();
            let first = before == 0;
            for (settings, kind) in &mut kinds {
                if drawn.rows.len() >= self.wanted {
                    break;
                }
                if let Some((_, row)) = kind.first.pop_first() {
                    drawn.rows.insert(row, settings.clone());
                    drawn.kinds += usize::from(first);
                }
            }
            if drawn.rows.len() == before {
                break;
            }
        }
        drawn
    }
}

/// The settings by which requests are told apart, as a person reads them.
#[must_use]
pub fn settings_of(request: &Request) -> String {
    let length = match request.duration_s {
        DurationChoice::Seconds(s) => format!("{s} s"),
        DurationChoice::ModelChooses => "any length".to_owned(),
    };
    let mut roles: Vec<&str> = request.content.iter().filter_map(role).collect();
    roles.sort_unstable();
    roles.dedup();
    let media = if roles.is_empty() { "text".to_owned() } else { roles.join("+") };
    let sound = if request.generate_audio { "sound" } else { "silent" };
    let (model, resolution) = (request.model.word(), request.resolution.word());
    format!("{model} {resolution} {} {length} {media} {sound}", request.ratio.word())
}

fn role(item: &ContentItem) -> Option<&'static str> {
    match item {
        ContentItem::Text { .. } => None,
        ContentItem::Image { role, .. } => Some(role.word()),
        ContentItem::Video { .. } => Some("video"),
        ContentItem::Audio { .. } => Some("audio"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn rows_of(drawn: &Drawn) -> Vec<u64> {
        drawn.rows.keys().copied().collect()
    }

    fn deck(wanted: usize, rows: &[(&str, &str)]) -> Drawn {
        let mut deck = Deck::of(wanted);
        for (row, (settings, fingerprint)) in (1..).zip(rows) {
            deck.put(settings, fingerprint, row);
        }
        deck.draw()
    }

    #[test]
    fn each_kind_is_drawn_before_any_is_drawn_twice() {
        let rows = [("a", "9"), ("a", "8"), ("a", "7"), ("b", "6"), ("b", "5"), ("c", "4")];
        let drawn = deck(4, &rows);
        assert_eq!((drawn.kinds, drawn.kinds_in_file), (3, 3));
        // The first by fingerprint of each, then the second of the commonest.
        assert_eq!(rows_of(&drawn), [2, 3, 5, 6]);
        assert_eq!(drawn.rows[&6], "c");
        let two = deck(2, &rows);
        assert_eq!((two.kinds, two.kinds_in_file), (2, 3), "the commonest ones");
        assert_eq!(rows_of(&two), [3, 5]);
        assert_eq!(deck(9, &rows).rows.len(), 6, "there are no more");
        assert_eq!(deck(3, &[]), Drawn::default());
    }

    #[test]
    fn equal_rows_are_drawn_once_and_their_order_does_not_matter() {
        let drawn = deck(3, &[("a", "2"), ("a", "1"), ("a", "2"), ("a", "3")]);
        assert_eq!(rows_of(&drawn), [1, 2, 4]);
        let mut other = [("a", "3"), ("a", "2"), ("a", "1"), ("b", "0")];
        let names = |rows: &[(&'static str, &'static str)]| -> BTreeSet<_> {
            let drawn = rows_of(&deck(2, rows));
            drawn.iter().map(|row| rows[usize::try_from(*row).expect("small") - 1]).collect()
        };
        let first = names(&other);
        other.reverse();
        assert_eq!(names(&other), first);
    }
}
