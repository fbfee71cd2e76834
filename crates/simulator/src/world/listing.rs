//! The index behind lists: task numbers by status and model, so a page costs its own length.

use std::collections::{BTreeMap, BTreeSet};

use crate::task::Status;

/// Narrowing of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) status: Option<Status>,
    /// Model ids that fit; none means all.
    pub(crate) model: Option<&'static str>,
    /// Task ids that fit; empty means all.
    pub(crate) ids: Vec<String>,
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) skip: usize,
    pub(crate) take: usize,
    pub(crate) newest_first: bool,
}

/// The visible tasks of one project.
#[derive(Debug, Default)]
pub(crate) struct Index {
    sets: BTreeMap<(Status, &'static str), BTreeSet<u64>>,
}

impl Index {
    pub(crate) fn insert(&mut self, status: Status, model: &'static str, seq: u64) {
        self.sets.entry((status, model)).or_default().insert(seq);
    }

    pub(crate) fn remove(&mut self, status: Status, model: &'static str, seq: u64) {
        if let Some(set) = self.sets.get_mut(&(status, model)) {
            set.remove(&seq);
        }
    }

    /// The numbers of one page, and how many fit in all.
    pub(crate) fn page(
        &self,
        status: Option<Status>,
        model: Option<&str>,
        span: Span,
    ) -> (Vec<u64>, usize) {
        let fits = |key: &(Status, &'static str)| {
            status.is_none_or(|status| key.0 == status) && model.is_none_or(|model| key.1 == model)
        };
        let sets: Vec<&BTreeSet<u64>> =
            self.sets.iter().filter(|(key, _)| fits(key)).map(|(_, set)| set).collect();
        let total = sets.iter().map(|set| set.len()).sum();
        let mut cursors: Vec<_> = sets
            .into_iter()
            .map(|set| -> std::iter::Peekable<Box<dyn Iterator<Item = u64>>> {
                let numbers: Box<dyn Iterator<Item = u64>> = match span.newest_first {
                    true => Box::new(set.iter().rev().copied()),
                    false => Box::new(set.iter().copied()),
                };
                numbers.peekable()
            })
            .collect();
        let merged = std::iter::from_fn(move || {
            let heads = cursors.iter_mut().enumerate();
            let heads = heads.filter_map(|(at, cursor)| cursor.peek().map(|seq| (*seq, at)));
            let next = if span.newest_first { heads.max() } else { heads.min() };
            cursors[next?.1].next()
        });
        (merged.skip(span.skip).take(span.take).collect(), total)
    }
}
