//! Words that no log may hold: keys, callback tokens, prompts.

use super::audit::Audit;
use super::ground::{CALLER_KEY, PROMPT_CANARY, PROVIDER_KEYS};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// 8: reads every log of the run.
///
/// # Errors
///
/// A log cannot be read.
pub(super) fn search(dir: &Path, tokens: &[String], audit: &mut Audit) -> Result<(), String> {
    let logs = std::fs::read_dir(dir.join("logs")).map_err(|error| error.to_string())?;
    let needles: Vec<&str> = PROVIDER_KEYS
        .into_iter()
        .chain([CALLER_KEY, PROMPT_CANARY, "canary-callback-key"])
        .collect();
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
