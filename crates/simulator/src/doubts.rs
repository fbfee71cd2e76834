//! Questions the public contract leaves open (`docs/provider.md` §13), each with the answers that
//! are thinkable. The client must be right whichever holds, so each can be chosen.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::refusal::Refusal;
use crate::task::Status;

/// What a request without `execution_expires_after` gets.
pub(crate) const EXPIRES_AFTER_DEFAULT_S: i64 = 172_800;

/// Declares an answer's words.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident { $first:ident, $($other:ident),+ })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[allow(missing_docs, reason = "each answer is documented in docs/simulator.md")]
        pub enum $name {
            #[default]
            $first,
            $($other),+
        }
    )*};
}

answers! {
    /// What tasks show as `execution_expires_after` when another value than the default was sent.
    Nonce { Echoed, Clamped, Absent }
    /// Where tasks show a `safety_identifier` that was sent.
    Identifier { Always, AtSuccess, NotInList, Never }
    /// The order of a list.
    ListOrder { NewestFirst, OldestFirst }
    /// What a list without `filter.model` is answered.
    ListModel { Optional, MissingParameter, Denied }
    /// What becomes of a `seed`.
    Seed { Accepted, Refused }
    /// What becomes of `service_tier: "default"`.
    ServiceTier { Refused, Accepted }
    /// The 404 for a task nobody knows.
    UnknownTask { ResourceNotFound, NotFound, Bare }
    /// What deleting a cancelled task does.
    DeleteCancelled { Conflict, NotFound, Done }
    /// Whether `filter.status=expired` is understood.
    ExpiredFilter { Works, Refused }
    /// What comes with a 429.
    RateHeader { Nothing, RetryAfter }
    /// When the first callback of a task comes, compared with the reply to its create.
    CallbackOrder { Any, BeforeReply, AfterReply }
    /// What acknowledges a callback.
    CallbackAcknowledged { Any2xx, Only200 }
    /// Whether a cancelled task is told by a callback.
    CallbackCancelled { Silent, Sent }
    /// The format of last frames.
    LastFrame { Png, Jpeg }
    /// When the links of a finished task are signed: once, or anew for each read of the task.
    LinksSigned { AtSuccess, EachRead }
    /// Whether sizes and shapes at the very bounds of an image are inside.
    ImageBounds { Closed, Open }
    /// Whether a reference video costs a minimum of tokens.
    VideoMinimum { Charged, NotCharged }
}

/// The answer to each doubt. [`Doubts::default`] is what this simulator takes for likely.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "one field per doubt; docs/simulator.md tells them")]
pub struct Doubts {
    pub nonce: Nonce,
    pub identifier: Identifier,
    /// Real ms until a new task shows in lists.
    pub list_lag_ms: u32,
    pub list_order: ListOrder,
    pub list_model: ListModel,
    pub seed: Seed,
    pub service_tier: ServiceTier,
    pub unknown_task: UnknownTask,
    pub delete_cancelled: DeleteCancelled,
    pub expired_filter: ExpiredFilter,
    pub rate_header: RateHeader,
    pub callback_order: CallbackOrder,
    /// Deliveries of a terminal callback after the first.
    pub callback_retries: u8,
    pub callback_acknowledged: CallbackAcknowledged,
    pub callback_cancelled: CallbackCancelled,
    pub last_frame: LastFrame,
    pub links: LinksSigned,
    /// Life of a link from its signature, in seconds.
    pub link_life_s: u32,
    /// References of all kinds together.
    pub references_max: u8,
    pub image_bounds: ImageBounds,
    pub video_minimum: VideoMinimum,
}

impl Default for Doubts {
    fn default() -> Self {
        Self {
            nonce: Nonce::default(),
            identifier: Identifier::default(),
            list_lag_ms: 0,
            list_order: ListOrder::default(),
            list_model: ListModel::default(),
            seed: Seed::default(),
            service_tier: ServiceTier::default(),
            unknown_task: UnknownTask::default(),
            delete_cancelled: DeleteCancelled::default(),
            expired_filter: ExpiredFilter::default(),
            rate_header: RateHeader::default(),
            callback_order: CallbackOrder::default(),
            callback_retries: 3,
            callback_acknowledged: CallbackAcknowledged::default(),
            callback_cancelled: CallbackCancelled::default(),
            last_frame: LastFrame::default(),
            links: LinksSigned::default(),
            link_life_s: 86_400,
            references_max: 15,
            image_bounds: ImageBounds::default(),
            video_minimum: VideoMinimum::default(),
        }
    }
}

impl Doubts {
    /// Sets one by `NAME=ANSWER`.
    ///
    /// # Errors
    ///
    /// The name or the answer is none, in words.
    pub fn apply(&mut self, words: &str) -> Result<(), String> {
        let (name, answer) = words.split_once('=').ok_or("NAME=ANSWER expected")?;
        let answer = answer.parse::<u32>().map_or_else(|_| Value::from(answer), Value::from);
        let mut all = serde_json::to_value(&*self).map_err(|error| error.to_string())?;
        all[name] = answer;
        *self = serde_json::from_value(all).map_err(|error| format!("{words}: {error}"))?;
        Ok(())
    }

    /// Makes a task object show what the answers let it show.
    pub(crate) fn disguise(
        &self,
        mut object: Map<String, Value>,
        status: Status,
        in_list: bool,
    ) -> Map<String, Value> {
        match self.nonce {
            Nonce::Echoed => {}
            Nonce::Clamped => {
                let value = EXPIRES_AFTER_DEFAULT_S.into();
                object.insert("execution_expires_after".into(), value);
            }
            Nonce::Absent => drop(object.remove("execution_expires_after")),
        }
        let is_shown = match self.identifier {
            Identifier::Always => true,
            Identifier::AtSuccess => status == Status::Succeeded,
            Identifier::NotInList => !in_list,
            Identifier::Never => false,
        };
        if !is_shown {
            object.remove("safety_identifier");
        }
        object
    }

    /// The refusal of a list that names no model, where one must be named.
    pub(crate) fn list_without_model(&self) -> Option<Refusal> {
        match self.list_model {
            ListModel::Optional => None,
            ListModel::MissingParameter => Some(Refusal::missing("filter.model")),
            ListModel::Denied => Some(Refusal::builtin("AccessDenied")),
        }
    }

    /// The 404 for a task nobody knows.
    pub(crate) fn unknown(&self) -> Refusal {
        match self.unknown_task {
            UnknownTask::ResourceNotFound => Refusal::builtin("ResourceNotFound"),
            UnknownTask::NotFound => {
                Refusal::new(404, "NotFound.Task", "The specified task was not found.", "id")
            }
            UnknownTask::Bare => Refusal::html(404),
        }
    }

    /// A refusal as it leaves: with the header that a 429 may carry.
    pub(crate) fn dressed(&self, refusal: Refusal) -> Refusal {
        match (refusal.status, self.rate_header) {
            (429, RateHeader::RetryAfter) => refusal.with_header("retry-after", "1"),
            (_, RateHeader::Nothing | RateHeader::RetryAfter) => refusal,
        }
    }
}
