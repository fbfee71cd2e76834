//! Which jobs: one grammar for the HTTP API, the command line, the dashboard and bulk operations.
//!
//! A filter is a list of conditions, and a job fits when all of them hold:
//!
//! ```text
//! state=failed,expired code=InternalServiceError batch=spring-ads age>1h
//! ```
//!
//! `=` takes one of several values, `!=` none of them (a job that has no such value fits too), `>` and
//! `<` compare instants and ages. A value with blanks, commas or quotes stands in double quotes. Equal
//! filters have one canonical text, which reads back as the same filter.

mod field;
mod read;

pub use field::{Field, markdown};
pub use read::FilterError;

use crate::{Record, StateWord, Timestamp};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Longest text of a filter, bytes.
pub const FILTER_BYTES_MAX: usize = 4_096;
/// Conditions in one filter.
pub const CONDITIONS_MAX: usize = 32;
/// Values in one condition.
pub const VALUES_MAX: usize = 100;
/// Longest age that can be told, about ten years.
pub const AGE_MAX: Duration = Duration::from_secs(3_660 * 24 * 3_600);

/// Which jobs; the default is all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    conditions: BTreeSet<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Condition {
    field: Field,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Test {
    /// One of these values, or none of them.
    Is { not: bool, values: BTreeSet<String> },
    /// Later or earlier than an instant.
    Instant { later: bool, at: Timestamp },
    /// Older or younger than so many milliseconds.
    Age { older: bool, than_ms: i64 },
}

impl Filter {
    /// Every job.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads the text form.
    ///
    /// # Errors
    ///
    /// [`FilterError`] names the field, what is allowed, and the nearest match of what was written.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        read::filter(text)
    }

    /// Both filters must let a job through.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.conditions.extend(other.conditions);
        self
    }

    /// Only jobs in this state.
    #[must_use]
    pub fn state(self, word: StateWord) -> Self {
        self.states([word])
    }

    /// Only jobs in one of these states.
    #[must_use]
    pub fn states(self, words: impl IntoIterator<Item = StateWord>) -> Self {
        let words = words.into_iter().map(|word| word.as_str().to_owned());
        self.is(Field::State, words.collect())
    }

    /// Only jobs of this tenant.
    #[must_use]
    pub fn tenant(self, tenant: &str) -> Self {
        self.is(Field::Tenant, BTreeSet::from([tenant.to_owned()]))
    }

    /// Only jobs of this batch.
    #[must_use]
    pub fn batch(self, batch: &str) -> Self {
        self.is(Field::Batch, BTreeSet::from([batch.to_owned()]))
    }

    /// Only jobs that failed with this code.
    #[must_use]
    pub fn code(self, code: &str) -> Self {
        self.is(Field::Code, BTreeSet::from([code.to_owned()]))
    }

    /// Only jobs whose failure was dismissed, or only others.
    #[must_use]
    pub fn dismissed(self, yes: bool) -> Self {
        let word = if yes { field::YES } else { field::NO };
        self.is(Field::Dismissed, BTreeSet::from([word.to_owned()]))
    }

    /// Only jobs with this id of their caller's.
    #[must_use]
    pub fn custom_id(self, id: &str) -> Self {
        self.is(Field::CustomId, BTreeSet::from([id.to_owned()]))
    }

    /// Only jobs that were taken in before this instant.
    #[must_use]
    pub fn created_before(self, at: Timestamp) -> Self {
        self.with(Field::Created, Test::Instant { later: false, at })
    }

    /// Only jobs that were taken in after this instant.
    #[must_use]
    pub fn created_after(self, at: Timestamp) -> Self {
        self.with(Field::Created, Test::Instant { later: true, at })
    }

    fn is(self, field: Field, values: BTreeSet<String>) -> Self {
        self.with(field, Test::Is { not: false, values })
    }

    fn with(mut self, field: Field, test: Test) -> Self {
        self.conditions.insert(Condition { field, test });
        self
    }

    /// No condition at all.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether a condition speaks of this field.
    #[must_use]
    pub fn speaks_of(&self, field: Field) -> bool {
        self.conditions.iter().any(|condition| condition.field == field)
    }

    /// Whether a record fits, at this instant of the server's clock.
    #[must_use]
    pub fn fits(&self, record: &Record, now: Timestamp) -> bool {
        self.conditions.iter().all(|condition| condition.fits(record, now))
    }

    /// The states in which a job can fit: what the conditions on state, code and class leave.
    #[must_use]
    pub fn possible_states(&self) -> Vec<StateWord> {
        let can = |word: &StateWord| {
            self.conditions.iter().all(|Condition { field, test }| match (field, test) {
                (Field::State, Test::Is { not, values }) => values.contains(word.as_str()) != *not,
                (Field::Code, Test::Is { not: false, .. }) => {
                    matches!(word, StateWord::Failed | StateWord::OutputLost)
                }
                (Field::Class, Test::Is { not: false, .. }) => *word == StateWord::Failed,
                (Field::Dismissed, Test::Is { not, values }) => {
                    values.contains(field::NO) != *not
                        || matches!(word, StateWord::Failed | StateWord::OutputLost)
                }
                (_, Test::Is { .. } | Test::Instant { .. } | Test::Age { .. }) => true,
            })
        };
        StateWord::ALL.into_iter().filter(can).collect()
    }

    /// The values of which a fitting job must have one; `None` where the field is free. The shortest such
    /// list, should there be several.
    #[must_use]
    pub fn one_of(&self, field: Field) -> Option<&BTreeSet<String>> {
        let lists = self.conditions.iter().filter(|condition| condition.field == field);
        lists
            .filter_map(|condition| match &condition.test {
                Test::Is { not: false, values } => Some(values),
                Test::Is { not: true, .. } | Test::Instant { .. } | Test::Age { .. } => None,
            })
            .min_by_key(|values| values.len())
    }

    /// The first and the last instant at which a fitting job can have been taken in.
    #[must_use]
    pub fn created_within(&self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        let ms = Duration::from_millis(1);
        let (mut first, mut last) = (None, None);
        let mut not_before = |at: Timestamp| first = first.max(Some(at));
        let mut not_after =
            |at: Timestamp| last = Some(last.map_or(at, |last: Timestamp| last.min(at)));
        for Condition { field, test } in &self.conditions {
            match (field, test) {
                (Field::Created, Test::Instant { later: true, at }) => not_before(*at + ms),
                (Field::Created, Test::Instant { later: false, at }) => not_after(*at - ms),
                (_, Test::Age { older: true, than_ms }) => not_after(ago(now, *than_ms) - ms),
                (_, Test::Age { older: false, than_ms }) => not_before(ago(now, *than_ms) + ms),
                (_, Test::Is { .. } | Test::Instant { .. }) => {}
            }
        }
        (first, last)
    }

    /// Short, equal for equal filters: binds a cursor to the list it came from.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(&Sha256::digest(self.to_string())[..6])
    }
}

fn ago(now: Timestamp, ms: i64) -> Timestamp {
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms))
}

impl Condition {
    fn fits(&self, record: &Record, now: Timestamp) -> bool {
        match &self.test {
            Test::Is { not, values } => {
                let own = self.field.words(record);
                own.into_iter().flatten().any(|word| values.contains(word)) != *not
            }
            Test::Instant { later, at } => {
                let own = match self.field {
                    Field::Updated => record.life.updated_at,
                    Field::State
                    | Field::Code
                    | Field::Class
                    | Field::Dismissed
                    | Field::Tenant
                    | Field::Batch
                    | Field::CustomId
                    | Field::Model
                    | Field::Priority
                    | Field::Source
                    | Field::EndUser
                    | Field::Resolution
                    | Field::Created
                    | Field::Age => record.created_at,
                };
                if *later { own > *at } else { own < *at }
            }
            Test::Age { older, than_ms } => {
                let born = ago(now, *than_ms);
                if *older { record.created_at < born } else { record.created_at > born }
            }
        }
    }
}

/// The canonical text, which [`Filter::parse`] reads back.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Condition { field, test }) in self.conditions.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(field.word())?;
            match test {
                Test::Is { not, values } => {
                    f.write_str(if *not { "!=" } else { "=" })?;
                    let values: Vec<String> = values.iter().map(|value| quoted(value)).collect();
                    f.write_str(&values.join(","))?;
                }
                Test::Instant { later, at } => {
                    write!(f, "{}{}", if *later { ">" } else { "<" }, at.rfc3339())?;
                }
                Test::Age { older, than_ms } => {
                    write!(f, "{}{}", if *older { ">" } else { "<" }, read::length_text(*than_ms))?;
                }
            }
        }
        Ok(())
    }
}

/// A value as it stands in the canonical text.
fn quoted(value: &str) -> String {
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/' | '@');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests;
