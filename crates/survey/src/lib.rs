//! What a pool looks like, in the words that callers of the API and operators at a terminal are told.
//!
//! Reads only, and puts together what several rooms know: the store's counts, the error table's advice,
//! the prices, the manifests in the bucket. Gateway and command line show the same values by it.
//!
//! Must not know: HTTP, terminals, how anything is written.
#![forbid(unsafe_code)]

mod audit;
mod batch;
mod budget;
mod cause;
mod eta;
mod failures;
mod force;
mod glance;
mod held_slots;
mod limits;
mod operation;
mod pauses;
mod queues;
mod quota;
mod recent;
mod result;
mod scaling;
mod usage;

pub use audit::{AuditView, audit};
pub use batch::{BatchView, PauseView, PilotView};
pub use budget::{BudgetView, CapView, HeldFor, budget_sentence};
pub use cause::{CauseKind, CauseView, LimitsSettings};
pub use eta::{EtaInstants, EtaSeconds, EtaView, batch_eta, rows_eta};
pub use failures::{FailedView, FailureView, failures};
pub use force::{CallView, ClassView, ConfiguredView, SetView, SlowedView};
pub use glance::{Glance, GlanceSettings, glance};
pub use held_slots::{HeldSlot, held_slots};
pub use limits::{AccountView, HeldView, LimitsView, accounts, limits};
pub use operation::{OperationJobs, OperationView};
pub use pauses::{QueuePauseView, pauses_sentence};
pub use queues::{HeldBatchView, HeldPartView, PartView, QueueView, QueuesView, part, queues};
pub use quota::{QuotaView, SpendView, UseView};
pub use recent::{Flow, Recent};
pub use result::{RESULT_COLUMNS, ResultRow, Results, csv_line};
pub use scaling::{
    Bound, Heard, PoolFacts, RoleView, ScalingSettings, Staff, Wanted, pool_facts, staff, wanted,
};
pub use usage::{Group, UsageTotal, usage};
