//! The reckoning against what came: batches of 10,000 rows, played event by event with drawn generation times, failures,
//! tasks that are made again, limits that change and an account that is stopped. At a quarter, half and three quarters
//! of the rows the middle is to be within 15 % of the time that was left, and the end inside the range.

use super::*;
use crate::dice::Dice;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const ROWS: u64 = 10_000;
const WITHIN: f64 = 0.15;

/// How long a task takes, in seconds: a skewed hump around its mean, and now and then a very late one.
fn life_s(dice: &mut Dice, mean_s: f64) -> f64 {
    let hump: f64 = (0..6).map(|_| dice.unit()).sum::<f64>() / 3.0 - 1.0;
    let usual = mean_s * 0.93 * (0.35 * hump * 1.7).exp();
    if dice.unit() < 0.02 { usual * (1.5 + 2.0 * dice.unit()) } else { usual }
}

/// Limits from a share of the rows on: slots, creates a minute, and for how long where that is known.
#[derive(Clone, Copy)]
struct Change {
    at: f64,
    slots: u32,
    rpm: u32,
    lasts_s: Option<f64>,
}

struct Play {
    slots: u32,
    rpm: u32,
    mean_s: f64,
    /// Share of the tasks that fail, after a part of their time.
    fail: f64,
    /// Share of the tasks that are made again.
    again: f64,
    /// Between the end of a task and the create that takes its slot.
    gap_s: f64,
    learned_before: bool,
    changes: &'static [Change],
}

/// A fleet at one moment.
struct World<'a> {
    play: &'a Play,
    dice: Dice,
    now_s: f64,
    queued: u64,
    over: u64,
    running: BinaryHeap<Reverse<(u64, bool, u64)>>,
    next_create_s: f64,
    limits: (u32, u32),
    /// Until when, and what holds then.
    until: Option<(f64, (u32, u32))>,
    /// Since when somebody's limits are in force.
    set_s: Option<f64>,
    changes: VecDeque<Change>,
    times: Times,
    ends_s: VecDeque<f64>,
}

fn us(s: f64) -> u64 {
    (s * 1e6) as u64
}

impl<'a> World<'a> {
    fn new(play: &'a Play, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut times = Times::default();
        if play.learned_before {
            (0..400)
                .for_each(|_| times.add(Duration::from_secs_f64(life_s(&mut dice, play.mean_s))));
        }
        Self {
            play,
            dice,
            now_s: 0.0,
            queued: ROWS,
            over: 0,
            running: BinaryHeap::new(),
            next_create_s: 0.0,
            limits: (play.slots, play.rpm),
            until: None,
            set_s: None,
            changes: play.changes.iter().copied().collect(),
            times,
            ends_s: VecDeque::new(),
        }
    }

    fn keep_to_limits(&mut self) {
        if let Some((until_s, then)) = self.until
            && self.now_s >= until_s
        {
            (self.limits, self.until, self.set_s) = (then, None, None);
        }
        let share = self.over as f64 / ROWS as f64;
        if let Some(change) = self.changes.pop_front_if(|change| change.at <= share) {
            self.until = change.lasts_s.map(|lasts_s| (self.now_s + lasts_s, self.limits));
            (self.limits, self.set_s) = ((change.slots, change.rpm), Some(self.now_s));
        }
    }

    /// Creates what may be created now; tells when the next may be.
    fn create(&mut self) -> Option<f64> {
        self.keep_to_limits();
        while self.queued > 0 && (self.running.len() as u64) < u64::from(self.limits.0) {
            if self.limits.1 == 0 || self.next_create_s > self.now_s {
                return (self.limits.1 > 0).then_some(self.next_create_s);
            }
            self.next_create_s = self.now_s + 60.0 / f64::from(self.limits.1);
            self.queued -= 1;
            let life_s = life_s(&mut self.dice, self.play.mean_s);
            let fails = self.dice.unit() < self.play.fail;
            let life_s = if fails { life_s * self.dice.unit() } else { life_s };
            if !fails {
                // Whole seconds, as the provider's stamps are.
                self.times.add(Duration::from_secs(life_s as u64));
            }
            let seen_s = self.now_s + life_s + self.play.gap_s * 2.0 * self.dice.unit();
            self.running.push(Reverse((us(seen_s), fails, us(life_s))));
        }
        None
    }

    /// Goes on to the next thing that happens.
    fn step(&mut self) {
        let create_s = self.create();
        let end_s = self.running.peek().map(|Reverse((at, _, _))| *at as f64 / 1e6);
        let turn_s = self.until.map(|(until_s, _)| until_s);
        let next = [create_s, end_s, turn_s].into_iter().flatten().min_by(f64::total_cmp);
        self.now_s = next.expect("something happens while rows are open").max(self.now_s);
        if end_s.is_some_and(|end_s| end_s <= self.now_s) {
            self.running.pop();
            if self.dice.unit() < self.play.again {
                self.queued += 1;
            } else {
                self.over += 1;
                self.ends_s.push_back(self.now_s);
            }
        }
    }

    fn facts(&self) -> Facts {
        let room = |(slots, rpm): (u32, u32)| {
            let room = Room { slots, creates_per_s: f64::from(rpm) / 60.0 };
            if slots == 0 { Vec::new() } else { vec![room] }
        };
        let now = Limits { from: Duration::ZERO, rooms: room(self.limits) };
        let later = self.until.map(|(until_s, then)| Limits {
            from: seconds(until_s - self.now_s),
            rooms: room(then),
        });
        let lane = Lane {
            class: SlotClass::V20,
            limits: std::iter::once(now).chain(later).collect(),
            taken: self.running.len() as u64,
            ahead: 0.0,
            waiting: vec![Kind { jobs: self.queued as f64, times: self.times.clone() }],
            running: self.running.len() as f64,
            all: self.times.clone(),
        };
        let assumed = Duration::from_secs(142);
        let facts = Facts { lanes: vec![lane], seen: None, assumed, may_assume: true };
        let begun_s = self.ends_s.front().copied();
        let seen = begun_s.map(|begun_s| {
            let held = self.set_s.map(|set_s| seconds(self.now_s - set_s));
            let back_s = look_back(&facts, held).as_secs_f64();
            let from_s = (self.now_s - back_s).max(begun_s);
            let ends = self.ends_s.iter().filter(|at| **at > from_s).count() as u64;
            Seen { ends, over: seconds(self.now_s - from_s) }
        });
        Facts { seen, ..facts }
    }
}

/// Plays one batch to its end: what was told at the start and at each quarter, beside what was left.
fn played(play: &Play, seed: u64) -> Vec<(u64, Eta, f64)> {
    let mut world = World::new(play, seed);
    let mut told = Vec::new();
    let marks = [0, 25, 50, 75];
    while world.over < ROWS {
        if let Some(mark) = marks.get(told.len())
            && world.over >= ROWS * mark / 100
        {
            let eta =
                reckon(&world.facts()).expect("limits are known, and a time is learned or assumed");
            told.push((*mark, eta, world.now_s));
        }
        world.step();
    }
    let end_s = world.now_s;
    told.into_iter().map(|(mark, eta, at_s)| (mark, eta, end_s - at_s)).collect()
}

fn judged(name: &str, play: &Play) {
    judged_from(25, name, play);
}

fn judged_from(first: u64, name: &str, play: &Play) {
    for seed in 1..=8 {
        for (mark, eta, left_s) in played(play, seed) {
            let in_range = eta.least.as_secs_f64() <= left_s && left_s <= eta.most.as_secs_f64();
            let off = eta.middle.as_secs_f64() / left_s - 1.0;
            let told = format!(
                "{name}, seed {seed}, at {mark} %: off by {off:.3}; {left_s:.0} s were left: {eta:?}"
            );
            // At the start nobody knows how the fleet will do, nor which limits will be changed.
            if mark >= first {
                assert!(off.abs() <= WITHIN, "{told}");
                assert!(in_range, "{told}");
            }
        }
    }
}

const PLAIN: Play = Play {
    slots: 40,
    rpm: 600,
    mean_s: 142.0,
    fail: 0.03,
    again: 0.02,
    gap_s: 3.0,
    learned_before: true,
    changes: &[],
};

#[test]
fn by_slots() {
    judged_from(0, "slots", &PLAIN);
    judged_from(0, "few slots", &Play { slots: 3, mean_s: 60.0, ..PLAIN });
}

#[test]
fn with_nothing_learned_before() {
    judged("new", &Play { learned_before: false, ..PLAIN });
    judged("new and slow", &Play { learned_before: false, mean_s: 300.0, gap_s: 20.0, ..PLAIN });
}

#[test]
fn by_creates() {
    judged_from(0, "creates", &Play { slots: 500, rpm: 60, ..PLAIN });
}

#[test]
fn with_many_failures_and_a_slow_fleet() {
    judged("failures", &Play { fail: 0.3, again: 0.1, ..PLAIN });
    judged("slow fleet", &Play { gap_s: 60.0, ..PLAIN });
}

#[test]
fn with_limits_that_change() {
    const LOWERED: &[Change] = &[Change { at: 0.12, slots: 22, rpm: 600, lasts_s: None }];
    const RAISED: &[Change] = &[Change { at: 0.12, slots: 90, rpm: 600, lasts_s: None }];
    const FOR_A_WHILE: &[Change] = &[
        Change { at: 0.2, slots: 20, rpm: 600, lasts_s: Some(3_600.0) },
        Change { at: 0.495, slots: 10, rpm: 60, lasts_s: Some(2_400.0) },
    ];
    const STOPPED: &[Change] = &[Change { at: 0.1, slots: 0, rpm: 0, lasts_s: Some(900.0) }];
    judged("lowered", &Play { changes: LOWERED, ..PLAIN });
    judged("raised", &Play { changes: RAISED, ..PLAIN });
    judged("for a while", &Play { changes: FOR_A_WHILE, ..PLAIN });
    judged("stopped", &Play { changes: STOPPED, ..PLAIN });
}
