//! `/ui/jobs`: a filter and what it finds.

use super::answer::{Shown, page};
use super::session::Visitor;
use super::sight::{self, Fault, Search};
use crate::app::App;
use axum::extract::{Query, State};
use dashboard::Notice;
use dashboard::screens::jobs::Jobs;
use job::Record;
use serde::Deserialize;
use std::sync::Arc;

/// Jobs on one page.
const PAGE: usize = 50;

/// What a form has just done, as its redirect says it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Said {
    #[serde(default)]
    said: String,
    #[serde(default)]
    of: u64,
}

impl Said {
    pub(super) fn notice(&self) -> Option<Notice> {
        Notice::read(&self.said, self.of)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    #[serde(default, rename = "where")]
    filter: String,
    cursor: Option<String>,
    #[serde(default)]
    said: String,
    #[serde(default)]
    of: u64,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let found = match Search::read(&asked.filter, viewer) {
        Err(fault) => Err(fault),
        Ok(search) => search.page(&doors, asked.cursor.as_deref(), PAGE).await?,
    };
    let (found, fault) = match found {
        Ok(found) => (found, None),
        Err(Fault(fault)) => (sight::Page::default(), Some(fault)),
    };
    let items: Vec<Record> = found.items.into_iter().map(|stored| stored.record).collect();
    let screen = Jobs {
        viewer,
        notice: Notice::read(&asked.said, asked.of),
        now,
        filter: asked.filter.trim(),
        fault,
        items: &items,
        next: found.next,
        later: asked.cursor.is_some(),
    };
    Ok(page(screen.page()))
}
