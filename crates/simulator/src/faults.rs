//! Faults that can be switched on while the simulator runs.
//!
//! A [`Plan`] holds rules per group of calls. At each opportunity the rules of the group are tried
//! in order and the first that fits and fires decides. `docs/simulator.md` lists what each kind
//! does and which parameters it reads.

use std::any::type_name;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::dice::{Dice, Purpose};

/// One rule: what goes wrong, how often, and for whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule<K> {
    /// What goes wrong.
    pub kind: K,
    /// How often the rule may fire; for ever if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// Chance to fire at a fitting opportunity, 0 to 1; certain if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probability: Option<f64>,
    /// Fitting opportunities let through first.
    #[serde(default)]
    pub skip: u32,
    /// At most one rule of the group that says so hits the same task, or the same prompt before
    /// there is a task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
    /// Who is hit; everybody if empty.
    #[serde(default, rename = "match")]
    pub only: Match,
    /// A time in real milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// An HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// An error code, or the name of an answer in `fixtures/errors.json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// An error message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Value of a `Retry-After` header, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
    /// An address to redirect to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Speed of a slow body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_s: Option<u64>,
    /// How many extra deliveries, items or bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// A word the contract does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// How often the rule has fired; counted by the simulator.
    #[serde(default)]
    pub fired: u32,
}

/// Narrows a rule. Texts match where they are contained; every one given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// Part of the model id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The account, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Part of the prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The task id, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The request's `execution_expires_after`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<i64>,
    /// Part of the callback address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<String>,
    /// The task's status, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Ending of the file asked for: `mp4` or `png`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// What is known at an opportunity; unknown things match no rule that asks for them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) model: Option<&'a str>,
    pub(crate) account: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
    pub(crate) nonce: Option<i64>,
    pub(crate) callback: Option<&'a str>,
    pub(crate) status: Option<&'a str>,
    pub(crate) file: Option<&'a str>,
}

impl Match {
    fn fits(&self, facts: &Facts<'_>) -> bool {
        let part = |wish: &Option<String>, fact: Option<&str>| {
            wish.as_ref().is_none_or(|wish| fact.is_some_and(|fact| fact.contains(wish.as_str())))
        };
        let whole = |wish: &Option<String>, fact: Option<&str>| {
            wish.as_ref().is_none_or(|wish| fact == Some(wish.as_str()))
        };
        part(&self.model, facts.model)
            && part(&self.text, facts.text)
            && part(&self.callback, facts.callback)
            && whole(&self.account, facts.account)
            && whole(&self.id, facts.id)
            && whole(&self.status, facts.status)
            && whole(&self.file, facts.file)
            && self.nonce.is_none_or(|nonce| facts.nonce == Some(nonce))
    }
}

/// Faults of a connection to the API, before any request is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each kind is documented in docs/simulator.md")]
pub enum Connect {
    Refuse,
    Close,
    Reset,
    Silent,
    CloseIdle,
}

/// Faults of create.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each kind is documented in docs/simulator.md")]
pub enum Create {
    DropBefore,
    DropAfterRead,
    AcceptThenDrop,
    AcceptThenReset,
    ResetAfterHalfHead,
    DelayReply,
    DelayCreate,
    CallbackBeforeReply,
    #[serde(rename = "500_after_create")]
    Error500AfterCreate,
    #[serde(rename = "502_html_after_create")]
    Html502AfterCreate,
    #[serde(rename = "500_without_create")]
    Error500WithoutCreate,
    #[serde(rename = "502_html_without_create")]
    Html502WithoutCreate,
    #[serde(rename = "200_without_id")]
    Ok200WithoutId,
    #[serde(rename = "200_cut_body")]
    Ok200CutBody,
    Answer,
    AnswerAfterCreate,
    Redirect,
}

/// Faults of retrieve, list and delete answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each kind is documented in docs/simulator.md")]
pub enum Read {
    NotFoundAtFirst,
    UnknownStatus,
    #[serde(rename = "500")]
    Error500,
    #[serde(rename = "502_html")]
    Html502,
    Answer,
    Slow,
    Drop,
    CutBody,
    Lag,
    MissingPage,
    ShiftedPage,
    OldestFirst,
    DoneThenDrop,
}

/// How a task ends other than well, or late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each kind is documented in docs/simulator.md")]
pub enum Outcome {
    Failed,
    Expired,
    Cancelled,
    Stuck,
    StuckQueued,
    NoVideoUrl,
    NoLastFrame,
    Gone,
    RunsFor,
}

/// Faults of callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each kind is documented in docs/simulator.md")]
pub enum Callback {
    Lose,
    Duplicate,
    Reorder,
    Delay,
    Forge,
    ForgeForeign,
    ForgePath,
}

/// Faults of the object host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each kind is documented in docs/simulator.md")]
pub enum Media {
    Expired,
    Truncated,
    ShortFile,
    Corrupt,
    WrongLength,
    IgnoreRange,
    Slow,
    Stall,
    Reset,
    Redirect,
    Answer,
    EtagChanges,
}

/// All faults in force. Setting a plan replaces the one before as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "one field per group, named after it")]
pub struct Plan {
    pub connect: Vec<Rule<Connect>>,
    pub create: Vec<Rule<Create>>,
    pub retrieve: Vec<Rule<Read>>,
    pub list: Vec<Rule<Read>>,
    pub delete: Vec<Rule<Read>>,
    pub task: Vec<Rule<Outcome>>,
    pub callback: Vec<Rule<Callback>>,
    pub media: Vec<Rule<Media>>,
}

impl Plan {
    /// What is wrong with the numbers of a plan, in words; the first fault only.
    pub(crate) fn complaint(&self) -> Option<String> {
        fn check<K: std::fmt::Debug>(group: &str, rules: &[Rule<K>]) -> Option<String> {
            rules.iter().find_map(|rule| {
                let chance = rule.probability.unwrap_or(1.0);
                let code = rule.code.as_deref();
                let unknown_code = rule.status.is_none()
                    && group != "task"
                    && code.is_some_and(|code| crate::refusal::Refusal::known(code).is_none());
                if !(0.0..=1.0).contains(&chance) {
                    Some(format!("{group}: {:?} has probability {chance}", rule.kind))
                } else if unknown_code {
                    Some(format!("{group}: code {code:?} is unknown, so it needs a status"))
                } else {
                    None
                }
            })
        }
        check("connect", &self.connect)
            .or_else(|| check("create", &self.create))
            .or_else(|| check("retrieve", &self.retrieve))
            .or_else(|| check("list", &self.list))
            .or_else(|| check("delete", &self.delete))
            .or_else(|| check("task", &self.task))
            .or_else(|| check("callback", &self.callback))
            .or_else(|| check("media", &self.media))
    }
}

/// Draws with memory: one counter for all rules, so that no two draws share chance.
#[derive(Debug)]
pub(crate) struct Chance {
    dice: Dice,
    drawn: u64,
    /// Whom a rule with `once` has hit, by group.
    hit: HashSet<(&'static str, String)>,
}

impl Chance {
    pub(crate) fn new(dice: Dice) -> Self {
        Self { dice, drawn: 0, hit: HashSet::new() }
    }

    /// The first rule that is eligible, fits and fires.
    pub(crate) fn draw<K: Copy>(
        &mut self,
        rules: &mut [Rule<K>],
        facts: &Facts<'_>,
        eligible: impl Fn(&Rule<K>) -> bool,
    ) -> Option<Rule<K>> {
        let subject = facts.id.or(facts.text).map(|subject| (type_name::<K>(), subject.to_owned()));
        for rule in rules {
            if rule.times == Some(0) || !eligible(rule) || !rule.only.fits(facts) {
                continue;
            }
            let is_spared = || subject.as_ref().is_none_or(|subject| self.hit.contains(subject));
            if rule.once && is_spared() {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if let Some(chance) = rule.probability {
                self.drawn += 1;
                if self.dice.fraction(Purpose::FaultHit, self.drawn) >= chance {
                    continue;
                }
            }
            if rule.once {
                self.hit.extend(subject);
            }
            rule.times = rule.times.map(|left| left - 1);
            rule.fired += 1;
            return Some(rule.clone());
        }
        None
    }

    /// A size drawn for a fault, in `0..=most`.
    pub(crate) fn up_to(&mut self, most: u64) -> u64 {
        self.drawn += 1;
        self.dice.between(Purpose::FaultSize, self.drawn, 0, most)
    }
}
