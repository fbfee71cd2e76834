//! Charts as SVG. Geometry stands in attributes, colours in the style sheet's classes.

use crate::wording::{clock, grouped, lasting, share};
use crate::{PREFIX, chips};
use job::{StateWord, Timestamp};
use maud::{Markup, html};
use std::fmt::Write;
use std::time::Duration;

/// Cells of one class drawn one by one; a larger account is drawn to scale.
const CELLS_MAX: u64 = 160;
/// Ages at which a cell takes the next colour.
const AGES: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(180), Duration::from_secs(600)];

/// Jobs accepted and finished per step of time, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Throughput {
    /// When the first step began.
    pub from: Timestamp,
    /// Length of a step.
    pub step: Duration,
    /// Accepted in each.
    pub accepted: Vec<u64>,
    /// Finished in each.
    pub finished: Vec<u64>,
}

/// One slot in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Since when its job holds it.
    pub age: Duration,
    /// Nobody knows whether a task exists.
    pub in_doubt: bool,
}

impl Throughput {
    /// Per minute, over the last steps.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn rate(&self, series: &[u64], steps: usize) -> f64 {
        let last = &series[series.len().saturating_sub(steps)..];
        let seconds = self.step.as_secs_f64() * last.len().max(1) as f64;
        60.0 * last.iter().sum::<u64>() as f64 / seconds.max(1.0)
    }

    pub(crate) fn chart(&self) -> Markup {
        let steps = self.accepted.len().max(self.finished.len()).max(2);
        let top = top(self.accepted.iter().chain(&self.finished).copied().max().unwrap_or(0));
        let end = self.from + self.step * u32::try_from(steps).unwrap_or(u32::MAX);
        let (sum_in, sum_out) =
            (self.accepted.iter().sum::<u64>(), self.finished.iter().sum::<u64>());
        let told = format!(
            "In the last {}: {} accepted, {} finished",
            lasting(end.since(self.from)),
            grouped(sum_in),
            grouped(sum_out)
        );
        html! {
            figure class="chart" {
                figcaption {
                    span class="key" { i class="swatch in" {} "accepted" }
                    span class="key" { i class="swatch out" {} "finished" }
                    span class="dim" { "jobs in steps of " (lasting(self.step)) }
                }
                div class="plot" {
                    div class="y" aria-hidden="true" { span { (grouped(top)) } span { (grouped(top / 2)) } span { "0" } }
                    svg viewBox={ "0 0 " (steps * 10) " 100" } preserveAspectRatio="none" role="img" aria-label=(told) {
                        line class="rule" x1="0" x2=(steps * 10) y1="50" y2="50" {}
                        line class="rule" x1="0" x2=(steps * 10) y1="1" y2="1" {}
                        path class="out-area" d=(area(&self.finished, top)) {}
                        path class="out-line" d=(line(&self.finished, top)) {}
                        path class="in-line" d=(line(&self.accepted, top)) {}
                        @for at in 0..steps {
                            rect class="hit" x=(at * 10) y="0" width="10" height="100" {
                                title { (self.told(at)) }
                            }
                        }
                    }
                    div class="x" aria-hidden="true" { span { (clock(self.from, end)) } span { "now" } }
                }
            }
        }
    }

    fn told(&self, at: usize) -> String {
        let of = |series: &[u64]| grouped(series.get(at).copied().unwrap_or(0));
        let begun = self.from + self.step * u32::try_from(at).unwrap_or(u32::MAX);
        let text = begun.rfc3339();
        let time = text.get(11..19).unwrap_or_default();
        format!("{time}: {} accepted, {} finished", of(&self.accepted), of(&self.finished))
    }
}

/// A round number that the highest value stays below.
fn top(highest: u64) -> u64 {
    let mut scale = 1_u64;
    loop {
        for step in [2, 4, 10] {
            if scale.saturating_mul(step) >= highest {
                return scale.saturating_mul(step);
            }
        }
        scale = scale.saturating_mul(10);
    }
}

#[allow(clippy::cast_precision_loss)]
fn points(series: &[u64], top: u64) -> impl Iterator<Item = (usize, f64)> {
    let height = move |value: u64| 100.0 - 98.0 * value as f64 / top.max(1) as f64;
    series.iter().enumerate().map(move |(at, value)| (at * 10 + 5, height(*value)))
}

fn line(series: &[u64], top: u64) -> String {
    let mut path = String::new();
    for (x, y) in points(series, top) {
        let verb = if path.is_empty() { 'M' } else { 'L' };
        // Writing to a text cannot fail.
        let _ = write!(path, "{verb}{x} {y:.1}");
    }
    path
}

fn area(series: &[u64], top: u64) -> String {
    let mut path = line(series, top);
    if let Some(last) = series.len().checked_sub(1) {
        let _ = write!(path, "L{} 100L5 100Z", last * 10 + 5);
    }
    path
}

/// Jobs by state as one bar, with its legend; a legend's entry leads to these jobs.
pub(crate) fn states(counts: &[(StateWord, u64)], within: Option<&str>) -> Markup {
    let all: u64 = counts.iter().map(|(_, n)| n).sum();
    html! {
        (bar(counts, all))
        ul class="legend" {
            @for (word, n) in counts.iter().filter(|(_, n)| *n > 0) {
                li {
                    a href=(filtered(&with(within, *word))) {
                        (chips::state(*word)) " " b { (grouped(*n)) }
                    }
                }
            }
            @if all == 0 { li class="dim" { "no jobs" } }
        }
    }
}

/// The bar alone.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn bar(counts: &[(StateWord, u64)], all: u64) -> Markup {
    let mut start = 0.0;
    let mut parts = Vec::new();
    for (word, n) in counts.iter().filter(|(_, n)| *n > 0) {
        let width = 100.0 * *n as f64 / all.max(1) as f64;
        parts.push((word, n, start, width));
        start += width;
    }
    html! {
        svg class="bar" width="100%" height="14" role="img" aria-label=(told(counts, all)) {
            rect class="track" width="100%" height="14" {}
            @for (word, n, start, width) in parts {
                rect class={ "s-" (word.as_str()) } x=(format!("{start:.3}%")) width=(format!("{width:.3}%")) height="14" {
                    title { (chips::spoken(*word)) ": " (grouped(*n)) " (" (share(*n, all)) ")" }
                }
            }
        }
    }
}

fn told(counts: &[(StateWord, u64)], all: u64) -> String {
    let parts = counts.iter().filter(|(_, n)| *n > 0);
    let parts: Vec<String> =
        parts.map(|(word, n)| format!("{} {}", grouped(*n), chips::spoken(*word))).collect();
    if parts.is_empty() {
        "no jobs".to_owned()
    } else {
        format!("{all} jobs: {}", parts.join(", "))
    }
}

fn with(within: Option<&str>, word: StateWord) -> String {
    let state = format!("state={}", word.as_str());
    within.map_or_else(|| state.clone(), |within| format!("{within} {state}"))
}

/// The address of the jobs that a filter finds.
pub(crate) fn filtered(filter: &str) -> String {
    format!("{PREFIX}/jobs?where={}", encoded(filter))
}

/// Where a tenant's batch is shown.
pub(crate) fn batch(tenant: &str, name: &str) -> String {
    let path = encoded(name).replace('+', "%20");
    format!("{PREFIX}/batches/{path}?tenant={}", encoded(tenant))
}

/// Percent-encoded for a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// The slots of one class: a cell for each, coloured by how long its job has held it.
pub(crate) fn slots(used: &[Cell], limit: u64) -> Markup {
    let told = format!("{} of {} slots in use", used.len(), limit);
    let each = limit.div_ceil(CELLS_MAX).max(1);
    let stride = usize::try_from(each).unwrap_or(1);
    let mut ages: Vec<Cell> = used.to_vec();
    ages.sort_by_key(|cell| std::cmp::Reverse(cell.age));
    let drawn: Vec<Cell> = ages.into_iter().step_by(stride).collect();
    let free = limit.div_ceil(each).saturating_sub(drawn.len() as u64);
    html! {
        div class="cells" role="img" aria-label=(told) {
            @for cell in drawn {
                i class={ "cell " (shade(cell)) } title={ (lasting(cell.age)) @if cell.in_doubt { ", in doubt" } } {}
            }
            @for _ in 0..free { i class="cell free" {} }
        }
        @if each > 1 { p class="dim" { "one cell stands for " (each) " slots" } }
    }
}

fn shade(cell: Cell) -> &'static str {
    if cell.in_doubt {
        return "doubt";
    }
    match AGES.iter().filter(|age| cell.age >= **age).count() {
        0 => "age-0",
        1 => "age-1",
        2 => "age-2",
        _ => "age-3",
    }
}

/// What the colours of the cells mean.
pub(crate) fn ages() -> Markup {
    html! {
        p class="keys" {
            @for (class, text) in [("age-0", "under 1 m"), ("age-1", "1 to 3 m"), ("age-2", "3 to 10 m"), ("age-3", "longer"), ("doubt", "in doubt"), ("free", "free")] {
                span class="key" { i class={ "cell " (class) } {} (text) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throughput() -> Throughput {
        Throughput {
            from: Timestamp::from_unix_s(1_795_705_200),
            step: Duration::from_secs(60),
            accepted: vec![0, 3, 9],
            finished: vec![0, 1, 4],
        }
    }

    #[test]
    fn the_axis_ends_at_a_round_number() {
        let tops = [0, 1, 2, 3, 9, 10, 11, 41, 199].map(top);
        assert_eq!(tops, [2, 2, 2, 4, 10, 10, 20, 100, 200]);
    }

    #[test]
    fn a_chart_says_in_words_what_it_draws() {
        let chart = throughput().chart().into_string();
        assert!(chart.contains("In the last 3 m 00 s: 12 accepted, 5 finished"), "{chart}");
        assert!(chart.contains("9 accepted, 4 finished"));
        assert!(!chart.contains("style="));
        assert!((throughput().rate(&[0, 3, 9], 2) - 6.0).abs() < 1e-9);
    }

    #[test]
    fn an_empty_chart_is_still_a_chart() {
        let none = Throughput { accepted: vec![], finished: vec![], ..throughput() };
        assert!(none.chart().into_string().contains("0 accepted"));
        assert!(none.rate(&[], 5).abs() < 1e-9);
    }

    #[test]
    fn the_bar_is_whole_and_leads_to_its_jobs() {
        let counts = [(StateWord::Queued, 1), (StateWord::Failed, 3), (StateWord::Parked, 0)];
        let page = states(&counts, Some("batch=\"a b\"")).into_string();
        assert!(page.contains("x=\"25.000%\" width=\"75.000%\""), "{page}");
        assert!(page.contains("/ui/jobs?where=batch%3D%22a+b%22+state%3Dfailed"), "{page}");
        assert!(!page.contains("s-parked"));
        assert!(states(&[], None).into_string().contains("no jobs"));
    }

    #[test]
    fn a_large_account_is_drawn_to_scale() {
        let cell = Cell { age: Duration::from_secs(90), in_doubt: false };
        let page = slots(&[cell; 400], 1_600).into_string();
        assert_eq!(page.matches("age-1").count(), 40);
        assert_eq!(page.matches("free").count(), 120);
        assert!(page.contains("one cell stands for 10 slots"));
        let small = slots(&[Cell { in_doubt: true, ..cell }], 3).into_string();
        assert!(small.contains("cell doubt") && small.matches("free").count() == 2);
    }
}
