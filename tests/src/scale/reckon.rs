//! How many processes are of use, reckoned anew from the documented formulas: the drill's own word against the gateway's.
//!
//! It knows which limits it has set, takes the time of a task from the provider's ledger and the rest from plain
//! counts; nothing of the gateway's arithmetic is used.

use super::ROLES;
use super::order::{LOOKAHEAD, Limits, Order};

/// How much of a process those there may be over before another is of use.
const EDGE: f64 = 0.1;
/// Copies are hurried into no less than a minute.
const COPY_WITHIN_S: f64 = 60.0;

/// What was counted at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Facts {
    pub(super) limits: Limits,
    /// How long a task takes, in seconds.
    pub(super) task_s: f64,
    /// Jobs that wait to be bought or are being bought.
    pub(super) backlog: u64,
    /// Slots taken.
    pub(super) slots: u64,
    /// Tasks that run, and jobs in doubt.
    pub(super) tasks: u64,
    /// Videos that wait for their copy.
    pub(super) copies: u64,
}

impl Facts {
    /// Creates a second that the limits can use, however much waits.
    pub(super) fn usable_per_s(&self) -> f64 {
        let by_rate = f64::from(self.limits.create_rpm) / 60.0;
        by_rate.min(f64::from(self.limits.running) / self.task_s)
    }
}

/// Processes of each role.
pub(super) fn reckon(facts: &Facts, order: &Order) -> [u32; ROLES.len()] {
    let waiting_per_s = facts.backlog as f64 / order.drain_within().as_secs_f64();
    let running = facts.slots.min(u64::from(facts.limits.running)) as f64;
    // No more than the limits let there be; those of a limit that was lowered run on.
    let tasks = facts.tasks.min(u64::from(facts.limits.running + LOOKAHEAD).max(facts.slots));
    let copy_within_s = order.drain_within().as_secs_f64().max(COPY_WITHIN_S);
    let work = [
        facts.usable_per_s().min(waiting_per_s),
        tasks as f64 / order.steady.as_secs_f64(),
        running / facts.task_s + facts.copies as f64 / copy_within_s,
    ];
    let each = order.work_each();
    std::array::from_fn(|role| {
        let wanted = (work[role] / each[role] - EDGE).ceil();
        wanted.clamp(1.0, f64::from(order.most)) as u32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_bind_while_much_waits_and_what_waits_binds_in_the_end() {
        let order = Order::default();
        let full = Facts {
            limits: order.high(),
            task_s: 4.0,
            backlog: 40_000,
            slots: 332,
            tasks: 332,
            copies: 10,
        };
        assert_eq!(reckon(&full, &order), [16, 16, 16]);
        let lowered = Facts { limits: order.low(), slots: 156, tasks: 156, ..full };
        assert_eq!(reckon(&lowered, &order), [8, 8, 8]);
        // A limit that was just lowered, with the tasks that it no longer lets begin.
        let overfull = Facts { limits: order.low(), ..full };
        assert_eq!(reckon(&overfull, &order), [8, 16, 8]);
        let last = Facts { backlog: 300, slots: 40, tasks: 30, copies: 0, ..full };
        assert_eq!(reckon(&last, &order), [2, 2, 2]);
        let none = Facts { backlog: 0, slots: 0, tasks: 0, copies: 0, ..full };
        assert_eq!(reckon(&none, &order), [1, 1, 1]);
        let by_rate = Facts { limits: Limits { create_rpm: 1_200, ..full.limits }, ..full };
        assert_eq!(reckon(&by_rate, &order)[0], 4);
    }
}
