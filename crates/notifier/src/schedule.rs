//! When a failed delivery is tried again.

use humantime_serde::re::humantime;
use std::time::Duration;

/// Spread of each pause, to both sides: endpoints that failed together do not come back together.
const JITTER_RATIO: f64 = 0.1;

/// The pauses after the first, second, … failed try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule(Vec<Duration>);

impl Schedule {
    /// Reads texts such as `5s` and `12h`.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, String> {
        let parse = |text: &String| {
            humantime::parse_duration(text).map_err(|error| format!("{text:?}: {error}"))
        };
        let pauses: Vec<Duration> = texts.iter().map(parse).collect::<Result<_, _>>()?;
        if pauses.is_empty() || pauses.len() > 32 {
            return Err("name 1 to 32 pauses, such as \"5s\"".to_owned());
        }
        Ok(Self(pauses))
    }

    /// The pause after the `tries`-th failure in a row; [`None`]: that was the last one. `dice` lies
    /// between 0 and 1.
    pub(crate) fn after(&self, tries: u32, dice: f64) -> Option<Duration> {
        let at = usize::try_from(tries).unwrap_or(usize::MAX).saturating_sub(1);
        let pause = self.0.get(at)?;
        Some(pause.mul_f64(1.0 - JITTER_RATIO + 2.0 * JITTER_RATIO * dice.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn pauses_follow_the_list_and_end_with_it() {
        let day = texts(&["5s", "1m", "5m", "30m", "2h", "6h", "12h"]);
        let schedule = Schedule::parse(&day).unwrap();
        assert_eq!(schedule.after(1, 0.5), Some(Duration::from_secs(5)));
        assert_eq!(schedule.after(7, 0.5), Some(Duration::from_secs(12 * 3_600)));
        assert_eq!(schedule.after(8, 0.5), None);
        for dice in [0.0, 0.3, 1.0] {
            let pause = schedule.after(2, dice).unwrap().as_secs_f64();
            assert!((54.0..=66.0).contains(&pause), "{pause}");
        }
    }

    #[test]
    fn what_is_no_pause_is_refused() {
        assert!(Schedule::parse(&texts(&["soon"])).unwrap_err().contains("soon"));
        assert!(Schedule::parse(&[]).is_err());
    }
}
