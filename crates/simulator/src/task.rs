//! One generation, and how the service tells it (`docs/provider.md` §4).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::models::Model;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Queued,
    Running,
    Succeeded,
    Failed,
    Expired,
    Cancelled,
}

impl Status {
    pub(crate) const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Expired,
        Self::Cancelled,
    ];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.word() == word)
    }

    pub(crate) fn is_terminal(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

/// How a task will end, drawn when it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Succeed { with_video_url: bool, with_last_frame: bool },
    Fail { code: String, message: String },
    Expire,
    CancelWhileQueued,
    StayQueued,
    StayRunning,
    Vanish,
}

/// Tasks that compete for the same running slots and creation rate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Group {
    pub(crate) account: Arc<str>,
    pub(crate) model: &'static str,
    pub(crate) is_4k: bool,
}

impl Group {
    /// The group as one word of a report.
    pub(crate) fn word(&self) -> String {
        let size = if self.is_4k { "/4k" } else { "" };
        format!("{}/{}{size}", self.account, self.model)
    }
}

/// One generation as the provider keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) seq: u64,
    pub(crate) id: String,
    pub(crate) account: Arc<str>,
    pub(crate) project: Arc<str>,
    pub(crate) model: &'static Model,
    pub(crate) model_name: &'static str,
    pub(crate) status: Status,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) expires_after_s: i64,
    pub(crate) generate_audio: bool,
    pub(crate) priority: u8,
    pub(crate) safety_identifier: Option<String>,
    pub(crate) tools: Option<Value>,
    pub(crate) with_last_frame: bool,
    pub(crate) resolution: &'static str,
    pub(crate) ratio: &'static str,
    pub(crate) size: (u32, u32),
    pub(crate) duration_s: u32,
    pub(crate) seed: u64,
    pub(crate) tokens: u64,
    pub(crate) callback: Option<Arc<str>>,
    pub(crate) run_ms: i64,
    pub(crate) fate: Fate,
    pub(crate) error: Option<(String, String)>,
    /// Whether lists show the task yet.
    pub(crate) listed: bool,
    /// Whether a first callback was delivered, or given up.
    pub(crate) announced: bool,
    pub(crate) video_downloads: u32,
}

/// The links of a finished task.
pub(crate) struct Links {
    pub(crate) video: Option<String>,
    pub(crate) last_frame: Option<String>,
}

impl Task {
    pub(crate) fn group(&self) -> Group {
        Group {
            account: self.account.clone(),
            model: self.model.key,
            is_4k: self.resolution == "4k",
        }
    }

    /// The task object with exactly the keys its status has (§4.2). `links` is asked for only when
    /// the task has succeeded.
    pub(crate) fn object(&self, links: impl FnOnce(&Self) -> Links) -> Map<String, Value> {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
        put("id", self.id.as_str().into());
        put("model", self.model_name.into());
        put("status", self.status.word().into());
        if let (Status::Failed, Some((code, message))) = (self.status, &self.error) {
            put("error", json!({"code": code, "message": message}));
        }
        if self.status == Status::Succeeded {
            let links = links(self);
            let mut content = Map::new();
            content.extend(links.video.map(|url| ("video_url".to_owned(), url.into())));
            content.extend(links.last_frame.map(|url| ("last_frame_url".to_owned(), url.into())));
            put("content", Value::Object(content));
            let mut usage = json!({"completion_tokens": self.tokens, "total_tokens": self.tokens});
            if self.tools.is_some() {
                usage["tool_usage"] = json!({"web_search": 1});
            }
            put("usage", usage);
        }
        put("created_at", (self.created_ms / 1000).into());
        put("updated_at", (self.updated_ms / 1000).into());
        if self.status == Status::Succeeded {
            put("seed", self.seed.into());
            put("resolution", self.resolution.into());
            put("ratio", self.ratio.into());
            put("duration", self.duration_s.into());
            put("framespersecond", 24.into());
        }
        put("service_tier", "default".into());
        put("execution_expires_after", self.expires_after_s.into());
        if self.model.tells_audio {
            put("generate_audio", self.generate_audio.into());
        }
        put("draft", false.into());
        put("priority", self.priority.into());
        if let Some(identifier) = &self.safety_identifier {
            put("safety_identifier", identifier.as_str().into());
        }
        if let Some(tools) = &self.tools {
            put("tools", tools.clone());
        }
        object
    }
}
