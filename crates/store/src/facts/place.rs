//! Where tickets lie.

use super::KeyTable;
use crate::keys::Keys;
use crate::queue::{Lane, Queue};
use job::{Priority, Record, Ticket, Timestamp};
use serde::Serialize;

/// A job's place among those that wait for their create. It is the job's for good: whoever is refused or
/// handed back waits for a while and stands where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) lane: Lane,
    /// When the job was taken in: the order inside the lane.
    since: Timestamp,
    id: String,
}

impl Seat {
    pub(crate) fn of(record: &Record) -> Self {
        let (since, id) = (record.created_at, record.id.to_string());
        Self { lane: Lane::of(record), since, id }
    }

    /// For queues that have no lanes.
    pub(crate) fn nowhere() -> Self {
        let lane = Lane { tenant: String::new(), priority: Priority::Normal };
        Self { lane, since: Timestamp::from_unix_ms(0), id: String::new() }
    }

    /// The set of the lane's tenant that holds tickets until their time has come, and the member there.
    pub(crate) fn later(&self, keys: &Keys, queue: Queue) -> Option<(String, String)> {
        let class = queue.class()?;
        let member = format!("{}{}", self.front(), self.id);
        Some((keys.later(class, &self.lane.tenant), member))
    }

    /// What that member begins with: the same for all jobs of the lane that came in the same instant.
    fn front(&self) -> String {
        Keys::later_member(self.lane.priority, self.since, "")
    }
}

/// Where a ticket of a submit queue waits for its time.
#[derive(Debug, Serialize)]
pub(crate) struct Waiting {
    later: usize,
    member: String,
}

impl Waiting {
    pub(crate) fn of(keys: &Keys, table: &mut KeyTable, queue: Queue, seat: &Seat) -> Option<Self> {
        let (later, member) = seat.later(keys, queue)?;
        Some(Self { later: table.at(later), member })
    }
}

/// Where a ticket is put down.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    due: usize,
    wake: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    #[serde(flatten)]
    seated: Option<Seated>,
}

/// What a submit queue has beside.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Seated {
    lanes: usize,
    tenant: String,
    place: i64,
    later: usize,
    seat: String,
}

/// The due set of a queue; for a submit queue, of the job's lane in it.
pub(crate) fn due_key(keys: &Keys, queue: Queue, lane: &Lane) -> String {
    match queue.class() {
        Some(class) => keys.lane(class, lane),
        None => keys.due(queue),
    }
}

impl Place {
    /// `at`: not before.
    pub(crate) fn of(
        keys: &Keys,
        table: &mut KeyTable,
        queue: Queue,
        seat: &Seat,
        at: Option<Timestamp>,
    ) -> Self {
        Self {
            due: table.at(due_key(keys, queue, &seat.lane)),
            wake: table.at(keys.wake(queue)),
            at: at.map(Timestamp::unix_ms),
            seated: queue.class().map(|class| Seated {
                lanes: table.at(keys.lanes(class)),
                tenant: seat.lane.tenant.clone(),
                place: seat.since.unix_ms(),
                later: table.at(keys.later(class, &seat.lane.tenant)),
                seat: seat.front(),
            }),
        }
    }
}

/// The queue and instant a ticket names, if it names one.
pub(crate) fn ticket_queue(record: &Record, ticket: Ticket) -> Option<(Queue, Timestamp)> {
    match ticket {
        Ticket::Due(step, at) => Some((Queue::of(step, record.spec.request.slot_class()), at)),
        Ticket::Kept | Ticket::Gone => None,
    }
}
