//! One run, from the first process to the last line.

use super::autoscaler::Autoscaler;
use super::changes::Changes;
use super::order::Order;
use super::reckon::Facts;
use super::sample::Sample;
use super::staff::{Leavers, Staff};
use super::verdict::{Seen, Verdict};
use super::watch::Watch;
use super::{ROLES, page};
use crate::kit::{Fleet, text};
use crate::limits::stall::{self, Stalls};
use crate::limits::{pass, unix_ms};
use job::{JobId, StateWord, Timestamp};
use sandbox::TempDir;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// The gateway asks whoever asks it for this.
const TOKEN: &str = "canary-scale-drill-token-51c7";
/// Jobs queued with one call.
const ADMITTED_AT_ONCE: usize = 500;
/// Runs up to this size are audited job by job.
const AUDITED_MAX: usize = 1_000;
/// Looks at the fleet while it has nothing to do.
const IDLE_LOOKS: usize = 5;
/// Tasks that must have ended before their average is worth more than what was ordered: as many as the fleet asks
/// for.
const TIMES_MIN: usize = 30;
/// The seconds over which the curve counts creates.
const RATE_OVER_S: i64 = 5;
/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// What is stored stays so long at least before it is forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);

/// Plays an order, prints one line of JSON, and writes the page where it was asked to.
///
/// # Panics
///
/// Something does not start: then there is nothing to judge.
#[must_use]
pub fn run(order: &Order) -> ExitCode {
    let (verdict, samples) = play(order);
    for wrong in &verdict.wrong {
        say(&format!("wrong: {wrong}"));
    }
    let _ = writeln!(std::io::stdout(), "{}", verdict.json(order));
    let written = order.write.as_ref().map_or(Ok(()), |clone| {
        page::write(clone, order, &verdict, &samples).map_err(|error| error.to_string())
    });
    if let Err(why) = &written {
        say(why);
    }
    match verdict.wrong.is_empty() && written.is_ok() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Plays an order and tells what it came to.
///
/// # Panics
///
/// Something does not start, or a small run fails its audit job by job.
#[must_use]
pub fn drill(order: &Order) -> Verdict {
    play(order).0
}

fn play(order: &Order) -> (Verdict, Vec<Sample>) {
    let keys = TempDir::new("scale").expect("a temporary folder");
    let token = keys.path().join("scaling-token");
    std::fs::write(&token, TOKEN).expect("the folder is ours");
    let fleet = Fleet::start(order.options(&token));
    // The stamps are the kernel's; what the provider's program is late for still costs time.
    let first = stall::goes_first(fleet.simulator().pid());
    let stalls = Stalls::watch();
    let mut drive = Drive::new(&fleet, order);
    for _ in 0..IDLE_LOOKS {
        drive.turn(0);
        pass(Autoscaler::every(order.minute()));
    }
    let ids = std::thread::scope(|scope| {
        let queueing = scope.spawn(|| queue_up(&fleet, order.jobs));
        drive.work();
        queueing.join().expect("every job is taken in")
    });
    if ids.len() == order.jobs && drive.wrong.is_empty() {
        fleet.audit(&ids);
    }
    let Drive { changes, leavers, watch, samples, wrong, began, .. } = drive;
    let seen = Seen {
        wrong: [wrong, changes.wrong, leavers.wrong].concat(),
        changes: changes.count,
        submitters_min: changes.submitters_min,
        ends: (leavers.asked, leavers.killed),
        lasted: began.elapsed(),
        stalled: stalls.longest(),
        far_side_first: first,
        end_ms: unix_ms(),
    };
    let verdict = Verdict::of(order, &fleet, watch, &samples, seen);
    (verdict, samples)
}

/// Queues the backlog; hands the ids out of one that is audited job by job.
fn queue_up(fleet: &Fleet, jobs: usize) -> Vec<JobId> {
    let mut ids = Vec::new();
    for first in (0..jobs).step_by(ADMITTED_AT_ONCE) {
        let last = jobs.min(first + ADMITTED_AT_ONCE);
        let bodies = (first..last).map(|n| text(&format!("mark-{n} of a backlog")).into());
        let admitted = fleet.admit_many(bodies);
        if jobs <= AUDITED_MAX {
            ids.extend(admitted);
        }
    }
    ids
}

/// Whoever plays the autoscaler.
struct Drive<'a> {
    fleet: &'a Fleet,
    order: &'a Order,
    began: Instant,
    scalers: [Autoscaler; ROLES.len()],
    staff: [Staff; ROLES.len()],
    leavers: Leavers,
    changes: Changes<'a>,
    watch: Watch,
    samples: Vec<Sample>,
    wrong: Vec<String>,
}

impl<'a> Drive<'a> {
    fn new(fleet: &'a Fleet, order: &'a Order) -> Self {
        let mut staff = Staff::all();
        let mut leavers = Leavers::default();
        for role in &mut staff {
            role.become_many(1, fleet, &mut leavers);
        }
        Self {
            fleet,
            order,
            began: Instant::now(),
            scalers: ROLES.map(|_| Autoscaler::new(order.minute(), 1, order.most)),
            staff,
            leavers,
            changes: Changes::new(fleet, order),
            watch: Watch::new(unix_ms()),
            samples: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Until every job has ended and the fleet is as small as it was.
    fn work(&mut self) {
        let (every, mut told) = (Autoscaler::every(self.order.minute()), Instant::now());
        loop {
            let turned = Instant::now();
            let counts = self.turn(self.order.jobs);
            if self.is_done(&counts) {
                return;
            }
            if self.began.elapsed() > self.order.lasts_max {
                self.wrong.push(format!("not done in time: {counts:?}, {:?}", self.running()));
                return;
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                self.progress(&counts);
            }
            if self.order.forget_media {
                forget(&self.fleet.path("bucket/default"));
            }
            pass(every.saturating_sub(turned.elapsed()));
        }
    }

    /// One look, and what follows from it.
    fn turn(&mut self, jobs: usize) -> BTreeMap<StateWord, u64> {
        let told = self.ask();
        self.watch.look(self.fleet);
        let (facts, counts) = self.count();
        let now = self.began.elapsed();
        for (role, staff) in self.staff.iter_mut().enumerate() {
            let wanted = self.scalers[role].hear(now, told.map(|(told, _)| told[role]));
            staff.become_many(wanted, self.fleet, &mut self.leavers);
        }
        self.leavers.look();
        let at_ms = unix_ms();
        self.samples.push(Sample {
            at_s: now.as_secs_f64(),
            at_ms,
            facts,
            told,
            wanted: std::array::from_fn(|role| self.scalers[role].most_told()),
            running: self.running(),
            creates_per_s: self.watch.creates_per_s(at_ms, RATE_OVER_S),
            ended: counts.iter().filter(|(word, _)| has_ended(**word)).map(|(_, n)| n).sum(),
        });
        if jobs > 0 {
            self.changes.turn(&mut self.watch, self.staff[0].count());
        }
        counts
    }

    /// What the gateway tells; nothing where it says that it does not know.
    fn ask(&mut self) -> Option<([u32; ROLES.len()], i64)> {
        let reply = self.fleet.scaling(TOKEN);
        if reply.status == 503 {
            return None;
        }
        let told = read(&reply.body);
        if told.is_none() {
            self.wrong.push(format!("no numbers: {} {}", reply.status, reply.body));
        }
        told
    }

    fn count(&self) -> (Facts, BTreeMap<StateWord, u64>) {
        let store = self.fleet.store();
        let counts = self.fleet.run(store.counts()).expect("Redis answers");
        let slots = self.fleet.run(store.slots()).expect("Redis answers");
        let of = |word: StateWord| counts.get(&word).copied().unwrap_or(0);
        let task_s = self.watch.task_s().filter(|_| self.watch.paid() >= TIMES_MIN);
        let facts = Facts {
            limits: self.changes.in_force(),
            task_s: task_s.unwrap_or(self.order.generate.as_secs_f64()),
            backlog: of(StateWord::Queued) + of(StateWord::Submitting),
            slots: slots.values().map(|taken| u64::try_from(*taken).unwrap_or(0)).sum(),
            tasks: of(StateWord::Running) + of(StateWord::InDoubt),
            copies: of(StateWord::Downloading),
        };
        (facts, counts)
    }

    fn running(&self) -> [u32; ROLES.len()] {
        std::array::from_fn(|role| self.staff[role].count())
    }

    fn is_done(&self, counts: &BTreeMap<StateWord, u64>) -> bool {
        let ended = counts.iter().filter(|(word, _)| has_ended(**word)).map(|(_, n)| n);
        let all = ended.sum::<u64>() >= self.order.jobs as u64;
        all && self.running() == [1; ROLES.len()] && self.leavers.is_done()
    }

    fn progress(&self, counts: &BTreeMap<StateWord, u64>) {
        let words: Vec<String> =
            counts.iter().map(|(word, n)| format!("{} {n}", word.as_str())).collect();
        let told = self.samples.last().and_then(|sample| sample.told).map(|(told, _)| told);
        say(&format!(
            "{:>4} s: told {told:?}, running {:?}, {}",
            self.began.elapsed().as_secs(),
            self.running(),
            words.join(" · ")
        ));
    }
}

/// Ended, or waiting for a person: nobody works at it any more.
fn has_ended(word: StateWord) -> bool {
    word.is_finished() || word == StateWord::Parked
}

/// The numbers of an answer, and when they were reckoned.
fn read(body: &Value) -> Option<([u32; ROLES.len()], i64)> {
    let mut told = [0; ROLES.len()];
    for (role, told) in ROLES.iter().zip(&mut told) {
        *told = u32::try_from(body[role]["desired"].as_u64()?).ok()?;
    }
    let as_of = Timestamp::parse_rfc3339(body["as_of"].as_str()?).ok()?;
    Some((told, as_of.unix_ms()))
}

/// Takes away what was stored some time ago: folders of jobs below those of their day.
fn forget(tenant: &Path) {
    let below = |dir: &Path| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let years = below(tenant);
    let days = years.iter().flat_map(|year| below(year)).flat_map(|month| below(&month));
    for job in days.flat_map(|day| below(&day)) {
        let stored = std::fs::metadata(job.join("manifest.json")).and_then(|file| file.modified());
        let age = stored.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > FORGET_AFTER) {
            // What stays is looked at again in the next turn.
            let _ = std::fs::remove_dir_all(job);
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "scale: {text}");
}
