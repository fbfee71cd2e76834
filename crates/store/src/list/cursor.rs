//! Where a page ends and the next one begins.

use super::Order;
use job::filter::Filter;
use job::{JobId, Timestamp};
use std::fmt;

/// A place in a list: whatever stands behind it comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) at: Timestamp,
    pub(super) id: JobId,
}

impl Place {
    /// Whether the place comes later in the list than another.
    pub(super) fn is_behind(&self, other: &Self, order: Order) -> bool {
        let (own, other) = ((self.at, &self.id), (other.at, &other.id));
        match order {
            Order::Newest => own < other,
            Order::Oldest => own > other,
        }
    }
}

/// Goes on with a list where a page ended. It belongs to its filter and its order, and says so when it is
/// used for another. Callers keep its text and read nothing into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub(super) place: Place,
    order: Order,
    filter: String,
}

/// A text is no cursor of the list it is used for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It never was one.
    #[error(
        "this is no cursor; take `next` of the page before as it stands, or leave it out to begin anew"
    )]
    Unreadable,
    /// It came from a list with another filter or order.
    #[error(
        "the cursor belongs to another list; send the filter and the order it came with, or leave it out to begin anew"
    )]
    OtherList,
}

impl Cursor {
    pub(super) fn at(place: Place, filter: &Filter, order: Order) -> Self {
        Self { place, order, filter: filter.digest() }
    }

    pub(super) fn is_of(&self, filter: &Filter, order: Order) -> bool {
        self.order == order && self.filter == filter.digest()
    }

    /// Reads a cursor that came from outside.
    ///
    /// # Errors
    ///
    /// It is none, or that of another list.
    pub fn read(text: &str, filter: &Filter, order: Order) -> Result<Self, CursorError> {
        let cursor = Self::parse(text).ok_or(CursorError::Unreadable)?;
        if cursor.is_of(filter, order) { Ok(cursor) } else { Err(CursorError::OtherList) }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let order = match parts.next()? {
            "n" => Order::Newest,
            "o" => Order::Oldest,
            _ => return None,
        };
        let at = i64::from_str_radix(parts.next()?, 16).ok().map(Timestamp::from_unix_ms)?;
        let id = JobId::parse(&format!("job_{}", parts.next()?)).ok()?;
        let filter = parts.next()?.to_owned();
        parts.next().is_none().then_some(Self { place: Place { at, id }, order, filter })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = match self.order {
            Order::Newest => 'n',
            Order::Oldest => 'o',
        };
        let Place { at, id } = &self.place;
        let id = id.as_str().trim_start_matches("job_");
        write!(f, "{order}.{:x}.{id}.{}", at.unix_ms(), self.filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_serves_its_own_list_only() {
        let id = JobId::from_ulid(ulid::Ulid::generate());
        let place = Place { at: Timestamp::from_unix_ms(1_795_000_000_123), id };
        let filter = Filter::all().tenant("a");
        let cursor = Cursor::at(place, &filter, Order::Oldest);
        let text = cursor.to_string();
        let read = |filter: &Filter, order| Cursor::read(&text, filter, order);
        assert_eq!(read(&filter, Order::Oldest), Ok(cursor));
        assert_eq!(read(&filter, Order::Newest), Err(CursorError::OtherList));
        assert_eq!(read(&Filter::all(), Order::Oldest), Err(CursorError::OtherList));
        for bad in
            ["", "x.y", "n.1.2.3", "n..", &format!("{text}.1"), "n.zz.01ARZ3NDEKTSV4RRFFQ69G5FAV.a"]
        {
            let none = Cursor::read(bad, &filter, Order::Oldest);
            assert_eq!(none, Err(CursorError::Unreadable), "{bad}");
        }
    }
}
