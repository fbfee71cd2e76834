//! Jobs that came together.

use crate::shell::{Frame, Notice, Screen};
use crate::viewer::Viewer;
use crate::wording::{counted, grouped, lasting, share};
use crate::{PREFIX, chart, chips};
use job::{JobId, StateWord, Timestamp};
use maud::{Markup, html};
use std::time::Duration;

/// One batch in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its jobs by state.
    pub counts: Vec<(StateWord, u64)>,
}

/// The list.
#[derive(Debug)]
pub struct Batches<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// The server's clock.
    pub now: Timestamp,
    /// Newest first.
    pub rows: &'a [Row],
    /// There are more than are shown.
    pub more: bool,
}

/// One batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// Whose.
    pub tenant: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its jobs by state.
    pub counts: Vec<(StateWord, u64)>,
    /// How long the rest takes at the pace of late.
    pub left: Option<Duration>,
    /// What it has cost, where that is known.
    pub spent: Option<String>,
    /// Failures by code.
    pub failures: Vec<(String, u64)>,
    /// The newest stored jobs that have a picture.
    pub posters: Vec<JobId>,
}

fn sum(counts: &[(StateWord, u64)], fits: impl Fn(StateWord) -> bool) -> u64 {
    counts.iter().filter(|(word, _)| fits(*word)).map(|(_, n)| n).sum()
}

fn all(counts: &[(StateWord, u64)]) -> u64 {
    sum(counts, |_| true)
}

impl Batches<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            @if self.rows.is_empty() {
                p class="empty" { "No batch. A job joins one by its field " code { "batch" } "; " code { "seedfleet import --batch NAME" } " makes one of a file." }
            } @else {
                table class="rows" {
                    caption class="hidden" { "Batches, newest first" }
                    thead { tr { th scope="col" { "Batch" } th scope="col" class="span" { "Jobs by state" } th scope="col" class="num" { "Over" } th scope="col" class="num w" { "Jobs" } th scope="col" class="num w" { "Stored" } } }
                    tbody { @for row in self.rows { (line(row, self.viewer.tenant.is_none())) } }
                }
                @if self.more { p class="dim" { "There are more; the newest are shown." } }
            }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Batches, title: "Batches", notice: None, live: true }
            .around(&main)
    }
}

/// Whoever sees every tenant's is told whose each one is: names are the tenants' own.
fn line(row: &Row, of_all: bool) -> Markup {
    let whole = all(&row.counts);
    html! {
        tr {
            td {
                a href=(chart::batch(&row.tenant, &row.name)) { (row.name) }
                @if of_all { " " span class="dim" { (row.tenant) } }
            }
            td class="span" { (chart::bar(&row.counts, whole)) }
            td class="num" { (share(sum(&row.counts, StateWord::is_finished), whole)) }
            td class="num w" { (grouped(whole)) }
            td class="num w" { (grouped(sum(&row.counts, |word| word == StateWord::Succeeded))) }
        }
    }
}

impl Batch<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let whole = all(&self.counts);
        let over = sum(&self.counts, StateWord::is_finished);
        let mut filter = format!("batch={}", quoted(self.name));
        if self.viewer.tenant.is_none() {
            filter = format!("tenant={} {filter}", quoted(self.tenant));
        }
        let main = html! {
            p class="lede" {
                b { (share(over, whole)) } " over: " (grouped(over)) " of " (counted(whole, "job", "jobs"))
                @if let Some(left) = self.left { " · about " (lasting(left)) " to go" }
                @if let Some(spent) = &self.spent { " · spent " (spent) }
                " · " a href=(chart::filtered(&filter)) { "all its jobs" }
            }
            section aria-labelledby="progress" {
                h2 id="progress" { "Progress" }
                (chart::states(&self.counts, Some(&filter)))
            }
            (self.failures(&filter))
            (self.posters())
        };
        let Self { viewer, notice, .. } = *self;
        let title = format!("Batch {}", self.name);
        Frame { viewer, screen: Screen::Batches, title: &title, notice, live: over < whole }
            .around(&main)
    }

    fn failures(&self, filter: &str) -> Markup {
        if self.failures.is_empty() {
            return html! {};
        }
        html! {
            section aria-labelledby="failures" {
                h2 id="failures" { "Failures" }
                table {
                    thead { tr { th scope="col" { "Code" } th scope="col" class="num" { "Jobs" } } }
                    tbody {
                        @for (code, n) in &self.failures {
                            tr {
                                td { a class="mono" href=(chart::filtered(&format!("{filter} code={}", quoted(code)))) { (code) } }
                                td class="num" { (grouped(*n)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn posters(&self) -> Markup {
        if self.posters.is_empty() {
            return html! {};
        }
        html! {
            section aria-labelledby="newest" {
                h2 id="newest" { "Newest videos" }
                ul class="wall" {
                    @for id in &self.posters {
                        li {
                            a href={ (PREFIX) "/jobs/" (id) } {
                                img src={ (PREFIX) "/jobs/" (id) "/poster" } alt={ "Last frame of " (chips::short_id(id.as_str())) } loading="lazy" width="160" height="90";
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A value of the filter grammar, quoted where it must be.
pub(crate) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
