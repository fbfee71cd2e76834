//! The judge: exact maxima of sliding windows, the share of creates, the share of slot time.
//!
//! A create counts when its last byte reached the provider's machine, by the kernel's stamp. When the provider's
//! program came round to it is another matter on a machine whose processors are taken: that is told beside it.

use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};

/// The provider counts creates by the minute. Shorter windows hold what the row of instants lets into them.
const MINUTE_MS: i64 = 60_000;
const MS_US: i64 = 1_000;
const SPANS_MS: [i64; 4] = [1_000, 5_000, 15_000, MINUTE_MS];

/// What is allowed.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Creates a minute, per account and model.
    pub create_rpm: u32,
    /// Tasks that run at once, per account and model.
    pub running: u32,
    /// Accounts there are: one that bought nothing used none of its share.
    pub accounts: usize,
    /// Tasks an account is fed beyond them.
    pub lookahead: u32,
    /// What the row of instants adds to a minute, ms: how late a slot may be used, and the network's spread.
    pub slack_ms: i64,
}

impl Allowed {
    /// Creates that a window of this length may hold: the limit for a minute, and for a shorter one what
    /// instants of the limit's spacing let into it.
    fn creates_within(&self, span_ms: i64) -> usize {
        let limit = i64::from(self.create_rpm);
        if span_ms >= MINUTE_MS {
            return self.create_rpm as usize;
        }
        let instants = (span_ms + self.slack_ms) * limit / (MINUTE_MS + self.slack_ms) + 1;
        usize::try_from(instants.min(limit)).unwrap_or(0)
    }
}

/// One line of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Account, and model where it counts.
    pub scope: String,
    /// Kind of call.
    pub call: String,
    /// Its length.
    pub span_ms: i64,
    /// Calls it may hold.
    pub allowed: usize,
    /// Calls the fullest one held.
    pub most: usize,
    /// The same by the time at which the provider's program saw them.
    pub seen: usize,
}

/// What a run came to.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// The fullest windows.
    pub windows: Vec<Window>,
    /// Share of the allowed creates that were made, after the beginning, over all accounts.
    pub creates_ratio: f64,
    /// The same in each of a few equal parts of the time, one after the other.
    pub creates_ratio_in_turn: Vec<f64>,
    /// Share of the time of all slots in which a task ran.
    pub slots_ratio: f64,
    /// The same in each of a few equal parts of the time, one after the other.
    pub slots_ratio_in_turn: Vec<f64>,
    /// Most tasks an account had at the provider at once, running and queued.
    pub open_max: i64,
    /// As many as it may have.
    pub open_allowed: i64,
    /// Creates that arrived.
    pub creates: usize,
    /// Those of them whose arrival the kernel stamped.
    pub stamped: usize,
    /// The longest that the provider's program took to see one of them.
    pub seen_late_ms: i64,
    /// Creates and reads that the provider refused because a window was full.
    pub refused: u64,
}

impl Verdict {
    /// Windows, or accounts, that held more than they may.
    #[must_use]
    pub fn over(&self) -> usize {
        let windows = self.windows.iter().filter(|window| window.most > window.allowed).count();
        windows + usize::from(self.open_max > self.open_allowed)
    }

    /// The same as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let windows = self.windows.iter().map(|window| {
            json!({
                "scope": window.scope, "call": window.call, "span_ms": window.span_ms,
                "allowed": window.allowed, "most": window.most, "seen": window.seen,
            })
        });
        json!({
            "over": self.over(),
            "creates": self.creates,
            "stamped_by_kernel": self.stamped,
            "seen_late_ms_max": self.seen_late_ms,
            "creates_ratio": rounded(self.creates_ratio),
            "creates_ratio_in_turn": all_rounded(&self.creates_ratio_in_turn),
            "slots_ratio": rounded(self.slots_ratio),
            "slots_ratio_in_turn": all_rounded(&self.slots_ratio_in_turn),
            "open_max": self.open_max,
            "open_allowed": self.open_allowed,
            "refused_for_rate": self.refused,
            "windows": windows.collect::<Vec<_>>(),
        })
    }
}

fn rounded(ratio: f64) -> f64 {
    (ratio * 10_000.0).round() / 10_000.0
}

fn all_rounded(ratios: &[f64]) -> Vec<f64> {
    ratios.iter().copied().map(rounded).collect()
}

/// Tasks of one account and model.
#[derive(Default)]
struct Lane {
    /// When each create arrived, and when it was seen.
    arrived_us: Vec<i64>,
    seen_us: Vec<i64>,
    stamped: usize,
    open: i64,
    open_max: i64,
    running: i64,
    since_ms: i64,
    /// Task time within what counts.
    ran_ms: i64,
}

impl Lane {
    /// A create that was seen at `at_ms`; without the kernel's word that has to do for its arrival.
    fn create(&mut self, at_ms: i64, arrived_us: Option<i64>) {
        self.stamped += usize::from(arrived_us.is_some());
        self.arrived_us.push(arrived_us.unwrap_or(at_ms * MS_US));
        self.seen_us.push(at_ms * MS_US);
    }

    /// Adds the task time since the last change, as far as it lies in `from..to`.
    fn pass(&mut self, at_ms: i64, (from, to): (i64, i64)) {
        let (begin, end) = (self.since_ms.clamp(from, to), at_ms.clamp(from, to));
        self.ran_ms += self.running * (end - begin);
        self.since_ms = at_ms;
    }
}

/// Judges a ledger (its text), over what lies between two instants (Unix ms).
#[must_use]
pub fn judge(ledger: &str, stats: &Value, allowed: &Allowed, between: (i64, i64)) -> Verdict {
    let mut judge = Judge::new(between);
    for line in ledger.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        judge.line(&line);
    }
    judge.verdict(stats, allowed, between.1)
}

/// A judge who is told line by line.
pub(crate) struct Judge {
    between: (i64, i64),
    lanes: BTreeMap<String, Lane>,
    /// Scope of each task that has not ended, and whether it runs.
    lane_of: BTreeMap<String, (String, bool)>,
}

impl Judge {
    /// Of what lies between two instants.
    pub(crate) fn new(between: (i64, i64)) -> Self {
        Self { between, lanes: BTreeMap::new(), lane_of: BTreeMap::new() }
    }

    /// Takes the next line in.
    pub(crate) fn line(&mut self, line: &Value) {
        let between = self.between;
        let at_ms = line["at_ms"].as_i64().unwrap_or(0);
        let word = |key: &str| line[key].as_str().unwrap_or("").to_owned();
        let scope = || format!("{}/{}", word("account"), word("model"));
        match line["event"].as_str().unwrap_or("") {
            "create_seen" => {
                let lane = self.lanes.entry(scope()).or_default();
                lane.create(at_ms, line["arrived_us"].as_i64());
            }
            "task_made" => {
                let lane = self.lanes.entry(scope()).or_default();
                lane.open += 1;
                lane.open_max = lane.open_max.max(lane.open);
                self.lane_of.insert(word("task"), (scope(), false));
            }
            "running" => {
                let Some((scope, runs)) = self.lane_of.get_mut(&word("task")) else { return };
                *runs = true;
                let lane = self.lanes.entry(scope.clone()).or_default();
                lane.pass(at_ms, between);
                lane.running += 1;
            }
            "billed" | "failed" | "expired" | "cancelled" | "vanished" => {
                let Some((scope, ran)) = self.lane_of.remove(&word("task")) else { return };
                let lane = self.lanes.entry(scope).or_default();
                lane.pass(at_ms, between);
                lane.open -= 1;
                lane.running -= i64::from(ran);
            }
            _ => {}
        }
    }

    /// What it comes to, up to this instant and by the provider's own counters.
    pub(crate) fn verdict(self, stats: &Value, allowed: &Allowed, to_ms: i64) -> Verdict {
        let (from, to) = self.between;
        let mut verdict = of_lanes(self.lanes, allowed, (from, to.min(to_ms)));
        of_counters(stats, &mut verdict);
        verdict
    }
}

/// The verdict on each of so many equal parts of the time.
pub fn in_turn(
    ledger: &str,
    allowed: &Allowed,
    (from, to): (i64, i64),
    parts: i64,
) -> impl Iterator<Item = Verdict> {
    let edge = move |part: i64| from + (to - from) * part / parts;
    (0..parts).map(move |part| judge(ledger, &Value::Null, allowed, (edge(part), edge(part + 1))))
}

fn of_lanes(lanes: BTreeMap<String, Lane>, allowed: &Allowed, between: (i64, i64)) -> Verdict {
    let (from, to) = between;
    let mut verdict = Verdict {
        open_allowed: i64::from(allowed.running + allowed.lookahead),
        ..Verdict::default()
    };
    let (mut inside, mut ran_ms) = (0_usize, 0_i64);
    let accounts = lanes.len().max(allowed.accounts) as f64;
    for (scope, mut lane) in lanes {
        lane.pass(to, between);
        ran_ms += lane.ran_ms;
        inside += lane.arrived_us.iter().filter(|at| (from..to).contains(&(**at / MS_US))).count();
        verdict.creates += lane.arrived_us.len();
        verdict.stamped += lane.stamped;
        let late = lane.seen_us.iter().zip(&lane.arrived_us).map(|(seen, at)| (seen - at) / MS_US);
        verdict.seen_late_ms = verdict.seen_late_ms.max(late.max().unwrap_or(0));
        verdict.open_max = verdict.open_max.max(lane.open_max);
        verdict.windows.extend(SPANS_MS.map(|span_ms| Window {
            scope: scope.clone(),
            call: "create".to_owned(),
            span_ms,
            allowed: allowed.creates_within(span_ms),
            most: fullest(&lane.arrived_us, span_ms * MS_US),
            seen: fullest(&lane.seen_us, span_ms * MS_US),
        }));
    }
    let time_ms = (to - from).max(1) as f64 * accounts;
    verdict.creates_ratio =
        inside as f64 / (time_ms / MINUTE_MS as f64 * f64::from(allowed.create_rpm));
    verdict.slots_ratio = ran_ms as f64 / (time_ms * f64::from(allowed.running));
    verdict
}

/// What the provider counted itself, to the microsecond, against the limits it was given.
fn of_counters(stats: &Value, verdict: &mut Verdict) {
    let none = serde_json::Map::new();
    for (name, scopes) in stats["windows"].as_object().unwrap_or(&none) {
        for (scope, window) in scopes.as_object().unwrap_or(&none) {
            let number = |key: &str| window[key].as_u64();
            verdict.refused += number("over_limit").unwrap_or(0);
            let Some(limit) = number("limit") else { continue };
            // It counts what its program sees. Where the kernel has told when each create came, those are judged.
            let is_create = name.starts_with("create");
            if is_create && verdict.stamped == verdict.creates {
                continue;
            }
            let count =
                |key: &str| number(key).map(|most| usize::try_from(most).unwrap_or(usize::MAX));
            let seen = count("arrived_max").unwrap_or(0);
            let most = count("came_max").unwrap_or(seen);
            verdict.windows.push(Window {
                scope: scope.clone(),
                call: name.clone(),
                span_ms: if is_create { MINUTE_MS } else { 1_000 },
                allowed: usize::try_from(limit).unwrap_or(usize::MAX),
                most,
                seen,
            });
        }
    }
}

/// Upper ends, in ms, of the buckets of a histogram that hold its quantiles, over the pages of several processes.
pub(super) fn quantiles(pages: impl Iterator<Item = String>, name: &str) -> Value {
    let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
    let head = format!("{name}_bucket{{");
    for page in pages {
        for line in page.lines().filter(|line| line.starts_with(&head)) {
            let end = line.split_once("le=\"").and_then(|(_, rest)| rest.split_once('"'));
            let end_s = end.and_then(|(end, _)| end.parse::<f64>().ok()).filter(|s| s.is_finite());
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok());
            let end_us = end_s.map_or(u64::MAX, |end_s| (end_s * 1e6).round() as u64);
            *buckets.entry(end_us).or_default() += count.unwrap_or(0.0);
        }
    }
    let all = buckets.values().last().copied().unwrap_or(0.0);
    let within = |share: f64| {
        let bucket = buckets.iter().find(|(_, count)| **count >= share * all);
        bucket.filter(|(end, _)| **end < u64::MAX).map(|(end, _)| *end as f64 / 1_000.0)
    };
    json!({"count": all, "p50": within(0.5), "p99": within(0.99)})
}

/// Most instants that any window of this length holds.
fn fullest(at: &[i64], span: i64) -> usize {
    let mut sorted = at.to_vec();
    sorted.sort_unstable();
    let (mut recent, mut most) = (VecDeque::new(), 0);
    for at in sorted {
        recent.push_back(at);
        while recent.front().is_some_and(|first| first + span <= at) {
            recent.pop_front();
        }
        most = most.max(recent.len());
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWED: Allowed =
        Allowed { create_rpm: 600, running: 2, accounts: 1, lookahead: 1, slack_ms: 350 };

    fn line(event: &str, at_ms: i64, task: &str) -> String {
        let account =
            json!({"event": event, "at_ms": at_ms, "task": task, "account": "a", "model": "m"});
        format!("{account}\n")
    }

    fn judged(lines: &[String], between: (i64, i64)) -> Verdict {
        judge(&lines.concat(), &json!({}), &ALLOWED, between)
    }

    #[test]
    fn a_burst_is_over_although_its_minute_is_not() {
        let paced: Vec<String> =
            (0..600).map(|n| line("create_seen", n * 60_350 / 600, "")).collect();
        let verdict = judged(&paced, (0, 60_000));
        assert_eq!(verdict.over(), 0, "{verdict:?}");
        assert!(verdict.creates_ratio > 0.99 && verdict.creates_ratio < 1.0, "{verdict:?}");
        // As a bucket of tokens would: the minute is not full, and nobody may have so many at once.
        let burst: Vec<String> = (0..60).map(|n| line("create_seen", n, "")).collect();
        let verdict = judged(&burst, (0, 60_000));
        let over = verdict.windows.iter().filter(|window| window.most > window.allowed);
        assert_eq!(over.map(|window| window.span_ms).collect::<Vec<_>>(), [1_000, 5_000]);
    }

    #[test]
    fn what_counts_is_when_a_create_came_and_not_when_the_program_got_round_to_it() {
        let create = |at_ms: i64, arrived_us: i64| {
            let line = json!({
                "event": "create_seen", "at_ms": at_ms, "arrived_us": arrived_us,
                "account": "a", "model": "m",
            });
            format!("{line}\n")
        };
        // The program stood still for two seconds, and saw twenty at once.
        let stalled: Vec<String> = (0..20).map(|n| create(2_012, n * 100_600)).collect();
        let verdict = judged(&stalled, (0, 60_000));
        assert_eq!((verdict.over(), verdict.stamped, verdict.seen_late_ms), (0, 20, 2_012));
        let second = &verdict.windows[0];
        assert_eq!((second.span_ms, second.most, second.seen), (1_000, 10, 20));
        // Those that came together are over, however calmly they were seen.
        let burst: Vec<String> = (0..20).map(|n| create(n * 101, n * 1_000)).collect();
        assert!(judged(&burst, (0, 60_000)).over() > 0);
        // Its own count is of what it saw.
        let stats = json!({"windows": {"create_rpm": {"a": {"limit": 10, "arrived_max": 20}}}});
        assert_eq!(judge(&stalled.concat(), &stats, &ALLOWED, (0, 1)).over(), 0);
    }

    #[test]
    fn a_minute_slides() {
        let twice = [0, 59_998].map(|start| (0..400).map(move |n| start + n % 2));
        let lines: Vec<String> =
            twice.into_iter().flatten().map(|at| line("create_seen", at, "")).collect();
        let verdict = judged(&lines, (0, 60_000));
        let minute = verdict.windows.iter().find(|window| window.span_ms == MINUTE_MS).unwrap();
        assert_eq!((minute.most, minute.allowed), (800, 600));
    }

    #[test]
    fn slot_time_is_what_ran_of_what_could_have() {
        let lines = [
            line("task_made", 0, "t1"),
            line("task_made", 0, "t2"),
            line("running", 0, "t1"),
            line("running", 500, "t2"),
            line("billed", 1_000, "t1"),
            line("cancelled", 1_500, "t2"),
        ];
        let verdict = judged(&lines, (0, 2_000));
        assert!((verdict.slots_ratio - 0.5).abs() < 1e-9, "{verdict:?}");
        assert_eq!((verdict.open_max, verdict.open_allowed), (2, 3));
        let half = judged(&lines, (500, 1_000));
        assert!((half.slots_ratio - 1.0).abs() < 1e-9, "{half:?}");
        let allowed = Allowed { accounts: 2, ..ALLOWED };
        let idle = judge(&lines.concat(), &json!({}), &allowed, (500, 1_000));
        assert!((idle.slots_ratio - 0.5).abs() < 1e-9, "one account bought nothing: {idle:?}");
        let text = lines.concat();
        let turns = in_turn(&text, &ALLOWED, (0, 2_000), 4).map(|turn| turn.slots_ratio);
        assert_eq!(turns.collect::<Vec<_>>(), [0.5, 1.0, 0.5, 0.0]);
    }

    #[test]
    fn more_at_the_provider_than_it_is_fed_is_over() {
        let lines: Vec<String> = (0..4).map(|n| line("task_made", n, &format!("t{n}"))).collect();
        assert_eq!(judged(&lines, (0, 1_000)).over(), 1);
    }

    #[test]
    fn a_quantile_lies_below_the_end_of_its_bucket() {
        let page = |quick: u32, all: u32| {
            format!(
                "x_bucket{{route=\"r\",le=\"0.005\"}} {quick}\nx_bucket{{route=\"r\",le=\"0.02\"}} {all}\n\
                 x_bucket{{route=\"r\",le=\"+Inf\"}} {all}\nx_sum 1\n"
            )
        };
        let told = quantiles([page(90, 99), page(9, 9)].into_iter(), "x");
        assert_eq!(told, json!({"count": 108.0, "p50": 5.0, "p99": 20.0}));
    }

    #[test]
    fn the_providers_own_count_of_reads_is_held_against_it() {
        let window = |most: u64| json!({"limit": 20, "arrived_max": most, "over_limit": most / 21});
        let stats = |most: u64| json!({"windows": {"retrieve_qps": {"a": window(most)}}});
        let over = |most| judge("", &stats(most), &ALLOWED, (0, 1)).over();
        assert_eq!((over(20), over(21)), (0, 1));
        // The kernel knows better when they came.
        let mut stats = stats(21);
        stats["windows"]["retrieve_qps"]["a"]["came_max"] = json!(20);
        assert_eq!(judge("", &stats, &ALLOWED, (0, 1)).over(), 0);
    }
}
