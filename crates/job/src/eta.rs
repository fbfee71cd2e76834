//! When so many jobs will have ended, as a range with what bounds it. Pure.
//!
//! Jobs of one slot class wait for the same slots and the same creates a minute, so each class is a lane of its own, and
//! the last lane to end decides. How fast a lane goes is reckoned from the limits in force and from how long tasks take,
//! as learned; then it is corrected by the rate at which jobs were seen to end, by as much as that rate proves. A rate
//! that was seen knows all that arithmetic does not: failures that give their slot back early, tasks that are made
//! again, slots that stay free for a moment. Limits know what no rate knows: that one was changed a minute ago, or ends
//! at six.

use crate::rounds::Times;
use seedance::SlotClass;
use std::time::Duration;

/// Ends below this tell no rate.
const ENDS_MIN: u64 = 10;
/// Ends that a look back should hold: with fewer, chance is a large part of the rate.
const ENDS_WANTED: f64 = 100.0;
/// Lives of a task that a look back should hold: within one, slots can be in step.
const LIVES_WANTED: f64 = 6.0;
/// Bounds of a look back.
const BACK: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(6 * 3_600));

/// How far off a rate may be, as the natural logarithm's standard deviation: reckoned from learned times …
const OFF_LEARNED: f64 = 0.12;
/// … from a time that is only assumed …
const OFF_ASSUMED: f64 = 0.6;
/// … and, of a rate that was seen, what no number of ends takes away.
const OFF_SEEN: f64 = 0.04;
/// Variance that one end leaves in a rate; tasks in steady slots end more evenly than at random.
const OFF_PER_END: f64 = 0.25;
/// No range is narrower than this on either side: limits change, and so does how long tasks take.
const OFF_MIN: f64 = 0.07;
/// A range reaches so many standard deviations to both sides.
const REACH: f64 = 2.0;
/// By how much a seen rate may be above what learned times allow.
const ABOVE_LEARNED: f64 = 1.25;
/// Below this share of what the limits allow, they are not what binds.
const OURS: f64 = 0.75;
/// Shortest, usual longest and longest life of a task as parts of the assumed one.
const ASSUMED_SPREAD: [f64; 3] = [0.6, 1.3, 2.5];
/// Longest time that is told; what is beyond is no forecast.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What one account may do for a slot class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Tasks that run at once.
    pub slots: u32,
    /// Creates a second.
    pub creates_per_s: f64,
}

/// Limits from an instant on.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// So long after now.
    pub from: Duration,
    /// Of each account that is not stopped then.
    pub rooms: Vec<Room>,
}

/// Jobs whose tasks take alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// How many.
    pub jobs: f64,
    /// What was learned of them.
    pub times: Times,
}

/// One slot class.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Which.
    pub class: SlotClass,
    /// Limits in force, and what is known of later ones; the first holds now.
    pub limits: Vec<Limits>,
    /// Slots taken, by whomever.
    pub taken: u64,
    /// Jobs of others that are bought before the last of those that are asked for.
    pub ahead: f64,
    /// Those asked for that wait to be bought.
    pub waiting: Vec<Kind>,
    /// Those asked for that are at the provider, or on their way from there.
    pub running: f64,
    /// What was learned of all tasks of the class.
    pub all: Times,
}

/// Jobs of the pool that ended of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// How many.
    pub ends: u64,
    /// In which time, up to now.
    pub over: Duration,
}

/// What an ETA is reckoned from.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// Each slot class in which something waits or runs, those of others too.
    pub lanes: Vec<Lane>,
    /// The rate so far.
    pub seen: Option<Seen>,
    /// How long a task takes where nothing is learned.
    pub assumed: Duration,
    /// An ETA may rest on [`Facts::assumed`] alone.
    pub may_assume: bool,
}

/// What the end waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Tasks that run at once: the provider's limit.
    Concurrency,
    /// Creates a minute: the provider's limit.
    CreateRate,
    /// The fleet itself: it uses less than the limits allow.
    Fleet,
    /// Tasks that run already: nothing waits to be bought.
    Running,
}

impl Bound {
    /// The word in documents.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::CreateRate => "create_rate",
            Self::Fleet => "fleet",
            Self::Running => "running",
        }
    }
}

/// When the last of them will have ended, from now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Eta {
    /// Hardly sooner.
    pub least: Duration,
    /// As likely sooner as later.
    pub middle: Duration,
    /// Hardly later.
    pub most: Duration,
    /// What decides.
    pub bound: Bound,
    /// The slot class that ends last.
    pub class: SlotClass,
    /// Tasks of it that run at once, by the limits in force.
    pub slots: u64,
    /// Creates a minute of it, likewise.
    pub creates_per_minute: f64,
    /// How long one of its tasks takes on average.
    pub mean: Duration,
    /// That was learned; false: it is assumed.
    pub learned: bool,
    /// Jobs of others that go first in it.
    pub ahead: f64,
    /// Of what the limits allow, the part that the fleet used; none: no rate was seen.
    pub used: Option<f64>,
}

/// Why no ETA can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Nothing is open.
    NothingLeft,
    /// Neither is it learned how long tasks take, nor have enough of them ended.
    NothingLearned,
    /// No account takes jobs of this class, and it is not known until when.
    NoRoom(SlotClass),
}

/// How much slower or faster than reckoned.
#[derive(Debug, Clone, Copy)]
struct Pace {
    factor: f64,
    off: f64,
    used: Option<f64>,
}

/// How long tasks of a lane take.
#[derive(Debug, Clone, Copy)]
struct Lives {
    mean_s: f64,
    learned: bool,
    /// Short, usual and longest life of the last of them.
    last_s: [f64; 3],
}

/// When all jobs that the facts ask for will have ended.
///
/// # Errors
///
/// [`WhyNot`]: it cannot be told.
pub fn reckon(facts: &Facts) -> Result<Eta, WhyNot> {
    let pace = pace(facts)?;
    let mut last: Option<Eta> = None;
    for lane in facts.lanes.iter().filter(|lane| lane.asked() > 0.0) {
        let eta = lane.reckon(pace, facts.assumed)?;
        last = Some(match last {
            None => eta,
            Some(before) => {
                let [least, most] = [before.least.max(eta.least), before.most.max(eta.most)];
                let later = if eta.middle > before.middle { eta } else { before };
                Eta { least, most, ..later }
            }
        });
    }
    last.ok_or(WhyNot::NothingLeft)
}

/// How far back ends tell a rate that holds now: far enough for chance to be small, and no farther. `held`: since when
/// limits are as they are, where somebody changed them; for the life of a task after that, tasks end that were begun
/// under others.
#[must_use]
pub fn look_back(facts: &Facts, held: Option<Duration>) -> Duration {
    let busy = facts.lanes.iter().filter(|lane| lane.is_busy());
    let (mut rate, mut longest_s) = (0.0, 0.0_f64);
    for lane in busy {
        let lives = lane.lives(facts.assumed);
        rate += lane.allowed(lives.mean_s);
        longest_s = longest_s.max(lives.mean_s);
    }
    let for_chance = if rate > 0.0 { ENDS_WANTED / rate } else { 0.0 };
    let back = seconds((longest_s * LIVES_WANTED).max(for_chance)).clamp(BACK.0, BACK.1);
    held.map_or(back, |held| back.min(held.saturating_sub(seconds(longest_s))))
}

/// The correction by what was seen, weighed by what each side proves.
fn pace(facts: &Facts) -> Result<Pace, WhyNot> {
    let asked = || facts.lanes.iter().filter(|lane| lane.asked() > 0.0);
    if asked().next().is_none() {
        return Err(WhyNot::NothingLeft);
    }
    let learned = asked().all(|lane| lane.lives(facts.assumed).learned);
    let prior = if learned { OFF_LEARNED } else { OFF_ASSUMED };
    let allowed: f64 = facts
        .lanes
        .iter()
        .filter(|lane| lane.is_busy())
        .map(|lane| lane.allowed(lane.lives(facts.assumed).mean_s))
        .sum();
    let enough =
        facts.seen.filter(|seen| seen.ends >= ENDS_MIN && !seen.over.is_zero() && allowed > 0.0);
    let Some(seen) = enough else {
        return match learned || facts.may_assume {
            true => Ok(Pace { factor: 1.0, off: prior, used: None }),
            false => Err(WhyNot::NothingLearned),
        };
    };
    let rate = seen.ends as f64 / seen.over.as_secs_f64();
    let used = rate / allowed;
    // What was learned bounds from above; what was assumed bounds nothing.
    let believed = if learned { used.min(ABOVE_LEARNED) } else { used };
    let off_seen = (OFF_SEEN * OFF_SEEN + OFF_PER_END / seen.ends as f64).sqrt();
    let [by_limits, by_rate] = [prior, off_seen].map(|off| 1.0 / (off * off));
    let factor = (believed.ln() * by_rate / (by_limits + by_rate)).exp();
    let off = (1.0 / (by_limits + by_rate)).sqrt();
    Ok(Pace { factor, off, used: Some(used) })
}

impl Lane {
    fn waits(&self) -> f64 {
        self.waiting.iter().map(|kind| kind.jobs).sum()
    }

    /// Jobs that are asked for.
    fn asked(&self) -> f64 {
        self.waits() + self.running
    }

    fn is_busy(&self) -> bool {
        self.taken > 0 || self.ahead > 0.0 || self.asked() > 0.0
    }

    fn rooms(&self) -> &[Room] {
        self.limits.first().map_or(&[], |limits| &limits.rooms)
    }

    fn slots(&self) -> u64 {
        self.rooms().iter().map(|room| u64::from(room.slots)).sum()
    }

    /// Ends a second that the limits in force allow now.
    fn allowed(&self, mean_s: f64) -> f64 {
        if self.waits() + self.ahead > 0.0 {
            return rate(self.rooms(), mean_s);
        }
        self.taken.min(self.slots()) as f64 / mean_s.max(0.001)
    }

    fn lives(&self, assumed: Duration) -> Lives {
        let of_all = self.all.mean();
        let mut learned = true;
        let (mut jobs, mut sum_s) = (0.0, 0.0);
        let mut add = |n: f64, mean: Option<Duration>| {
            let mean = mean.or(of_all);
            learned &= mean.is_some() || n <= 0.0;
            jobs += n;
            sum_s += n * mean.unwrap_or(assumed).as_secs_f64();
        };
        for kind in &self.waiting {
            add(kind.jobs, kind.times.mean());
        }
        add(self.ahead + self.running, None);
        let mean_s =
            if jobs > 0.0 { sum_s / jobs } else { of_all.unwrap_or(assumed).as_secs_f64() };
        let own =
            self.waiting.iter().fold(Times::default(), |sum, kind| sum.and(kind.times.clone()));
        let times = if own.mean().is_some() { own } else { self.all.clone() };
        // Of so many that run at once at the end, one is the last.
        let last = self.asked().min(self.slots() as f64).max(1.0);
        let share = 1.0 - 1.0 / (1.0 + last / 2.0);
        let of = |share: f64| times.quantile(share).map(|time| time.as_secs_f64());
        let last_s = match (of(0.5), of(share), of(1.0)) {
            (Some(least), Some(middle), Some(most)) => [least.min(middle), middle, most],
            _ => ASSUMED_SPREAD.map(|part| part * mean_s),
        };
        Lives { mean_s: mean_s.max(0.001), learned, last_s }
    }

    fn reckon(&self, pace: Pace, assumed: Duration) -> Result<Eta, WhyNot> {
        let lives = self.lives(assumed);
        let life_s = lives.mean_s;
        let wait_s = self.last_begins(life_s, pace.factor).ok_or(WhyNot::NoRoom(self.class))?;
        let off = pace.off.max(OFF_MIN) * REACH;
        // A fleet that does well gives slots back sooner, but no task ends before its time, where that is learned.
        let quicker = if lives.learned { pace.factor.min(1.0) } else { pace.factor };
        let (last, life_s) = (lives.last_s.map(|last| last / quicker), life_s / quicker);
        let [least, middle, most] = if self.waits() > 0.0 {
            // In few turns a slot more or less decides about a whole one.
            let turn = if wait_s > 0.0 { life_s.min(wait_s) / 2.0 } else { 0.0 };
            [
                wait_s * (-off).exp() - turn * off.min(1.0) + last[0],
                wait_s + last[1],
                wait_s * off.exp() + turn + last[2] * off.exp(),
            ]
        } else {
            // As the last turn goes on slots fall free: so much of it is over.
            let over = 1.0 - (self.running / (self.slots() as f64).max(1.0)).min(1.0);
            [0.0, (last[1] - life_s * over).max(last[1] * 0.1), last[2] * off.exp()]
        };
        let [least, middle, most] = [least.min(middle), middle, most.max(middle)].map(seconds);
        let creates: f64 = self.rooms().iter().map(|room| room.creates_per_s).sum();
        Ok(Eta {
            least,
            middle,
            most,
            bound: self.bound(&lives, pace),
            class: self.class,
            slots: self.slots(),
            creates_per_minute: creates * 60.0,
            mean: seconds(if lives.learned { lives.mean_s } else { life_s }),
            learned: lives.learned,
            ahead: self.ahead,
            used: pace.used,
        })
    }

    fn bound(&self, lives: &Lives, pace: Pace) -> Bound {
        if self.waits() <= 0.0 {
            return Bound::Running;
        }
        let ours = pace.used.is_some_and(|used| used < OURS) && pace.factor < OURS;
        if ours && lives.learned {
            return Bound::Fleet;
        }
        let by_slots = self.slots() as f64 / lives.mean_s;
        let by_creates: f64 = self.rooms().iter().map(|room| room.creates_per_s).sum();
        if by_creates < by_slots { Bound::CreateRate } else { Bound::Concurrency }
    }

    /// In how many seconds the last of those that wait is begun; none: never, as far as limits are known.
    fn last_begins(&self, life_s: f64, factor: f64) -> Option<f64> {
        if self.waits() <= 0.0 {
            return Some(0.0);
        }
        let mut left = self.ahead + self.waits();
        let mut at = 0.0;
        // Slots that are free now are filled as fast as creates go.
        let mut free = (self.slots() as f64 - self.taken as f64).max(0.0);
        for (n, limits) in self.limits.iter().enumerate() {
            let until =
                self.limits.get(n + 1).map_or(f64::INFINITY, |next| next.from.as_secs_f64());
            let creates: f64 = limits.rooms.iter().map(|room| room.creates_per_s).sum();
            if free > 0.0 && creates > 0.0 && until > at {
                let filled = free.min(left).min((until - at) * creates);
                at += filled / creates;
                (free, left) = (free - filled, left - filled);
            }
            // However well it goes, no more is created than is allowed.
            let begun = (rate(&limits.rooms, life_s) * factor).min(creates);
            let room = (until - at).max(0.0);
            if left <= 0.0 {
                return Some(at);
            }
            if begun > 0.0 && left <= begun * room {
                return Some(at + left / begun);
            }
            if until.is_finite() {
                left -= begun * room;
                at = at.max(until);
            }
        }
        None
    }
}

/// Tasks a second that begin and end where each takes so long and no slot is free for long.
fn rate(rooms: &[Room], life_s: f64) -> f64 {
    let of = |room: &Room| (f64::from(room.slots) / life_s.max(0.001)).min(room.creates_per_s);
    rooms.iter().map(of).sum()
}

fn seconds(s: f64) -> Duration {
    Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(LONGEST).min(LONGEST)
}

#[cfg(test)]
mod back_test;
#[cfg(test)]
mod tests;
