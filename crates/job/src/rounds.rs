//! When a task that is being generated is looked at next. Pure.
//!
//! The tasks of one account come due together, in rounds: whoever claims them asks for all of them with one
//! page of the list. Accounts have rounds of their own, so that a fleet does not march in step. Where it is
//! known how long tasks take, nobody looks before some may have ended, and looks at the few that are later
//! than almost all become rare; between the two no end waits longer than a round.

mod callbacks;
mod times;

use crate::policy::PollPolicy;
use crate::record::Source;
use crate::{Record, TaskRef, Timestamp, retry};
use seedance::{DurationChoice, ModelKey, Request, Resolution, SlotClass};
use std::time::Duration;

pub use callbacks::{ENDS_KEPT, Ended, Patience, are_silent, tell_ends};
pub use times::{BUCKETS, SAMPLES_MIN, Times, bucket};

/// Between two rounds lie fourteen fifteenths of `poll.steady`; the rest is what a page's turn at the list may
/// take, so that an end is seen within `poll.steady`.
const PARTS: (u32, u32) = (14, 15);
/// Share of the tasks that have ended before the first look.
const EARLY: f64 = 0.02;
/// Share of the tasks after which looks become rare.
const LATE: f64 = 0.97;
/// Longest part of a late task's lateness that passes between two looks.
const LATE_SHARE: u32 = 2;

/// Rounds between two repairs, at least.
const REPAIR_TURNS: u32 = 4;

/// When tasks like one have ended, by their age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// Almost none has ended.
    pub early: Duration,
    /// Almost all have.
    pub late: Duration,
}

impl Quantiles {
    /// Of what was learned; none while that is too little.
    #[must_use]
    pub fn of(times: &Times) -> Option<Self> {
        Some(Self { early: times.quantile(EARLY)?, late: times.quantile(LATE)? })
    }
}

/// What is known of a task's end beside the task itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outlook {
    /// How long tasks like this one take; none until enough of them were seen.
    pub times: Option<Quantiles>,
    /// Callbacks tell the ends of the account's tasks: a look is only the repair of one that was lost.
    pub told: bool,
}

impl Outlook {
    /// The first look at a task that is as old as its create, `since`; none where nothing is known.
    #[must_use]
    pub fn first_look(
        &self,
        account: &str,
        steady: Duration,
        since: Timestamp,
    ) -> Option<Timestamp> {
        let Quantiles { early, late } = self.times?;
        let begin = if self.told { late } else { early };
        Some(at_or_after(account, between(steady), since + begin))
    }

    /// The look after one at `now` that found the task in progress; none where nothing is known.
    #[must_use]
    pub fn next_look(
        &self,
        account: &str,
        poll: &PollPolicy,
        since: Timestamp,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let first = self.first_look(account, poll.steady, since)?;
        if now < first {
            return Some(first);
        }
        let (turn, late) = (between(poll.steady), self.times?.late);
        let over = now.since(since).saturating_sub(late);
        if over.is_zero() && !self.told {
            return Some(next(account, poll.steady, now));
        }
        let longest = poll.max.max(turn);
        let shortest = if self.told { longest.min(turn * REPAIR_TURNS) } else { turn };
        let pause = (over / LATE_SHARE).clamp(shortest, longest);
        Some(at_or_after(account, turn, now + pause - turn / 4 * 3))
    }
}

/// Since when a task's age counts: since its create began. None for one that was bought elsewhere: nobody
/// knows how old it is.
#[must_use]
pub fn since(record: &Record, task: &TaskRef) -> Option<Timestamp> {
    let bought_here = record.spec.source != Source::Adopted;
    bought_here
        .then(|| record.life.attempt(&task.attempt))
        .flatten()
        .map(|attempt| attempt.begun_at)
}

/// The tasks that take about as long as this job's: one word of model, resolution and length.
#[must_use]
pub fn class(record: &Record) -> String {
    class_of(&record.spec.request)
}

/// The same of a request that is no job yet.
#[must_use]
pub fn class_of(request: &Request) -> String {
    word(request.model, request.resolution, length(request.duration_s))
}

/// All words of [`class`] whose tasks count against this quota.
#[must_use]
pub fn classes_of(quota: SlotClass) -> Vec<String> {
    let mut words = Vec::new();
    for model in ModelKey::ALL {
        let made = model.capabilities().resolutions.iter().copied();
        for resolution in made.filter(|made| SlotClass::of(model, *made) == quota) {
            words.extend(LENGTHS.map(|length| word(model, resolution, length)));
        }
    }
    words
}

const LENGTHS: [&str; 4] = ["5s", "10s", "15s", "auto"];

const fn length(duration: DurationChoice) -> &'static str {
    match duration {
        DurationChoice::Seconds(..=5) => LENGTHS[0],
        DurationChoice::Seconds(..=10) => LENGTHS[1],
        DurationChoice::Seconds(_) => LENGTHS[2],
        DurationChoice::ModelChooses => LENGTHS[3],
    }
}

fn word(model: ModelKey, resolution: Resolution, length: &str) -> String {
    format!("{}|{}|{length}", model.word(), resolution.word())
}

/// The time between two rounds.
#[must_use]
pub fn between(steady: Duration) -> Duration {
    (steady * PARTS.0 / PARTS.1).max(Duration::from_millis(1))
}

/// The round of the account that follows a look at `now`: a whole turn later, or as much sooner as the look was
/// late. A look between two rounds is brought into step by a turn of one to five quarters of the usual.
#[must_use]
pub fn next(account: &str, steady: Duration, now: Timestamp) -> Timestamp {
    let between = between(steady);
    at_or_after(account, between, now + between / 4)
}

/// The account's first round that is not before `from`.
fn at_or_after(account: &str, between: Duration, from: Timestamp) -> Timestamp {
    let between_ms = i64::try_from(between.as_millis()).unwrap_or(i64::MAX).max(1);
    let seed = retry::mixed(0xcbf2_9ce4_8422_2325, account);
    let phase_ms = i64::try_from(seed >> 33).unwrap_or(0).rem_euclid(between_ms);
    let over_ms = (from.unix_ms() - phase_ms).rem_euclid(between_ms);
    let wait_ms = if over_ms == 0 { 0 } else { between_ms - over_ms };
    Timestamp::from_unix_ms(from.unix_ms() + wait_ms)
}

#[cfg(test)]
mod tests;
