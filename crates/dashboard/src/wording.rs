//! Numbers, times and sizes as people read them.

use job::Timestamp;
use maud::{Markup, html};
use std::time::Duration;

/// `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 job`, `2 jobs`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(n), if n == 1 { one } else { many })
}

/// The two largest units: `840 ms`, `2 m 05 s`, `3 d 4 h`.
pub(crate) fn lasting(duration: Duration) -> String {
    let (ms, s) = (duration.as_millis(), duration.as_secs());
    match s {
        0 => format!("{ms} ms"),
        1..=9 => format!("{:.1} s", duration.as_secs_f64()),
        10..=59 => format!("{s} s"),
        60..=3_599 => format!("{} m {:02} s", s / 60, s % 60),
        3_600..=86_399 => format!("{} h {:02} m", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

/// The largest unit alone, for columns: `12 s`, `3 m`, `2 h`, `5 d`.
pub(crate) fn roughly(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..=59 => format!("{s} s"),
        60..=3_599 => format!("{} m", s / 60),
        3_600..=86_399 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

/// `3 m ago`, with the instant itself for machines and as a tip.
pub(crate) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let exact = at.rfc3339();
    html! {
        time datetime=(exact) title=(exact) {
            @if at > now { "in " (roughly(at.since(now))) } @else { (roughly(now.since(at))) " ago" }
        }
    }
}

/// `15:05:42`, the day in front where it is not today's.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> Markup {
    let exact = at.rfc3339();
    let (day, time) = exact.split_once('T').unwrap_or(("", exact.as_str()));
    let today = now.rfc3339();
    let time: String = time.chars().take(8).collect();
    html! {
        time datetime=(exact) title=(exact) {
            @if !today.starts_with(day) { (day) " " }
            (time)
        }
    }
}

/// `19.2 kB`, in powers of a thousand.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn sized(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1_000.0 && unit + 1 < units.len() {
        value /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// `37.5 %`; below one in a thousand nothing is told.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn share(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".to_owned();
    }
    format!("{:.1} %", 100.0 * part as f64 / whole as f64)
}

/// Whole letters up to a bound, with an ellipsis where something is left out.
pub(crate) fn cut(text: &str, letters_max: usize) -> String {
    if text.chars().count() <= letters_max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(letters_max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let told = [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345_678, "12,345,678")];
        for (n, text) in told {
            assert_eq!(grouped(n), text);
        }
        assert_eq!(counted(1, "job", "jobs"), "1 job");
        assert_eq!(counted(1_200, "job", "jobs"), "1,200 jobs");
        assert_eq!([share(3, 8), share(1, 0)], ["37.5 %", "0 %"]);
    }

    #[test]
    fn durations_show_their_two_largest_units() {
        let ms = Duration::from_millis;
        let told = [(840, "840 ms"), (2_500, "2.5 s"), (14_000, "14 s"), (125_000, "2 m 05 s")];
        for (given, text) in told {
            assert_eq!(lasting(ms(given)), text);
        }
        assert_eq!(lasting(Duration::from_secs(7_500)), "2 h 05 m");
        assert_eq!(lasting(Duration::from_secs(273_600)), "3 d 4 h");
        assert_eq!(roughly(Duration::from_secs(7_500)), "2 h");
    }

    #[test]
    fn instants_tell_the_day_only_where_it_differs() {
        let now = Timestamp::parse_rfc3339("2026-11-26T15:05:42Z").unwrap();
        let before = Timestamp::parse_rfc3339("2026-11-25T15:05:42Z").unwrap();
        assert!(clock(now, now).into_string().contains(">15:05:42<"));
        assert!(clock(before, now).into_string().contains(">2026-11-25 15:05:42<"));
        assert!(ago(before, now).into_string().contains("1 d ago"));
        assert!(ago(now, before).into_string().contains("in 1 d"));
    }

    #[test]
    fn sizes_and_cuts_stay_short() {
        assert_eq!([sized(999), sized(19_249)], ["999 B", "19.2 kB"]);
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
