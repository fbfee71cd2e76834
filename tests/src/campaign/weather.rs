//! The schedule of everything that goes wrong around the programs: server, lines, bucket, clocks.
//!
//! A deck holds each kind of weather once. The first deal plays them all, and again those that met
//! nobody; later deals are shuffled anew from the same seed. A kind counts only if something was seen
//! to suffer: a refused call, bytes that stood waiting, a program that was stopped and went on.

use super::doors::Doors;
use super::draw::Draw;
use super::ground::Ground;
use super::lives::Ask;
use super::settings;
use super::tally::Tally;
use super::{Order, tally};
use crate::kit::{Clock, Counts, Line, Way};
use serde_json::json;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

pub(super) const CLOCK_AHEAD: &str = "clock.ahead";
pub(super) const CLOCK_BEHIND: &str = "clock.behind";
/// Tries of a kind that met nobody, in the first deal.
const AGAIN_MAX: u32 = 6;

/// One kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stop(&'static str),
    Kill,
    PowerCut,
    Rollback,
    FlushScripts,
    Freeze,
    OutOfMemory,
    DiskFull,
    SlowSync,
    Bad(&'static str, &'static str),
    BucketAway,
    Clock(&'static str),
}

const LINE_STATES: &[&str] =
    &["delay", "refuse", "cut", "stall", "black-hole", "one-way", "half-close"];

impl Kind {
    fn name(self) -> String {
        match self {
            Self::Stop(role) => format!("stop.{role}"),
            Self::Kill => "redis.kill".to_owned(),
            Self::PowerCut => "redis.power-cut".to_owned(),
            Self::Rollback => "redis.rollback".to_owned(),
            Self::FlushScripts => "redis.script-flush".to_owned(),
            Self::Freeze => "redis.freeze".to_owned(),
            Self::OutOfMemory => "redis.out-of-memory".to_owned(),
            Self::DiskFull => "redis.disk-full".to_owned(),
            Self::SlowSync => "redis.slow-sync".to_owned(),
            Self::Bad(line, state) => format!("line.{line}.{state}"),
            Self::BucketAway => "bucket.away".to_owned(),
            Self::Clock(which) => which.to_owned(),
        }
    }
}

/// Every kind of this order, without those it leaves out.
fn kinds(order: &Order) -> Vec<Kind> {
    if order.rolling {
        return Vec::new();
    }
    let mut kinds = vec![
        Kind::Stop("submitter"),
        Kind::Stop("poller"),
        Kind::Stop("downloader"),
        Kind::Kill,
        Kind::PowerCut,
        Kind::FlushScripts,
        Kind::Freeze,
        Kind::OutOfMemory,
        Kind::DiskFull,
        Kind::SlowSync,
        Kind::BucketAway,
        Kind::Clock(CLOCK_AHEAD),
        Kind::Clock(CLOCK_BEHIND),
    ];
    if order.fence {
        kinds.push(Kind::Rollback);
    }
    for line in ["provider", "redis.submitter"] {
        kinds.extend(LINE_STATES.iter().map(|state| Kind::Bad(line, state)));
    }
    kinds.push(Kind::Bad("redis.poller", "stall"));
    kinds.push(Kind::Bad("redis.poller", "cut"));
    kinds.push(Kind::Bad("redis.downloader", "black-hole"));
    kinds.push(Kind::Bad("redis.downloader", "one-way"));
    let only = |kind: &Kind| order.only.is_empty() || order.only.contains(&kind.name());
    kinds.retain(|kind| only(kind) && !order.without.contains(&kind.name()));
    kinds
}

/// The names of all kinds of this order.
pub(super) fn names(order: &Order) -> Vec<String> {
    kinds(order).into_iter().map(Kind::name).collect()
}

/// What must be left out on this machine, if it has not been already, and why.
pub(super) fn impossible(order: &Order) -> Option<String> {
    let wants_clock = kinds(order).iter().any(|kind| matches!(kind, Kind::Clock(_)));
    (wants_clock && Clock::find().is_none()).then(|| {
        format!("libfaketime is not installed: install it, or say --without {CLOCK_AHEAD},{CLOCK_BEHIND}")
    })
}

/// Answers that a server under `everysec` may still forget: Redis tells of two seconds, and this machine is slow.
const UNSYNCED_MAX: Duration = Duration::from_secs(4);

/// Whoever plays the schedule.
pub(super) struct Weather<'a> {
    pub(super) ground: &'a Ground,
    pub(super) order: &'a Order,
    pub(super) tally: &'a Tally,
    pub(super) doors: &'a Doors<'a>,
    pub(super) asks: Sender<Ask>,
    pub(super) draw: Draw,
}

impl Weather<'_> {
    /// Plays until it is told to be calm.
    pub(super) fn run(mut self) {
        let all = kinds(self.order);
        let mut deck = all.clone();
        self.draw.shuffle(&mut deck);
        let parts = deck.len().max(1) as u64;
        for (at, kind) in deck.into_iter().enumerate() {
            for _ in 0..AGAIN_MAX {
                if self.pause() || self.play(kind) {
                    break;
                }
            }
            self.tally.dealt.store((at as u64 + 1) * 1_000 / parts, Ordering::Relaxed);
        }
        self.tally.dealt.store(1_000, Ordering::Relaxed);
        while !all.is_empty() && !self.tally.is_calm() {
            let mut deck = all.clone();
            self.draw.shuffle(&mut deck);
            for kind in deck {
                if self.pause() {
                    return;
                }
                self.play(kind);
            }
        }
    }

    /// Fair weather between two faults; true when it shall stay fair.
    fn pause(&mut self) -> bool {
        let factor = u64::from(self.order.shorten);
        let until =
            Instant::now() + Duration::from_millis(self.draw.between(8_000, 30_000) / factor);
        while Instant::now() < until && !self.tally.is_calm() {
            tally::wait_out(Duration::from_millis(20));
        }
        self.tally.is_calm()
    }

    /// Plays one kind; true when somebody suffered from it.
    fn play(&mut self, kind: Kind) -> bool {
        let name = kind.name();
        let factor = u64::from(self.order.shorten);
        let time = Duration::from_millis(self.draw.between(3_000, 15_000) / factor);
        if !matches!(kind, Kind::Stop(_) | Kind::Clock(_)) {
            self.tally.order(&name, &json!({"ms": time.as_millis() as u64}));
        }
        let struck = match kind {
            Kind::Stop(role) => return self.stop(role),
            Kind::Clock(which) => return self.wrong_clocks(which),
            Kind::Kill => self.kill(time),
            Kind::PowerCut => self.power_cut(time),
            Kind::Rollback => self.rollback(time),
            Kind::FlushScripts => self.refusing("NOSCRIPT", time, |redis| redis.flush_scripts()),
            Kind::Freeze => {
                self.ground.redis.freeze(time);
                true
            }
            Kind::OutOfMemory => {
                let struck = self.refusing("OOM", time, |redis| redis.low_memory(true));
                self.ground.redis.low_memory(false);
                struck
            }
            Kind::DiskFull => self.disk_full(time),
            Kind::SlowSync => self.slow_sync(time),
            Kind::Bad(line, state) => self.bad_line(line, state, time + Duration::from_millis(500)),
            Kind::BucketAway => self.bucket_away(time),
        };
        if struck {
            self.tally.fired(&name);
        }
        struck
    }

    /// A zombie: stopped past its lease, then awake again. Counted when it wakes.
    fn stop(&mut self, role: &'static str) -> bool {
        let lease = settings::time(self.order.shorten, "submit", "lease");
        let time = lease + Duration::from_millis(self.draw.between(100, 2_000));
        let name = format!("stop.{role}");
        let before = self.tally.count(&name);
        let _ = self.asks.send(Ask::Freeze(role, time));
        // A program that is shot in its sleep never woke: look again.
        tally::wait_for(time + Duration::from_secs(1), || self.tally.count(&name) > before)
    }

    fn wrong_clocks(&mut self, which: &'static str) -> bool {
        let before = self.tally.count(which);
        let _ = self.asks.send(Ask::WrongClocks(which, 2));
        tally::wait_for(Duration::from_secs(4), || self.tally.count(which) > before)
    }

    fn kill(&self, time: Duration) -> bool {
        self.end(|| self.ground.redis.kill9());
        tally::wait_out(time / 3);
        self.ground.redis.restart();
        true
    }

    /// An end of the server. Under `everysec` it answers for writes that wait up to two seconds for a sync, and what has
    /// not reached the file yet goes with the process: callers repeat what they were told lately.
    fn end<T>(&self, how: impl FnOnce() -> T) -> T {
        let Some(unsynced) = self.unsynced() else { return how() };
        self.doors.forgetting();
        let begun = Instant::now();
        let ended = how();
        self.doors.forgotten_since(begun - unsynced);
        ended
    }

    /// How far back the server may forget what it answered; under `always` it may not.
    fn unsynced(&self) -> Option<Duration> {
        (self.order.fsync != "always").then_some(UNSYNCED_MAX)
    }

    fn power_cut(&self, time: Duration) -> bool {
        // A cut in the middle of a slow sync finds more to take away.
        self.ground.redis.slow_sync(Duration::from_millis(8));
        tally::wait_out(Duration::from_millis(100));
        let cut = self.end(|| self.ground.redis.power_cut());
        self.tally.order(
            "redis.power-cut.took",
            &json!({"bytes": cut.bytes_lost, "names": cut.names_undone}),
        );
        tally::wait_out(time / 3);
        self.ground.redis.restart();
        true
    }

    /// The server comes back as it was a moment ago, with creates made since then forgotten.
    fn rollback(&self, time: Duration) -> bool {
        // A copy of the files lacks what waits for a sync.
        let then = Instant::now() - self.unsynced().unwrap_or_default();
        let older = self.ground.redis.snapshot();
        tally::wait_out(time + Duration::from_millis(500));
        self.doors.forgetting();
        self.ground.redis.rollback(&older);
        self.doors.forgotten_since(then);
        true
    }

    /// Does something the server answers with an error of this word.
    fn refusing(
        &self,
        word: &str,
        time: Duration,
        act: impl FnOnce(&crate::kit::PowerRedis),
    ) -> bool {
        let redis = &self.ground.redis;
        let before = redis.refused(word);
        act(redis);
        tally::wait_out(time / 2);
        redis.refused(word) > before
    }

    fn disk_full(&self, time: Duration) -> bool {
        let redis = &self.ground.redis;
        let before = redis.writes_refused();
        redis.disk_full(true);
        // Under `always` the server ends by itself rather than answer for what it cannot keep.
        let ended = redis.ends_within(time.max(Duration::from_secs(1)));
        let struck = redis.writes_refused() > before;
        redis.disk_full(false);
        match ended {
            true => redis.restart(),
            // It lives on with a hole in its file: docs/decisions/0020.
            false => redis.rewrite(),
        }
        struck
    }

    fn slow_sync(&self, time: Duration) -> bool {
        let redis = &self.ground.redis;
        let before = redis.slowed();
        redis.slow_sync(Duration::from_millis(25));
        tally::wait_out(time);
        redis.slow_sync(Duration::ZERO);
        redis.slowed() > before
    }

    fn bad_line(&self, line: &str, state: &str, time: Duration) -> bool {
        let Some(proxy) = self.ground.lines.get(line) else { return false };
        let before = proxy.counts();
        let way = if time.as_millis().is_multiple_of(2) { Way::Up } else { Way::Down };
        let bad = match state {
            "delay" => Line::Delay(time / 20),
            "refuse" => Line::Refuse,
            "cut" => Line::Cut,
            "stall" => Line::Stall,
            "black-hole" => Line::BlackHole,
            "one-way" => Line::OneWay(way),
            _ => Line::HalfClose(way),
        };
        proxy.set(bad);
        tally::wait_out(time);
        proxy.set(Line::Pass);
        let now = proxy.counts();
        let of = |counts: &Counts| match state {
            "delay" => counts.delayed,
            "refuse" => counts.refusals,
            "cut" => counts.cut,
            "stall" => counts.stalled,
            "black-hole" => counts.black_holed,
            "one-way" => counts.one_way,
            _ => counts.half_closed,
        };
        of(&now) > of(&before)
    }

    /// The bucket's folder is away and something else stands in its place: every write fails.
    fn bucket_away(&self, time: Duration) -> bool {
        let dir = &self.ground.dir;
        let (bucket, away) = (dir.join("bucket"), dir.join("bucket.away"));
        if std::fs::rename(&bucket, &away).is_err() {
            return false;
        }
        // Fails where a program was quick enough to make a new folder: what it writes there is kept.
        let _ = File::create_new(&bucket);
        tally::wait_out(time);
        if std::fs::remove_file(&bucket).is_err() || std::fs::rename(&away, &bucket).is_err() {
            let _ = std::fs::rename(&bucket, dir.join("bucket.quick"));
            let _ = std::fs::rename(&away, &bucket);
            return merge(&dir.join("bucket.quick"), &bucket).is_ok();
        }
        true
    }
}

/// Moves every file below `from` to the same place below `to`.
fn merge(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            merge(&entry.path(), &target)?;
        } else if !target.exists() {
            std::fs::rename(entry.path(), target)?;
        }
    }
    std::fs::remove_dir_all(from)
}
