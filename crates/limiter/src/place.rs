//! The place of a counted call: taken with its instant, given back with its answer.
//!
//! Instants keep a limit as long as calls take about equally long to arrive. Where a limit is a call a second or
//! fifteen a minute, one that is stuck on the way and the next one are an excess. So such calls are counted in
//! Redis as well (`store`, `snippet/pace.lua`): a place is taken from before the call is made until a window after
//! its answer. A process that dies tells nobody; its place ends by itself, when nothing of its call can arrive any
//! more and a window has passed.

use crate::settings::START_MAX;
use std::fmt;
use std::time::{Duration, Instant, SystemTime};
use store::{CallRow, Counted, Store};

/// A place in the count of a row.
pub(crate) struct Place {
    store: Store,
    account: String,
    row: CallRow,
    id: String,
    window: Duration,
    /// The call is made before this, or never: its place might have ended.
    start_by: Instant,
    /// The same on the wall clock, for a machine that was suspended in between.
    wall_start_by: SystemTime,
    made: bool,
}

impl Place {
    /// Of a read that was granted an instant which can be used until `closes`.
    pub(crate) fn of_read(
        (store, account, row): (&Store, &str, CallRow),
        counted: Counted,
        first_us: u64,
        closes: Instant,
    ) -> Self {
        let start_by = closes + START_MAX;
        let left = start_by.saturating_duration_since(Instant::now());
        Self {
            store: store.clone(),
            account: account.to_owned(),
            row,
            id: first_us.to_string(),
            window: Duration::from_micros(counted.window_us),
            start_by,
            wall_start_by: SystemTime::now() + left,
            made: false,
        }
    }

    /// Whether it may have ended, so that the call must not be made.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.start_by || SystemTime::now() >= self.wall_start_by
    }

    /// The call is made now: from here on only its answer gives the place back.
    pub(crate) fn made(mut self) -> Self {
        self.made = true;
        self
    }

    /// The call was answered: the place is free a window later.
    pub(crate) async fn answered(&self) {
        tell(&self.store, &self.account, self.row, &self.id, self.window).await;
    }

    /// Nothing of it ever left: the place is free.
    pub(crate) async fn never_left(&self) {
        tell(&self.store, &self.account, self.row, &self.id, Duration::ZERO).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Outside a runtime it ends by itself, later.
        if let (false, Ok(runtime)) = (self.made, tokio::runtime::Handle::try_current()) {
            let (store, account) = (self.store.clone(), std::mem::take(&mut self.account));
            let (row, id) = (self.row, std::mem::take(&mut self.id));
            runtime.spawn(async move { tell(&store, &account, row, &id, Duration::ZERO).await });
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place")
            .field("id", &self.id)
            .field("made", &self.made)
            .finish_non_exhaustive()
    }
}

/// How long a call counts from here on. Who cannot tell it loses nothing but time: the place ends by itself.
pub(crate) async fn tell(
    store: &Store,
    account: &str,
    row: CallRow,
    id: &str,
    counts_for: Duration,
) {
    if let Err(error) = store.call_done(account, row, id, counts_for).await {
        tracing::warn!(%error, account, id, "a counted call counts on until its time is over");
    }
}
