//! Keeping, handing back and dropping claims; each for the holder of the fence only.

use crate::claim::COST_MEAN;
use crate::connection::Call;
use crate::facts::{KeyTable, Place};
use crate::queue::{Claim, Lane, Queue};
use crate::stored::Found;
use crate::{Store, StoreError, script};
use job::{JobId, Priority, Record, Timestamp};
use redis::Value;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// Claims renewed by one script call.
pub const RENEW_MAX: usize = 500;

/// What became of a ticket that was handed back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// It is due again, or dropped.
    Done,
    /// It was somebody else's by then; nothing changed.
    Fenced,
}

#[derive(Serialize)]
struct Facts<'a> {
    id: &'a JobId,
    fence: String,
    delay: u64,
    asked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    offers: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Place>,
}

/// Where a ticket goes that is handed back, and when it is due there.
struct Back {
    lane: Lane,
    delay: Duration,
    /// Only if somebody asked for it meanwhile; else it is dropped.
    asked: bool,
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The instant that a score tells: whole milliseconds, far below what a float holds exactly.
pub(crate) fn instant(score: f64) -> Timestamp {
    Timestamp::from_unix_ms(score as i64)
}

impl Store {
    /// Extends leases; returns the claims that are no longer the caller's.
    ///
    /// # Errors
    ///
    /// As every call; some of the leases may have been extended.
    pub async fn renew(&self, claims: &[Claim], lease: Duration) -> Result<Vec<Claim>, StoreError> {
        let mut by_queue: BTreeMap<Queue, Vec<&Claim>> = BTreeMap::new();
        for claim in claims {
            by_queue.entry(claim.queue).or_default().push(claim);
        }
        let chunks: Vec<(Queue, &[&Claim])> = by_queue
            .iter()
            .flat_map(|(queue, claims)| claims.chunks(RENEW_MAX).map(|chunk| (*queue, chunk)))
            .collect();
        let calls: Vec<Call> = chunks
            .iter()
            .map(|(queue, chunk)| {
                let keys = vec![self.keys().lease(*queue), self.keys().holder(*queue)];
                let pairs = chunk.iter().flat_map(|c| [c.id.to_string(), c.fence.to_string()]);
                let args = std::iter::once(millis(lease).to_string()).chain(pairs).collect();
                Call::new(&script::RENEW, keys, args)
            })
            .collect();
        let mut lost = Vec::new();
        for ((_, chunk), reply) in chunks.iter().zip(self.connection().call_many(&calls).await) {
            let reply = reply?;
            let ids: HashSet<String> = redis::from_redis_value(reply.clone())
                .map_err(|_| StoreError::reply("renew", &reply))?;
            lost.extend(chunk.iter().filter(|c| ids.contains(c.id.as_str())).map(|c| (*c).clone()));
        }
        Ok(lost)
    }

    /// Hands a ticket back without a commit; it is due again after `delay`, or at once when somebody
    /// asked for it meanwhile.
    ///
    /// # Errors
    ///
    /// As every call; the ticket may have been handed back.
    pub async fn release(&self, claim: &Claim, delay: Duration) -> Result<Released, StoreError> {
        if claim.queue.class().is_none() {
            return self.put_back(claim, None, delay).await;
        }
        // Only the record knows the lane.
        let found = self.find_many(std::slice::from_ref(&claim.id)).await?.1.pop();
        match found {
            Some(Found::Stored(stored)) => self.hand_back(claim, &stored.record, delay).await,
            Some(Found::Missing) | None => self.drop_claim(claim).await,
            Some(Found::Unreadable(error)) => Err(error),
        }
    }

    pub(crate) async fn hand_back(
        &self,
        claim: &Claim,
        record: &Record,
        delay: Duration,
    ) -> Result<Released, StoreError> {
        self.put_back(claim, Some(Lane::of(record)), delay).await
    }

    async fn put_back(
        &self,
        claim: &Claim,
        lane: Option<Lane>,
        delay: Duration,
    ) -> Result<Released, StoreError> {
        let lane =
            lane.unwrap_or_else(|| Lane { tenant: String::new(), priority: Priority::Normal });
        let call = self.release_call(claim, Some(Back { lane, delay, asked: false }))?;
        read_release(self.connection().call(call).await?)
    }

    /// Drops the ticket of a job that needs no step, unless somebody asked for one more look while this one was
    /// taken: what a late callback names may be another task than the one just read.
    pub(crate) async fn drop_unless_asked(
        &self,
        claim: &Claim,
        record: &Record,
    ) -> Result<Released, StoreError> {
        let lane = Lane::of(record);
        let back = Back { lane, delay: Duration::ZERO, asked: true };
        let call = self.release_call(claim, Some(back))?;
        read_release(self.connection().call(call).await?)
    }

    pub(crate) async fn drop_claim(&self, claim: &Claim) -> Result<Released, StoreError> {
        let call = self.release_call(claim, None)?;
        read_release(self.connection().call(call).await?)
    }

    pub(crate) async fn drop_claims(&self, claims: &[Claim]) -> Result<(), StoreError> {
        let calls: Vec<Call> =
            claims.iter().map(|claim| self.release_call(claim, None)).collect::<Result<_, _>>()?;
        self.connection().call_many(&calls).await.into_iter().try_for_each(|reply| reply.map(drop))
    }

    /// Back into its lane after a pause, or, without one, dropped.
    fn release_call(&self, claim: &Claim, back: Option<Back>) -> Result<Call, StoreError> {
        let mut table = KeyTable::default();
        table.at(self.keys().job(&claim.id));
        table.at(self.keys().lease(claim.queue));
        table.at(self.keys().holder(claim.queue));
        let delay = back.as_ref().map_or(0, |back| millis(back.delay));
        // Whoever comes back at once was never tried.
        let tried = back.as_ref().filter(|_| delay > 0 && claim.queue.class().is_some());
        let cost = tried.map(|back| self.caps_of(&back.lane.tenant).charge(COST_MEAN));
        let asked = back.as_ref().is_some_and(|back| back.asked);
        let place = |back: Back| Place::of(self.keys(), &mut table, claim.queue, &back.lane, None);
        let to = back.map(place);
        let offers = claim.queue.class().map(|class| table.at(self.keys().offers(class)));
        let fence = claim.fence.to_string();
        let facts = Facts { id: &claim.id, fence, delay, asked, offers, cost, to };
        let facts = StoreError::json("facts that are", &facts)?;
        Ok(Call::new(&script::RELEASE, table.into_keys(), vec![facts]))
    }
}

fn read_release(reply: Value) -> Result<Released, StoreError> {
    match crate::commit::word(&reply).as_deref() {
        Some("released") => Ok(Released::Done),
        Some("fenced") => Ok(Released::Fenced),
        Some(_) | None => Err(StoreError::reply("release", &reply)),
    }
}
