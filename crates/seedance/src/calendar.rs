//! Dates as arithmetic: the proleptic Gregorian calendar on plain integers.
//!
//! The contract writes instants in three notations; this is all that is needed to read them, and it
//! needs no clock.

const DAYS_PER_ERA: i64 = 146_097;
/// From 0000-03-01, where the year is taken to begin so that leap days come last, to 1970-01-01.
const DAYS_TO_EPOCH: i64 = 719_468;

/// Seconds in a day.
pub(crate) const DAY_S: i64 = 86_400;

/// Days from 1970-01-01 to the given date, or `None` if there is no such date.
pub(crate) fn days_from_date(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let march_year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (march_year.div_euclid(400), march_year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
    // The 31st of a short month runs on into the next one.
    (date_from_days(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of the date that many days after 1970-01-01.
pub(crate) fn date_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_EPOCH;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

/// Seconds since midnight, or `None` if there is no such time of day.
pub(crate) fn seconds_from_time(hour: i64, minute: i64, second: i64) -> Option<i64> {
    let legal = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    legal.then_some(hour * 3_600 + minute * 60 + second)
}

/// A run of ASCII digits as a number; `None` for anything else, signs included.
pub(crate) fn digits(text: Option<&str>) -> Option<i64> {
    let text = text?;
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
