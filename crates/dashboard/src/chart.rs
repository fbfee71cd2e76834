//! Charts as SVG. Geometry stands in attributes, colours in the style sheet's classes.

use crate::wording::{clock, grouped, lasting, share};
use crate::{PREFIX, chips};
use job::{StateWord, Timestamp};
use maud::{Markup, html};
use std::fmt::Write;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
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
        let highest = self.accepted.iter().chain(&self.finished).copied().max().unwrap_or(0);
        let steps = self.accepted.len().max(self.finished.len());
        let axes = Axes::new(self.from, self.step, steps, highest);
        let sums = [&self.accepted, &self.finished].map(|series| grouped(series.iter().sum()));
        let span = lasting(axes.end().since(self.from));
        let label = format!("In the last {span}: {} accepted, {} finished", sums[0], sums[1]);
        let of = |series: &[u64], at| grouped(series.get(at).copied().unwrap_or(0));
        let tip = |at| {
            format!("{} accepted, {} finished", of(&self.accepted, at), of(&self.finished, at))
        };
        let paths = html! {
            path class="out-area" d=(area(&self.finished, axes.top)) {}
            path class="out-line" d=(line(&self.finished, axes.top)) {}
            path class="in-line" d=(line(&self.accepted, axes.top)) {}
        };
        html! {
            figure class="chart" {
                figcaption {
                    span class="key" { i class="swatch in" {} "accepted" }
                    span class="key" { i class="swatch out" {} "finished" }
                    span class="dim" { "jobs in each " @if self.step == MINUTE { "minute" } @else { (lasting(self.step)) } }
                }
                (axes.draw(&label, &paths, tip))
            }
        }
    }
}

/// Where an unfinished job is. The chart stacks them in this order, the lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Its task is being made, or being asked for.
    Provider,
    /// Its video is on the way into the bucket.
    Download,
    /// Nobody knows whether there is a task, or a person must decide.
    Undecided,
    /// It waits for its create.
    Waiting,
}

impl Stage {
    /// All, in order.
    pub const ALL: [Self; 4] = [Self::Provider, Self::Download, Self::Undecided, Self::Waiting];

    /// None for a job that is over.
    #[must_use]
    pub const fn of(word: StateWord) -> Option<Self> {
        match word {
            StateWord::Queued => Some(Self::Waiting),
            StateWord::Submitting | StateWord::Running | StateWord::Overdue => Some(Self::Provider),
            StateWord::Downloading => Some(Self::Download),
            StateWord::Held | StateWord::InDoubt | StateWord::Parked => Some(Self::Undecided),
            StateWord::Succeeded
            | StateWord::Failed
            | StateWord::Expired
            | StateWord::Cancelled
            | StateWord::Rejected
            | StateWord::NotUseful
            | StateWord::GivenUp
            | StateWord::OutputLost
            | StateWord::TimedOut => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Provider => "at the provider",
            Self::Download => "downloading",
            Self::Undecided => "held or in doubt",
            Self::Waiting => "waiting",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Provider => "s-running",
            Self::Download => "s-downloading",
            Self::Undecided => "s-in_doubt",
            Self::Waiting => "s-queued",
        }
    }
}

/// Unfinished jobs at the end of each step of time, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// When the first step began.
    pub from: Timestamp,
    /// Length of a step.
    pub step: Duration,
    /// Jobs of each stage, in the order of [`Stage::ALL`].
    pub stages: [Vec<u64>; Stage::ALL.len()],
}

impl Backlog {
    pub(crate) fn chart(&self) -> Markup {
        let steps = self.stages.iter().map(Vec::len).max().unwrap_or(0);
        let at = |stage: usize, step: usize| self.stages[stage].get(step).copied().unwrap_or(0);
        // The upper edge of each stage; that of the one before is its lower one.
        let mut edges = vec![vec![0; steps]];
        for stage in 0..Stage::ALL.len() {
            let below = &edges[stage];
            edges.push(below.iter().enumerate().map(|(step, n)| n + at(stage, step)).collect());
        }
        let highest = edges.last().and_then(|edge| edge.iter().copied().max()).unwrap_or(0);
        let axes = Axes::new(self.from, self.step, steps, highest);
        let tip = |step| {
            let told: Vec<String> = Stage::ALL
                .iter()
                .enumerate()
                .map(|(stage, of)| format!("{} {}", grouped(at(stage, step)), of.name()))
                .collect();
            told.join(", ")
        };
        let label = format!("Unfinished jobs now: {}", tip(steps.saturating_sub(1)));
        let paths = html! {
            @for (stage, edge) in Stage::ALL.iter().zip(edges.windows(2)) {
                path class={ "band " (stage.class()) } d=(band(&edge[0], &edge[1], axes.top)) {}
            }
        };
        html! {
            figure class="chart" {
                figcaption {
                    @for stage in Stage::ALL.iter().rev() {
                        span class="key" { i class={ "swatch square " (stage.class()) } {} (stage.name()) }
                    }
                }
                (axes.draw(&label, &paths, tip))
            }
        }
    }
}

/// The frame of a chart over time.
struct Axes {
    from: Timestamp,
    step: Duration,
    steps: usize,
    top: u64,
}

impl Axes {
    fn new(from: Timestamp, step: Duration, steps: usize, highest: u64) -> Self {
        Self { from, step, steps: steps.max(2), top: top(highest) }
    }

    fn at(&self, step: usize) -> Timestamp {
        self.from + self.step * u32::try_from(step).unwrap_or(u32::MAX)
    }

    fn end(&self) -> Timestamp {
        self.at(self.steps)
    }

    fn draw(&self, label: &str, paths: &Markup, tip: impl Fn(usize) -> String) -> Markup {
        let wide = self.steps * 10;
        html! {
            div class="plot" {
                div class="y" aria-hidden="true" { span { (grouped(self.top)) } span { (grouped(self.top / 2)) } span { "0" } }
                svg viewBox={ "0 0 " (wide) " 100" } preserveAspectRatio="none" role="img" aria-label=(label) {
                    line class="rule" x1="0" x2=(wide) y1="50" y2="50" {}
                    line class="rule" x1="0" x2=(wide) y1="1" y2="1" {}
                    (paths)
                    line class="rule ground" x1="0" x2=(wide) y1="100" y2="100" {}
                    @for step in 0..self.steps {
                        rect class="hit" x=(step * 10) y="0" width="10" height="100" {
                            title { (self.at(step).rfc3339().get(11..16).unwrap_or_default()) " UTC: " (tip(step)) }
                        }
                    }
                }
                div class="x" aria-hidden="true" { span { (clock(self.from, self.end())) } span { "now" } }
            }
        }
    }
}

/// A round number that the highest value stays below.
fn top(highest: u64) -> u64 {
    let mut scale = 1_u64;
    loop {
        for step in [2, 4, 6, 8, 10] {
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

/// What lies between two edges.
fn band(lower: &[u64], upper: &[u64], top: u64) -> String {
    let mut path = line(upper, top);
    let back: Vec<(usize, f64)> = points(lower, top).collect();
    for (x, y) in back.into_iter().rev() {
        let _ = write!(path, "L{x} {y:.1}");
    }
    if !path.is_empty() {
        path.push('Z');
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

/// A bar that is filled up to so many percent.
pub(crate) fn share_bar(percent: f64, class: &str) -> Markup {
    html! {
        svg class="bar" width="100%" height="8" aria-hidden="true" {
            rect class="track" width="100%" height="8" {}
            rect class=(class) width=(format!("{:.2}%", percent.clamp(0.0, 100.0))) height="8" {}
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

/// Where a tenant's batch is shown, or where a verb on it is sent to.
pub(crate) fn batch(tenant: &str, name: &str, verb: &str) -> String {
    let path = encoded(name).replace('+', "%20");
    let verb = if verb.is_empty() { String::new() } else { format!("/{verb}") };
    format!("{PREFIX}/batches/{path}{verb}?tenant={}", encoded(tenant))
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

/// Slots in use and all of them, and what was sent ahead of a free one.
pub(crate) fn used(used: u64, limit: u64) -> Markup {
    html! {
        (grouped(used.min(limit))) " / " (grouped(limit))
        @if used > limit { " " span class="dim" title="sent ahead: in the provider’s own queue" { "+" (grouped(used - limit)) } }
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
        assert_eq!(tops, [2, 2, 2, 4, 10, 10, 20, 60, 200]);
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
    fn stages_are_stacked_and_told_at_every_step() {
        let stages = [vec![1, 2], vec![0, 1], vec![0, 0], vec![3, 1]];
        let at = Timestamp::from_unix_s(1_795_705_200);
        let chart = Backlog { from: at, step: MINUTE, stages }.chart().into_string();
        let now = "2 at the provider, 1 downloading, 0 held or in doubt, 1 waiting";
        assert!(chart.contains(&format!("Unfinished jobs now: {now}")), "{chart}");
        // Of four: the lowest stage rises from one to two, the highest ends at four both times.
        assert!(chart.contains("M5 75.5L15 51.0L15 100.0L5 100.0Z"), "{chart}");
        assert!(chart.contains("M5 2.0L15 2.0L15 26.5L5 75.5Z"), "{chart}");
        let none = Backlog { from: at, step: MINUTE, stages: Default::default() }.chart();
        assert!(none.into_string().contains("0 at the provider"));
        assert!(StateWord::ALL.iter().all(|word| Stage::of(*word).is_none() == word.is_finished()));
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
