//! How much a refused create takes away from its row, and how it comes back. Pure: fed with what is away and
//! with the clock.

use crate::settings::Settings;
use job::Timestamp;
use seedance::Brake;
use store::Slowed;

/// What is left of the rate after a refusal, in thousandths of what it was.
const KEPT_PERMILLE: u32 = 700;
/// The rate never falls below this, in thousandths of the limit.
const LEAST_PERMILLE: u32 = 50;
/// What comes back of the rate at a time: one percent of the limit.
const STEP_PERMILLE: u32 = 10;
/// After creates that grew too fast they begin at a tenth, and a tenth comes back at a time.
const RAMP_PERMILLE: u32 = 100;

/// A create that was refused, as far as its row is concerned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused<'a> {
    /// What it says we gave too much of.
    pub(crate) brake: Brake,
    /// The provider's code.
    pub(crate) code: &'a str,
    /// When it left, by the server's clock.
    pub(crate) sent: Timestamp,
    /// Tasks that the account is fed ahead, as configured.
    pub(crate) lookahead: u32,
}

/// What is away from here on; nothing to change where the refusal tells nothing new.
pub(crate) fn after(
    refused: &Refused<'_>,
    before: Option<&Slowed>,
    now: Timestamp,
    settings: &Settings,
) -> Option<Slowed> {
    // Creates that were on their way together are told off for one fault: what one of them took away is not
    // proven to be too little by another that left before it.
    if before.is_some_and(|before| refused.sent <= before.since) {
        return None;
    }
    let away = before.map_or(0, |before| before.away(now));
    let (first, step, every) = match refused.brake {
        Brake::Rate => {
            let left = 1_000_u32.saturating_sub(away) * KEPT_PERMILLE / 1_000;
            (1_000 - left.max(LEAST_PERMILLE), STEP_PERMILLE, settings.recover_every)
        }
        Brake::Ramp => (1_000 - RAMP_PERMILLE, RAMP_PERMILLE, settings.ramp_every),
        Brake::Depth => (away.saturating_add(1).min(refused.lookahead), 1, settings.deepen_every),
    };
    let began = before.filter(|_| away > 0).map_or(now, |before| before.began);
    let (brake, code) = (refused.brake, refused.code.to_owned());
    (first > 0).then_some(Slowed { brake, first, step, every, since: now, began, code })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const S: Duration = Duration::from_secs(1);

    const fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000 + 1_000 * s)
    }

    fn refused(brake: Brake, sent: Timestamp) -> Refused<'static> {
        Refused { brake, code: "Slow", sent, lookahead: 2 }
    }

    /// What is away after refusals that left at these seconds and were answered within half a second.
    fn run(brake: Brake, seconds: &[i64]) -> Option<Slowed> {
        let settings = Settings::default();
        seconds.iter().fold(None, |before: Option<Slowed>, second| {
            let (sent, now) = (at(*second), at(*second) + S / 2);
            after(&refused(brake, sent), before.as_ref(), now, &settings).or(before)
        })
    }

    #[test]
    fn the_rate_falls_by_a_third_each_time_and_comes_back_by_a_percent() {
        let once = run(Brake::Rate, &[0]).expect("slowed");
        assert_eq!((once.away(at(1)), once.away(at(31)), once.away(at(61))), (300, 290, 280));
        assert_eq!(once.away(once.ends()), 0, "whole after a quarter of an hour");
        assert_eq!(once.ends().since(at(0)), 15 * 60 * S + S / 2);
        let twice = run(Brake::Rate, &[0, 10]).expect("slowed");
        assert_eq!((twice.away(at(11)), twice.began), (510, once.began));
        let often: Vec<i64> = (0..30).map(|n| 10 * n).collect();
        assert_eq!(run(Brake::Rate, &often).expect("slowed").away(at(291)), 950, "never nothing");
        // Long after it was whole again, a refusal is the first one.
        assert_eq!(run(Brake::Rate, &[0, 9_000]).expect("slowed").began, at(9_000) + S / 2);
    }

    #[test]
    fn growth_begins_at_a_tenth_and_has_all_after_a_minute_and_a_half() {
        let ramp = run(Brake::Ramp, &[0]).expect("slowed");
        assert_eq!((ramp.away(at(1)), ramp.away(at(11)), ramp.away(at(91))), (900, 800, 0));
        assert_eq!(run(Brake::Ramp, &[0, 50]).expect("slowed").away(at(51)), 900, "again");
    }

    #[test]
    fn the_look_ahead_falls_by_one_down_to_nothing() {
        let depth = |seconds: &[i64]| run(Brake::Depth, seconds).map(|slowed| slowed.away(at(50)));
        assert_eq!(
            (depth(&[0]), depth(&[0, 10]), depth(&[0, 10, 20])),
            (Some(1), Some(2), Some(2))
        );
        let none = Refused { lookahead: 0, ..refused(Brake::Depth, at(0)) };
        assert_eq!(after(&none, None, at(1), &Settings::default()), None, "nothing to take");
    }

    #[test]
    fn creates_that_were_on_their_way_together_count_once() {
        let settings = Settings::default();
        let first = after(&refused(Brake::Rate, at(0)), None, at(1), &settings).expect("slowed");
        for sent in [at(0), at(1)] {
            assert_eq!(after(&refused(Brake::Rate, sent), Some(&first), at(2), &settings), None);
        }
        let later = at(1) + S / 1_000;
        assert!(after(&refused(Brake::Rate, later), Some(&first), at(2), &settings).is_some());
    }

    /// Whatever is refused and whenever: something is left, no more than all comes back, never backwards, and
    /// everything ends by itself.
    #[test]
    fn something_is_always_left_and_all_of_it_comes_back() {
        let settings = Settings::default();
        let mut dice = 1_u64;
        let mut roll = |n: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            (dice >> 33) % n
        };
        for _ in 0..200 {
            let brake = Brake::ALL[usize::try_from(roll(3)).expect("small")];
            let (mut before, mut now): (Option<Slowed>, _) = (None, at(0));
            for _ in 0..20 {
                now = now + Duration::from_millis(roll(400_000));
                let sent =
                    Timestamp::from_unix_ms(now.unix_ms() - i64::try_from(roll(9_000)).unwrap());
                let next = after(&refused(brake, sent), before.as_ref(), now, &settings);
                if let (Some(next), Some(before)) = (&next, &before) {
                    assert!(next.away(now) >= before.away(now), "a refusal gives nothing back");
                }
                before = next.or(before);
            }
            let slowed = before.expect("refused");
            let most = if brake == Brake::Depth { 2 } else { 1_000 - LEAST_PERMILLE };
            let mut last = most;
            for step in 0..200 {
                let away = slowed.away(slowed.since + Duration::from_secs(10 * step));
                assert!(away <= last, "{slowed:?}");
                last = away;
            }
            assert_eq!(slowed.away(slowed.ends()), 0, "{slowed:?}");
            assert!(slowed.away(slowed.ends() + (S / 1_000)) == 0);
        }
    }
}
