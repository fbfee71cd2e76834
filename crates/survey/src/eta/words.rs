//! An ETA as a sentence.

use job::eta::{Bound, Eta};
use std::time::Duration;

/// Range, what it rests on, and what binds it.
pub(super) fn told(eta: &Eta) -> String {
    let Eta { least, middle, most, .. } = eta;
    let range = format!("about {} ({} to {})", lasting(*middle), lasting(*least), lasting(*most));
    let mean = format!("{} mean", lasting(eta.mean));
    let (at, limit) = match eta.bound {
        Bound::Concurrency => (
            format!(" at concurrency {}, {mean}", eta.slots),
            "concurrency, not our workers".to_owned(),
        ),
        Bound::CreateRate => {
            let rate = (eta.creates_per_minute * 10.0).round() / 10.0;
            (
                format!(" at {rate} creates a minute, {mean}"),
                "creates a minute, not our workers".to_owned(),
            )
        }
        Bound::Fleet => {
            let used = eta.used.unwrap_or(0.0) * 100.0;
            (
                format!(" at concurrency {}, {mean}", eta.slots),
                format!("the fleet, which used {used:.0} % of what the limits allow of late"),
            )
        }
        Bound::Running => (String::new(), "tasks that run; nothing waits to be bought".to_owned()),
    };
    let ahead = match whole(eta.ahead) {
        0 => String::new(),
        n => format!("; {n} jobs of others go first"),
    };
    let assumed = match eta.learned || eta.used.is_some() {
        true => "",
        false => {
            "; how long its tasks take is assumed (`scaling.generate`), since nothing is learned yet"
        }
    };
    format!("{range}{at}; limit: {limit}{ahead}{assumed}")
}

/// Jobs, in whole ones.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of jobs")]
pub(super) fn whole(jobs: f64) -> u64 {
    jobs.round().max(0.0) as u64
}

/// Two or three figures and a unit: nobody knows it better.
fn lasting(time: Duration) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    const DAY: f64 = 24.0 * HOUR;
    let s = time.as_secs_f64();
    let (size, unit) = match s {
        s if s < 300.0 => (1.0, "s"),
        s if s < 2.0 * HOUR => (MINUTE, "min"),
        s if s < 2.0 * DAY => (HOUR, "h"),
        _ => (DAY, "d"),
    };
    let value = s / size;
    if value < 9.95 && unit != "s" {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seedance::SlotClass;

    fn eta() -> Eta {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Eta {
            least: days(38),
            middle: days(41),
            most: days(45),
            bound: Bound::Concurrency,
            class: SlotClass::V20,
            slots: 40,
            creates_per_minute: 600.0,
            mean: Duration::from_secs(142),
            learned: true,
            ahead: 0.0,
            used: None,
        }
    }

    #[test]
    fn it_says_how_long_and_what_binds() {
        assert_eq!(
            told(&eta()),
            "about 41 d (38 d to 45 d) at concurrency 40, 142 s mean; limit: concurrency, not our workers"
        );
        let said = told(&Eta { bound: Bound::CreateRate, ahead: 12.4, ..eta() });
        assert!(said.ends_with("at 600 creates a minute, 142 s mean; limit: creates a minute, not our workers; 12 jobs of others go first"), "{said}");
        let said = told(&Eta { bound: Bound::Fleet, used: Some(0.52), ..eta() });
        assert!(
            said.ends_with("limit: the fleet, which used 52 % of what the limits allow of late"),
            "{said}"
        );
        let said = told(&Eta { learned: false, ..eta() });
        assert!(said.contains("is assumed (`scaling.generate`)"), "{said}");
        let said = told(&Eta { bound: Bound::Running, ..eta() });
        assert!(said.contains("nothing waits to be bought"), "{said}");
    }

    #[test]
    fn times_have_as_many_figures_as_are_known() {
        let s = |s: f64| lasting(Duration::from_secs_f64(s));
        let told = [s(0.0), s(142.4), s(420.0), s(3_600.0), s(9_000.0), s(86_400.0), s(250_000.0)];
        assert_eq!(told, ["0 s", "142 s", "7.0 min", "60 min", "2.5 h", "24 h", "2.9 d"]);
    }
}
