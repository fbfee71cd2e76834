//! When a batch stops by itself: conditions on what became of its jobs.
//!
//! ```text
//! failed>5% of 50 | code=InputTextSensitiveContentDetected>3 | in_doubt>10
//! ```
//!
//! The batch stops when one of them is met. What is compared is what happened since somebody last resumed the batch,
//! so that a condition that has stopped it does not stop it again at once.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Conditions of one batch.
pub const STOP_CONDITIONS_MAX: usize = 16;
/// Longest text of the conditions, bytes.
pub const STOP_BYTES_MAX: usize = 2_048;
/// Highest number of jobs that a condition may name.
const COUNT_MAX: u64 = 1_000_000_000;
/// Longest code, as providers write them.
const CODE_BYTES_MAX: usize = 128;
/// What stands in for help where a text is no condition.
const ALLOWED: &str = "allowed are failed>N, failed>P% of N, code=CODE>N, code=CODE>P% of N and in_doubt>N, with | between them";

/// Conditions, one of which is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOn {
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    of: Subject,
    bound: Bound,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Failed,
    Code(String),
    InDoubt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// More jobs than this.
    Count(u64),
    /// More than this share, in hundredths of a percent, once so many have ended.
    Share { hundredths: u64, of: u64 },
}

/// What became of the jobs of a batch, as far as conditions speak of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopTally {
    /// Jobs that came to an end by themselves: with a video or without.
    pub ended: u64,
    /// Of them, those without.
    pub failed: u64,
    /// Jobs in doubt, parked ones among them.
    pub in_doubt: u64,
    /// Failed jobs by code.
    #[serde(default)]
    pub codes: BTreeMap<String, u64>,
}

impl StopOn {
    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// In words: which condition, what is wrong with it, what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > STOP_BYTES_MAX {
            return Err(format!("longer than {STOP_BYTES_MAX} bytes; name fewer conditions"));
        }
        if text.trim().is_empty() {
            return Err(format!("no condition; {ALLOWED}"));
        }
        let mut conditions: Vec<Condition> = Vec::new();
        for (n, part) in text.split('|').enumerate() {
            let wrong = |why: String| format!("condition {}, {:?}: {why}", n + 1, part.trim());
            let condition = Condition::parse(part.trim()).map_err(wrong)?;
            if conditions.contains(&condition) {
                return Err(wrong("it is said twice; leave one out".to_owned()));
            }
            conditions.push(condition);
        }
        if conditions.len() > STOP_CONDITIONS_MAX {
            return Err(format!("more than {STOP_CONDITIONS_MAX} conditions; name fewer"));
        }
        Ok(Self { conditions })
    }

    /// The first condition that is met, in words; `from` is what had happened when the batch was last resumed.
    #[must_use]
    pub fn met(&self, now: &StopTally, from: &StopTally) -> Option<String> {
        self.conditions.iter().find_map(|condition| condition.met(now, from))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((subject, bound)) = text.split_once('>') else {
            return Err(format!("no `>` in it; {ALLOWED}"));
        };
        let of = Subject::parse(subject.trim())?;
        let bound = Bound::parse(bound.trim())?;
        if of == Subject::InDoubt && matches!(bound, Bound::Share { .. }) {
            return Err("jobs in doubt are counted: write in_doubt>N".to_owned());
        }
        Ok(Self { of, bound })
    }

    fn met(&self, now: &StopTally, from: &StopTally) -> Option<String> {
        let code = |tally: &StopTally, code: &str| tally.codes.get(code).copied().unwrap_or(0);
        let n = match &self.of {
            Subject::Failed => now.failed.saturating_sub(from.failed),
            Subject::Code(named) => code(now, named).saturating_sub(code(from, named)),
            Subject::InDoubt => now.in_doubt.saturating_sub(from.in_doubt),
        };
        let ended = now.ended.saturating_sub(from.ended);
        match self.bound {
            Bound::Count(most) => (n > most).then(|| format!("{self}: {}", jobs(n))),
            Bound::Share { hundredths, of } => {
                let over = u128::from(n) * 10_000 > u128::from(hundredths) * u128::from(ended);
                (ended >= of && over).then(|| format!("{self}: {n} of {}", jobs(ended)))
            }
        }
    }
}

impl Subject {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "failed" => return Ok(Self::Failed),
            "in_doubt" => return Ok(Self::InDoubt),
            _ => {}
        }
        let Some(code) = text.strip_prefix("code").map(str::trim_start) else {
            return Err(format!("nothing is counted by the name {text:?}; {ALLOWED}"));
        };
        let Some(code) = code.strip_prefix('=').map(str::trim) else {
            return Err(format!("code stands with `=` before its name; {ALLOWED}"));
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if code.is_empty() || code.len() > CODE_BYTES_MAX || !code.chars().all(plain) {
            return Err(format!(
                "{code:?} is no code: 1 to {CODE_BYTES_MAX} letters, digits, `.`, `_` or `-`, as `seedfleet failed list` tells them"
            ));
        }
        Ok(Self::Code(code.to_owned()))
    }
}

impl Bound {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((share, of)) = text.split_once('%') else {
            return Ok(Self::Count(count(text)?));
        };
        let hundredths = hundredths(share.trim())?;
        let of = of.trim();
        let Some(of) = of.strip_prefix("of").filter(|rest| rest.starts_with(char::is_whitespace))
        else {
            return Err(format!(
                "a share says of how many ended jobs it is judged at the earliest, such as {}% of 50",
                share.trim()
            ));
        };
        match count(of.trim())? {
            0 => Err("a share is judged of 1 job at the earliest".to_owned()),
            of => Ok(Self::Share { hundredths, of }),
        }
    }
}

fn jobs(n: u64) -> String {
    if n == 1 { "1 job".to_owned() } else { format!("{n} jobs") }
}

fn count(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let count = text.parse::<u64>().ok().filter(|n| digits && *n <= COUNT_MAX);
    count.ok_or_else(|| format!("{text:?} is no number of jobs: a whole number up to {COUNT_MAX}"))
}

/// A percentage below 100 with at most two decimals.
fn hundredths(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no share: 0 up to 99.99, such as 5 or 0.5");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(whole, 2) || !digits(part, 2) {
        return Err(wrong());
    }
    let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
    let part = if part.len() == 1 { number(part)? * 10 } else { number(part)? };
    Ok(number(whole)? * 100 + part)
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.of {
            Subject::Failed => f.write_str("failed")?,
            Subject::Code(code) => write!(f, "code={code}")?,
            Subject::InDoubt => f.write_str("in_doubt")?,
        }
        match self.bound {
            Bound::Count(most) => write!(f, ">{most}"),
            Bound::Share { hundredths, of } => {
                let (whole, part) = (hundredths / 100, hundredths % 100);
                match (part, part % 10) {
                    (0, _) => write!(f, ">{whole}% of {of}"),
                    (_, 0) => write!(f, ">{whole}.{}% of {of}", part / 10),
                    (_, _) => write!(f, ">{whole}.{part:02}% of {of}"),
                }
            }
        }
    }
}

/// The canonical text, which [`StopOn::parse`] reads back.
impl fmt::Display for StopOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, condition) in self.conditions.iter().enumerate() {
            if n > 0 {
                f.write_str(" | ")?;
            }
            condition.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for StopOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> StopOn {
        StopOn::parse(text).unwrap_or_else(|why| panic!("{text:?}: {why}"))
    }

    fn tally(ended: u64, failed: u64, in_doubt: u64, codes: &[(&str, u64)]) -> StopTally {
        let codes = codes.iter().map(|(code, n)| ((*code).to_owned(), *n)).collect();
        StopTally { ended, failed, in_doubt, codes }
    }

    #[test]
    fn conditions_are_read_however_they_are_spaced_and_written_in_one_way() {
        for (text, canonical) in [
            ("failed > 5 % of 50", "failed>5% of 50"),
            ("failed>0.5% of 1000|in_doubt>10", "failed>0.5% of 1000 | in_doubt>10"),
            (" code = A.b_c-1 >3 | failed>2.05% of 1", "code=A.b_c-1>3 | failed>2.05% of 1"),
            ("failed>99.99% of 1 | failed>0", "failed>99.99% of 1 | failed>0"),
        ] {
            let read_once = read(text);
            assert_eq!(read_once.to_string(), canonical);
            assert_eq!(read(canonical), read_once);
        }
    }

    #[test]
    fn what_is_no_condition_is_told_with_its_place_and_what_is_allowed() {
        for (text, why) in [
            ("", "no condition"),
            ("failed>1 |", "condition 2, \"\": no `>`"),
            ("failed=3", "no `>`"),
            ("lost>3", "\"lost\""),
            ("codes=A>3", "code stands with `=`"),
            ("code>3", "code stands with `=`"),
            ("code=>3", "is no code"),
            ("code=a b>3", "is no code"),
            ("failed>", "is no number"),
            ("failed>-1", "is no number"),
            ("failed>+1", "is no number"),
            ("failed>1.5", "is no number"),
            ("failed>5%", "such as 5% of 50"),
            ("failed>5% of50", "such as"),
            ("failed>5% of 0", "at the earliest"),
            ("failed>5% of x", "is no number"),
            ("failed>100% of 5", "is no share"),
            ("failed>5.123% of 5", "is no share"),
            ("failed>% of 5", "is no share"),
            ("in_doubt>5% of 50", "write in_doubt>N"),
            ("failed>3 | failed > 3", "condition 2, \"failed > 3\": it is said twice"),
        ] {
            let told = StopOn::parse(text).expect_err(text);
            assert!(told.contains(why), "{text:?}: {told}");
        }
        let many: Vec<String> = (0..=STOP_CONDITIONS_MAX).map(|n| format!("failed>{n}")).collect();
        assert!(StopOn::parse(&many.join("|")).is_err_and(|why| why.contains("more than 16")));
        assert!(StopOn::parse(&"x".repeat(STOP_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_condition_is_met_above_its_bound_and_a_share_of_enough_jobs_only() {
        let none = StopTally::default();
        let met = |text: &str, now: &StopTally| read(text).met(now, &none);
        assert_eq!(met("failed>3", &tally(9, 3, 0, &[])), None);
        assert_eq!(met("failed>3", &tally(9, 4, 0, &[])).as_deref(), Some("failed>3: 4 jobs"));
        assert_eq!(met("failed>5% of 50", &tally(49, 49, 0, &[])), None, "too few have ended");
        assert_eq!(met("failed>5% of 50", &tally(60, 3, 0, &[])), None, "five percent exactly");
        let told = met("failed>5% of 50", &tally(60, 4, 0, &[]));
        assert_eq!(told.as_deref(), Some("failed>5% of 50: 4 of 60 jobs"));
        assert_eq!(met("failed>0% of 1", &tally(0, 0, 0, &[])), None);
        let codes = tally(9, 4, 0, &[("A", 3), ("B", 1)]);
        assert_eq!(met("code=A>3 | code=C>0", &codes), None);
        assert_eq!(met("code=A>3 | code=B>0", &codes).as_deref(), Some("code=B>0: 1 job"));
        assert_eq!(
            met("in_doubt>10", &tally(0, 0, 11, &[])).as_deref(),
            Some("in_doubt>10: 11 jobs")
        );
    }

    #[test]
    fn what_was_before_the_resume_does_not_count() {
        let from = tally(60, 10, 12, &[("A", 4)]);
        let on = read("failed>5% of 50 | code=A>3 | in_doubt>10 | failed>5");
        assert_eq!(on.met(&from, &from), None);
        let later = tally(109, 15, 22, &[("A", 7)]);
        assert_eq!(on.met(&later, &from), None, "49 ended, 5 failed, 3 with the code, 10 in doubt");
        let told = on.met(&tally(110, 15, 22, &[("A", 7)]), &from);
        assert_eq!(told.as_deref(), Some("failed>5% of 50: 5 of 50 jobs"));
        // Counters that went back count as nothing, not as very much.
        assert_eq!(on.met(&StopTally::default(), &from), None);
    }
}
