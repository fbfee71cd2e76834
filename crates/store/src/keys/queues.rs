//! Queues: what is due, what is in work, and who holds it.

use super::{Keys, part};
use crate::queue::{Lane, Queue};
use job::Priority;
use seedance::SlotClass;

impl Keys {
    /// The due tickets of a queue that has one set of them; a submit queue has lanes instead.
    #[must_use]
    pub fn due(&self, queue: Queue) -> String {
        debug_assert!(queue.class().is_none(), "submit tickets lie in lanes");
        self.key(format_args!("due:{}", queue.word()))
    }

    /// The due tickets of one lane of a submit queue.
    #[must_use]
    pub fn lane(&self, class: SlotClass, lane: &Lane) -> String {
        self.lane_of(class, &lane.tenant, lane.priority)
    }

    /// As [`Keys::lane`].
    #[must_use]
    pub fn lane_of(&self, class: SlotClass, tenant: &str, priority: Priority) -> String {
        self.key(format_args!("due:submit:{}:{}:{}", class.word(), part(tenant), priority.word()))
    }

    /// The tenants of a submit queue, by virtual time.
    #[must_use]
    pub fn lanes(&self, class: SlotClass) -> String {
        self.key(format_args!("lanes:{}", class.word()))
    }

    /// The tickets of a queue in work.
    #[must_use]
    pub fn lease(&self, queue: Queue) -> String {
        self.key(format_args!("lease:{}", queue.word()))
    }

    /// The fences of a queue's holders.
    #[must_use]
    pub fn holder(&self, queue: Queue) -> String {
        self.key(format_args!("holder:{}", queue.word()))
    }

    /// Tickets of a class in work that have not begun, with the accounts they were handed out for.
    #[must_use]
    pub fn offers(&self, class: SlotClass) -> String {
        self.key(format_args!("offers:{}", class.word()))
    }

    /// The wake token of a queue.
    #[must_use]
    pub fn wake(&self, queue: Queue) -> String {
        self.key(format_args!("wake:{}", queue.word()))
    }
}
