//! The pool's accounts: which may take a job, and where its calls go.

use crate::lead::Lead;
use job::{Facts, PoolSettings};
use limiter::{Settings as Limits, UnderWay, create_pace};
use seedance::{Request, Route, SlotClass, TASKS_PATH};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{AccountRoom, BeginGuard, Pace, Room};

/// Accounts tried for one ticket: the one it was handed out for and, should that have filled up or stopped
/// since, one more. Whoever is refused there goes back to its place.
const TRIED_MAX: usize = 2;

/// One class of one account.
#[derive(Debug, Clone, Copy)]
struct Line {
    running: u32,
    lookahead: u32,
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
    pub(crate) fn new(
        pool: &PoolSettings,
        limits: &Limits,
        under_way: UnderWay,
        lookahead: u32,
    ) -> Self {
        let mut lines = BTreeMap::new();
        for (name, account) in &pool.accounts {
            for class in SlotClass::ALL {
                let class_limits = account.class_limits(class);
                let line = Line {
                    running: class_limits.running,
                    lookahead,
                    pace: create_pace(class_limits.create_rpm, limits, under_way),
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

    /// What each account can take of each class.
    pub(crate) fn rooms(&self, lead: &Lead) -> BTreeMap<SlotClass, Room> {
        let mut rooms: BTreeMap<SlotClass, Room> = BTreeMap::new();
        for ((account, class), line) in &self.lines {
            let Pace { interval_us, calls, horizon_us, lead_max_us, counted, .. } = line.pace;
            let fresh = || {
                let (accounts, lead_us) = (Vec::new(), lead.shared());
                Room { accounts, horizon_us, lead_us, lead_max_us }
            };
            rooms.entry(*class).or_insert_with(fresh).accounts.push(AccountRoom {
                account: account.clone(),
                running: line.running,
                lookahead: line.lookahead,
                interval_us,
                calls,
                counted,
            });
        }
        rooms
    }

    /// The accounts to try: first the one that had most room when the ticket was handed out, then another for
    /// each `turn`. Whether it has room still is decided by Begin, in one step with taking it.
    pub(crate) fn to_try<'a>(
        &'a self,
        offered: Option<&str>,
        turn: usize,
    ) -> impl Iterator<Item = &'a str> {
        let count = self.names.len();
        let first = offered.and_then(|name| self.names.iter().position(|known| known == name));
        let others = (0..count).map(move |n| (turn % count.max(1) + n) % count.max(1));
        let order = first.into_iter().chain(others.filter(move |n| Some(*n) != first));
        order.take(TRIED_MAX).map(|n| self.names[n].as_str())
    }

    /// What must hold for an attempt on `account` to begin. `lead` is the time it has for its intent
    /// and its connection before the instant of its slot.
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
        let Line { running, lookahead, .. } = *line;
        Some(BeginGuard { running, lookahead, pace, probe })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Accounts {
        Accounts {
            route: Route::Byteplus,
            tasks_url: String::new(),
            lines: BTreeMap::new(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn the_offered_account_comes_first_and_one_more_in_turn() {
        let fifty: Vec<String> = (0..50).map(|n| format!("a{n}")).collect();
        let fifty = named(&fifty.iter().map(String::as_str).collect::<Vec<_>>());
        let tried = |offered, turn| fifty.to_try(offered, turn).collect::<Vec<_>>();
        assert_eq!(tried(Some("a7"), 3), ["a7", "a3"]);
        assert_eq!(tried(Some("a7"), 7), ["a7", "a8"]);
        assert_eq!(tried(None, 49), ["a49", "a0"]);
        assert_eq!(tried(Some("of another configuration"), 101), ["a1", "a2"]);
        assert_eq!(named(&["a"]).to_try(Some("a"), 9).collect::<Vec<_>>(), ["a"]);
        assert_eq!(named(&[]).to_try(Some("a"), 9).count(), 0);
    }
}
