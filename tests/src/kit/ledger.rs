//! The simulator's ledger: what it saw, made and billed.

use super::Fleet;
use job::{AttemptId, Record};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};

/// The ledger as it stood at one moment.
#[derive(Debug, Clone)]
pub struct Ledger {
    lines: Vec<Value>,
}

/// One line about money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Billed {
    /// The task.
    pub task: String,
    /// What it cost.
    pub tokens: u64,
    /// Its video.
    pub video_sha256: String,
    /// Its last frame.
    pub last_frame_sha256: Option<String>,
}

impl Ledger {
    /// Reads NDJSON; a last line that is still being written is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self { lines: text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect() }
    }

    /// All lines of one event, in order.
    pub fn events<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.lines.iter().filter(move |line| line["event"] == event)
    }

    /// How many tasks were made for each request that carries a mark (`mark-…` in its prompt), whoever asked
    /// for it.
    #[must_use]
    pub fn bought(&self) -> BTreeMap<String, usize> {
        let mut bought = BTreeMap::new();
        for line in self.events("task_made") {
            let mark = line["mark"].as_str().unwrap_or("none");
            *bought.entry(mark.to_owned()).or_default() += 1;
        }
        bought
    }

    /// Create calls of a job that arrived whole.
    #[must_use]
    pub fn creates_of(&self, record: &Record) -> usize {
        self.of_job("create_seen", record).count()
    }

    /// How many creates the provider had seen when it saw a job's first; nothing until it has.
    #[must_use]
    pub fn creates_before(&self, record: &Record) -> Option<usize> {
        self.events("create_seen").position(|line| bought_by(record, line).is_some())
    }

    /// Tasks made for a job.
    #[must_use]
    pub fn tasks_of(&self, record: &Record) -> Vec<String> {
        self.of_job("task_made", record).map(|line| word(line, "task")).collect()
    }

    /// What was billed for a job.
    #[must_use]
    pub fn billed_to(&self, record: &Record) -> Vec<Billed> {
        let tasks = self.tasks_of(record);
        self.events("billed")
            .filter(|line| tasks.contains(&word(line, "task")))
            .map(|line| Billed {
                task: word(line, "task"),
                tokens: line["tokens"].as_u64().unwrap_or(0),
                video_sha256: word(line, "video_sha256"),
                last_frame_sha256: line["last_frame_sha256"].as_str().map(str::to_owned),
            })
            .collect()
    }

    /// Retrieves, lists, deletes or downloads that named a task, with what each was answered;
    /// null where there was no answer.
    #[must_use]
    pub fn calls(&self, call: &str, task: &str) -> Vec<Option<u64>> {
        self.events("call")
            .filter(|line| line["call"] == call && line["task"] == task)
            .map(|line| line["http_status"].as_u64())
            .collect()
    }

    /// The callback path the provider was given for a job's last attempt, token included.
    #[must_use]
    pub fn callback_path(&self, record: &Record) -> Option<String> {
        let line = self.of_job("create_seen", record).last()?;
        line["callback_path"].as_str().map(str::to_owned)
    }

    /// Lines of an event that carry the id of one of the job's attempts.
    fn of_job<'a>(&'a self, event: &'a str, record: &'a Record) -> impl Iterator<Item = &'a Value> {
        self.events(event).filter(move |line| bought_by(record, line).is_some())
    }
}

/// The ledger, read as it grows.
#[derive(Debug, Default)]
pub struct LedgerTail {
    at: u64,
    /// What was read of a line that is still being written.
    rest: String,
}

impl LedgerTail {
    /// The lines that have come since the last look.
    ///
    /// # Panics
    ///
    /// The ledger cannot be read.
    pub fn more(&mut self, fleet: &Fleet) -> Vec<Value> {
        if let Ok(mut file) = std::fs::File::open(fleet.path("ledger.ndjson")) {
            file.seek(SeekFrom::Start(self.at)).expect("a plain file");
            self.at += file.read_to_string(&mut self.rest).expect("whole words") as u64;
        }
        let keep = self.rest.rfind('\n').map_or(0, |end| end + 1);
        let whole: String = self.rest.drain(..keep).collect();
        whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// The job's attempt that a line belongs to.
pub(super) fn bought_by(record: &Record, line: &Value) -> Option<AttemptId> {
    let id = AttemptId::parse(line["client_request_id"].as_str()?).ok()?;
    record.life.attempt(&id).map(|_| id)
}

fn word(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_default().to_owned()
}
