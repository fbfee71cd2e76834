//! What a run came to, and whether it is good.

use super::ROLES;
use super::order::{LOOKAHEAD, Limits, Order};
use super::sample::{Apart, Sample, apart, turns};
use super::watch::Watch;
use crate::kit::Fleet;
use crate::limits::Verdict as Windows;
use crate::limits::judge::Allowed;
use job::StateWord;
use sandbox::wait;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Processes that the gateway's word may differ by from ours.
const APART_MAX: u32 = 1;
/// Turns of a row of numbers that are no doubt of its steadiness, beside those of the limits: up at the beginning and
/// down at the end.
const TURNS: u32 = 2;
/// Books are read while records go into the bucket: they have to agree within this.
const BOOKS_MAX: Duration = Duration::from_secs(60);
/// Examples of one complaint.
const SHOWN: usize = 5;

/// What the run itself saw.
pub(super) struct Seen {
    pub(super) wrong: Vec<String>,
    /// Times the limits changed.
    pub(super) changes: u32,
    /// Submitters at the least while limits were low.
    pub(super) submitters_min: Option<u32>,
    /// Processes ended by SIGTERM, and by SIGKILL.
    pub(super) ends: (u32, u32),
    pub(super) lasted: Duration,
    /// The longest that a program waited for a processor, and whether the far side had to.
    pub(super) stalled: Duration,
    pub(super) far_side_first: bool,
    /// Unix ms.
    pub(super) end_ms: i64,
}

/// The result.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// Why it is not good; empty for a good one.
    pub wrong: Vec<String>,
    /// Requests for which two tasks were made or billed.
    pub duplicates: usize,
    /// Jobs that are neither stored nor, unpaid, in a person's hands.
    pub lost: u64,
    /// Windows over a limit that was in force.
    pub over: usize,
    /// Numbers for the last line.
    numbers: BTreeMap<&'static str, Value>,
}

impl Verdict {
    /// Reads the ledger to its end and the fleet's books, and judges.
    pub(super) fn of(
        order: &Order,
        fleet: &Fleet,
        mut watch: Watch,
        samples: &[Sample],
        seen: Seen,
    ) -> Self {
        watch.look(fleet);
        let mut verdict = Self { wrong: seen.wrong.clone(), ..Self::default() };
        verdict.tell("seconds", (seen.lasted.as_secs_f64() * 10.0).round() / 10.0);
        let machine = json!({
            "stalled_ms_max": seen.stalled.as_millis() as u64, "far_side_goes_first": seen.far_side_first,
        });
        verdict.tell("machine", machine);
        verdict.jobs(order, fleet, &watch);
        verdict.books(fleet);
        verdict.word(order, samples, &seen);
        verdict.size(order, samples, &seen);
        verdict.windows(order, fleet, watch, &seen);
        verdict
    }

    /// The last line.
    #[must_use]
    pub fn json(&self, order: &Order) -> Value {
        let mut line = json!({
            "suite": "scale", "verdict": if self.wrong.is_empty() { "pass" } else { "fail" }, "duplicates": self.duplicates,
            "lost": self.lost, "over": self.over, "order": order.told(), "wrong": self.wrong,
        });
        for (name, value) in &self.numbers {
            line[*name] = value.clone();
        }
        line
    }

    /// One of the numbers.
    pub(super) fn number(&self, name: &str) -> &Value {
        self.numbers.get(name).unwrap_or(&Value::Null)
    }

    fn tell(&mut self, name: &'static str, value: impl Into<Value>) {
        self.numbers.insert(name, value.into());
    }

    fn must(&mut self, so: bool, otherwise: impl FnOnce() -> String) {
        if !so {
            self.wrong.push(otherwise());
        }
    }

    /// Each job was bought once and is stored. A create in doubt that is proven to have bought nothing, twice, waits
    /// for a person, as `policy` says.
    fn jobs(&mut self, order: &Order, fleet: &Fleet, watch: &Watch) {
        let counts = fleet.run(fleet.store().counts()).expect("Redis answers");
        let of = |word: StateWord| counts.get(&word).copied().unwrap_or(0);
        let (stored, parked) = (of(StateWord::Succeeded), of(StateWord::Parked));
        self.lost = (order.jobs as u64).saturating_sub(stored + parked);
        let (lost, paid) = (self.lost, watch.paid());
        self.must(lost == 0, || format!("{lost} jobs are lost: {counts:?}"));
        self.must(paid as u64 == stored, || format!("{paid} were paid, {stored} are stored"));
        let twice = watch.duplicates();
        self.duplicates = twice.len();
        self.must(twice.is_empty(), || {
            format!("bought twice: {}, such as {:?}", twice.len(), &twice[..twice.len().min(SHOWN)])
        });
        self.tell("jobs", order.jobs);
        self.tell("stored", stored);
        self.tell("parked", parked);
        self.tell("creates", watch.creates);
        self.tell("task_s", watch.task_s());
    }

    /// Indexes, counters, slots and tickets agree with the records.
    fn books(&mut self, fleet: &Fleet) {
        let mut drifts = Vec::new();
        let agreed = wait::until("books that agree", BOOKS_MAX, || {
            drifts = fleet.run(fleet.store().recount()).expect("Redis answers").drifts;
            drifts.is_empty().then_some(())
        });
        self.must(agreed.is_ok(), || {
            format!("books differ {} times: {:?}", drifts.len(), &drifts[..drifts.len().min(SHOWN)])
        });
        let slots = fleet.run(fleet.store().slots()).expect("Redis answers");
        self.must(slots.is_empty(), || format!("slots are taken for nobody: {slots:?}"));
    }

    /// The gateway's word on how many processes are of use was right, and steady.
    fn word(&mut self, order: &Order, samples: &[Sample], seen: &Seen) {
        let apart: [Apart; ROLES.len()] = apart(samples, order);
        for Apart { by, what } in &apart {
            self.must(*by <= APART_MAX, || format!("{by} processes apart at {what}"));
        }
        let turned = turned(samples);
        let most = seen.changes + TURNS;
        for (role, turns) in ROLES.iter().zip(turned) {
            self.must(turns <= most, || format!("{role}: turned {turns} times, {most} at most"));
        }
        let silent = samples.iter().filter(|sample| sample.told.is_none()).count();
        self.tell("looks", samples.len());
        self.tell("looks_without_answer", silent);
        self.tell("apart_max", of_roles(apart.map(|apart| apart.by)));
        self.tell("turns", of_roles(turned));
    }

    /// The fleet really grew and shrank, and processes were really ended.
    fn size(&mut self, order: &Order, samples: &[Sample], seen: &Seen) {
        let most = |role: usize| samples.iter().map(|sample| sample.running[role]).max();
        let peaks: [u32; ROLES.len()] = std::array::from_fn(|role| most(role).unwrap_or(0));
        self.must(peaks[0] == order.most, || format!("at most {} submitters ran", peaks[0]));
        // The others follow how much really runs, which on a busy machine is less.
        for (role, peak) in ROLES.iter().zip(peaks) {
            self.must(peak >= order.most / 2, || format!("at most {peak} {role}s ran"));
        }
        let least = seen.submitters_min.unwrap_or(order.most);
        self.must(least <= order.most / 2, || format!("at a low limit {least} submitters ran"));
        let last = samples.last().map_or([0; ROLES.len()], |sample| sample.running);
        self.must(last == [1; ROLES.len()], || format!("in the end {last:?} ran"));
        let (asked, killed) = seen.ends;
        self.must(asked > 0 && killed > 0, || format!("{asked} asked to end, {killed} killed"));
        self.must(seen.changes == 2, || format!("the limits changed {} times", seen.changes));
        self.tell("peaks", of_roles(peaks));
        self.tell("submitters_at_low_limit", least);
        self.tell("ended_by", json!({"SIGTERM": asked, "SIGKILL": killed}));
        self.tell("limit_changes", seen.changes);
    }

    /// No window held more calls, and no account more tasks, than the limits in force allow.
    fn windows(&mut self, order: &Order, fleet: &Fleet, watch: Watch, seen: &Seen) {
        let (low, lookahead) = (order.low(), LOOKAHEAD);
        let open = watch.open_max_lowered.unwrap_or(0);
        let open_max = (low.running + lookahead) as usize;
        self.must(open <= open_max, || format!("{open} tasks at once, {open_max} at most"));
        let allowed = |of: Limits| Allowed {
            create_rpm: of.create_rpm,
            running: of.running,
            accounts: 1,
            lookahead,
            slack_ms: order.slack_ms(),
        };
        let (whole, lowered) = watch.judges();
        let whole = whole.verdict(&fleet.stats(), &allowed(order.high()), seen.end_ms);
        let (lowered, creates) = lowered.map_or_else(Default::default, |(judge, creates)| {
            (judge.verdict(&Value::Null, &allowed(low), seen.end_ms), creates)
        });
        self.over = whole.over() + lowered.over();
        self.complain("any limit", &whole);
        self.complain("the lower limit", &lowered);
        self.must(creates > 0, || "nothing was bought under the lower limit".to_owned());
        self.tell("windows", whole.json());
        self.tell("windows_at_low_limit", lowered.json());
        self.tell("open_max_at_low_limit", open);
    }

    fn complain(&mut self, of: &str, windows: &Windows) {
        for window in windows.windows.iter().filter(|window| window.most > window.allowed) {
            self.wrong.push(format!("over {of}: {window:?}"));
        }
        let (most, allowed) = (windows.open_max, windows.open_allowed);
        self.must(most <= allowed, || {
            format!("over {of}: {most} tasks at once, {allowed} allowed")
        });
    }
}

/// Turns of each role's row: of what a submitter's autoscaler is told, and of the most of five minutes for the others,
/// whose work comes in rounds.
fn turned(samples: &[Sample]) -> [u32; ROLES.len()] {
    std::array::from_fn(|role| match role {
        0 => turns(samples.iter().filter_map(|sample| Some(sample.told?.0[0]))),
        _ => turns(samples.iter().map(|sample| sample.wanted[role])),
    })
}

fn of_roles(numbers: [u32; ROLES.len()]) -> Value {
    ROLES.iter().zip(numbers).map(|(role, number)| ((*role).to_owned(), json!(number))).collect()
}
