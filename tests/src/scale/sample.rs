//! What was seen at one moment, and what a row of moments says about the gateway's word.

use super::ROLES;
use super::order::Order;
use super::reckon::{Facts, reckon};

/// One look.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Since the beginning, in seconds.
    pub(super) at_s: f64,
    /// Unix ms.
    pub(super) at_ms: i64,
    pub(super) facts: Facts,
    /// What the gateway told, and when it had looked (Unix ms); nothing where it had no answer.
    pub(super) told: Option<([u32; ROLES.len()], i64)>,
    /// The most it told in five minutes of the autoscaler.
    pub(super) wanted: [u32; ROLES.len()],
    /// Processes there are.
    pub(super) running: [u32; ROLES.len()],
    pub(super) creates_per_s: f64,
    /// Jobs that have ended.
    pub(super) ended: u64,
}

/// How far the gateway's word was from ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Apart {
    pub(super) by: u32,
    /// Where, in words; empty for a distance of none.
    pub(super) what: String,
}

/// The farthest of each role.
///
/// What limits decide, which is a submitter's number, is compared look by look: with what was of use between the
/// gateway's look and ours. Tasks end in rounds, so the numbers of pollers and downloaders swing with each round: there
/// the most of five minutes is compared, which an autoscaler goes by.
pub(super) fn apart(samples: &[Sample], order: &Order) -> [Apart; ROLES.len()] {
    let ours = Ours {
        samples,
        numbers: samples.iter().map(|sample| reckon(&sample.facts, order)).collect(),
        fullest: fullest(samples).map(|facts| reckon(&facts, order)).collect(),
    };
    let window_ms = i64::try_from((order.minute() * 5).as_millis()).unwrap_or(i64::MAX);
    let mut apart = ROLES.map(|_| Apart { by: 0, what: String::new() });
    for (at, sample) in samples.iter().enumerate() {
        let Some((told, as_of_ms)) = sample.told else { continue };
        for (role, apart) in apart.iter_mut().enumerate() {
            let from_ms = sample.at_ms - window_ms;
            let looked = ours.before(as_of_ms, at);
            let (said, least, most) = if role == 0 {
                let (least, most) = ours.between(looked, at, role);
                (told[role], least, most)
            } else {
                // What came after the gateway's look, or is about to leave the window, it need not have seen.
                let seen_from = ours.before(from_ms + window_ms / 5, at) + 1;
                let least = ours.between(seen_from, looked.saturating_sub(1), role).1;
                (sample.wanted[role], least, ours.most(ours.before(from_ms, at), at, role))
            };
            let by = said.saturating_sub(most).max(least.saturating_sub(said));
            if by > apart.by {
                let what = format!(
                    "{:.1} s: {said} {}s were told, {least} to {most} are of use",
                    sample.at_s, ROLES[role]
                );
                *apart = Apart { by, what };
            }
        }
    }
    apart
}

/// What we reckoned, look by look.
struct Ours<'a> {
    samples: &'a [Sample],
    numbers: Vec<[u32; ROLES.len()]>,
    /// The same, of the fullest moment there may have been since the look before.
    fullest: Vec<[u32; ROLES.len()]>,
}

/// What there may have been between each look and the one before it: all that began meanwhile ran beside all that ran
/// before, until the next round of ends. The gateway looks at other moments than we do.
fn fullest(samples: &[Sample]) -> impl Iterator<Item = Facts> + '_ {
    let before = samples.first().into_iter().chain(samples);
    before.zip(samples).map(|(before, now)| {
        let (before, now) = (before.facts, now.facts);
        let begun = before.backlog.saturating_sub(now.backlog);
        let slots = now.slots.max(before.slots + begun);
        Facts { slots, tasks: now.tasks.max(before.tasks + begun), ..now }
    })
}

impl Ours<'_> {
    /// The last look before an instant, of those up to `at`; the first where there is none.
    fn before(&self, ms: i64, at: usize) -> usize {
        self.samples[..at].iter().rposition(|sample| sample.at_ms <= ms).unwrap_or(0)
    }

    /// The most there may have been from one look to another.
    fn most(&self, first: usize, last: usize, role: usize) -> u32 {
        self.fullest[first..=last].iter().map(|numbers| numbers[role]).max().unwrap_or(1)
    }

    /// The least and the most of some looks; one process where they are none.
    fn between(&self, first: usize, last: usize, role: usize) -> (u32, u32) {
        let numbers = || (first..=last).map(|look| self.numbers[look][role]);
        (numbers().min().unwrap_or(1), numbers().max().unwrap_or(1))
    }
}

/// How often a row of numbers turns round: goes up after it went down, or down after it went up. Within one of the
/// last extreme nothing has turned; so exact is the word.
pub(super) fn turns(numbers: impl IntoIterator<Item = u32>) -> u32 {
    let (mut turns, mut goes_up) = (0, None);
    // Extremes since the last turn; the one it came from is looked at no more.
    let (mut low, mut high) = (u32::MAX, 0);
    for number in numbers {
        (low, high) = (low.min(number), high.max(number));
        let rose = number > low + 1 && goes_up != Some(true);
        let fell = number + 1 < high && goes_up != Some(false);
        if rose || fell {
            turns += u32::from(goes_up.is_some());
            goes_up = Some(rose);
            (low, high) = (number, number);
        }
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_turns_where_it_goes_back_by_more_than_one() {
        let drill = [1, 1, 8, 16, 16, 15, 16, 8, 8, 9, 8, 16, 16, 9, 4, 1];
        assert_eq!(turns(drill), 3);
        assert_eq!(turns([1, 16, 15, 16, 15, 14, 15]), 1, "14 is two below the most");
        assert_eq!(turns([4, 2, 4, 2, 4]), 3);
        assert_eq!(turns([1, 2, 3, 4, 4, 4]), 0);
        assert_eq!(turns([5, 4, 5, 6, 5]), 0, "it has only risen so far");
        assert_eq!(turns([]), 0);
    }

    fn samples(order: &Order) -> Vec<Sample> {
        let facts = |waits: u64, slots: u64| Facts {
            limits: order.high(),
            task_s: 4.0,
            backlog: waits,
            slots,
            tasks: slots,
            copies: 0,
        };
        let of = |n: i32, facts: Facts| Sample {
            at_s: f64::from(n),
            at_ms: i64::from(n) * 1_000,
            told: Some((reckon(&facts, order), i64::from(n) * 1_000 - 100)),
            wanted: [16; 3],
            running: [16; 3],
            creates_per_s: 80.0,
            ended: 0,
            facts,
        };
        (0..60).map(|n| of(n, facts(40_000, 332))).collect()
    }

    #[test]
    fn a_word_is_compared_with_what_was_of_use_when_it_was_reckoned() {
        let order = Order::default();
        let mut samples = samples(&order);
        assert_eq!(apart(&samples, &order).map(|apart| apart.by), [0, 0, 0]);
        // The gateway looked before this was so, and we after it.
        samples[30].facts.backlog = 0;
        assert_eq!(apart(&samples, &order)[0].by, 0);
        samples[30].told = Some(([12, 3, 3], 29_900));
        let far = apart(&samples, &order);
        assert_eq!(far[0].by, 0, "between all and one anything was of use: {far:?}");
        samples[40].told = Some(([12, 3, 3], 39_900));
        let far = apart(&samples, &order);
        assert_eq!((far[0].by, far[1].by), (4, 0), "{far:?}");
        assert!(far[0].what.contains("12 submitters were told, 16 to 16"), "{far:?}");
        // Whoever goes by the most of five minutes was told too few all the while.
        for sample in &mut samples[20..] {
            sample.wanted[2] = 13;
        }
        assert_eq!(apart(&samples, &order)[2].by, 3);
    }

    #[test]
    fn a_moment_between_two_looks_may_have_been_fuller_than_both() {
        let order = Order::default();
        let mut few = samples(&order);
        for sample in &mut few {
            sample.facts = Facts { slots: 150, tasks: 150, ..sample.facts };
            sample.wanted = reckon(&sample.facts, &order);
        }
        let told = reckon(&Facts { slots: 240, tasks: 240, ..few[40].facts }, &order);
        few[40].wanted = told;
        let far = apart(&few, &order);
        assert!(far[2].by > 1, "nothing began: {far:?}");
        // A round ended, and as many began, between the look before and this one; the gateway saw both.
        for sample in &mut few[40..] {
            sample.facts.backlog -= 90;
        }
        let far = apart(&few, &order);
        assert_eq!((far[1].by, far[2].by), (0, 0), "{far:?}");
    }
}
