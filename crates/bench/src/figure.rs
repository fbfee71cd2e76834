//! One measured figure: what it is, what it was meant to be, and every sample.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// What a figure was meant to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Not more.
    AtMost(f64),
    /// Not less.
    AtLeast(f64),
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What was measured, in words.
    pub what: String,
    /// In which unit.
    pub unit: String,
    /// What it was meant to be, where the design says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// Each sample, in the order in which it was taken.
    pub samples: Vec<f64>,
    /// How it was measured, or why it is what it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl Figure {
    /// A figure without a goal.
    #[must_use]
    pub fn new(what: impl Into<String>, unit: &str, samples: Vec<f64>) -> Self {
        // Four digits are more than any of these means.
        let samples = samples.into_iter().map(rounded).collect();
        Self { what: what.into(), unit: unit.to_owned(), goal: None, samples, note: String::new() }
    }

    /// With what it was meant to be at most.
    #[must_use]
    pub fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtMost(goal));
        self
    }

    /// With what it was meant to be at least.
    #[must_use]
    pub fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtLeast(goal));
        self
    }

    /// With a word on how it was measured.
    #[must_use]
    pub fn noting(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Half of the samples are no larger.
    #[must_use]
    pub fn median(&self) -> f64 {
        percentile(&self.samples, 50.0)
    }

    /// Whether the median is what it was meant to be; none without a goal.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let median = self.median();
        self.goal.map(|goal| match goal {
            Goal::AtMost(most) => median <= most,
            Goal::AtLeast(least) => median >= least,
        })
    }

    /// The goal in words.
    #[must_use]
    pub fn goal_told(&self) -> String {
        match self.goal {
            None => "–".to_owned(),
            Some(Goal::AtMost(most)) => format!("≤ {}", number(most)),
            Some(Goal::AtLeast(least)) => format!("≥ {}", number(least)),
        }
    }

    /// Median and spread in words.
    #[must_use]
    pub fn told(&self) -> String {
        let (least, most) = (percentile(&self.samples, 0.0), percentile(&self.samples, 100.0));
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        match self.samples.as_slice() {
            [] => "nothing".to_owned(),
            [one] => format!("**{}**{unit}", number(*one)),
            all => format!(
                "**{}**{unit} ({} to {}, {} runs)",
                number(self.median()),
                number(least),
                number(most),
                all.len()
            ),
        }
    }
}

/// Figures of several runs, each with the samples of all of them; a note is that of the first.
pub fn together(runs: impl Iterator<Item = Vec<Figure>>) -> Vec<Figure> {
    let mut all: Vec<Figure> = Vec::new();
    for figure in runs.flatten() {
        match all.iter_mut().find(|known| known.what == figure.what) {
            Some(known) => known.samples.extend(figure.samples),
            None => all.push(figure),
        }
    }
    all
}

/// The sample below or at which so many percent lie; zero where there is none.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a place in a list, from 0 to its last"
)]
pub fn percentile(samples: &[f64], percent: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let place = (last as f64 * percent / 100.0).round() as usize;
    sorted.get(place.min(last)).copied().unwrap_or(0.0)
}

fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

/// With as many digits as say something, thousands apart.
#[must_use]
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        0.0 => 0,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((text.as_str(), ""));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut apart = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { format!("{sign}{apart}") } else { format!("{sign}{apart}.{rest}") }
}

/// Figures as a table, for a page or a terminal.
#[must_use]
pub fn table(figures: &[Figure]) -> String {
    let mut page =
        String::from("| Measured | Goal | Median (spread) | |\n| --- | --- | --- | --- |\n");
    for figure in figures {
        let verdict = match figure.is_met() {
            None => "",
            Some(true) => "met",
            Some(false) => "**missed**",
        };
        let (what, goal) = (&figure.what, figure.goal_told());
        // Writing to a text does not fail.
        let _ = writeln!(page, "| {what} | {goal} | {} | {verdict} |", figure.told());
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_tells_median_spread_and_verdict() {
        let figure = Figure::new("jobs", "jobs/s", vec![900.0, 1_200.0, 1_100.0]).at_least(1_000.0);
        assert_eq!(figure.told(), "**1,100** jobs/s (900 to 1,200, 3 runs)");
        assert_eq!((figure.is_met(), figure.goal_told().as_str()), (Some(true), "≥ 1,000"));
        assert_eq!(figure.clone().at_most(5.0).is_met(), Some(false));
        let one = Figure::new("reads", "", vec![1.25]);
        assert_eq!((one.told().as_str(), one.is_met()), ("**1.25**", None));
        assert!(table(&[figure, one]).contains("| jobs | ≥ 1,000 | **1,100** jobs/s"));
    }

    #[test]
    fn numbers_have_the_digits_that_say_something() {
        let all = [0.0, 0.17, 12.34, 99.5, 1_234.5, 1_234_567.0, -12_345.0];
        let told = ["0", "0.17", "12.3", "99.5", "1,234", "1,234,567", "-12,345"];
        assert_eq!(all.map(number), told.map(str::to_owned));
        assert_eq!(percentile(&[3.0, 1.0, 2.0], 50.0), 2.0);
        assert_eq!(percentile(&[], 50.0), 0.0);
    }
}
