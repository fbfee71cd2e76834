//! `/ui/fleet`.

use super::answer::{Shown, Trouble, page};
use super::session::Visitor;
use super::{jobs, money, sight};
use crate::app::{App, PoolDoor};
use axum::extract::{Query, State};
use dashboard::bottleneck::{Class, Facts, Sentence, Stop};
use dashboard::screens::fleet::{Alarm, Budget, Fleet};
use dashboard::{Cell, Viewer};
use job::{StateWord, Timestamp};
use seedance::SlotClass;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Purse, Spent};
use survey::LimitsView;

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
        let (told, drawn) = limits(&app, &doors, now).await?;
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

/// What holds the fleet back, in the pool where it is worst, with its classes added up over all, and the slots in use.
async fn limits(
    app: &App,
    doors: &[&PoolDoor],
    now: Timestamp,
) -> Result<(Facts, Vec<Vec<Cell>>), Trouble> {
    let mut facts = Facts::default();
    let mut classes: BTreeMap<SlotClass, Class> = BTreeMap::new();
    let mut cells: BTreeMap<SlotClass, Vec<Cell>> = BTreeMap::new();
    let mut views = Vec::new();
    for door in doors {
        let (store, settings) = (&door.pool.store, &door.pool.settings);
        let used = store.slots().await?;
        for class in SlotClass::ALL {
            let row = classes.entry(class).or_insert_with(|| Class {
                name: class.word().to_owned(),
                used: 0,
                limit: 0,
                due: 0,
            });
            for account in settings.accounts.values() {
                row.limit += u64::from(account.class_limits(class).running);
            }
            let own = used.iter().filter(|(slot, _)| slot.class == class).map(|(_, n)| *n);
            row.used += u64::try_from(own.sum::<i64>()).unwrap_or(0);
        }
        for depth in store.depths().await? {
            if let Some(row) = depth.queue.class().and_then(|class| classes.get_mut(&class)) {
                row.due += depth.due;
            }
        }
        for slot in survey::held_slots(store, now, SLOTS_DRAWN).await? {
            let cell = Cell { age: slot.age, in_doubt: slot.in_doubt };
            cells.entry(slot.class).or_default().push(cell);
        }
        facts.oldest = facts.oldest.max(oldest(door, now).await?);
        views.push(survey::limits(store, settings, &app.judged_by(door), None).await?);
    }
    (facts.limit, facts.also) = told(views);
    let drawn = classes.keys().map(|class| cells.remove(class).unwrap_or_default()).collect();
    facts.classes = classes.into_values().collect();
    Ok((facts, drawn))
}

/// What limits the pool that is worst off, and what else limits this one and the others; a pool is named where there
/// are several.
fn told(mut views: Vec<LimitsView>) -> (Sentence, Vec<String>) {
    let several = views.len() > 1;
    let of = |pool: &str, text: &str| {
        if several { format!("{pool}: {text}") } else { text.to_owned() }
    };
    // One that nothing limits comes behind all that something does.
    views.sort_by_key(|view| view.causes.first().map_or((1, None), |cause| (0, Some(cause.cause))));
    let Some(worst) = views.first() else { return (Sentence::default(), Vec::new()) };
    let first = worst.causes.first();
    let sentence = Sentence {
        text: if first.is_some() {
            of(&worst.pool, &worst.limited_by)
        } else {
            worst.limited_by.clone()
        },
        next: first.map(|cause| (cause.next, cause.page)),
        grave: first.map_or(!worst.pauses.is_empty(), |cause| cause.cause.is_grave()),
    };
    let all = views.iter().flat_map(|view| view.causes.iter().map(move |cause| (view, cause)));
    let also = all.skip(1).map(|(view, cause)| of(&view.pool, &cause.says));
    (sentence, also.collect())
}

pub(super) fn stop(row: store::StopRow) -> Stop {
    let of_class = row.only.map(|class| format!("{} {}", row.account, class.word()));
    Stop { account: of_class.unwrap_or(row.account), until: row.until, code: row.code }
}

/// How long the oldest job has waited for its create.
async fn oldest(door: &PoolDoor, now: Timestamp) -> Result<Option<std::time::Duration>, Trouble> {
    let first = door.pool.store.oldest_of(StateWord::Queued).await?;
    Ok(first.map(|created| now.since(created)))
}
