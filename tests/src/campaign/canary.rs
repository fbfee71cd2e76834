//! Words that no log, no metric and no key of the server may hold: keys, callback tokens, prompts.
//!
//! Prompts are looked for in logs and metrics only: records and intents hold the request, and have to.

use super::audit::Audit;
use super::ground::{CALLER_KEY, PROMPT_CANARY, PROVIDER_KEYS};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// What metrics are saved as, beside the logs.
const METRICS: &str = "metrics";
/// What a program says of its admin listener.
const LISTENS: &str = "admin listener:";

/// Saves what every living program tells about itself, to be read with the logs.
///
/// # Errors
///
/// Nobody tells anything, which proves nothing, or a file cannot be written.
pub(super) async fn save_metrics(dir: &Path) -> Result<(), String> {
    let logs = std::fs::read_dir(dir.join("logs")).map_err(|error| error.to_string())?;
    let mut saved = 0;
    for entry in logs {
        let path = entry.map_err(|error| error.to_string())?.path();
        let text = std::fs::read(&path).map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().find(|line| line.contains(LISTENS));
        let address = last.and_then(|line| line.split_once("listen=")).map(|(_, rest)| rest.trim());
        let Some(address) = address else { continue };
        // A program that died since then has another address by now, or none.
        let Ok(answer) =
            super::ground::client().get(format!("http://{address}/metrics")).send().await
        else {
            continue;
        };
        let told = answer.text().await.map_err(|error| error.to_string())?;
        let name = format!("{}.{METRICS}", path.file_stem().unwrap_or_default().to_string_lossy());
        std::fs::write(dir.join("logs").join(name), told).map_err(|error| error.to_string())?;
        saved += 1;
    }
    if saved == 0 { Err("no program told its metrics".to_owned()) } else { Ok(()) }
}

/// 8: reads every file the server keeps its commands in.
///
/// # Errors
///
/// A file cannot be read.
pub(super) fn search_server(data: &Path, audit: &mut Audit) -> Result<(), String> {
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|error| error.to_string())? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|error| error.to_string())?;
            for needle in secrets() {
                if bytes.windows(needle.len()).any(|part| part == needle.as_bytes()) {
                    audit.wrong(format!("8: the server keeps {needle}"));
                }
            }
        }
    }
    Ok(())
}

/// Keys, which nobody may write down anywhere.
fn secrets() -> impl Iterator<Item = &'static str> {
    PROVIDER_KEYS.into_iter().chain([CALLER_KEY, "canary-callback-key"])
}

/// 8: reads every log of the run, and the metrics saved beside them.
///
/// # Errors
///
/// A log cannot be read.
pub(super) fn search(dir: &Path, tokens: &[String], audit: &mut Audit) -> Result<(), String> {
    let logs = std::fs::read_dir(dir.join("logs")).map_err(|error| error.to_string())?;
    let needles: Vec<&str> = secrets().chain([PROMPT_CANARY]).collect();
    let tokens: BTreeSet<&str> = tokens.iter().map(String::as_str).collect();
    for entry in logs {
        let path = entry.map_err(|error| error.to_string())?.path();
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let mut line = Vec::new();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        while reader.read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
            let text = String::from_utf8_lossy(&line);
            if let Some(needle) = needles.iter().find(|needle| text.contains(**needle)) {
                audit.wrong(format!("8: {name} holds {needle}"));
            }
            if text.contains("/cb/v1/") && text.split('/').any(|word| tokens.contains(word.trim()))
            {
                audit.wrong(format!("8: {name} holds a callback token"));
            }
            if text.contains("panicked at") {
                audit.wrong(format!("2: {name}: {}", text.trim()));
            }
            line.clear();
        }
    }
    Ok(())
}
