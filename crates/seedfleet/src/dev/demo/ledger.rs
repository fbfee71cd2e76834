//! The simulator's ledger, read as an auditor would: what was bought, for whom, and what it was.

use crate::exit::{Exit, Failure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// One task the simulator made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Bought {
    /// The attempt whose create made it, from its request header.
    pub(super) attempt: Option<String>,
    /// Ended without being billed.
    pub(super) unbilled: bool,
    /// Billed tokens; none while it runs.
    pub(super) tokens: Option<u64>,
    pub(super) video_sha256: Option<String>,
    pub(super) last_frame_sha256: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    event: String,
    #[serde(default)]
    task: Option<String>,
    #[serde(default)]
    client_request_id: Option<String>,
    #[serde(default)]
    tokens: Option<u64>,
    #[serde(default)]
    video_sha256: Option<String>,
    #[serde(default)]
    last_frame_sha256: Option<String>,
}

/// Every task, by id.
///
/// # Errors
///
/// The file is away or holds a line that is no JSON.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Bought>, Failure> {
    let cannot = |why: String| {
        Failure::new(Exit::Failed, format!("cannot read the ledger {}", path.display()))
            .because(why)
    };
    let file = File::open(path).map_err(|error| cannot(error.to_string()))?;
    let mut tasks: BTreeMap<String, Bought> = BTreeMap::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|error| cannot(error.to_string()))?;
        let line: Line = serde_json::from_str(&line).map_err(|error| cannot(error.to_string()))?;
        let Some(task) = line.task else { continue };
        match line.event.as_str() {
            "task_made" => {
                tasks.entry(task).or_default().attempt = line.client_request_id;
            }
            "billed" => {
                let bought = tasks.entry(task).or_default();
                bought.tokens = line.tokens;
                bought.video_sha256 = line.video_sha256;
                bought.last_frame_sha256 = line.last_frame_sha256;
            }
            "failed" | "expired" | "cancelled" | "vanished" => {
                tasks.entry(task).or_default().unbilled = true;
            }
            _ => {}
        }
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_joined_from_its_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.ndjson");
        let text = concat!(
            "{\"event\":\"create_seen\",\"client_request_id\":\"att_1\"}\n",
            "{\"event\":\"task_made\",\"task\":\"cgt-1\",\"client_request_id\":\"att_1\",\"tokens\":9}\n",
            "{\"event\":\"billed\",\"task\":\"cgt-1\",\"tokens\":9,\"video_sha256\":\"ab\"}\n",
            "{\"event\":\"task_made\",\"task\":\"cgt-2\",\"client_request_id\":\"att_2\"}\n",
            "{\"event\":\"failed\",\"task\":\"cgt-2\",\"code\":\"X\"}\n",
        );
        std::fs::write(&path, text).unwrap();
        let tasks = read(&path).unwrap();
        assert_eq!(tasks["cgt-1"].attempt.as_deref(), Some("att_1"));
        assert_eq!(tasks["cgt-1"].tokens, Some(9));
        assert!(tasks["cgt-2"].unbilled && !tasks["cgt-1"].unbilled);
    }
}
