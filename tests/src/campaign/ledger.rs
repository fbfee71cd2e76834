//! The simulator's ledger, read once from end to end: what was bought, for which request, and when.

use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// The provider's window for creates.
const MINUTE_MS: i64 = 60_000;

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Ended {
    /// It has not.
    #[default]
    Not,
    /// Paid.
    Billed {
        /// Of the video, where there is one.
        video_sha256: Option<String>,
    },
    /// Not paid.
    Unpaid,
}

/// One task.
#[derive(Debug, Clone, Default)]
pub(super) struct Task {
    /// The word in the prompt it was bought with.
    pub(super) mark: String,
    pub(super) ended: Ended,
    pub(super) bills: u32,
    /// When the first of its callbacks was taken in.
    pub(super) heard_at_ms: Option<i64>,
}

/// Everything the audit needs.
#[derive(Debug, Default)]
pub(super) struct Digest {
    pub(super) creates: u64,
    pub(super) tasks: BTreeMap<String, Task>,
    /// Tasks by the mark of their request.
    pub(super) bought: BTreeMap<String, Vec<String>>,
    /// Attempts whose create arrived whole, with the task that came of it.
    pub(super) attempts: BTreeMap<String, Option<String>>,
    /// Creates that found more before them, within a minute, than the limit allows.
    pub(super) over_limit: u64,
    /// Most creates of one model of one account in any minute.
    pub(super) most_in_a_minute: usize,
    /// Most tasks of one model of one account at once.
    pub(super) most_at_once: i64,
    /// Callback tokens: secrets.
    pub(super) tokens: Vec<String>,
    pub(super) lines: u64,
}

#[derive(Deserialize)]
struct Row {
    event: String,
    at_ms: i64,
    #[serde(default)]
    task: Option<String>,
    #[serde(default)]
    mark: Option<String>,
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    client_request_id: Option<String>,
    #[serde(default)]
    callback_path: Option<String>,
    #[serde(default)]
    video_sha256: Option<String>,
    #[serde(default)]
    http_status: Option<u16>,
    #[serde(default)]
    forged: bool,
}

#[derive(Default)]
struct Windows {
    recent: BTreeMap<String, VecDeque<i64>>,
    at_once: BTreeMap<String, i64>,
    group_of: BTreeMap<String, String>,
}

/// Callback tokens looked for in the logs.
const TOKENS_MAX: usize = 2_000;

impl Digest {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// It is not there, or a line is none of the simulator's.
    pub(super) fn read(path: &Path, create_rpm: u32) -> Result<Self, String> {
        let cannot = |why: String| format!("{}: {why}", path.display());
        let file = File::open(path).map_err(|error| cannot(error.to_string()))?;
        let (mut digest, mut windows) = (Self::default(), Windows::default());
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| cannot(error.to_string()))?;
            let row = serde_json::from_str(&line).map_err(|error| cannot(error.to_string()))?;
            digest.add(row, create_rpm, &mut windows);
        }
        Ok(digest)
    }

    fn add(&mut self, row: Row, create_rpm: u32, windows: &mut Windows) {
        self.lines += 1;
        let group = |row: &Row| {
            format!(
                "{}|{}",
                row.account.as_deref().unwrap_or(""),
                row.model.as_deref().unwrap_or("")
            )
        };
        match row.event.as_str() {
            "create_seen" => {
                self.creates += 1;
                let recent = windows.recent.entry(group(&row)).or_default();
                recent.push_back(row.at_ms);
                while recent.front().is_some_and(|at| at + MINUTE_MS <= row.at_ms) {
                    recent.pop_front();
                }
                self.most_in_a_minute = self.most_in_a_minute.max(recent.len());
                self.over_limit += u64::from(recent.len() > create_rpm as usize);
                if let Some(attempt) = row.client_request_id {
                    self.attempts.entry(attempt).or_default();
                }
                if self.tokens.len() < TOKENS_MAX
                    && let Some(token) =
                        row.callback_path.as_deref().and_then(|p| p.rsplit('/').next())
                {
                    self.tokens.push(token.to_owned());
                }
            }
            "task_made" => self.made(row, windows),
            "callback" if !row.forged && matches!(row.http_status, Some(200..=299)) => {
                if let Some(task) = row.task.and_then(|id| self.tasks.get_mut(&id)) {
                    task.heard_at_ms.get_or_insert(row.at_ms);
                }
            }
            "billed" | "failed" | "expired" | "cancelled" | "vanished" => self.ended(row, windows),
            _ => {}
        }
    }

    fn made(&mut self, row: Row, windows: &mut Windows) {
        let Some(id) = row.task else { return };
        let mark = row.mark.unwrap_or_default();
        let group =
            format!("{}|{}", row.account.unwrap_or_default(), row.model.unwrap_or_default());
        let at_once = windows.at_once.entry(group.clone()).or_default();
        *at_once += 1;
        self.most_at_once = self.most_at_once.max(*at_once);
        windows.group_of.insert(id.clone(), group);
        if let Some(attempt) = row.client_request_id {
            self.attempts.insert(attempt, Some(id.clone()));
        }
        self.bought.entry(mark.clone()).or_default().push(id.clone());
        self.tasks.insert(id, Task { mark, ..Task::default() });
    }

    fn ended(&mut self, row: Row, windows: &mut Windows) {
        let Some(id) = row.task else { return };
        if let Some(at_once) =
            windows.group_of.remove(&id).and_then(|group| windows.at_once.get_mut(&group))
        {
            *at_once -= 1;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if row.event == "billed" {
            task.bills += 1;
            task.ended = Ended::Billed { video_sha256: row.video_sha256 };
        } else {
            task.ended = Ended::Unpaid;
        }
    }

    /// Tasks beyond the first of each request, and bills beyond the first of each task.
    pub(super) fn duplicates(&self) -> u64 {
        let twice = self.bought.values().map(|tasks| tasks.len().saturating_sub(1) as u64);
        let billed = self.tasks.values().map(|task| u64::from(task.bills.saturating_sub(1)));
        twice.chain(billed).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(lines: &[&str]) -> Digest {
        let (mut digest, mut windows) = (Digest::default(), Windows::default());
        for line in lines {
            digest.add(serde_json::from_str(line).unwrap(), 2, &mut windows);
        }
        digest
    }

    #[test]
    fn a_request_bought_twice_is_a_duplicate() {
        let made = |task: &str| {
            format!(
                r#"{{"event":"task_made","at_ms":1,"task":"{task}","mark":"mark-1","client_request_id":"{task}"}}"#
            )
        };
        let billed = r#"{"event":"billed","at_ms":2,"task":"t1","video_sha256":"ab"}"#;
        assert_eq!(digest(&[&made("t1"), billed]).duplicates(), 0);
        assert_eq!(digest(&[&made("t1"), &made("t2")]).duplicates(), 1);
        assert_eq!(digest(&[&made("t1"), billed, billed]).duplicates(), 1);
    }

    #[test]
    fn a_task_is_heard_of_once_its_own_callback_is_taken_in() {
        let made = r#"{"event":"task_made","at_ms":1,"task":"t1","mark":"mark-1"}"#;
        let told = |at: i64, status: &str, forged: bool| {
            format!(
                r#"{{"event":"callback","at_ms":{at},"task":"t1","http_status":{status},"forged":{forged}}}"#
            )
        };
        let lines = [
            told(2, "null", false),
            told(3, "200", true),
            told(4, "200", false),
            told(5, "200", false),
        ];
        let lines: Vec<&str> = [made].into_iter().chain(lines.iter().map(String::as_str)).collect();
        assert_eq!(digest(&lines).tasks["t1"].heard_at_ms, Some(4));
    }

    #[test]
    fn a_window_slides() {
        let seen = |at: i64| {
            format!(r#"{{"event":"create_seen","at_ms":{at},"account":"a","model":"m"}}"#)
        };
        let calm = [seen(0), seen(1), seen(60_000), seen(60_001)];
        assert_eq!(digest(&calm.each_ref().map(String::as_str)).over_limit, 0);
        let hasty = [seen(0), seen(1), seen(59_999)];
        let hasty = digest(&hasty.each_ref().map(String::as_str));
        assert_eq!((hasty.over_limit, hasty.most_in_a_minute), (1, 3));
    }
}
