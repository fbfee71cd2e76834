//! `/ui/live`: says that something has changed, and nothing else. The page then fetches itself again, so
//! what it shows is always what a reader without scripts would see.

use super::answer::Shown;
use super::session::Visitor;
use super::sight;
use crate::app::App;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use worker::Drain;

/// Between two looks at what the pools have written.
const LOOK_EVERY: Duration = Duration::from_millis(1_000);
/// A line goes out at least so often, for proxies in between.
const ALIVE_EVERY: Duration = Duration::from_secs(15);
/// One stream ends after so long and the browser opens the next: a session that has ended is noticed.
const STREAM_MAX: Duration = Duration::from_secs(15 * 60);

pub(super) async fn stream(State(app): State<Arc<App>>, visitor: Visitor) -> Shown {
    let doors = sight::pools(&app, &visitor.viewer)?;
    let stores: Vec<Store> = doors.iter().map(|door| door.pool.store.clone()).collect();
    let news = changes(stores, app.drain.clone());
    let alive = KeepAlive::new().interval(ALIVE_EVERY);
    Ok(Sse::new(news).keep_alive(alive).into_response())
}

/// What has been written so far, pool by pool; a pool that does not answer stands where it stood.
async fn written(stores: &[Store], before: &[u64]) -> Vec<u64> {
    let mut counts = Vec::with_capacity(stores.len());
    for (at, store) in stores.iter().enumerate() {
        let told = store.watch().await.map(|watch| watch.lsn);
        counts.push(told.unwrap_or_else(|_| before.get(at).copied().unwrap_or(0)));
    }
    counts
}

fn changes(stores: Vec<Store>, drain: Drain) -> impl Stream<Item = Result<Event, Infallible>> {
    let ends = tokio::time::Instant::now() + STREAM_MAX;
    let begun = (Vec::new(), true);
    futures::stream::unfold(begun, move |(mut seen, first)| {
        let (stores, drain) = (stores.clone(), drain.clone());
        async move {
            if first {
                let seen = written(&stores, &seen).await;
                return Some((Ok(Event::default().comment("follows")), (seen, false)));
            }
            loop {
                if tokio::time::Instant::now() > ends {
                    return None;
                }
                tokio::select! {
                    () = drain.wait() => return None,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
                let now = written(&stores, &seen).await;
                if now != seen {
                    seen = now;
                    return Some((Ok(Event::default().event("changed").data("")), (seen, false)));
                }
            }
        }
    })
}
