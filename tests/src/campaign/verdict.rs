//! The result as one JSON object, and whether it is good.

use super::Order;
use super::audit::Audit;
use super::tally::Tally;
use super::{provider, weather};
use crate::campaign::lives;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// What a run has come to.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) numbers: Value,
    /// Why it is not good; empty for a good one.
    pub(super) wrong: Vec<String>,
}

/// Faults that must have fired, each at least once.
fn named(order: &Order) -> Vec<String> {
    let mut names = weather::names(order);
    let roles = ["submitter", "poller", "downloader"];
    if order.rolling {
        names.extend(
            ["submitter", "poller", "downloader", "gateway"].map(|role| format!("restart.{role}")),
        );
        return names;
    }
    if order.kills >= 200 {
        let points = roles.iter().flat_map(|role| lives::points(role));
        names.extend(points.map(|(point, _)| format!("kill.{}", point.name())));
        names.extend((!order.aimed).then(|| "kill.random".to_owned()));
    }
    if order.jobs >= 1_500 {
        names.push("door.replay".to_owned());
        let plan = provider::plan(order);
        names.extend(provider::fired(&plan).into_iter().map(|(name, _)| name));
    }
    names.retain(|name| !order.without.contains(name));
    names.sort();
    names.dedup();
    names
}

/// Deaths at each named point.
fn aims(faults: &BTreeMap<String, u64>) -> impl Iterator<Item = u64> {
    let mut points: Vec<&str> = Vec::new();
    for role in ["submitter", "poller", "downloader"] {
        points.extend(lives::points(role).iter().map(|(point, _)| point.name()));
    }
    points.sort_unstable();
    points.dedup();
    points.into_iter().map(|name| faults.get(&format!("kill.{name}")).copied().unwrap_or(0))
}

/// Everything that makes a run bad.
fn faults_found(
    order: &Order,
    tally: &Tally,
    audit: &Audit,
    faults: &BTreeMap<String, u64>,
) -> Vec<String> {
    let mut wrong = audit.broken.clone();
    if audit.more > 0 {
        wrong.push(format!("and {} more", audit.more));
    }
    for name in named(order) {
        if faults.get(&name).copied().unwrap_or(0) == 0 {
            wrong.push(format!("{name} never fired"));
        }
    }
    let kills = tally.kills.load(Ordering::Relaxed);
    let accepted = tally.accepted.load(Ordering::Relaxed);
    if order.within.is_none() && (kills < order.kills || accepted < order.jobs) {
        wrong.push(format!(
            "{kills} of {} kills and {accepted} of {} jobs",
            order.kills, order.jobs
        ));
    }
    let rate = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    let adopted_ratio = rate(audit.taken_in, audit.with_task);
    if adopted_ratio < 0.99 && !order.hides_tasks() {
        wrong.push(format!(
            "only {adopted_ratio:.4} of the doubtful creates with a task were adopted"
        ));
    }
    if order.rolling && audit.doubtful > 0 {
        wrong.push(format!("{} creates ended in doubt by our own doing", audit.doubtful));
    }
    wrong
}

/// Joins what was counted with what was found.
pub(super) fn verdict(order: &Order, tally: &Tally, audit: &Audit, seconds: f64) -> Verdict {
    let faults = tally.all();
    let wrong = faults_found(order, tally, audit, &faults);
    let p95 = |times| Audit::percentile(times, 95);
    let count = |name: &str| faults.get(name).copied().unwrap_or(0);
    let mut numbers = json!({
        "seed": order.seed,
        "jobs": tally.accepted.load(Ordering::Relaxed),
        "kills": tally.kills.load(Ordering::Relaxed),
        "creates": audit.creates,
        "doubtful": audit.doubtful,
        "adopted": audit.adopted,
        "wrong_adoptions": audit.wrong_adoptions,
        "resent": audit.resent,
        "parked": audit.parked,
        "needs_person": audit.needs_person,
        "stored": audit.stored,
        "failed": audit.failed,
        "duplicates": audit.duplicates,
        "lost": audit.lost,
        "outputs_lost": audit.outputs_lost,
        "over_limit_windows": audit.over_limit_windows,
        "power_cuts": count("redis.power-cut"),
        "rollbacks": count("redis.rollback"),
        "faults": &faults,
        "seconds": (seconds * 10.0).round() / 10.0,
        "verdict": if wrong.is_empty() { "pass" } else { "fail" },
        "broken_invariants": audit.broken.len(),
        "wrong": &wrong,
        "doubtful_with_task": audit.with_task,
        "parked_why": audit.parked_why,
        "most_creates_in_a_minute": audit.most_in_a_minute,
        "most_tasks_at_once": audit.most_at_once,
        "p95_ms_by_list": p95(&audit.by_list_ms),
        "p95_ms_by_callback": p95(&audit.by_callback_ms),
        "shortened_by": order.shorten,
        "policy": order.policy,
        "fsync": order.fsync,
        "fence": if order.fence { "on" } else { "off" },
        "without": order.without,
        "mutant": order.mutant,
        "commit": order.commit,
    });
    for (name, value) in [
        ("doubtful_adopted", json!(audit.taken_in)),
        ("create_rpm", json!(order.create_rpm)),
        ("running", json!(order.running)),
        ("doubts", json!(order.doubts)),
        ("rolling", json!(order.rolling)),
        ("recounts", json!(tally.recounts.load(Ordering::Relaxed))),
        ("kills_at_each_point_min", json!(aims(&faults).min())),
    ] {
        numbers[name] = value;
    }
    Verdict { numbers, wrong }
}
