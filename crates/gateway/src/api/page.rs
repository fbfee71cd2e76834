//! The one form of a list.

use serde::Serialize;
use utoipa::ToSchema;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    /// `list`.
    object: &'static str,
    items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    next: Option<String>,
}

impl<T> Page<T> {
    pub(crate) fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { object: "list", items, next }
    }

    /// Of a list that fits on a page.
    pub(crate) fn whole(items: Vec<T>) -> Self {
        Self::new(items, None)
    }
}
