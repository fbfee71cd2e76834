//! Counters for tests that ask whether a client behaved.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::State;

/// Counted since start.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    calls: BTreeMap<(&'static str, String), u64>,
    pub(crate) tasks_made: u64,
    pub(crate) tasks_billed: u64,
    pub(crate) tokens_billed: u64,
    pub(crate) callbacks_acknowledged: u64,
    pub(crate) callbacks_failed: u64,
    pub(crate) authorization_at_media: u64,
    pub(crate) downloads_of_one_video_max: u32,
    pub(crate) media_bytes: u64,
}

impl Stats {
    /// Counts a call with its outcome: an HTTP status, or a word for none.
    pub(crate) fn call(&mut self, name: &'static str, outcome: impl ToString) {
        *self.calls.entry((name, outcome.to_string())).or_default() += 1;
    }
}

impl State {
    /// All counters as one JSON object.
    pub(crate) fn report(&self) -> Value {
        let stats = &self.stats;
        let mut calls = json!({});
        for ((name, outcome), count) in &stats.calls {
            calls[*name][outcome.as_str()] = (*count).into();
        }
        let mut windows = json!({});
        for ((name, scope), window) in &self.windows {
            windows[*name][scope.as_str()] = json!(window.tally());
        }
        let mut running = json!({});
        for (group, lane) in &self.lanes {
            running[group.word()] = json!({
                "now": lane.running, "max": lane.running_max, "ready": lane.ready.len(),
            });
        }
        let mut queued = json!({});
        for (account, queue) in &self.queues {
            queued[&**account] = json!({"now": queue.queued, "max": queue.queued_max});
        }
        json!({
            "calls": calls,
            "windows": windows,
            "running": running,
            "queued": queued,
            "tasks": {
                "made": stats.tasks_made, "kept": self.tasks.len(),
                "billed": stats.tasks_billed, "tokens_billed": stats.tokens_billed,
            },
            "callbacks": {
                "acknowledged": stats.callbacks_acknowledged, "failed": stats.callbacks_failed,
                "waiting": self.outbox.len(),
            },
            "media": {
                "authorization_seen": stats.authorization_at_media,
                "downloads_of_one_video_max": stats.downloads_of_one_video_max,
                "bytes": stats.media_bytes,
            },
        })
    }
}
