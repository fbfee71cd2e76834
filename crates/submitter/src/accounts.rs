//! The pool's accounts: which may take a job, and where its calls go.

use job::{Facts, PoolSettings};
use limiter::{Settings as Limits, pace};
use seedance::{Request, Route, SlotClass, TASKS_PATH};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{BeginGuard, Pace, Room};

/// The provider counts creates by the minute.
const CREATE_WINDOW: Duration = Duration::from_secs(60);

/// One class of one account.
#[derive(Debug, Clone, Copy)]
struct Line {
    slot_limit: u32,
    pace: Pace,
}

/// Every account of a pool, with its limits.
pub(crate) struct Accounts {
    route: Route,
    tasks_url: String,
    lines: BTreeMap<(String, SlotClass), Line>,
    names: Vec<String>,
}

impl Accounts {
    pub(crate) fn new(pool: &PoolSettings, limits: &Limits, lookahead: u32) -> Self {
        let mut lines = BTreeMap::new();
        for (name, account) in &pool.accounts {
            for class in SlotClass::ALL {
                let class_limits = account.class_limits(class);
                let line = Line {
                    slot_limit: class_limits.running.saturating_add(lookahead),
                    pace: pace(CREATE_WINDOW, class_limits.create_rpm, limits),
                };
                lines.insert((name.clone(), class), line);
            }
        }
        Self {
            route: pool.route,
            tasks_url: format!("{}{TASKS_PATH}", pool.base_url()),
            lines,
            names: pool.accounts.keys().cloned().collect(),
        }
    }

    /// The pool's route.
    pub(crate) const fn route(&self) -> Route {
        self.route
    }

    /// What the accounts together can take of each class.
    pub(crate) fn rooms(&self) -> BTreeMap<SlotClass, Room> {
        let mut rooms: BTreeMap<SlotClass, Room> = BTreeMap::new();
        for ((account, class), line) in &self.lines {
            let room = rooms.entry(*class).or_default();
            room.capacity = room.capacity.saturating_add(line.slot_limit);
            room.accounts.push(account.clone());
        }
        rooms
    }

    /// The accounts in the order in which to try them, another first for each `turn`, so that load
    /// spreads. Which of them has room is decided by Begin, in one step with taking it.
    pub(crate) fn in_turn(&self, turn: usize) -> impl Iterator<Item = &str> {
        let count = self.names.len().max(1);
        self.names.iter().cycle().skip(turn % count).take(self.names.len()).map(String::as_str)
    }

    /// What must hold for an attempt on `account` to begin. `lead` is the time it has for its intent
    /// before the instant of its slot.
    pub(crate) fn guard(
        &self,
        account: &str,
        class: SlotClass,
        probe: Duration,
        lead: Duration,
    ) -> Option<BeginGuard> {
        let line = self.lines.get(&(account.to_owned(), class))?;
        let lead_us = u64::try_from(lead.as_micros()).unwrap_or(u64::MAX);
        let pace = Pace { lead_us, ..line.pace };
        Some(BeginGuard { slot_limit: line.slot_limit, pace, probe })
    }

    /// The facts that an attempt on `account` freezes.
    pub(crate) fn facts(&self, account: &str, request: &Request, price_version: String) -> Facts {
        Facts {
            route: self.route,
            create_url: self.tasks_url.clone(),
            retrieve_url: self.tasks_url.clone(),
            model_id: request.model_id.clone(),
            account: account.to_owned(),
            class: request.slot_class(),
            price_version,
        }
    }
}
