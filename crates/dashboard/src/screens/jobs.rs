//! Jobs by a filter, and one verb for all of them.

use crate::forms::{self, Weight};
use crate::shell::{Frame, Notice, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, counted, cut, grouped};
use crate::{PREFIX, chart, chips};
use job::{Record, StateWord, Timestamp};
use maud::{Markup, html};

/// Letters of a prompt in a row.
const PROMPT_LETTERS: usize = 90;
/// Filters offered beside the field, with what they are called.
const OFFERED: [(&str, &str); 7] = [
    ("All", ""),
    ("Waiting", "state=queued"),
    ("At the provider", "state=submitting,running,overdue"),
    ("Downloading", "state=downloading"),
    ("Succeeded", "state=succeeded"),
    ("Failed", "state=failed,expired,output_lost,timed_out"),
    ("Undecided", "state=held,in_doubt,parked"),
];
/// Shown by the field as it is typed in.
const HINTS: [&str; 8] = [
    "state=running",
    "state=failed",
    "batch=",
    "code=",
    "tenant=",
    "custom_id=",
    "age>1h",
    "created>2026-01-01T00:00:00Z",
];

/// What can be done to all jobs of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bulk {
    /// Cancel those that can still be.
    Cancel,
}

impl Bulk {
    /// The word in the form.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
        }
    }

    /// Reads the word of a form.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Cancel].into_iter().find(|bulk| bulk.word() == word)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "Cancel",
        }
    }
}

/// The screen.
#[derive(Debug)]
pub struct Jobs<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// The filter as it was written.
    pub filter: &'a str,
    /// What is wrong with it; nothing is listed then.
    pub fault: Option<String>,
    /// One page, newest first.
    pub items: &'a [Record],
    /// Where the next page begins.
    pub next: Option<String>,
    /// This is not the first page.
    pub later: bool,
}

impl Jobs<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            (self.bar())
            @if let Some(fault) = &self.fault {
                p class="notice grave" role="alert" { (fault) }
            } @else {
                (rows(self.items, self.now, self.viewer.tenant.is_none()))
                (self.pages())
                @if self.viewer.role.acts() && !self.items.is_empty() { (self.bulk()) }
            }
        };
        let Self { viewer, notice, .. } = *self;
        // Later pages stand still: a refresh would move their rows under the reader's eyes.
        let live = !self.later && self.fault.is_none();
        Frame { viewer, screen: Screen::Jobs, title: "Jobs", notice, live }.around(&main)
    }

    fn bar(&self) -> Markup {
        html! {
            search {
                form class="filter row" method="get" action={ (PREFIX) "/jobs" } {
                    label for="where" { "Filter" }
                    input id="where" name="where" type="text" value=(self.filter) list="hints" maxlength="4096"
                        autocomplete="off" spellcheck="false" placeholder="state=failed batch=spring-ads age>1h"
                        aria-invalid=[self.fault.as_ref().map(|_| "true")];
                    datalist id="hints" { @for hint in HINTS { option value=(hint) {} } }
                    button class="button" type="submit" { "Show" }
                }
            }
            ul class="offers" aria-label="Filters" {
                @for (name, filter) in OFFERED {
                    li {
                        a href=(chart::filtered(filter)) aria-current=[(filter == self.filter).then_some("true")] { (name) }
                    }
                }
            }
        }
    }

    fn pages(&self) -> Markup {
        let filter = chart::filtered(self.filter);
        html! {
            nav class="pages" aria-label="Pages" {
                @if self.later { a href=(filter) rel="first" { "Newest" } }
                @if let Some(next) = &self.next {
                    a href={ (filter) "&cursor=" (chart::encoded(next)) } rel="next" { "Older" }
                }
            }
        }
    }

    fn bulk(&self) -> Markup {
        html! {
            details class="verb" {
                summary { "Act on all that match" }
                form method="post" action={ (PREFIX) "/jobs/act" } {
                    (forms::token(self.viewer))
                    input type="hidden" name="where" value=(self.filter);
                    p { "The next page counts them and asks for a reason; nothing happens yet." }
                    div class="row" {
                        button class="button" type="submit" name="verb" value=(Bulk::Cancel.word()) { (Bulk::Cancel.name()) " all …" }
                    }
                }
            }
        }
    }
}

/// A table of jobs.
pub(crate) fn rows(items: &[Record], now: Timestamp, tenants: bool) -> Markup {
    if items.is_empty() {
        return html! { p class="empty" { "No job fits." } };
    }
    html! {
        table class="jobs rows" {
            caption class="hidden" { "Jobs, newest first" }
            thead {
                tr {
                    th scope="col" { "Job" }
                    th scope="col" { "State" }
                    th scope="col" class="wide" { "Prompt" }
                    th scope="col" class="w" { "Model" }
                    @if tenants { th scope="col" class="w" { "Tenant" } }
                    th scope="col" class="w" { "Batch" }
                    th scope="col" class="num" { "Age" }
                }
            }
            tbody {
                @for record in items {
                    @let (spec, state) = (&record.spec, &record.life.state);
                    tr {
                        td { (chips::job(&record.id)) }
                        td { (chips::state(state.word())) @if let Some(code) = state.failure_code() { " " span class="code" { (code) } } }
                        td class="wide" { (cut(spec.request.prompt().unwrap_or("(no text)"), PROMPT_LETTERS)) }
                        td class="w" { (spec.request.model.word()) " " span class="dim" { (spec.request.resolution) } }
                        @if tenants { td class="w" { (spec.tenant) } }
                        td class="w" {
                            @if let Some(batch) = &spec.batch {
                                a href=(chart::batch(&spec.tenant, batch)) { (cut(batch, 24)) }
                            }
                        }
                        td class="num" { (ago(record.created_at, now)) }
                    }
                }
            }
        }
    }
}

/// The step between a bulk verb and its deed: what would be done, to how many, and why.
#[derive(Debug)]
pub struct Confirm<'a> {
    /// Who decides.
    pub viewer: &'a Viewer,
    /// Which verb.
    pub bulk: Bulk,
    /// Of which jobs.
    pub filter: &'a str,
    /// How many jobs match.
    pub matching: u64,
    /// Counting stopped at a bound: there are at least so many.
    pub more: bool,
    /// Of these, how many the verb can change, by state.
    pub counts: Vec<(StateWord, u64)>,
    /// The reason was missing.
    pub fault: Option<&'a str>,
}

impl Confirm<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let able: u64 = self.counts.iter().map(|(_, n)| n).sum();
        let title = format!("{} all that match", self.bulk.name());
        let main = html! {
            @if let Some(fault) = self.fault { p class="notice grave" role="alert" { (fault) } }
            p {
                @if self.more { "At least " }
                b { (counted(self.matching, "job fits", "jobs fit")) } " the filter "
                code { (if self.filter.is_empty() { "(all)" } else { self.filter }) } ". "
                (match self.bulk {
                    Bulk::Cancel => "These are not over yet, and can be asked to stop:",
                })
            }
            (chart::states(&self.counts, Some(self.filter).filter(|filter| !filter.is_empty())))
            @if able == 0 { p { "Nothing to do." } } @else {
                form method="post" action={ (PREFIX) "/jobs/act" } class="decide" {
                    (forms::token(self.viewer))
                    input type="hidden" name="where" value=(self.filter);
                    input type="hidden" name="verb" value=(self.bulk.word());
                    input type="hidden" name="confirmed" value=(able);
                    div class="row" {
                        (forms::reason("why"))
                        button type="submit" class=(forms::class(Weight::Grave)) { (self.bulk.name()) " " (grouped(able)) }
                    }
                }
            }
            p { a href=(chart::filtered(self.filter)) { "Back to the list" } }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Jobs, title: &title, notice: None, live: false }
            .around(&main)
    }
}
