//! Limits that are lower than configured for a while: what a person has set, and what was taken away after
//! a refusal of the provider.
//!
//! Both stand in the row of instants that they slow, so whoever reads the row in a script keeps to them from
//! that moment on, in every process. Both end by themselves: what was set at its instant, what was taken
//! away step by step. A value is a few numbers for the scripts, and behind them JSON for people.

mod slowed;

pub use slowed::Slowed;

use crate::connection::Call as Ask;
use crate::facts::KeyTable;
use crate::{Store, StoreError, commit, script};
use job::Timestamp;
use redis::Pipeline;
use seedance::{Brake, Call, SlotClass};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::time::Duration;

/// A row of instants of an account: one for the creates of each class, one for each other kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallRow {
    /// Creates of a class.
    Create(SlotClass),
    /// Reads of single tasks.
    Retrieve,
    /// List pages.
    List,
    /// Deletes.
    Delete,
}

impl CallRow {
    /// Every row of an account.
    pub const ALL: [Self; 7] = [
        Self::Create(SlotClass::V20),
        Self::Create(SlotClass::V20At4k),
        Self::Create(SlotClass::V20Fast),
        Self::Create(SlotClass::V20Mini),
        Self::Retrieve,
        Self::List,
        Self::Delete,
    ];

    /// The kind of call.
    #[must_use]
    pub const fn call(self) -> Call {
        match self {
            Self::Create(_) => Call::Create,
            Self::Retrieve => Call::Retrieve,
            Self::List => Call::List,
            Self::Delete => Call::Delete,
        }
    }
}

/// What of a row a person may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitKind {
    /// Calls a window, in thousandths of a call.
    Calls,
    /// Tasks of the class that run at once.
    Running,
    /// Tasks that the account is fed beyond that.
    Lookahead,
}

impl LimitKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Calls, Self::Running, Self::Lookahead];

    /// A stored value as people write it: calls are stored in thousandths.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    pub fn shown(self, value: u64) -> f64 {
        match self {
            Self::Calls => value as f64 / 1_000.0,
            Self::Running | Self::Lookahead => value as f64,
        }
    }

    /// The field of the row.
    const fn field(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Running => "running",
            Self::Lookahead => "lookahead",
        }
    }
}

/// A limit of an account that a person may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// Creates a minute, of a class.
    CreateRpm,
    /// Tasks of a class that run at once.
    Running,
    /// Tasks of a class that the account is fed beyond that.
    Lookahead,
    /// Reads of single tasks a second.
    RetrieveQps,
    /// List pages a second.
    ListQps,
    /// Deletes a second.
    DeleteQps,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::CreateRpm,
        Self::Running,
        Self::Lookahead,
        Self::RetrieveQps,
        Self::ListQps,
        Self::DeleteQps,
    ];

    /// The word in command line, API and output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CreateRpm => "create_rpm",
            Self::Running => "running",
            Self::Lookahead => "lookahead",
            Self::RetrieveQps => "retrieve_qps",
            Self::ListQps => "list_qps",
            Self::DeleteQps => "delete_qps",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|limit| limit.word() == word)
    }

    /// The limit that a row's value is.
    #[must_use]
    pub const fn of(row: CallRow, kind: LimitKind) -> Self {
        match (row, kind) {
            (CallRow::Create(_), LimitKind::Running) => Self::Running,
            (CallRow::Create(_), LimitKind::Lookahead) => Self::Lookahead,
            (CallRow::Create(_), LimitKind::Calls) => Self::CreateRpm,
            (CallRow::Retrieve, _) => Self::RetrieveQps,
            (CallRow::List, _) => Self::ListQps,
            (CallRow::Delete, _) => Self::DeleteQps,
        }
    }

    /// Where it stands: of a class, or of the account. None: a class is needed.
    #[must_use]
    pub const fn place(self, class: Option<SlotClass>) -> Option<(CallRow, LimitKind)> {
        match (self, class) {
            (Self::CreateRpm, Some(class)) => Some((CallRow::Create(class), LimitKind::Calls)),
            (Self::Running, Some(class)) => Some((CallRow::Create(class), LimitKind::Running)),
            (Self::Lookahead, Some(class)) => Some((CallRow::Create(class), LimitKind::Lookahead)),
            (Self::CreateRpm | Self::Running | Self::Lookahead, None) => None,
            (Self::RetrieveQps, _) => Some((CallRow::Retrieve, LimitKind::Calls)),
            (Self::ListQps, _) => Some((CallRow::List, LimitKind::Calls)),
            (Self::DeleteQps, _) => Some((CallRow::Delete, LimitKind::Calls)),
        }
    }

    /// Whether it is of a class, and then a whole number.
    #[must_use]
    pub const fn is_of_a_class(self) -> bool {
        matches!(self, Self::CreateRpm | Self::Running | Self::Lookahead)
    }
}

/// One limit, from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChange {
    /// Which account.
    pub account: String,
    /// Which of its rows.
    pub row: CallRow,
    /// Which limit of the row.
    pub kind: LimitKind,
    /// How much; none: as configured.
    pub value: Option<u64>,
}

/// Changes that one person makes at once, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitChanges {
    /// Each of them.
    pub changes: Vec<LimitChange>,
    /// After how long those that set something end by themselves; none: when they are taken back.
    pub lasts: Option<Duration>,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A limit that a person has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLimit {
    /// Which.
    pub kind: LimitKind,
    /// How much.
    pub value: u64,
    /// When it ends by itself; none: when it is taken back.
    pub until: Option<Timestamp>,
    /// Since when.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A row that is slower than configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lowered {
    /// Of which account.
    pub account: String,
    /// Which row.
    pub row: CallRow,
    /// What people have set.
    pub set: Vec<SetLimit>,
    /// What was taken away after refusals.
    pub slowed: Vec<Slowed>,
}

impl Lowered {
    /// Calls a window in force, of so many configured.
    #[must_use]
    pub fn calls(&self, configured: u32, now: Timestamp) -> f64 {
        let most = f64::from(configured);
        let set = self.set(LimitKind::Calls);
        let set = set.map_or(most, |set| set.kind.shown(set.value).min(most));
        let away = self.away(Brake::Rate, now).max(self.away(Brake::Ramp, now));
        set * f64::from(1_000_u32.saturating_sub(away)) / 1_000.0
    }

    /// What is away at an instant after refusals.
    #[must_use]
    pub fn away(&self, brake: Brake, now: Timestamp) -> u32 {
        let slowed = self.slowed.iter().find(|slowed| slowed.brake == brake);
        slowed.map_or(0, |slowed| slowed.away(now))
    }

    /// What a person has set for one of the limits.
    #[must_use]
    pub fn set(&self, kind: LimitKind) -> Option<&SetLimit> {
        self.set.iter().find(|set| set.kind == kind)
    }
}

/// What stands behind the numbers of a set limit.
#[derive(Serialize, Deserialize)]
struct Who {
    at: Timestamp,
    by: String,
    reason: String,
}

/// What `limit.lua` is told.
#[derive(Serialize)]
struct Facts<'a> {
    alarm: &'a str,
    by: &'a str,
    reason: String,
    changes: Vec<Change>,
}

#[derive(Serialize)]
struct Change {
    row: usize,
    field: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Store {
    pub(crate) fn row_key(&self, account: &str, row: CallRow) -> String {
        match row {
            CallRow::Create(class) => self.keys().creates(account, class),
            CallRow::Retrieve | CallRow::List | CallRow::Delete => {
                self.keys().pace(account, row.call().word())
            }
        }
    }

    /// Changes limits for the whole fleet, with a line in the audit. Every process keeps to them with its next
    /// call; a value above the configuration changes nothing. Returns how many are other than before.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn change_limits(&self, wanted: &LimitChanges) -> Result<u64, StoreError> {
        let now = self.now().await?;
        let who = Who { at: now, by: wanted.by.clone(), reason: wanted.reason.clone() };
        let who = StoreError::json("a reason that is", &who)?;
        let until_us = wanted.lasts.map_or(0, |lasts| micros(now + lasts));
        let mut table = KeyTable::default();
        table.at(self.keys().audit());
        let changes = wanted.changes.iter().map(|change| Change {
            row: table.at(self.row_key(&change.account, change.row)),
            field: change.kind.field(),
            value: change.value.map(|value| format!("{value} {until_us} {who}")),
        });
        let changes: Vec<Change> = changes.collect();
        let sets = wanted.changes.iter().any(|change| change.value.is_some());
        let facts = Facts {
            alarm: if sets { "limits_set" } else { "limits_reset" },
            by: &wanted.by,
            reason: format!("{}: {}", told(&wanted.changes), wanted.reason),
            changes,
        };
        let facts = StoreError::json("facts that are", &facts)?;
        let call = Ask::new(&script::LIMIT, table.into_keys(), vec![facts]);
        let reply = self.connection().call(call).await?;
        let changed = commit::integer(&reply).and_then(|n| u64::try_from(n).ok());
        changed.ok_or_else(|| StoreError::reply("limit", &reply))
    }

    /// The rows of these accounts that are slower than configured now.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn lowered<'a>(
        &self,
        accounts: impl IntoIterator<Item = &'a String>,
    ) -> Result<Vec<Lowered>, StoreError> {
        let of = |account: &String| CallRow::ALL.map(|row| (account.clone(), row));
        let asked: Vec<_> = accounts.into_iter().flat_map(of).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let fields = LimitKind::ALL.map(LimitKind::field);
        let mut pipe = Pipeline::new();
        for (account, row) in &asked {
            let key = self.row_key(account, *row);
            pipe.cmd("HMGET").arg(key).arg(&fields).arg(&Brake::ALL.map(Brake::word));
        }
        let answers = self.connection().pipe(&mut pipe).await?;
        let now = self.now().await?;
        let rows = asked.into_iter().zip(answers).filter_map(|((account, row), answer)| {
            let texts: Vec<Option<String>> = redis::from_redis_value(answer).ok()?;
            let (set, slow) = texts.split_at_checked(LimitKind::ALL.len())?;
            let set = LimitKind::ALL.into_iter().zip(set);
            let set = set.filter_map(|(kind, text)| set_limit(kind, text.as_deref()?));
            let slow = Brake::ALL.into_iter().zip(slow);
            let slow = slow.filter_map(|(brake, text)| slowed::read(brake, text.as_deref()?));
            let lowered = Lowered {
                account,
                row,
                set: set.filter(|set| set.until.is_none_or(|until| until > now)).collect(),
                slowed: slow.filter(|slowed| slowed.away(now) > 0).collect(),
            };
            (!lowered.set.is_empty() || !lowered.slowed.is_empty()).then_some(lowered)
        });
        Ok(rows.collect())
    }
}

/// Changes in words, for the audit.
fn told(changes: &[LimitChange]) -> String {
    let mut text = String::new();
    for (n, LimitChange { account, row, kind, value }) in changes.iter().enumerate() {
        let (comma, word) = (if n == 0 { "" } else { ", " }, Limit::of(*row, *kind).word());
        let of = match row {
            CallRow::Create(class) => format!("{account} {} {word}", class.word()),
            CallRow::Retrieve | CallRow::List | CallRow::Delete => format!("{account} {word}"),
        };
        let value = value.map(|value| kind.shown(value).to_string());
        let value = value.unwrap_or_else(|| "as configured".to_owned());
        write!(text, "{comma}{of} {value}").expect("a string takes everything");
    }
    text
}

fn micros(at: Timestamp) -> i64 {
    at.unix_ms().saturating_mul(1_000)
}

fn instant(us: &str) -> Option<Timestamp> {
    us.parse::<i64>().ok().map(|us| Timestamp::from_unix_ms(us / 1_000))
}

/// What a newer version wrote in another form counts as nothing, as for the scripts.
fn set_limit(kind: LimitKind, text: &str) -> Option<SetLimit> {
    let mut parts = text.splitn(3, ' ');
    let value = parts.next()?.parse().ok()?;
    let until = instant(parts.next()?).filter(|until| until.unix_ms() > 0);
    let Who { at, by, reason } = serde_json::from_str(parts.next()?).ok()?;
    Some(SetLimit { kind, value, until, at, by, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(1_700_000_000_000 + ms)
    }

    #[test]
    fn a_set_limit_is_read_as_it_was_written() {
        let who = Who { at: at(0), by: "ann b".into(), reason: "less".into() };
        let who = StoreError::json("a reason that is", &who).expect("plain data");
        let read = set_limit(LimitKind::Running, &format!("2 0 {who}")).expect("well formed");
        assert_eq!((read.value, read.until, read.by.as_str()), (2, None, "ann b"));
        let till = micros(at(7));
        let read = set_limit(LimitKind::Running, &format!("2 {till} {who}")).expect("well formed");
        assert_eq!(read.until, Some(at(7)));
        assert_eq!(set_limit(LimitKind::Running, "2 0"), None);
    }

    #[test]
    fn changes_are_told_in_words() {
        let change = |row, kind, value| LimitChange { account: "a".into(), row, kind, value };
        let running = change(CallRow::Create(SlotClass::V20), LimitKind::Running, Some(3));
        let list = |value| change(CallRow::List, LimitKind::Calls, value);
        assert_eq!(told(&[running, list(Some(500))]), "a 2.0 running 3, a list_qps 0.5");
        assert_eq!(told(&[list(None)]), "a list_qps as configured");
    }
}
