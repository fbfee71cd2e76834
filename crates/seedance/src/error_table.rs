//! What an error of the provider means and what to do about it (§7.2–§7.4).
//!
//! The meanings are data: `config/error-codes.toml`. A code is looked up as written, then by its
//! dotted beginnings from long to short, then the HTTP status decides alone, so every answer has a
//! class. Message text is read only where one code has several meanings and the table says so.
//!
//! One rule stands above the table: a create answer counts as "nothing was made" only if its status
//! is one the contract allows that for. Whatever code a 500 carries, it is doubt.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::calendar::{DAY_S, days_from_date, digits, seconds_from_time};
use crate::{Brake, Call, Class, Created, Retry};

/// A row for codes of an HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The code, without a trailing dot.
    pub code: String,
    /// Whether codes that continue this one after a dot are meant too.
    #[serde(default)]
    pub prefix: bool,
    /// The status the contract names for it.
    pub http: u16,
    /// The calls it applies to; all if left out.
    #[serde(default = "all_calls")]
    pub calls: Vec<Call>,
    /// The row applies only if the message holds this, in any case.
    #[serde(default)]
    pub message_contains: Option<String>,
    /// The class.
    pub class: Class,
    /// Whether a create call may have made a task.
    pub created: Created,
    /// What may follow.
    pub retry: Retry,
    /// What of a refused create was too much.
    #[serde(default)]
    pub brake: Option<Brake>,
    /// Whether a person should be told.
    #[serde(default)]
    pub alert: bool,
    /// One line for the person who reads it.
    pub advice: String,
}

/// A row for statuses, used when no code decides. The first that fits counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusRule {
    /// Name of the row in records and metrics.
    pub name: String,
    /// Lowest status.
    pub from: u16,
    /// Highest status.
    pub to: u16,
    /// The calls it applies to; all if left out.
    #[serde(default = "all_calls")]
    pub calls: Vec<Call>,
    /// The row applies only to answers that carry no code, such as a gateway's.
    #[serde(default)]
    pub without_code: bool,
    /// The class.
    pub class: Class,
    /// Whether a create call may have made a task. A code cannot overrule "unknown".
    pub created: Created,
    /// What may follow.
    pub retry: Retry,
    /// What of a refused create was too much.
    #[serde(default)]
    pub brake: Option<Brake>,
    /// Whether a person should be told.
    #[serde(default)]
    pub alert: bool,
    /// One line for the person who reads it.
    pub advice: String,
}

/// A row for codes inside a failed task.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskRule {
    code: String,
    #[serde(default)]
    prefix: bool,
    class: Class,
    retry: Retry,
    #[serde(default)]
    alert: bool,
    advice: String,
}

/// Advice for one of our own kebab-case codes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnRule {
    /// The code.
    pub code: String,
    /// One line for the person who reads it.
    pub advice: String,
}

fn all_calls() -> Vec<Call> {
    Call::ALL.to_vec()
}

/// What an error answer means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Classified {
    /// The class.
    pub class: Class,
    /// Whether a create call may have made a task; meaningless for other calls.
    pub created: Created,
    /// What may follow.
    pub retry: Retry,
    /// What of a refused create was too much.
    pub brake: Option<Brake>,
    /// One line for the person who reads it.
    pub advice: String,
    /// Whether a person should be told.
    pub alert: bool,
    /// When a quota's window turns, as the provider wrote it; only with [`Class::Pause`].
    pub resets_at: Option<String>,
    /// The row that decided: a code of the table, or the name of a status row. A closed list, fit
    /// for a metric label.
    pub rule_code: String,
}

impl Classified {
    /// [`Classified::resets_at`] in Unix seconds, if it is written the way we know.
    pub fn resets_at_unix_s(&self) -> Option<i64> {
        instant_s(self.resets_at.as_deref()?)
    }
}

/// What the error of a failed task means. A task existed, and it was not billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClassifiedTask {
    /// The class.
    pub class: Class,
    /// What may follow.
    pub retry: Retry,
    /// One line for the person who reads it.
    pub advice: String,
    /// Whether a person should be told.
    pub alert: bool,
    /// The row that decided.
    pub rule_code: String,
}

/// An error table that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Not TOML, an unknown key, or a value of the wrong form.
    #[error("error table: {0}")]
    Form(#[from] toml::de::Error),
    /// A status no row covers.
    #[error("error table: no status row for {call} and {status}")]
    Gap {
        /// For this call.
        call: Call,
        /// And this status.
        status: u16,
    },
}

/// The table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorTable {
    rule: Vec<Rule>,
    status: Vec<StatusRule>,
    task: Vec<TaskRule>,
    own: Vec<OwnRule>,
}

impl ErrorTable {
    /// The table that ships with the program.
    pub fn builtin() -> &'static ErrorTable {
        static TABLE: OnceLock<ErrorTable> = OnceLock::new();
        TABLE.get_or_init(|| {
            ErrorTable::parse(include_str!("../../../config/error-codes.toml"))
                .expect("the embedded error table is tested")
        })
    }

    /// Reads a table.
    ///
    /// # Errors
    ///
    /// [`TableError`] if it has the wrong form or leaves a status without a class.
    pub fn parse(text: &str) -> Result<ErrorTable, TableError> {
        let table: ErrorTable = toml::from_str(text)?;
        // Which row answers can only change where some row begins or has just ended.
        let ends = table.status.iter().flat_map(|rule| [rule.from, rule.to.saturating_add(1)]);
        let statuses: Vec<u16> = ends.chain([0, u16::MAX]).collect();
        for call in Call::ALL {
            for &status in &statuses {
                if table.status_rule(call, status, true).is_none() {
                    return Err(TableError::Gap { call, status });
                }
            }
        }
        Ok(table)
    }

    /// Sorts an answer that is not a usable success.
    ///
    /// `code` and `message` are those of the error body, if it had one. A success status is sorted
    /// too: it is what an unreadable success comes to.
    pub fn classify(
        &self,
        call: Call,
        http_status: u16,
        code: Option<&str>,
        message: &str,
    ) -> Classified {
        let code = code.filter(|code| !code.is_empty());
        let by_status = self
            .status_rule(call, http_status, code.is_some())
            .expect("every status has a row; checked when the table was read");
        if call == Call::Create && by_status.created == Created::Unknown {
            return by_status.verdict();
        }
        match code.and_then(|code| self.rule_for(call, code, message)) {
            Some(rule) => rule.verdict(message),
            None => by_status.verdict(),
        }
    }

    /// Sorts the error of a task that ended as failed. Nothing but a known code allows a new task.
    pub fn classify_task(&self, code: Option<&str>, _message: &str) -> ClassifiedTask {
        let rule = code.and_then(|code| {
            beginnings(code).find_map(|beginning| {
                let whole = beginning.len() == code.len();
                self.task.iter().find(|rule| rule.code == beginning && (whole || rule.prefix))
            })
        });
        match rule {
            Some(rule) => ClassifiedTask {
                class: rule.class,
                retry: rule.retry,
                advice: rule.advice.clone(),
                alert: rule.alert,
                rule_code: rule.code.clone(),
            },
            None => ClassifiedTask {
                class: Class::Input,
                retry: Retry::Hold,
                advice: "The provider gave a reason nobody has sorted yet; look at the stored \
                         payload before making it again."
                    .to_owned(),
                alert: true,
                rule_code: "task-unknown".to_owned(),
            },
        }
    }

    /// Advice for one of our own codes.
    pub fn own(&self, code: &str) -> Option<&OwnRule> {
        self.own.iter().find(|rule| rule.code == code)
    }

    /// The rows for codes, in the order of the file; for docs and tests.
    pub fn rules(&self) -> &[Rule] {
        &self.rule
    }

    /// The rows for statuses, in the order of the file; for docs and tests.
    pub fn status_rules(&self) -> &[StatusRule] {
        &self.status
    }

    /// The rows for our own codes, in the order of the file; for docs and tests.
    pub fn own_rules(&self) -> &[OwnRule] {
        &self.own
    }

    fn rule_for(&self, call: Call, code: &str, message: &str) -> Option<&Rule> {
        let message = message.to_lowercase();
        beginnings(code).find_map(|beginning| {
            let whole = beginning.len() == code.len();
            let fits = |rule: &&Rule| {
                rule.code == beginning && (whole || rule.prefix) && rule.calls.contains(&call)
            };
            let says = |rule: &&Rule| {
                let words = rule.message_contains.as_deref();
                words.is_some_and(|words| message.contains(&words.to_lowercase()))
            };
            // Among rows of one code the ones that name a text come first, wherever they stand.
            let mut rows = self.rule.iter().filter(fits);
            rows.clone().find(says).or_else(|| rows.find(|rule| rule.message_contains.is_none()))
        })
    }

    fn status_rule(&self, call: Call, status: u16, has_code: bool) -> Option<&StatusRule> {
        self.status.iter().find(|rule| {
            (rule.from..=rule.to).contains(&status)
                && rule.calls.contains(&call)
                && !(rule.without_code && has_code)
        })
    }
}

/// The code itself, then what is left after taking away its dotted parts from the right.
fn beginnings(code: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(code), |code| code.rsplit_once('.').map(|(head, _)| head))
}

impl Rule {
    fn verdict(&self, message: &str) -> Classified {
        let resets_at = if self.class == Class::Pause { reset_text(message) } else { None };
        Classified {
            class: self.class,
            created: self.created,
            retry: self.retry,
            brake: self.brake,
            advice: self.advice.clone(),
            alert: self.alert,
            resets_at,
            rule_code: self.code.clone(),
        }
    }
}

impl StatusRule {
    fn verdict(&self) -> Classified {
        Classified {
            class: self.class,
            created: self.created,
            retry: self.retry,
            brake: self.brake,
            advice: self.advice.clone(),
            alert: self.alert,
            resets_at: None,
            rule_code: self.name.clone(),
        }
    }
}

/// The time after "reset at", such as `2026-10-05 00:00:00 +0800 CST`.
fn reset_text(message: &str) -> Option<String> {
    const MARK: &str = "reset at ";
    // ASCII lowering keeps byte positions.
    let at = message.to_ascii_lowercase().find(MARK)? + MARK.len();
    let mut words = message[at..].split_whitespace();
    let date = words.next()?;
    let time = words.next()?;
    let offset = words.next()?.trim_end_matches(['.', ',']);
    let zone = words.next().map(|word| word.trim_end_matches(['.', ',']));
    let zone =
        zone.filter(|z| (2..=5).contains(&z.len()) && z.bytes().all(|b| b.is_ascii_uppercase()));
    let text = match zone {
        Some(zone) => format!("{date} {time} {offset} {zone}"),
        None => format!("{date} {time} {offset}"),
    };
    instant_s(&text).map(|_| text)
}

/// Reads `2026-10-05 00:00:00 +0800`, with anything after it passed over.
fn instant_s(text: &str) -> Option<i64> {
    let mut words = text.split_whitespace();
    let mut date = words.next()?.split('-').map(|part| digits(Some(part)));
    let mut time = words.next()?.split(':').map(|part| digits(Some(part)));
    let offset = words.next()?;
    let days = days_from_date(date.next()??, date.next()??, date.next()??)?;
    let seconds = seconds_from_time(time.next()??, time.next()??, time.next()??)?;
    let (east, clock) = match offset.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    if clock.len() != 4 {
        return None;
    }
    let offset_s = digits(clock.get(..2))? * 3_600 + digits(clock.get(2..))? * 60;
    Some(days * DAY_S + seconds - east * offset_s)
}
