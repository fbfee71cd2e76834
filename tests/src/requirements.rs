//! Every requirement, and the tests that prove it.
//!
//! The lines stand in `docs/requirements.toml`. A test proves a line by the comment
//! `// covers: M6, M24/create-stored` directly above it. [`page`] prints both as
//! `docs/requirements.md`; [`faults`] finds lines without a proof and proofs without a line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;

const TAG: &str = "covers:";

/// The data file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// In the order of the page.
    #[serde(rename = "line")]
    pub lines: Vec<Line>,
}

/// One requirement.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// `M7`, or `M7/queued` for a row of its table.
    pub id: String,
    /// What must hold.
    pub text: String,
    /// The name of the issue that brings it, when that is not this one.
    pub later: Option<String>,
    /// True for a line about the repository itself, which no run of the fleet can show: a house
    /// rule proves it.
    #[serde(default)]
    pub structural: bool,
}

/// A test that carries a tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Proof {
    /// The file, from the top of the clone, with `/` between names.
    pub file: String,
    /// The test function.
    pub test: String,
    /// The lines it proves.
    pub ids: Vec<String>,
}

impl Proof {
    /// True for a test of this package that drives real programs against the simulator.
    #[must_use]
    pub fn is_end_to_end(&self) -> bool {
        self.file.starts_with("tests/it/") && !self.is_house_rule()
    }

    fn is_house_rule(&self) -> bool {
        self.file.starts_with("tests/it/tidy/")
    }
}

impl Requirements {
    /// Reads the data file's text.
    ///
    /// # Errors
    ///
    /// The TOML reader's message, with the place.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// The tags of one Rust file, and what is wrong with those that tag nothing.
#[must_use]
pub fn proofs(file: &str, text: &str) -> (Vec<Proof>, Vec<String>) {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(ids) = line.strip_prefix("//").and_then(|rest| rest.trim().strip_prefix(TAG))
        else {
            continue;
        };
        let ids: Vec<String> = ids.split(',').map(|id| id.trim().to_owned()).collect();
        // Between the tag and its function stand only attributes and other comments.
        let head: Vec<&&str> = lines[index + 1..]
            .iter()
            .take_while(|line| line.starts_with("//") || line.starts_with('#'))
            .collect();
        let is_test = head.iter().any(|line| line.starts_with("#[") && line.contains("test"));
        let function = lines.get(index + 1 + head.len()).and_then(|line| function_name(line));
        match function.filter(|_| is_test) {
            Some(test) => found.push(Proof { file: file.to_owned(), test, ids }),
            None => faults.push(format!("{file}:{}: this tag stands above no test", index + 1)),
        }
    }
    (found, faults)
}

fn function_name(line: &str) -> Option<String> {
    let (before, after) = line.split_once("fn ")?;
    let plain = before.split_whitespace().all(|word| matches!(word, "pub" | "async"));
    let name = after.split(|c: char| !(c.is_alphanumeric() || c == '_')).next()?;
    (plain && !name.is_empty()).then(|| name.to_owned())
}

/// Everything wrong between lines and proofs: tags without a line, lines twice, and, where
/// `every_line` asks for it, lines that no end-to-end test proves.
#[must_use]
pub fn faults(requirements: &Requirements, proofs: &[Proof], every_line: bool) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known = BTreeSet::new();
    for line in &requirements.lines {
        if !known.insert(line.id.as_str()) {
            faults.push(format!("docs/requirements.toml: {} stands there twice", line.id));
        }
    }
    for proof in proofs {
        for id in proof.ids.iter().filter(|id| !known.contains(id.as_str())) {
            let Proof { file, test, .. } = proof;
            faults.push(format!("{file}: {test} covers {id:?}, which is no requirement"));
        }
    }
    for line in requirements.lines.iter().filter(|line| every_line && line.later.is_none()) {
        let counts = |proof: &&Proof| {
            proof.ids.contains(&line.id)
                && (proof.is_end_to_end() || line.structural && proof.is_house_rule())
        };
        if !proofs.iter().any(|proof| counts(&proof)) {
            faults.push(format!("{} has no end-to-end test against the simulator", line.id));
        }
    }
    faults
}

/// The page, as it stands in `docs/requirements.md`.
#[must_use]
pub fn page(requirements: &Requirements, proofs: &[Proof]) -> String {
    let mut by_id: BTreeMap<&str, BTreeSet<&Proof>> = BTreeMap::new();
    for proof in proofs {
        for id in &proof.ids {
            by_id.entry(id).or_default().insert(proof);
        }
    }
    let mut page = String::from(
        "# Requirements and their proofs\n\n\
         *Printed by `cargo xtask docs` from `docs/requirements.toml` and the tags in the tests; a \
         test compares it. A test proves a line by `// covers: M6` above it. Tests in bold are \
         end-to-end: real programs against the simulated provider.*\n\n\
         | Line | What must hold | Tests |\n| --- | --- | --- |\n",
    );
    for line in &requirements.lines {
        let proofs = by_id.get(line.id.as_str()).into_iter().flatten();
        let mut cells: Vec<String> = proofs.map(|proof| link(proof)).collect();
        if let Some(issue) = &line.later {
            cells.insert(0, format!("*later: {issue}*"));
        }
        if cells.is_empty() {
            cells.push("–".to_owned());
        }
        let Line { id, text, .. } = line;
        let _ = writeln!(page, "| {id} | {} | {} |", text.trim(), cells.join("<br>"));
    }
    page
}

fn link(proof: &Proof) -> String {
    let bold = if proof.is_end_to_end() { "**" } else { "" };
    format!("{bold}[{}](../{}){bold}", proof.test, proof.file)
}
