//! `/ui/live`: says that something has changed, and nothing else. The page then fetches itself again, so
//! what it shows is always what a reader without scripts would see.

use super::answer::{Shown, Trouble};
use super::session::Visitor;
use super::sight;
use crate::app::App;
use crate::stream::Seat;
use crate::watch::{About, News, Watch};
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::future::select_all;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use store::{Change, Store};
use tokio::time::{Instant, sleep_until};
use worker::Drain;

/// News that come close together are one piece of news.
const TOGETHER: Duration = Duration::from_millis(250);
/// Between two looks at what was written: for changes that move no job to another state, such as a freeze,
/// or the provider's word that it has begun.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A line goes out at least so often, for proxies in between.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// One stream ends after so long and the browser opens the next: a session that has ended is noticed.
const STREAM_MAX: Duration = Duration::from_secs(15 * 60);

/// What a page shows; everything, if nothing is named.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    job: Option<String>,
    batch: Option<String>,
    /// Whose batch that is, for who sees every tenant's.
    tenant: Option<String>,
}

pub(super) async fn stream(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Shown {
    let viewer = &visitor.viewer;
    let seat = app.seats.take(&format!("dashboard of {}", viewer.name))?;
    let (doors, about) = match (&asked.job, &viewer.tenant) {
        (Some(id), _) => {
            let (door, stored) = sight::find(&app, viewer, id).await?;
            (vec![door], About::Job(stored.record.id))
        }
        (None, own) => {
            let about = own.clone().or(asked.tenant).map_or(About::Pool, About::Tenant);
            (sight::pools(&app, viewer)?, about)
        }
    };
    if doors.is_empty() {
        return Err(Trouble::missing());
    }
    let ears = doors.iter().map(|door| Ear::new(&door.watch, &door.pool.store, &about)).collect();
    let page = Page { ears, batch: asked.batch, drain: app.drain.clone(), _seat: seat };
    let alive = KeepAlive::new().interval(ALIVE_EVERY);
    Ok(Sse::new(page.news()).keep_alive(alive).into_response())
}

/// Listens to one pool.
struct Ear {
    watch: Watch,
    store: Store,
    about: About,
    news: News,
    /// What had been written at the last look, as a number that grows with it.
    seen: Option<u64>,
}

impl Ear {
    fn new(watch: &Watch, store: &Store, about: &About) -> Self {
        let news = watch.subscribe(about.clone());
        Self { watch: watch.clone(), store: store.clone(), about: about.clone(), news, seen: None }
    }

    /// The next change; [`None`]: so many came that some were not heard.
    async fn next(&mut self) -> Option<Arc<Change>> {
        let heard = self.news.next().await;
        if heard.is_none() {
            self.news = self.watch.subscribe(self.about.clone());
        }
        heard
    }

    /// Whether anything of this was written since the last look, such as a job's news that changes no
    /// state. A pool that does not answer has written nothing.
    async fn has_written(&mut self) -> bool {
        let written = match &self.about {
            About::Job(id) => {
                self.store.load(id).await.map(|stored| stored.map_or(0, |stored| stored.revision))
            }
            About::Tenant(_) | About::Pool => self.store.watch().await.map(|watch| watch.lsn),
        };
        let Ok(written) = written else { return false };
        let before = self.seen.replace(written);
        before.is_some_and(|before| before != written)
    }
}

/// One open page.
struct Page {
    ears: Vec<Ear>,
    /// The only one whose jobs it shows.
    batch: Option<String>,
    drain: Drain,
    _seat: Seat,
}

impl Page {
    fn news(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let ends = Instant::now() + STREAM_MAX;
        // The first line goes out at once: the browser learns that it is heard.
        let begun = (self, true);
        futures::stream::unfold(begun, move |(mut page, first)| async move {
            if first {
                page.looked().await;
                return Some((Ok(Event::default().comment("follows")), (page, false)));
            }
            let drain = page.drain.clone();
            tokio::select! {
                () = drain.wait() => None,
                () = sleep_until(ends) => None,
                () = page.changed() => {
                    // A browser passes over an event that has no data.
                    Some((Ok(Event::default().event("changed").data("{}")), (page, false)))
                }
            }
        })
    }

    /// Returns when there is something new to be seen.
    async fn changed(&mut self) {
        let mut look = Instant::now() + LOOK_EVERY;
        loop {
            tokio::select! {
                ours = self.heard() => if ours { break },
                () = sleep_until(look) => {
                    // A batch has no news but its jobs'.
                    if self.batch.is_none() && self.looked().await {
                        break;
                    }
                    look = Instant::now() + LOOK_EVERY;
                }
            }
        }
        tokio::time::sleep(TOGETHER).await;
        for ear in &mut self.ears {
            ear.news.skip();
        }
        self.looked().await;
    }

    /// The next change of any pool, and whether this page shows it.
    async fn heard(&mut self) -> bool {
        let waits = self.ears.iter_mut().map(|ear| Box::pin(ear.next()));
        let (heard, _, _) = select_all(waits).await;
        match (heard, &self.batch) {
            (Some(change), Some(batch)) => change.batch.as_ref() == Some(batch),
            (Some(_), None) | (None, _) => true,
        }
    }

    /// Whether any pool has written since the last look.
    async fn looked(&mut self) -> bool {
        let mut any = false;
        for ear in &mut self.ears {
            any |= ear.has_written().await;
        }
        any
    }
}
