//! Telling an endpoint again what it was told, or might have been.

use super::{Endpoint, HookEvent, OUTBOX_MAX, Outgoing, SHARE_MAX, Shared, Sharing};
use crate::{Mark, Store, StoreError};
use job::Timestamp;

/// Entries a replay leaves room for: what happens meanwhile must still fit.
const ROOM: usize = OUTBOX_MAX / 10;

/// What a replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Events put into the outbox.
    pub events: u64,
    /// The instant up to which the stream was looked through.
    pub until: Timestamp,
    /// The outbox has no more room: go on from `until` when it has.
    pub full: bool,
    /// What was asked for begins earlier than what is kept.
    pub kept_from: Option<Timestamp>,
}

impl Store {
    /// Puts one event into an endpoint's outbox, behind what waits there. False: it is off, or gone, or full.
    ///
    /// # Errors
    ///
    /// As every call; repeated, it is told twice under one id.
    pub async fn tell_endpoint(&self, id: &str, event: HookEvent) -> Result<bool, StoreError> {
        let found = self.endpoints_by_id(&[id.to_owned()]).await?.pop().flatten();
        let takes = found.is_some_and(|state| state.off.is_none() && has_room(state.waiting, 1));
        if takes {
            self.tell(id, vec![event]).await?;
        }
        Ok(takes)
    }

    /// Puts the events between two instants that `wanted` names into the outbox, as they are kept in the
    /// stream. What is delivered keeps its `webhook-id`.
    ///
    /// # Errors
    ///
    /// As every call; some events may have been put there.
    pub async fn replay(
        &self,
        endpoint: &Endpoint,
        (since, until): (Timestamp, Timestamp),
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Replayed, StoreError> {
        let mut after = Mark::before(since);
        let first = self.first_change().await?.map(Mark::at);
        let kept_from = first.filter(|first| *first > since);
        let mut replayed = Replayed { events: 0, until: since, full: false, kept_from };
        loop {
            let group = self.changes_after(after, SHARE_MAX).await?;
            let in_time = group.iter().filter(|change| change.mark.at() <= until);
            let events: Vec<HookEvent> = in_time
                .filter(|change| change.tenant == endpoint.tenant && wanted(change.kind()))
                .map(|change| HookEvent { replayed: true, ..HookEvent::from(change) })
                .collect();
            let id = std::slice::from_ref(&endpoint.id);
            let state = self.endpoints_by_id(id).await?.pop().flatten();
            let open = state.is_some_and(|s| s.off.is_none() && has_room(s.waiting, events.len()));
            if !open {
                return Ok(Replayed { full: true, ..replayed });
            }
            replayed.events += events.len() as u64;
            if !events.is_empty() {
                self.tell(&endpoint.id, events).await?;
            }
            match group.last().map(|change| change.mark) {
                Some(last) if last.at() <= until => {
                    after = last;
                    replayed.until = last.at();
                }
                Some(_) | None => return Ok(Replayed { until, ..replayed }),
            }
        }
    }

    async fn tell(&self, id: &str, events: Vec<HookEvent>) -> Result<Shared, StoreError> {
        let outs = vec![Outgoing { id: id.to_owned(), events, fresh: None }];
        self.share_out(&Sharing { outs, ..Sharing::default() }).await
    }
}

fn has_room(waiting: u64, more: usize) -> bool {
    usize::try_from(waiting).is_ok_and(|waiting| waiting + more + ROOM <= OUTBOX_MAX)
}
