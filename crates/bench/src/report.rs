//! What was measured so far: samples in a file, a page printed from them.

use crate::figure::{Figure, number, table};
use crate::machine;
use crate::order::Order;
use crate::rows::ROWS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::path::Path;

const SAMPLES: &str = "docs/benchmarks/samples.json";
const PAGE: &str = "docs/benchmarks.md";
/// What stands above the tables: written by hand, kept by the printer.
const HEAD: &str = include_str!("page/head.md");
/// What the figures say, goal by goal.
const VERDICTS: &str = include_str!("page/verdicts.md");

/// Every row that was measured, as of its last measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Machine and versions of the last run.
    machine: Vec<String>,
    rows: BTreeMap<String, Measured>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    commit: String,
    figures: Vec<Figure>,
}

impl Report {
    /// As the clone has it; empty where it has none.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read.
    pub fn read() -> Result<Self> {
        match Path::new(SAMPLES).is_file() {
            true => serde_json::from_slice(&std::fs::read(SAMPLES)?).map_err(Error::other),
            false => Ok(Self::default()),
        }
    }

    /// A row was measured.
    pub fn put(&mut self, row: &str, figures: Vec<Figure>) {
        self.machine = machine::told();
        self.rows.insert(row.to_owned(), Measured { commit: machine::commit(), figures });
    }

    /// Writes samples and page, where the order says so.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub fn keep(&self, order: &Order) -> Result<()> {
        if order.write { self.write() } else { Ok(()) }
    }

    /// Writes samples and page.
    ///
    /// # Errors
    ///
    /// They cannot be written.
    pub fn write(&self) -> Result<()> {
        std::fs::create_dir_all("docs/benchmarks")?;
        let samples = serde_json::to_string_pretty(self).map_err(Error::other)?;
        std::fs::write(SAMPLES, compact(&samples) + "\n")?;
        std::fs::write(PAGE, self.page())
    }

    fn page(&self) -> String {
        let mut page = HEAD.replace("{machine}", &format!("- {}", self.machine.join("\n- ")));
        let own = ROWS.iter().map(|row| (row.name, row.about));
        let peers = crate::peers::ROWS.iter().copied();
        for (name, about) in own.chain(peers) {
            page.push_str(&format!("\n## `{name}`: {about}\n\n"));
            match self.rows.get(name) {
                None => page.push_str("Not measured on this machine.\n"),
                Some(row) => {
                    page.push_str(&table(&row.figures));
                    for figure in row.figures.iter().filter(|figure| !figure.note.is_empty()) {
                        page.push_str(&format!("\n- {}: {}", figure.what, figure.note));
                    }
                    page.push_str(&format!("\n\nMeasured at commit {}.\n", row.commit));
                }
            }
        }
        page + &self.side_by_side() + "\n" + VERDICTS
    }

    /// Medians of each figure that the fleet and its peers were measured by, and what each is of the fleet's.
    fn side_by_side(&self) -> String {
        let measured = |name: &str| self.rows.get(name);
        let names = crate::peers::ROWS.map(|(name, _)| name);
        let Some(own) = measured(names[0]) else { return String::new() };
        let mut page = format!(
            "\n## Side by side\n\n| Median (of the fleet's) | {} |\n",
            names.map(short).join(" | ")
        );
        page.push_str(&format!("| --- |{}\n", " --- |".repeat(names.len())));
        for figure in &own.figures {
            let cell = |name: &&str| {
                let same = |other: &&Figure| other.what == figure.what;
                let median = measured(name)?.figures.iter().find(same)?.median();
                let ratio = median / figure.median();
                let told = if ratio.is_finite() {
                    format!(" ({}×)", number(ratio))
                } else {
                    String::new()
                };
                Some(format!("{}{told}", number(median)))
            };
            let cells = names.iter().map(|name| cell(name).unwrap_or_else(|| "–".to_owned()));
            let unit =
                if figure.unit.is_empty() { String::new() } else { format!(", {}", figure.unit) };
            page.push_str(&format!(
                "| {}{unit} | {} |\n",
                figure.what,
                cells.collect::<Vec<_>>().join(" | ")
            ));
        }
        page
    }
}

/// A peer's own name.
fn short(name: &'static str) -> &'static str {
    name.strip_prefix("peer-").unwrap_or(name)
}

/// Numbers of a list on one line: a file of samples is read by people as well.
fn compact(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let mut inside = false;
    for line in json.lines() {
        let word = line.trim();
        if inside {
            inside = !word.starts_with(']');
            text.push_str(word);
            text.push_str(if word.ends_with(',') && inside { " " } else { "" });
        } else {
            inside = word.ends_with("\"samples\": [");
            text.push_str(line);
        }
        if !inside {
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_printed_from_the_samples() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the top");
        let (samples, page) = (root.join(SAMPLES), root.join(PAGE));
        if !samples.exists() {
            assert!(!page.exists(), "a page without samples");
            return;
        }
        let samples = std::fs::read(samples).expect("readable");
        let report: Report = serde_json::from_slice(&samples).expect("samples");
        let page = std::fs::read_to_string(page).expect("a page");
        assert_eq!(page, report.page(), "cargo xtask bench --print writes it anew");
    }

    #[test]
    fn samples_come_back_and_the_page_tells_what_was_not_measured() {
        let mut report = Report::default();
        report.put("bulk", vec![Figure::new("jobs", "jobs/s", vec![1.0, 2.0, 4.0]).noting("so")]);
        let json = compact(&serde_json::to_string_pretty(&report).expect("JSON"));
        assert_eq!(json.lines().filter(|line| line.contains("samples")).count(), 1, "{json}");
        assert!(json.lines().any(|line| line.contains("1.0, 2.0, 4.0")), "{json}");
        assert_eq!(serde_json::from_str::<Report>(&json).expect("the same"), report);
        let page = report.page();
        assert!(page.contains("- jobs: so") && page.contains("Not measured"), "{page}");
        report.put("peer-seedfleet", vec![Figure::new("life", "jobs/s", vec![50.0])]);
        report.put("peer-celery", vec![Figure::new("life", "jobs/s", vec![25.0])]);
        let page = report.page();
        assert!(page.contains("| life, jobs/s | 50 (1×) | – | 25 (0.5×) | – |"), "{page}");
    }
}
