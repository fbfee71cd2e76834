//! Lists: pages of the jobs a filter lets through, read from the shortest index that holds them all.

mod cursor;
mod plan;

pub use cursor::{Cursor, CursorError};

use crate::{Store, StoreError, Stored};
use cursor::Place;
use job::JobId;
use job::filter::Filter;
use plan::Plan;

/// Jobs on one page.
pub const LIST_MAX: usize = 500;
/// Index entries one page may look at; a page can end early and still have a next one.
pub const LOOKS_MAX: usize = 5_000;

/// Which end of the list comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// By the instant of acceptance, the last one first.
    #[default]
    Newest,
    /// By the instant of acceptance, the first one first.
    Oldest,
}

impl Order {
    /// The word in cursors and scripts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Oldest => "oldest",
        }
    }
}

/// Which jobs, in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Which jobs.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// From [`Page::next`].
    pub cursor: Option<Cursor>,
    /// At most [`LIST_MAX`]; 0 means that.
    pub limit: usize,
}

impl ListQuery {
    /// The first page of a filter, newest first.
    #[must_use]
    pub fn of(filter: Filter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// The page behind a cursor that came from outside; the first one without.
    ///
    /// # Errors
    ///
    /// [`CursorError`] when the text is no cursor, or that of another list.
    pub fn behind(mut self, cursor: Option<&str>) -> Result<Self, CursorError> {
        let read = |text| Cursor::read(text, &self.filter, self.order);
        self.cursor = cursor.map(read).transpose()?;
        Ok(self)
    }
}

/// One page.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In the order asked for.
    pub items: Vec<Stored>,
    /// Where the next page begins; none: there is none.
    pub next: Option<Cursor>,
}

impl Store {
    /// One page of jobs. Jobs that change between pages so that the filter judges them otherwise may be
    /// left out; those that do not are seen once.
    ///
    /// Looks at no more than [`LOOKS_MAX`] records: a page can be shorter than asked for, even empty, and
    /// still have a next one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Bug`] for a cursor of another list; [`StoreError::Corrupt`] for a record this
    /// binary cannot read; else as every call.
    pub async fn list(&self, query: &ListQuery) -> Result<Page, StoreError> {
        let ListQuery { filter, order, .. } = query;
        if query.cursor.as_ref().is_some_and(|cursor| !cursor.is_of(filter, *order)) {
            return Err(StoreError::Bug("the cursor is that of another list".into()));
        }
        let limit = if query.limit == 0 { LIST_MAX } else { query.limit.min(LIST_MAX) };
        let plan = self.plan(filter).await?;
        let mut place = query.cursor.as_ref().map(|cursor| cursor.place.clone());
        let (mut items, mut seen, mut wanted) = (Vec::new(), 0, limit + 1);
        loop {
            let (mut entries, mut ended) =
                self.entries(&plan, *order, place.as_ref(), wanted).await?;
            // Indexes that are read side by side give as many each.
            if entries.len() > LOOKS_MAX - seen {
                entries.truncate(LOOKS_MAX - seen);
                ended = false;
            }
            seen += entries.len();
            let ids: Vec<JobId> = entries.iter().map(|entry| entry.id.clone()).collect();
            for (entry, found) in entries.into_iter().zip(self.load_many(&ids).await?) {
                // A full page that stops in the middle goes on behind its last item.
                if items.len() == limit {
                    return Ok(Page { items, next: place.map(|p| Cursor::at(p, filter, *order)) });
                }
                place = Some(entry);
                items.extend(found?.filter(|stored| filter.fits(&stored.record, stored.now)));
            }
            if ended {
                return Ok(Page { items, next: None });
            }
            if items.len() == limit || seen >= LOOKS_MAX {
                return Ok(Page { items, next: place.map(|p| Cursor::at(p, filter, *order)) });
            }
            // A filter that lets few through looks further with every round trip.
            wanted = (wanted * 2).clamp(1, LIST_MAX.min(LOOKS_MAX - seen));
        }
    }

    /// Up to `n` entries behind a place, and whether nothing lies behind them.
    async fn entries(
        &self,
        plan: &Plan,
        order: Order,
        behind: Option<&Place>,
        n: usize,
    ) -> Result<(Vec<Place>, bool), StoreError> {
        match plan {
            Plan::Nothing => Ok((Vec::new(), true)),
            Plan::Indexes { keys, first, last } => {
                self.indexed(keys, (*first, *last), order, behind, n).await
            }
            Plan::CustomIds(customs) => self.by_custom_id(customs, order, behind, n).await,
        }
    }
}
