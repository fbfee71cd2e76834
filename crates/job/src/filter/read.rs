//! From text to a filter, and what is told when the text is none.

use super::field::{Field, Kind};
use super::{AGE_MAX, CONDITIONS_MAX, Condition, FILTER_BYTES_MAX, Filter, Test, VALUES_MAX};
use crate::Timestamp;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// The text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}{}; {allowed}", nearest.as_ref().map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
pub struct FilterError {
    /// Where, as the name of a field; empty where there is none.
    pub field: String,
    /// What is wrong.
    pub what: String,
    /// What would be right.
    pub allowed: String,
    /// What was probably meant.
    pub nearest: Option<String>,
}

impl FilterError {
    fn new(field: &str, what: String, allowed: String) -> Self {
        Self { field: field.to_owned(), what, allowed, nearest: None }
    }

    fn of(field: Field, what: String) -> Self {
        let allowed = format!("{} takes {}", field.word(), field.takes());
        Self::new(field.word(), what, allowed)
    }
}

/// One comparison sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Is,
    Not,
    Over,
    Under,
}

impl Sign {
    const ALL: [(&'static str, Self); 4] =
        [("!=", Self::Not), ("=", Self::Is), (">", Self::Over), ("<", Self::Under)];
}

/// A value, and whether it stood in quotes.
struct Value {
    text: String,
    quoted: bool,
}

pub(super) fn filter(text: &str) -> Result<Filter, FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        let what = format!("the filter has {} bytes", text.len());
        return Err(FilterError::new("", what, format!("at most {FILTER_BYTES_MAX} are read")));
    }
    let mut conditions = BTreeSet::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (condition, behind) = condition(rest)?;
        conditions.insert(condition);
        if conditions.len() > CONDITIONS_MAX {
            let what = format!("the filter has more than {CONDITIONS_MAX} conditions");
            let allowed = "one condition takes several values: state=failed,expired".to_owned();
            return Err(FilterError::new("", what, allowed));
        }
        rest = behind.trim_start();
    }
    Ok(Filter { conditions })
}

fn condition(text: &str) -> Result<(Condition, &str), FilterError> {
    let end = text.find(|c: char| c.is_whitespace() || "=!<>\",".contains(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let field = Field::ALL.into_iter().find(|field| field.word() == name);
    let field = field.ok_or_else(|| unknown(name))?;
    let found = Sign::ALL.iter().find_map(|(sign, op)| Some((*op, rest.strip_prefix(sign)?)));
    let (sign, mut rest) = found.ok_or_else(|| {
        let next: String = rest.chars().take(1).collect();
        let what = if next.trim().is_empty() {
            format!("{name} stands alone")
        } else {
            format!("{name} is followed by {next:?}")
        };
        FilterError::of(field, what)
    })?;
    let mut values = Vec::new();
    loop {
        let (value, behind) = value(field, rest)?;
        values.push(value);
        if values.len() > VALUES_MAX {
            let what = format!("{name} has more than {VALUES_MAX} values");
            return Err(FilterError::of(field, what));
        }
        match behind.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok((Condition { field, test: test(field, sign, values)? }, behind)),
        }
    }
}

fn unknown(name: &str) -> FilterError {
    let words: Vec<&str> = Field::ALL.iter().map(|field| field.word()).collect();
    let shown: String = name.chars().take(40).collect();
    let what = if shown.is_empty() {
        "a condition begins without a field".to_owned()
    } else {
        format!("no field is called {shown:?}")
    };
    let mut error = FilterError::new(&shown, what, format!("fields are {}", words.join(", ")));
    error.nearest = seedance::nearest(name, words).map(str::to_owned);
    error
}

/// One value: up to a blank or a comma, or between double quotes.
fn value(field: Field, text: &str) -> Result<(Value, &str), FilterError> {
    let name = field.word();
    let Some(inside) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(text.len());
        let (bare, rest) = text.split_at(end);
        if bare.is_empty() {
            return Err(FilterError::of(field, format!("{name} lacks a value")));
        }
        if bare.contains('"') {
            let what = format!("{name} has a quote inside a value that does not begin with one");
            return Err(FilterError::of(field, what));
        }
        return Ok((Value { text: bare.to_owned(), quoted: false }, rest));
    };
    let mut out = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => {
                let rest = &inside[at + 1..];
                if out.is_empty() {
                    return Err(FilterError::of(field, format!("{name} has an empty value")));
                }
                if rest.chars().next().is_some_and(|c| !c.is_whitespace() && c != ',') {
                    let what = format!("{name} goes on behind the closing quote of a value");
                    return Err(FilterError::of(field, what));
                }
                return Ok((Value { text: out, quoted: true }, rest));
            }
            '\\' => match chars.next() {
                Some((_, escaped @ ('"' | '\\'))) => out.push(escaped),
                Some(_) | None => {
                    let what = format!("{name} has a backslash before neither a quote nor another");
                    return Err(FilterError::of(field, what));
                }
            },
            other => out.push(other),
        }
    }
    Err(FilterError::of(field, format!("{name} has a quote that is not closed")))
}

fn test(field: Field, sign: Sign, values: Vec<Value>) -> Result<Test, FilterError> {
    let over = match sign {
        Sign::Over => Some(true),
        Sign::Under => Some(false),
        Sign::Is | Sign::Not => None,
    };
    let wrong = |sign: &str| {
        FilterError::of(field, format!("{} cannot be compared by {sign}", field.word()))
    };
    match (field.kind(), over) {
        (Kind::Words(words), None) => {
            let values = values.into_iter().map(|value| word(field, &words, value));
            let values = values.collect::<Result<_, _>>()?;
            Ok(Test::Is { not: sign == Sign::Not, values })
        }
        (Kind::Text, None) => {
            let values = values.into_iter().map(|value| value.text).collect();
            Ok(Test::Is { not: sign == Sign::Not, values })
        }
        (Kind::Words(_) | Kind::Text, Some(_)) => Err(wrong("> or <")),
        (Kind::Instant | Kind::Length, None) => Err(wrong("= or !=")),
        (Kind::Instant, Some(later)) => {
            let text = single(field, values)?;
            Ok(Test::Instant { later, at: instant(field, &text)? })
        }
        (Kind::Length, Some(older)) => {
            let text = single(field, values)?;
            Ok(Test::Age { older, than_ms: length_ms(field, &text)? })
        }
    }
}

fn single(field: Field, values: Vec<Value>) -> Result<String, FilterError> {
    let mut values = values.into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value.text),
        (Some(_) | None, _) => {
            Err(FilterError::of(field, format!("{} takes one value", field.word())))
        }
    }
}

fn word(field: Field, words: &[&'static str], value: Value) -> Result<String, FilterError> {
    // What is typed by hand may begin with a capital; a quoted value is meant as it stands.
    let given = if value.quoted { value.text } else { value.text.to_ascii_lowercase() };
    if words.contains(&given.as_str()) {
        return Ok(given);
    }
    let shown: String = given.chars().take(40).collect();
    let mut error = FilterError::of(field, format!("{} has no value {shown:?}", field.word()));
    error.nearest = seedance::nearest(&given, words.iter().copied()).map(str::to_owned);
    Err(error)
}

fn instant(field: Field, text: &str) -> Result<Timestamp, FilterError> {
    Timestamp::parse_instant(text).map_err(|_| {
        let shown: String = text.chars().take(40).collect();
        FilterError::of(field, format!("{} has the value {shown:?}, no instant", field.word()))
    })
}

/// Units, longest first, in milliseconds.
const UNITS: [(&str, i64); 6] = [
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

fn length_ms(field: Field, text: &str) -> Result<i64, FilterError> {
    let max_ms = i64::try_from(AGE_MAX.as_millis()).unwrap_or(i64::MAX);
    parts_ms(text).filter(|ms| *ms <= max_ms).ok_or_else(|| {
        let shown: String = text.chars().take(40).collect();
        let what =
            format!("{} has the value {shown:?}, no length of time up to ten years", field.word());
        FilterError::of(field, what)
    })
}

/// `1h30m`: numbers, each with its unit.
fn parts_ms(text: &str) -> Option<i64> {
    let (mut rest, mut sum) = (text, 0_i64);
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(end);
        let (_, unit_ms) = UNITS.iter().find(|(word, _)| *word == unit)?;
        let part = number.parse::<i64>().ok()?.checked_mul(*unit_ms)?;
        sum = sum.checked_add(part)?;
        if next.is_empty() {
            return Some(sum);
        }
        rest = next;
    }
}

/// The canonical text of a length.
pub(super) fn length_text(ms: i64) -> String {
    let (mut rest, mut text) = (ms, String::new());
    for (word, unit_ms) in UNITS.iter().skip(1) {
        if rest >= *unit_ms {
            let _ = write!(text, "{}{word}", rest / unit_ms);
            rest %= unit_ms;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
