//! Claiming: expired leases first, then what is due, never more than asked for.

use crate::connection::Call;
use crate::lease::millis;
use crate::queue::{Claim, Claimed, Held, Queue};
use crate::stored::Found;
use crate::{Store, StoreError, caps, commit, facts, script};
use job::{JobId, Priority, Timestamp};
use redis::{Pipeline, Value};
use seedance::SlotClass;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Tickets one claim may bring, from a plain queue; Lua unpacks no more than 8,000 values.
pub const CLAIM_MAX: usize = 2_000;
/// The same for a submit queue, which is bounded by slots anyway.
const CLAIM_SUBMIT_MAX: usize = 500;
/// Tenants one script call looks at: three lanes each.
const TENANTS_PER_CALL: usize = 16;
/// Tenants one claim looks at, lowest virtual time first; the next claim begins there again.
const TENANTS_MAX: usize = 512;
/// Among normal and low priority, tickets due for longer go by their age; `high` goes before them.
const AGEING: Duration = Duration::from_secs(30 * 60);
/// Cost that one ticket counts for inside one claim: about a 5-second 720p video, in tokens.
const COST_MEAN: u64 = 100_000;
/// A record that this binary cannot read stays lent for so long: a newer one may come.
const UNREADABLE_LEASE: Duration = Duration::from_secs(60);

/// What the accounts of a pool can take of one slot class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Room {
    /// Slots of all accounts together, look-ahead included.
    pub capacity: u32,
    /// The accounts whose slots count.
    pub accounts: Vec<String>,
}

struct Batch {
    now: Timestamp,
    next_due: Option<Duration>,
    reclaimed: usize,
    first_fence: u64,
    /// Submit only.
    room_left: u64,
    /// In the order of their fences; none for what is no job id and lies in a queue all the same.
    ids: Vec<Result<JobId, String>>,
}

impl Store {
    /// The same store, claiming creates only while the pool has room for them. Without this a submit
    /// queue hands out what is asked for, and Begin refuses what exceeds the slots.
    #[must_use]
    pub fn with_rooms(mut self, rooms: BTreeMap<SlotClass, Room>) -> Self {
        self.rooms = Arc::new(rooms);
        self
    }

    /// Takes up to `n` tickets of a queue for `lease`, and reads their records.
    ///
    /// A ticket whose record is gone is dropped; one whose record cannot be read stays lent for a
    /// minute and is logged. After a lost reply the tickets come back when their lease ends.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn claim(
        &self,
        queue: &Queue,
        n: usize,
        lease: Duration,
    ) -> Result<Claimed, StoreError> {
        let queue = *queue;
        let batches = match queue.class() {
            Some(class) => self.claim_submit(class, n.min(CLAIM_SUBMIT_MAX), lease).await?,
            None => vec![self.claim_plain(queue, n.min(CLAIM_MAX), lease).await?],
        };
        let now = batches.last().map_or(Timestamp::from_unix_ms(0), |batch| batch.now);
        let next_due = batches.iter().filter_map(|batch| batch.next_due).min();
        let mut items = Vec::new();
        for batch in batches {
            items.extend(self.read_claimed(queue, batch).await?);
        }
        Ok(Claimed { now, next_due, items })
    }

    async fn claim_plain(
        &self,
        queue: Queue,
        n: usize,
        lease: Duration,
    ) -> Result<Batch, StoreError> {
        let keys = self.keys();
        let mut names = vec![
            keys.due(queue),
            keys.lease(queue),
            keys.holder(queue),
            keys.wake(queue),
            keys.fence(),
        ];
        if queue == Queue::Download {
            names.push(keys.ix_deadline());
        }
        let args = vec![n.to_string(), millis(lease).to_string()];
        let reply = self.connection().call(Call::new(&script::CLAIM, names, args)).await?;
        read(script::CLAIM.name(), reply, 4)
    }

    async fn claim_submit(
        &self,
        class: SlotClass,
        n: usize,
        lease: Duration,
    ) -> Result<Vec<Batch>, StoreError> {
        let tenants: Vec<String> = self
            .connection()
            .ask(redis::cmd("ZRANGE").arg(self.keys().lanes(class)).arg(0).arg(TENANTS_MAX - 1))
            .await?;
        // Without a tenant there may still be expired leases.
        let groups: Vec<&[String]> = match tenants.len() {
            0 => vec![&[]],
            _ => tenants.chunks(TENANTS_PER_CALL).collect(),
        };
        let (mut batches, mut wanted) = (Vec::new(), n);
        for (turn, group) in groups.into_iter().enumerate() {
            let call = self.submit_call(class, wanted, lease, group, turn == 0);
            let batch = read(script::CLAIM_SUBMIT.name(), self.connection().call(call).await?, 5)?;
            wanted -= batch.ids.len().min(wanted);
            let full = wanted == 0 || batch.room_left == 0;
            batches.push(batch);
            if full {
                break;
            }
        }
        Ok(batches)
    }

    fn submit_call(
        &self,
        class: SlotClass,
        n: usize,
        lease: Duration,
        tenants: &[String],
        first: bool,
    ) -> Call {
        let (keys, queue) = (self.keys(), Queue::Submit(class));
        let mut names = vec![
            keys.lease(queue),
            keys.holder(queue),
            keys.wake(queue),
            keys.fence(),
            keys.slots(),
            keys.lanes(class),
        ];
        for tenant in tenants {
            for priority in [Priority::High, Priority::Normal, Priority::Low] {
                names.push(keys.lane_of(class, tenant, priority));
            }
        }
        names.extend(tenants.iter().map(|tenant| keys.tenant_counts(tenant)));
        let (capacity, fields) = match self.rooms.get(&class) {
            Some(room) => {
                let slot = |account: &String| job::Slot { account: account.clone(), class };
                let fields = room.accounts.iter().map(|a| facts::slot_field(&slot(a))).collect();
                (u64::from(room.capacity), fields)
            }
            None => (u64::from(u32::MAX), Vec::new()),
        };
        let mut args = vec![
            n.to_string(),
            millis(lease).to_string(),
            capacity.to_string(),
            millis(AGEING).to_string(),
            COST_MEAN.to_string(),
            u8::from(first).to_string(),
            caps::words(&caps::IN_FLIGHT).join(" "),
            fields.len().to_string(),
        ];
        args.extend(fields);
        for tenant in tenants {
            args.extend([tenant.clone(), self.caps_of(tenant).in_flight_max.to_string()]);
        }
        Call::new(&script::CLAIM_SUBMIT, names, args)
    }

    async fn read_claimed(&self, queue: Queue, batch: Batch) -> Result<Vec<Held>, StoreError> {
        let (mut claims, mut strange) = (Vec::with_capacity(batch.ids.len()), Vec::new());
        for (i, (id, fence)) in batch.ids.into_iter().zip(batch.first_fence..).enumerate() {
            match id {
                Ok(id) => claims.push((Claim { queue, id, fence }, i < batch.reclaimed)),
                Err(text) => strange.push(text),
            }
        }
        self.drop_strange(queue, &strange).await?;
        let ids: Vec<JobId> = claims.iter().map(|(claim, _)| claim.id.clone()).collect();
        let mut held = Vec::with_capacity(ids.len());
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(crate::LOAD_MAX) {
            found.extend(self.find_many(ids).await?.1);
        }
        let (mut gone, mut unreadable) = (Vec::new(), Vec::new());
        for ((claim, reclaimed), found) in claims.into_iter().zip(found) {
            match found {
                Found::Stored(stored) => held.push(Held { stored: *stored, claim, reclaimed }),
                Found::Missing => {
                    tracing::warn!(job = %claim.id, %queue, "a ticket without a record was dropped");
                    gone.push(claim);
                }
                Found::Unreadable(error) => {
                    tracing::error!(job = %claim.id, %queue, %error, "a record cannot be read; its ticket waits");
                    unreadable.push(claim);
                }
            }
        }
        self.drop_claims(&gone).await?;
        if !unreadable.is_empty() {
            self.renew(&unreadable, UNREADABLE_LEASE).await?;
        }
        Ok(held)
    }

    /// What is no job's ticket leads nowhere, and must not keep the others of its batch from anybody.
    async fn drop_strange(&self, queue: Queue, members: &[String]) -> Result<(), StoreError> {
        if members.is_empty() {
            return Ok(());
        }
        tracing::error!(%queue, ?members, "what is no job id lay in a queue and was dropped");
        let mut pipe = Pipeline::new();
        pipe.cmd("ZREM").arg(self.keys().lease(queue)).arg(members);
        pipe.cmd("HDEL").arg(self.keys().holder(queue)).arg(members);
        self.connection().pipe(&mut pipe).await.map(drop)
    }
}

fn read(script: &str, reply: Value, head: usize) -> Result<Batch, StoreError> {
    let bug = || StoreError::reply(script, &reply);
    let Value::Array(parts) = &reply else { return Err(bug()) };
    let number = |i: usize| parts.get(i).and_then(commit::integer).ok_or_else(bug);
    let count = |i: usize| number(i).and_then(|n| u64::try_from(n).map_err(|_| bug()));
    let mut ids = Vec::with_capacity(parts.len().saturating_sub(head));
    for part in parts.iter().skip(head) {
        let text = commit::word(part).ok_or_else(bug)?;
        ids.push(JobId::parse(&text).map_err(|_| text));
    }
    Ok(Batch {
        now: Timestamp::from_unix_ms(number(0)?),
        next_due: u64::try_from(number(1)?).ok().map(Duration::from_millis),
        reclaimed: usize::try_from(count(2)?).map_err(|_| bug())?,
        first_fence: count(3)?,
        room_left: if head > 4 { count(4)? } else { 0 },
        ids,
    })
}
