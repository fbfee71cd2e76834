//! `/ui/fleet`.

use super::answer::{Shown, Trouble, page};
use super::session::Visitor;
use super::{jobs, money, sight};
use crate::app::{App, PoolDoor};
use axum::extract::{Query, State};
use dashboard::bottleneck::{Class, Facts, Stop};
use dashboard::screens::fleet::{Alarm, Budget, Fleet};
use dashboard::{Cell, Viewer};
use job::{StateWord, Timestamp};
use seedance::SlotClass;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Purse, Queue, Spent};

/// Jobs whose slots are drawn, of each state that holds one.
const SLOTS_DRAWN: usize = 400;
const DAY_MS: i64 = 24 * 3_600_000;
/// Lines looked through for alarms, and alarms on the page.
const LINES: usize = 64;
const ALARMS: usize = 8;
/// What people do, and no alarm.
const DEEDS: [&str; 4] = ["operation", "budget", "paused", "resumed"];

pub(super) async fn show(
    State(app): State<Arc<App>>,
    visitor: Visitor,
    Query(said): Query<jobs::Said>,
) -> Shown {
    let viewer = &visitor.viewer;
    let doors = sight::pools(&app, viewer)?;
    let now = sight::now(&doors).await?;
    let everything = viewer.tenant.is_none();
    let mut alarms = Vec::new();
    let (mut facts, mut cells) = (None, Vec::new());
    if everything {
        let (told, drawn) = limits(&doors, now).await?;
        facts = Some(told);
        cells = drawn;
        for door in &doors {
            let lines = door.pool.store.audit(LINES).await?;
            // What people do to many jobs is no alarm; the audit has it.
            alarms.extend(
                lines.into_iter().filter(|line| !DEEDS.contains(&line.alarm.as_str())).map(alarm),
            );
        }
        alarms.sort_by_key(|alarm| std::cmp::Reverse(alarm.at));
        alarms.truncate(ALARMS);
    }
    let mut tightest = None;
    for door in doors.iter().filter(|_| everything) {
        if let Some((dies, now)) = door.pool.store.tightest_deadline().await? {
            let left = dies.since(now);
            tightest = Some(tightest.map_or(left, |known: std::time::Duration| known.min(left)));
        }
    }
    let counts = sight::counts(&doors, viewer).await?;
    let whose = viewer.tenant.as_deref();
    let fleet = Fleet {
        viewer,
        notice: said.notice(),
        now,
        simulated: doors.iter().any(|door| door.pool.settings.simulated),
        throughput: app.flow.throughput(whose, now),
        backlog: app.flow.backlog(whose, now, &counts),
        counts,
        facts,
        cells,
        spent: spent(&doors, viewer, now).await?,
        budget: budget(&app, &doors, viewer, now).await?,
        tightest,
        alarms,
    };
    Ok(page(fleet.page()))
}

/// What the jobs that ended today cost.
async fn spent(
    doors: &[&PoolDoor],
    viewer: &Viewer,
    now: Timestamp,
) -> Result<Option<String>, Trouble> {
    let mut sum = Spent::default();
    for door in doors {
        for row in door.pool.store.spent(now, now, viewer.tenant.as_deref()).await? {
            sum.join(&row.spent);
        }
    }
    Ok(money::of_spent(&sum))
}

/// What of a tenant's day is taken: by jobs that were accepted today, ended or not, of as much as may be.
async fn budget(
    app: &App,
    doors: &[&PoolDoor],
    viewer: &Viewer,
    now: Timestamp,
) -> Result<Option<Budget>, Trouble> {
    let Some(tenant) = &viewer.tenant else { return purse(doors, &Purse::Pool).await };
    let most = app.caps_of(tenant).spend_day_micros_max();
    if most == 0 {
        return purse(doors, &Purse::Tenant(tenant.clone())).await;
    }
    let today = now.unix_ms().div_euclid(DAY_MS);
    let mut taken = 0;
    for door in doors {
        let days = door.pool.store.usage_days(tenant).await?;
        taken += days.get(&today).map_or(0, |day| day.micros);
    }
    let currency = doors.first().map(|door| door.pool.settings.route.currency().to_string());
    Ok(currency.map(|currency| Budget { text: money::written(&currency, most), taken, most }))
}

/// What of a purse's day is bought or reserved, in the first pool that caps it.
async fn purse(doors: &[&PoolDoor], purse: &Purse) -> Result<Option<Budget>, Trouble> {
    for door in doors {
        let seen = door.pool.store.purses(std::slice::from_ref(purse)).await?;
        let day = seen.first().map(|seen| seen.day).filter(|day| day.max_micros > 0);
        if let Some(day) = day {
            let currency = door.pool.settings.route.currency().to_string();
            let (most, taken) = (day.max_micros, day.spent_micros);
            return Ok(Some(Budget { text: money::written(&currency, most), taken, most }));
        }
    }
    Ok(None)
}

fn alarm(line: store::AuditLine) -> Alarm {
    let by = line.by.filter(|by| !by.is_empty());
    let why = match (by, line.reason) {
        (Some(by), Some(reason)) => Some(format!("{by}: {reason}")),
        (by, reason) => reason.or(by),
    };
    Alarm { at: line.at, what: line.alarm, job: line.job, why }
}

/// What could hold the fleet back, added up over its pools, and the slots in use.
async fn limits(doors: &[&PoolDoor], now: Timestamp) -> Result<(Facts, Vec<Vec<Cell>>), Trouble> {
    let mut facts = Facts { now, ..Facts::default() };
    let mut classes: BTreeMap<SlotClass, Class> = BTreeMap::new();
    let mut cells: BTreeMap<SlotClass, Vec<Cell>> = BTreeMap::new();
    for door in doors {
        let (store, settings) = (&door.pool.store, &door.pool.settings);
        facts.accounts += settings.accounts.len();
        let used = store.slots().await?;
        for class in SlotClass::ALL {
            let row = classes.entry(class).or_insert_with(|| Class {
                name: class.word().to_owned(),
                used: 0,
                limit: 0,
                create_rpm: 0,
                due: 0,
            });
            for account in settings.accounts.values() {
                let limits = account.class_limits(class);
                row.limit += u64::from(limits.running);
                row.create_rpm += u64::from(limits.create_rpm);
            }
            let own = used.iter().filter(|(slot, _)| slot.class == class).map(|(_, n)| *n);
            row.used += u64::try_from(own.sum::<i64>()).unwrap_or(0);
        }
        for depth in store.depths().await? {
            match depth.queue {
                Queue::Submit(class) => {
                    if let Some(row) = classes.get_mut(&class) {
                        row.due += depth.due;
                    }
                }
                Queue::Download => facts.downloads_due += depth.due,
                Queue::Settle | Queue::Poll | Queue::Notify => {}
            }
        }
        // A stop for one class leaves the account to the others.
        let stops = store.stops().await?.into_iter().filter(|row| row.only.is_none());
        facts.stops.extend(stops.map(stop));
        let frozen = store.watch().await?.frozen;
        facts.frozen = facts.frozen.or_else(|| frozen.map(|freeze| freeze.why));
        let held = store.purses_that_hold().await?;
        let budget = survey::budget_sentence(&held, settings.route, None);
        facts.budget = facts.budget.or(budget);
        facts.paused = facts.paused.or(survey::pauses_sentence(&store.pauses().await?));
        let pulse = store.pulse().await?;
        facts.memory_past = facts.memory_past.or_else(|| past(door, &pulse));
        for slot in survey::held_slots(store, now, SLOTS_DRAWN).await? {
            let cell = Cell { age: slot.age, in_doubt: slot.in_doubt };
            cells.entry(slot.class).or_default().push(cell);
        }
        facts.oldest = facts.oldest.max(oldest(door, now).await?);
    }
    let drawn = classes.keys().map(|class| cells.remove(class).unwrap_or_default()).collect();
    facts.classes = classes.into_values().collect();
    Ok((facts, drawn))
}

pub(super) fn stop(row: store::StopRow) -> Stop {
    let of_class = row.only.map(|class| format!("{} {}", row.account, class.word()));
    Stop { account: of_class.unwrap_or(row.account), until: row.until, code: row.code }
}

/// Whether Redis holds so much that new jobs are refused, in percent.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn past(door: &PoolDoor, pulse: &store::Pulse) -> Option<(u64, u64)> {
    let (ratio, stop) = (pulse.memory_ratio(), door.door.intake_stop_ratio());
    (ratio >= stop).then_some(((ratio * 100.0) as u64, (stop * 100.0) as u64))
}

/// How long the oldest job has waited for its create.
async fn oldest(door: &PoolDoor, now: Timestamp) -> Result<Option<std::time::Duration>, Trouble> {
    let first = door.pool.store.oldest_of(StateWord::Queued).await?;
    Ok(first.map(|created| now.since(created)))
}
