//! The provider's task object, read leniently (§4).
//!
//! Only the id and the status must be there. Numbers may arrive as strings, unknown keys are
//! passed over, an unknown status is kept as it was written. The caller keeps the raw body.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// `execution_expires_after` of a task whose request named none, in seconds (`docs/provider.md` §4.3).
pub const EXPIRES_AFTER_DEFAULT_S: u32 = 172_800;

/// Where a task is in the provider's queue (§5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TaskStatus {
    /// Waiting at the provider.
    Queued,
    /// Being generated; cannot be cancelled any more.
    Running,
    /// Done and billed; the links live 24 hours.
    Succeeded,
    /// Done without a video; not billed.
    Failed,
    /// Took longer than `execution_expires_after`; not billed.
    Expired,
    /// Withdrawn while waiting; the record vanishes after 24 hours.
    Cancelled,
    /// A word we do not know, as written. Never treated as an end.
    Unknown(String),
}

impl TaskStatus {
    /// The wire word.
    pub fn word(&self) -> &str {
        match self {
            TaskStatus::Queued => "queued",
            TaskStatus::Running => "running",
            TaskStatus::Succeeded => "succeeded",
            TaskStatus::Failed => "failed",
            TaskStatus::Expired => "expired",
            TaskStatus::Cancelled => "cancelled",
            TaskStatus::Unknown(word) => word,
        }
    }

    /// Whether the provider will never change it again.
    pub fn is_terminal(&self) -> bool {
        match self {
            TaskStatus::Succeeded
            | TaskStatus::Failed
            | TaskStatus::Expired
            | TaskStatus::Cancelled => true,
            TaskStatus::Queued | TaskStatus::Running | TaskStatus::Unknown(_) => false,
        }
    }
}

impl From<String> for TaskStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "queued" => TaskStatus::Queued,
            "running" => TaskStatus::Running,
            "succeeded" => TaskStatus::Succeeded,
            "failed" => TaskStatus::Failed,
            "expired" => TaskStatus::Expired,
            "cancelled" => TaskStatus::Cancelled,
            _ => TaskStatus::Unknown(word),
        }
    }
}

impl From<TaskStatus> for String {
    fn from(status: TaskStatus) -> String {
        status.word().to_owned()
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Why a task failed, as the provider tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskError {
    /// Dotted code; absent in some old answers.
    pub code: Option<String>,
    /// Free text, for people.
    pub message: String,
}

/// One task as one answer showed it. Every field but `id` and `status` may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The provider's name for it.
    pub id: String,
    /// Its status.
    pub status: TaskStatus,
    /// Model id as the provider names it.
    pub model: Option<String>,
    /// Only on failed, sometimes on expired.
    pub error: Option<TaskError>,
    /// Signed link to the video; on success. A success without it is the caller's alarm (M12).
    pub video_url: Option<String>,
    /// Signed link to the last frame.
    pub last_frame_url: Option<String>,
    /// The billed quantity; on success.
    pub completion_tokens: Option<u64>,
    /// Equal to `completion_tokens` on this family.
    pub total_tokens: Option<u64>,
    /// Unix seconds on the provider's clock.
    pub created_at_s: Option<i64>,
    /// Unix seconds on the provider's clock.
    pub updated_at_s: Option<i64>,
    /// The seed that was used; on success.
    pub seed: Option<i64>,
    /// The resolution made; on success.
    pub resolution: Option<String>,
    /// The shape made; on success, never `adaptive`.
    pub ratio: Option<String>,
    /// Whole seconds, rounded down; on success, unless `frames` is there.
    pub duration_s: Option<u32>,
    /// Number of frames; in place of `duration_s`.
    pub frames: Option<u32>,
    /// Frames per second; on success.
    pub frames_per_second: Option<u32>,
    /// Whether there is sound.
    pub generate_audio: Option<bool>,
    /// The provider's tier word.
    pub service_tier: Option<String>,
    /// Echo of what was sent: the nonce by which a lost task is recognised (§4.3).
    pub execution_expires_after_s: Option<u32>,
    /// Assigned by the provider; may differ from the request.
    pub priority: Option<i64>,
    /// Echo of what was sent, if anything was.
    pub safety_identifier: Option<String>,
}

/// An answer that is not what the contract promises. On create it means "perhaps bought".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unreadable answer: {reason}")]
pub struct Unreadable {
    /// What is missing or wrong, without any content of the body.
    pub reason: &'static str,
}

impl Task {
    /// Reads the answer of a retrieve call, or the body of a callback.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if it is no JSON object with a usable `id` and a `status`. Read again later.
    pub fn parse(body: &[u8]) -> Result<Task, Unreadable> {
        Task::from_value(&json(body)?)
    }

    fn from_value(value: &Value) -> Result<Task, Unreadable> {
        let object = value.as_object().ok_or(Unreadable { reason: "not a JSON object" })?;
        let id = usable_id(object)?;
        let status =
            text(object, "status").ok_or(Unreadable { reason: "the task has no status" })?;
        let content = object.get("content").and_then(Value::as_object);
        let usage = object.get("usage").and_then(Value::as_object);
        let link = |key| content.and_then(|c| text(c, key)).filter(|url| !url.is_empty());
        let count = |key| usage.and_then(|u| number(u, key));
        Ok(Task {
            id,
            status: TaskStatus::from(status),
            model: text(object, "model"),
            // An older client library shows the same thing under another name.
            error: task_error(object, "error").or_else(|| task_error(object, "failure_reason")),
            video_url: link("video_url"),
            last_frame_url: link("last_frame_url"),
            completion_tokens: count("completion_tokens"),
            total_tokens: count("total_tokens"),
            created_at_s: number(object, "created_at"),
            updated_at_s: number(object, "updated_at"),
            seed: number(object, "seed"),
            resolution: text(object, "resolution"),
            ratio: text(object, "ratio"),
            duration_s: number(object, "duration"),
            frames: number(object, "frames"),
            frames_per_second: number(object, "framespersecond"),
            generate_audio: object.get("generate_audio").and_then(Value::as_bool),
            service_tier: text(object, "service_tier"),
            execution_expires_after_s: number(object, "execution_expires_after"),
            priority: number(object, "priority"),
            safety_identifier: text(object, "safety_identifier"),
        })
    }
}

/// One page of a list answer (§3.1). Its order means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks that could be read.
    pub items: Vec<Task>,
    /// The JSON text of each of `items`, as the provider wrote it.
    pub texts: Vec<String>,
    /// How many tasks match in all, if the answer says so.
    pub total: Option<u64>,
    /// Entries that could not be read. A page with any proves nothing about what is absent.
    pub unreadable: usize,
}

/// A page before its rows are read.
#[derive(Deserialize)]
struct Rows<'a> {
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    total: Option<Value>,
}

impl TaskPage {
    /// Reads the answer of a list call.
    ///
    /// # Errors
    ///
    /// [`Unreadable`] if there is no `items` list.
    pub fn parse(body: &[u8]) -> Result<TaskPage, Unreadable> {
        let no_items = Unreadable { reason: "the page has no items" };
        let rows: Rows<'_> = serde_json::from_slice(body).map_err(|_| match json(body) {
            Err(fault) => fault,
            Ok(value) if !value.is_object() => Unreadable { reason: "not a JSON object" },
            Ok(_) => no_items.clone(),
        })?;
        let list = rows.items.ok_or(no_items)?;
        let read = |row: &&RawValue| {
            let text = row.get().to_owned();
            Task::parse(text.as_bytes()).ok().map(|task| (task, text))
        };
        let (items, texts): (Vec<Task>, Vec<String>) = list.iter().filter_map(read).unzip();
        let unreadable = list.len() - items.len();
        Ok(TaskPage { items, texts, total: rows.total.as_ref().and_then(integer), unreadable })
    }
}

/// Reads the answer of a create call: the new task's id.
///
/// # Errors
///
/// [`Unreadable`]: the call may have bought a task whose id we do not know. Never send again.
pub fn created_task_id(body: &[u8]) -> Result<String, Unreadable> {
    let value = json(body)?;
    usable_id(value.as_object().ok_or(Unreadable { reason: "not a JSON object" })?)
}

/// Whether `id` can be a task id: short, and safe in an address or a key (§1.4).
pub fn is_task_id(id: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=128).contains(&id.len()) && id.bytes().all(legal)
}

fn json(body: &[u8]) -> Result<Value, Unreadable> {
    serde_json::from_slice(body).map_err(|_| Unreadable { reason: "not JSON" })
}

fn usable_id(object: &Map<String, Value>) -> Result<String, Unreadable> {
    text(object, "id")
        .filter(|id| is_task_id(id))
        .ok_or(Unreadable { reason: "the task has no usable id" })
}

fn text(object: &Map<String, Value>, key: &str) -> Option<String> {
    object.get(key)?.as_str().map(str::to_owned)
}

/// An integer, however it is written; one that does not fit is as good as absent.
fn number<T: TryFrom<i64>>(object: &Map<String, Value>, key: &str) -> Option<T> {
    integer(object.get(key)?)
}

fn integer<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    let number = match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }?;
    T::try_from(number).ok()
}

fn whole(float: f64) -> Option<i64> {
    // Beyond 2^53 a float no longer names one integer.
    (float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0).then_some(float as i64)
}

fn task_error(object: &Map<String, Value>, key: &str) -> Option<TaskError> {
    let error = object.get(key)?.as_object()?;
    let code = text(error, "code").filter(|code| !code.is_empty());
    let message = text(error, "message").unwrap_or_default();
    (code.is_some() || !message.is_empty()).then_some(TaskError { code, message })
}
