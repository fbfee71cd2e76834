//! The fleet's programs and their many deaths: each is started again as soon as it has died.
//!
//! A life may be doomed to end at a named fault point. A death counts for a point only if the kernel
//! says SIGKILL and the program's own log says which point it was.

use super::draw::Draw;
use super::ground::Ground;
use super::tally::Tally;
use super::weather::CLOCK_AHEAD;
use super::{Order, tally};
use crate::kit::Clock;
use sandbox::{Logs, Process};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use worker::fault::{self, KILL_ENV, Point};

/// Who runs how often.
const CREW: &[(&str, usize)] =
    &[("submitter", 4), ("poller", 2), ("downloader", 2), ("gateway", 1)];
/// Between two looks at all programs.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// Of a hundred lives, so many are doomed while deaths are wanted.
const DOOMED_PERCENT: u64 = 85;
/// A program this young is not shot: it would only test the kernel.
const YOUTH: Duration = Duration::from_millis(60);
/// A doomed program that has not met its point after this is free to be shot.
const DOOM_MAX: Duration = Duration::from_secs(4);
/// The same where deaths at points are what is wanted.
const DOOM_AIMED_MAX: Duration = Duration::from_secs(20);
/// Pause before a program that would not start is started again.
const SULK: Duration = Duration::from_millis(500);
const SIGKILL: i32 = 9;

/// Points a program passes, and the most passes it is let live.
pub(super) fn points(role: &str) -> &'static [(Point, u64)] {
    match role {
        "submitter" => &[
            (fault::WORKER_CLAIMED, 10),
            (fault::WORKER_BEFORE_COMMIT, 8),
            (fault::WORKER_COMMITTED, 8),
            (fault::SUBMIT_BEFORE_BEGIN, 8),
            (fault::SUBMIT_BEGUN, 6),
            (fault::SUBMIT_FENCED, 6),
            (fault::SUBMIT_BEFORE_LAST_BYTE, 6),
            (fault::SUBMIT_SENT, 6),
            (fault::SUBMIT_ACCEPTED, 4),
        ],
        "poller" => &[
            (fault::WORKER_CLAIMED, 30),
            (fault::WORKER_BEFORE_COMMIT, 20),
            (fault::WORKER_COMMITTED, 20),
            (fault::SETTLE_FOUND, 3),
            (fault::POLL_READ, 20),
        ],
        "downloader" => &[
            (fault::WORKER_CLAIMED, 8),
            (fault::WORKER_BEFORE_COMMIT, 8),
            (fault::WORKER_COMMITTED, 8),
            (fault::DOWNLOAD_PART, 6),
            (fault::DOWNLOAD_BEFORE_MANIFEST, 6),
            (fault::DOWNLOAD_STORED, 6),
        ],
        _ => &[],
    }
}

/// What the weather asks of the programs.
pub(super) enum Ask {
    /// Stops one of this role for a time, as a zombie past its lease.
    Freeze(&'static str, Duration),
    /// The next lives of this many programs have a clock that is wrong by so much.
    WrongClocks(&'static str, usize),
}

struct Slot {
    name: String,
    role: &'static str,
    process: Option<Process>,
    log_from: u64,
    doom: Option<Point>,
    shot: bool,
    frozen_until: Option<Instant>,
    born: Instant,
    sulks_until: Option<Instant>,
}

/// All programs, in the hands of one thread.
pub(super) struct Lives<'a> {
    ground: &'a Ground,
    order: &'a Order,
    tally: &'a Tally,
    slots: Vec<Slot>,
    draw: Draw,
    asks: Receiver<Ask>,
    /// Dooms handed out and not yet met, by point.
    pending: BTreeMap<&'static str, u64>,
    wrong_clocks: Vec<&'static str>,
    clock: Option<Clock>,
}

impl<'a> Lives<'a> {
    pub(super) fn new(
        ground: &'a Ground,
        order: &'a Order,
        tally: &'a Tally,
    ) -> (Self, Sender<Ask>) {
        let (sender, asks) = channel();
        let slot = |role: &'static str, n: usize| Slot {
            name: format!("{role}-{n}"),
            role,
            process: None,
            log_from: 0,
            doom: None,
            shot: false,
            frozen_until: None,
            born: Instant::now(),
            sulks_until: None,
        };
        let crew = CREW.iter().flat_map(|(role, count)| (1..=*count).map(move |n| (*role, n)));
        let slots = crew.map(|(role, n)| slot(role, n)).collect();
        let draw = Draw::new(order.seed, "lives");
        let (pending, wrong_clocks, clock) = (BTreeMap::new(), Vec::new(), Clock::find());
        let lives = Self { ground, order, tally, slots, draw, asks, pending, wrong_clocks, clock };
        (lives, sender)
    }

    /// Keeps the fleet alive, kills as ordered, and ends it when all is over.
    pub(super) fn run(mut self) {
        while !self.tally.is_over() {
            self.hear();
            for at in 0..self.slots.len() {
                self.look(at);
            }
            self.shoot();
            tally::wait_out(LOOK_EVERY);
        }
        self.end();
    }

    fn hear(&mut self) {
        while let Ok(ask) = self.asks.try_recv() {
            match ask {
                Ask::Freeze(role, time) => self.freeze(role, time),
                Ask::WrongClocks(which, count) => {
                    self.wrong_clocks.extend(std::iter::repeat_n(which, count));
                }
            }
        }
    }

    fn freeze(&mut self, role: &'static str, time: Duration) {
        let free = |slot: &Slot| slot.role == role && slot.frozen_until.is_none();
        let awake: Vec<usize> = (0..self.slots.len()).filter(|at| free(&self.slots[*at])).collect();
        let Some(at) = self.draw.of(&awake).copied() else { return };
        let slot = &mut self.slots[at];
        if let Some(process) = &slot.process
            && process.is_running()
            && process.signal("STOP").is_ok()
        {
            self.tally.order("stop", &json!({"who": slot.name, "ms": time.as_millis() as u64}));
            slot.frozen_until = Some(Instant::now() + time);
        }
    }

    fn look(&mut self, at: usize) {
        let now = Instant::now();
        let slot = &mut self.slots[at];
        if let Some(process) = &slot.process {
            if let Some(status) = process.exit_status() {
                self.bury(at, status);
            } else if slot.frozen_until.is_some_and(|until| until <= now) {
                slot.frozen_until = None;
                if process.signal("CONT").is_ok() {
                    self.tally.fired(&format!("stop.{}", slot.role));
                }
            }
            return;
        }
        if slot.sulks_until.is_none_or(|until| until <= now) {
            self.give_birth(at);
        }
    }

    /// Finds out what a program died of.
    fn bury(&mut self, at: usize, status: ExitStatus) {
        let slot = &mut self.slots[at];
        let process = slot.process.take();
        slot.frozen_until = None;
        if let Some(point) = slot.doom
            && let Some(left) = self.pending.get_mut(point.name())
        {
            *left = left.saturating_sub(1);
        }
        let Some(process) = process else { return };
        if slot.shot && self.order.rolling && status.success() {
            self.tally.killed(&format!("restart.{}", slot.role));
            return;
        }
        if status.signal() != Some(SIGKILL) {
            let tail = process.log_tail(6);
            // A start that is refused, because the weather hit the server just then, is no death.
            self.tally.exited(format!("{} ended by {status}: {tail}", slot.name));
            slot.sulks_until = Some(Instant::now() + SULK);
            return;
        }
        match (slot.shot, slot.doom) {
            (true, _) => self.tally.killed("kill.random"),
            (false, Some(point)) if said_so(&process, slot.log_from, point) => {
                self.tally.killed(&format!("kill.{}", point.name()));
            }
            (false, _) => self.tally.exited(format!("{} was killed by a stranger", slot.name)),
        }
    }

    fn give_birth(&mut self, at: usize) {
        let doom = self.doom(self.slots[at].role);
        let mut command = self.ground.command(self.slots[at].role);
        if let Some(mutant) = &self.order.mutant {
            command.env("SEEDFLEET_MUTANT", mutant);
        }
        if let Some((point, nth)) = doom {
            command.env(KILL_ENV, format!("{}:{nth}", point.name()));
        }
        let slot = &mut self.slots[at];
        let worker = slot.role != "gateway";
        if worker
            && let Some(clock) = &self.clock
            && let Some(which) = self.wrong_clocks.pop()
        {
            command.envs(clock.shifted(if which == CLOCK_AHEAD { 600 } else { -600 }));
            self.tally.order(which, &json!({"who": slot.name}));
            self.tally.fired(which);
        }
        command.envs(self.ground.lines_of(&slot.name));
        slot.log_from = std::fs::metadata(self.ground.log_dir().join(format!("{}.log", slot.name)))
            .map_or(0, |meta| meta.len());
        let logs = Logs::to(&self.ground.log_dir());
        slot.born = Instant::now();
        slot.shot = false;
        slot.doom = doom.map(|(point, _)| point);
        match Process::spawn_logged(&slot.name, command, &logs) {
            Ok(process) => {
                if let Some((point, nth)) = doom {
                    *self.pending.entry(point.name()).or_default() += 1;
                    let with = json!({"who": slot.name, "point": point.name(), "nth": nth});
                    self.tally.order("doom", &with);
                }
                slot.process = Some(process);
            }
            Err(error) => {
                self.tally.exited(format!("{} cannot be started: {error}", slot.name));
                slot.sulks_until = Some(Instant::now() + SULK);
            }
        }
    }

    /// Deaths wanted by now: in step with the jobs, so that both are done together.
    fn due(&self) -> u64 {
        let ended = self.tally.ended.load(Ordering::Relaxed);
        let (jobs, kills) = (self.order.jobs, self.order.kills);
        let in_step = u128::from(kills) * u128::from(ended) * 11 / (u128::from(jobs) * 10);
        (u64::try_from(in_step).unwrap_or(kills) + kills / 50 + 4).min(kills)
    }

    /// Whoever looks for what the server has lost is let live: it begins anew with each life, and
    /// here lives are shorter than its walk through a whole campaign's intents.
    fn is_spared(&self, role: &str) -> bool {
        role == "poller" && self.tally.frozen.load(Ordering::Relaxed)
    }

    /// The point a new life is to end at: the one with the fewest deaths so far.
    fn doom(&mut self, role: &str) -> Option<(Point, u64)> {
        let points = points(role);
        let kills = self.tally.kills.load(Ordering::Relaxed);
        let under_way: u64 = self.pending.values().sum();
        if points.is_empty()
            || self.order.rolling
            || self.tally.is_calm()
            || kills + under_way >= self.due() + 6
        {
            return None;
        }
        let doomed_percent = if self.order.aimed { 100 } else { DOOMED_PERCENT };
        if self.is_spared(role) || self.draw.below(100) >= doomed_percent {
            return None;
        }
        let met = |point: Point| {
            let under_way = self.pending.get(point.name()).copied().unwrap_or(0);
            self.tally.count(&format!("kill.{}", point.name())) + under_way
        };
        let fewest = points.iter().map(|(point, _)| met(*point)).min()?;
        // Programs that die fast must not use up the deaths of those that die slowly.
        let all = CREW.iter().flat_map(|(role, _)| self::points(role));
        let rarest = all.map(|(point, _)| met(*point)).min().unwrap_or(0);
        if fewest > rarest + self.order.kills / 100 + 3 {
            return None;
        }
        let rarest: Vec<_> = points.iter().filter(|(point, _)| met(*point) == fewest).collect();
        let (point, nth_max) = **self.draw.of(&rarest)?;
        // Behind schedule, lives are short.
        let behind = self.due().saturating_sub(kills) > 12;
        let nth_max = if behind { nth_max.div_ceil(3) } else { nth_max };
        Some((point, self.draw.between(1, nth_max)))
    }

    /// SIGKILL out of the blue, when deaths at points alone do not keep step; on a fair day SIGTERM.
    fn shoot(&mut self) {
        if self.tally.is_calm() {
            return;
        }
        let kills = self.tally.kills.load(Ordering::Relaxed);
        let under_way: u64 = self.pending.values().sum();
        if kills + under_way / 2 >= self.due() {
            return;
        }
        let now = Instant::now();
        let fair = |slot: &Slot| {
            let age = now.duration_since(slot.born);
            let doomed_least = if self.order.aimed { DOOM_AIMED_MAX } else { DOOM_MAX };
            let least = if slot.doom.is_some() { doomed_least } else { YOUTH };
            slot.process.is_some() && !slot.shot && age > least && !self.is_spared(slot.role)
        };
        let fair: Vec<usize> = (0..self.slots.len()).filter(|at| fair(&self.slots[*at])).collect();
        let Some(at) = self.draw.of(&fair).copied() else { return };
        let slot = &mut self.slots[at];
        if let Some(process) = &slot.process
            && process.is_running()
        {
            slot.shot = true;
            if self.order.rolling {
                self.tally.order("restart", &json!({"who": slot.name}));
                let _ = process.signal("TERM");
            } else {
                self.tally.order("kill", &json!({"who": slot.name}));
                process.kill9();
            }
        }
    }

    /// SIGTERM to all, and SIGKILL to who does not listen.
    fn end(&mut self) {
        let running = || self.slots.iter().filter_map(|slot| slot.process.as_ref());
        for process in running() {
            let _ = process.signal("CONT");
            let _ = process.signal("TERM");
        }
        for process in running() {
            if process.wait_bounded(Duration::from_secs(10)).is_none() {
                self.tally.exited(format!("{} did not end when asked", process.name()));
                process.kill9();
            }
        }
    }
}

/// The log since the birth of this life names the point as its cause of death.
fn said_so(process: &Process, from: u64, point: Point) -> bool {
    let read = || {
        let mut file = File::open(process.log_path()).ok()?;
        let end = file.metadata().ok()?.len();
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(4_096)))).ok()?;
        let mut bytes = Vec::new();
        file.take(1 << 20).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    text.lines().any(|line| line.contains("killing this process") && line.contains(point.name()))
}
