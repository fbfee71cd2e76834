//! Claiming: expired leases first, then what is due, never more than asked for.

use crate::begin::Counted;
use crate::connection::Call;
use crate::keys::Keys;
use crate::lease::millis;
use crate::overview::stop_name;
use crate::pauses::{DOWNLOAD_MARGIN, PauseScope};
use crate::queue::{Claim, Claimed, Held, Queue};
use crate::stored::Found;
use crate::{Store, StoreError, caps, commit, facts, script};
use job::{JobId, Priority, Timestamp};
use redis::{Pipeline, Value};
use seedance::SlotClass;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
pub(crate) const COST_MEAN: u64 = 100_000;
/// Numbers in front of the ids in the answer of each script.
const HEAD_PLAIN: usize = 4;
const HEAD_SUBMIT: usize = 5;
/// A record that this binary cannot read stays lent for so long: a newer one may come.
const UNREADABLE_LEASE: Duration = Duration::from_secs(60);

/// What one account can take of one slot class, as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRoom {
    /// Its name.
    pub account: String,
    /// Tasks that it may run.
    pub running: u32,
    /// Tasks that it is fed beyond that.
    pub lookahead: u32,
    /// Between two creates, µs; 0: no pacing.
    pub interval_us: u64,
    /// The limit that this interval keeps to, in creates a minute.
    pub calls: u32,
    /// As [`Pace::counted`](crate::Pace).
    pub counted: Option<Counted>,
}

/// What the accounts of a pool can take of one slot class.
#[derive(Debug, Clone, Default)]
pub struct Room {
    /// Each of them.
    pub accounts: Vec<AccountRoom>,
    /// As [`Pace::horizon_us`](crate::Pace), the same for all.
    pub horizon_us: u64,
    /// What Begin will ask for as [`Pace::lead_us`](crate::Pace); it moves with what bucket and provider take.
    pub lead_us: Arc<AtomicU64>,
    /// As [`Pace::lead_max_us`](crate::Pace), the same for all.
    pub lead_max_us: u64,
}

/// What the script is told.
#[derive(Serialize)]
struct Facts<'a> {
    n: usize,
    lease_ms: u64,
    age_ms: u64,
    mean: u64,
    clean: bool,
    words: Vec<&'static str>,
    tenants: Vec<TenantFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accounts: Option<Vec<AccountFacts<'a>>>,
    horizon: u64,
    lead: u64,
    lead_max: u64,
    pauses: Pauses,
}

/// What could hold tickets back: all, the class, and each tenant.
#[derive(Serialize)]
struct Pauses {
    key: usize,
    fields: Vec<String>,
}

#[derive(Serialize)]
struct TenantFacts<'a> {
    name: &'a str,
    cap: u32,
}

#[derive(Serialize)]
struct AccountFacts<'a> {
    name: &'a str,
    slot: String,
    stopped: [String; 2],
    running: u32,
    lookahead: u32,
    interval: u64,
    calls: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<Counted>,
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
    /// Submit only: the account of each id.
    accounts: Vec<Option<String>>,
}

/// Tickets that were taken, and whose records nobody has read yet.
pub(crate) struct Taken {
    queue: Queue,
    batches: Vec<Batch>,
}

impl Taken {
    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.ids.len()).sum()
    }

    /// As [`Claimed::next_due`].
    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.batches.iter().filter_map(|batch| batch.next_due).min()
    }
}

impl Store {
    /// The same store, claiming creates only while an account has room for them, and naming it. Without this a
    /// submit queue hands out what is asked for, and Begin refuses what exceeds the slots.
    #[must_use]
    pub fn with_rooms(mut self, rooms: BTreeMap<SlotClass, Room>) -> Self {
        self.rooms = Arc::new(rooms);
        self
    }

    /// Takes up to `n` tickets of a queue for `lease`, and reads their records.
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
        self.read_taken(self.take(*queue, n, lease).await?).await
    }

    /// Takes up to `n` tickets of a queue for `lease`. After a lost reply they come back when their lease ends.
    ///
    /// # Errors
    ///
    /// As every call.
    pub(crate) async fn take(
        &self,
        queue: Queue,
        n: usize,
        lease: Duration,
    ) -> Result<Taken, StoreError> {
        let batches = match queue.class() {
            Some(class) => self.claim_submit(class, n.min(CLAIM_SUBMIT_MAX), lease).await?,
            None => vec![self.claim_plain(queue, n.min(CLAIM_MAX), lease).await?],
        };
        Ok(Taken { queue, batches })
    }

    /// Reads the records of tickets that were taken. A ticket whose record is gone is dropped; one whose record cannot
    /// be read stays lent for a minute and is logged.
    ///
    /// # Errors
    ///
    /// As every call; the tickets come back when their lease ends.
    pub(crate) async fn read_taken(&self, taken: Taken) -> Result<Claimed, StoreError> {
        let now = taken.batches.last().map_or(Timestamp::from_unix_ms(0), |batch| batch.now);
        let next_due = taken.next_due();
        let (mut items, mut unreadable) = (Vec::new(), 0);
        for batch in taken.batches {
            let (held, aside) = self.read_claimed(taken.queue, batch).await?;
            items.extend(held);
            unreadable += aside;
        }
        Ok(Claimed { now, next_due, items, unreadable })
    }

    async fn claim_plain(
        &self,
        queue: Queue,
        n: usize,
        lease: Duration,
    ) -> Result<Batch, StoreError> {
        let reply = self.connection().call(self.claim_call(queue, n, lease)).await?;
        read(script::CLAIM.name(), reply, HEAD_PLAIN)
    }

    /// Asks for tickets of a queue that is not Submit's.
    pub(crate) fn claim_call(&self, queue: Queue, n: usize, lease: Duration) -> Call {
        let keys = self.keys();
        let mut names = vec![
            keys.due(queue),
            keys.lease(queue),
            keys.holder(queue),
            keys.wake(queue),
            keys.fence(),
            keys.pauses(),
        ];
        if queue == Queue::Download {
            names.push(keys.ix_deadline());
        }
        let pause = match queue {
            Queue::Poll => Keys::pause_field(&PauseScope::Poll),
            Queue::Download => Keys::pause_field(&PauseScope::Download),
            // Doubts are settled and news told whatever is paused.
            Queue::Settle | Queue::Notify | Queue::Submit(_) => String::new(),
        };
        let margin = millis(DOWNLOAD_MARGIN).to_string();
        let args = vec![n.to_string(), millis(lease).to_string(), pause, margin];
        Call::new(&script::CLAIM, names, args)
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
            let call = self.submit_call(class, wanted, lease, group, turn == 0)?;
            let batch = read(
                script::CLAIM_SUBMIT.name(),
                self.connection().call(call).await?,
                HEAD_SUBMIT,
            )?;
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
    ) -> Result<Call, StoreError> {
        let room = self.rooms.get(&class);
        let names = self.submit_keys(class, tenants, room);
        let accounts = room.map(|room| {
            let facts = room.accounts.iter().map(|of| AccountFacts {
                name: &of.account,
                slot: facts::slot_field(&job::Slot { account: of.account.clone(), class }),
                stopped: [None, Some(class)].map(|class| stop_name(&of.account, class)),
                running: of.running,
                lookahead: of.lookahead,
                interval: of.interval_us,
                calls: of.calls,
                counted: of.counted,
            });
            facts.collect()
        });
        let tenant = |name| TenantFacts { name, cap: self.caps_of(name).in_flight_max };
        let facts = Facts {
            n,
            lease_ms: millis(lease),
            age_ms: millis(AGEING),
            mean: COST_MEAN,
            clean: first,
            words: caps::words(&caps::IN_FLIGHT),
            tenants: tenants.iter().map(|name| tenant(name)).collect(),
            accounts,
            horizon: room.map_or(0, |room| room.horizon_us),
            lead: room.map_or(0, |room| room.lead_us.load(Ordering::Relaxed)),
            lead_max: room.map_or(0, |room| room.lead_max_us),
            pauses: Pauses {
                key: names.len(),
                fields: [PauseScope::Submit, PauseScope::Model(class)]
                    .into_iter()
                    .chain(tenants.iter().cloned().map(PauseScope::Tenant))
                    .map(|scope| Keys::pause_field(&scope))
                    .collect(),
            },
        };
        let facts = StoreError::json("facts that are", &facts)?;
        Ok(Call::new(&script::CLAIM_SUBMIT, names, vec![facts]))
    }

    /// In the order of the script's head.
    fn submit_keys(
        &self,
        class: SlotClass,
        tenants: &[String],
        room: Option<&Room>,
    ) -> Vec<String> {
        let (keys, queue) = (self.keys(), Queue::Submit(class));
        let mut names = vec![
            keys.lease(queue),
            keys.holder(queue),
            keys.wake(queue),
            keys.fence(),
            keys.slots(),
            keys.lanes(class),
            keys.stops(),
            keys.offers(class),
            keys.audit(),
        ];
        for tenant in tenants {
            for priority in [Priority::High, Priority::Normal, Priority::Low] {
                names.push(keys.lane_of(class, tenant, priority));
            }
        }
        names.extend(tenants.iter().map(|tenant| keys.tenant_counts(tenant)));
        let accounts = room.iter().flat_map(|room| &room.accounts);
        names.extend(accounts.map(|of| keys.creates(&of.account, class)));
        names.push(keys.pauses());
        names
    }

    /// What can be worked on, and how many tickets were put aside.
    async fn read_claimed(
        &self,
        queue: Queue,
        batch: Batch,
    ) -> Result<(Vec<Held>, usize), StoreError> {
        let (mut claims, mut strange) = (Vec::with_capacity(batch.ids.len()), Vec::new());
        let accounts = batch.accounts.into_iter().chain(std::iter::repeat(None));
        let each = batch.ids.into_iter().zip(batch.first_fence..).zip(accounts);
        for (i, ((id, fence), account)) in each.enumerate() {
            match id {
                Ok(id) => claims.push((Claim { queue, id, fence }, i < batch.reclaimed, account)),
                Err(text) => strange.push(text),
            }
        }
        self.drop_strange(queue, &strange).await?;
        let ids: Vec<JobId> = claims.iter().map(|(claim, ..)| claim.id.clone()).collect();
        let mut held = Vec::with_capacity(ids.len());
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(crate::LOAD_MAX) {
            found.extend(self.find_many(ids).await?.1);
        }
        let (mut gone, mut unreadable) = (Vec::new(), Vec::new());
        for ((claim, reclaimed, account), found) in claims.into_iter().zip(found) {
            match found {
                Found::Stored(stored) => {
                    held.push(Held { stored: *stored, claim, reclaimed, account });
                }
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
        Ok((held, unreadable.len()))
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
        if let Some(class) = queue.class() {
            pipe.cmd("HDEL").arg(self.keys().offers(class)).arg(members);
        }
        self.connection().pipe(&mut pipe).await.map(drop)
    }
}

fn read(script: &str, reply: Value, head: usize) -> Result<Batch, StoreError> {
    let bug = || StoreError::reply(script, &reply);
    let Value::Array(parts) = &reply else { return Err(bug()) };
    let number = |i: usize| parts.get(i).and_then(commit::integer).ok_or_else(bug);
    let count = |i: usize| number(i).and_then(|n| u64::try_from(n).map_err(|_| bug()));
    // A submit queue names an account behind each id.
    let submit = head == HEAD_SUBMIT;
    let (mut ids, mut accounts) = (Vec::with_capacity(parts.len()), Vec::new());
    for part in parts.get(head..).unwrap_or_default().chunks(if submit { 2 } else { 1 }) {
        let text = commit::word(&part[0]).ok_or_else(bug)?;
        ids.push(JobId::parse(&text).map_err(|_| text));
        if submit {
            let account = part.get(1).and_then(commit::word).ok_or_else(bug)?;
            accounts.push(Some(account).filter(|account| !account.is_empty()));
        }
    }
    Ok(Batch {
        now: Timestamp::from_unix_ms(number(0)?),
        next_due: u64::try_from(number(1)?).ok().map(Duration::from_millis),
        reclaimed: usize::try_from(count(2)?).map_err(|_| bug())?,
        first_fence: count(3)?,
        room_left: if submit { count(4)? } else { 0 },
        ids,
        accounts,
    })
}
