//! Jobs by a filter, and one verb for all of them.

use crate::forms::{self, Weight};
use crate::notice::Notice;
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, counted, cut, grouped};
use crate::{PREFIX, chart, chips};
use job::{Record, StateWord, Timestamp};
use maud::{Markup, html};

/// Letters of a prompt in a row.
const PROMPT_LETTERS: usize = 160;
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
    /// Let those that wait be sent only when they are resumed.
    Pause,
    /// Let paused ones go on.
    Resume,
    /// Make new jobs of the requests of those that ended badly.
    Retry,
    /// Leave failed ones out of lists of failures.
    Dismiss,
}

impl Bulk {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Cancel, Self::Pause, Self::Resume, Self::Retry, Self::Dismiss];

    /// The word in the form.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::Dismiss => "dismiss",
        }
    }

    /// Reads the word of a form.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bulk| bulk.word() == word)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Cancel => "Cancel",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Retry => "Run again",
            Self::Dismiss => "Dismiss",
        }
    }

    const fn told(self) -> &'static str {
        match self {
            Self::Cancel => {
                "These are not over yet. What waits stops and costs nothing; what runs at the provider \
                 stops only if it has not begun with it."
            }
            Self::Pause => "These wait for their create, and would wait until they are resumed.",
            Self::Resume => {
                "These are held. Paused ones go back to where they stood in the queue; those that wait \
                 for a review go on waiting for it."
            }
            Self::Retry => {
                "These ended without a video. The request of each becomes a new job, which buys a task of its own."
            }
            Self::Dismiss => {
                "These failed. Lists of failures leave them out from here on; they stand as they ended, and can be run again."
            }
        }
    }

    const fn weight(self) -> Weight {
        match self {
            Self::Cancel | Self::Retry => Weight::Grave,
            Self::Pause | Self::Resume | Self::Dismiss => Weight::Plain,
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
                @if self.items.is_empty() { (self.nothing()) } @else {
                    (rows(self.items, self.now, self.viewer.tenant.is_none()))
                }
                (self.pages())
                // On all jobs there are, a verb is never meant.
                @if self.viewer.role.acts() && !self.items.is_empty() && !self.filter.is_empty() { (self.bulk()) }
            }
        };
        let Self { viewer, notice, .. } = *self;
        // Later pages stand still: a refresh would move their rows under the reader's eyes.
        let still = self.later || self.fault.is_some();
        let live = if still { Live::Still } else { Live::Fleet };
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

    fn nothing(&self) -> Markup {
        html! {
            p class="empty" {
                @if self.next.is_some() { "No job fits among those looked at; there are older ones." }
                @else if self.filter.is_empty() && !self.later {
                    "No job yet. " code { "POST /v1/jobs" } " or " code { "seedfleet submit -p \"a paper boat\"" } " makes the first one."
                } @else { "No job fits." }
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
                        @for bulk in Bulk::ALL {
                            button class=(forms::class(bulk.weight())) type="submit" name="verb" value=(bulk.word()) { (bulk.name()) " all …" }
                        }
                    }
                }
            }
        }
    }
}

/// A table of jobs.
pub(crate) fn rows(items: &[Record], now: Timestamp, tenants: bool) -> Markup {
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
                        td { (chips::state(state.word())) }
                        td class="wide" {
                            span class="cut" {
                                span { (cut(spec.request.prompt().unwrap_or("(no text)"), PROMPT_LETTERS)) }
                                @if let Some(code) = state.failure_code() { span class="code" title=(code) { (code) } }
                            }
                        }
                        td class="w" { (spec.request.model.word()) " " span class="dim" { (spec.request.resolution) } }
                        @if tenants { td class="w" { (spec.tenant) } }
                        td class="w" {
                            @if let Some(batch) = &spec.batch {
                                a href=(chart::batch(&spec.tenant, batch, "")) { (cut(batch, 24)) }
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
    /// What new jobs would cost, in words, and how many of the old ones may have been paid already; of
    /// [`Bulk::Retry`].
    pub charge: Option<(String, u64)>,
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
                code { (self.filter) } ". "
                @if able > 0 { (self.bulk.told()) }
            }
            (chart::states(&self.counts, Some(self.filter)))
            @if able == 0 { p { "Nothing to do: none of them can be changed so." } } @else {
                form method="post" action={ (PREFIX) "/jobs/act" } class="decide" {
                    (forms::token(self.viewer))
                    input type="hidden" name="where" value=(self.filter);
                    input type="hidden" name="verb" value=(self.bulk.word());
                    input type="hidden" name="counted" value=(able);
                    p class="dim" { "Jobs that come later are left alone." }
                    @if let Some((cost, paid_again)) = &self.charge {
                        p {
                            "The new jobs cost " b { (cost) } @if self.more { " for those that were counted" } ". "
                            @if *paid_again > 0 { (counted(*paid_again, "of the old ones may have been paid already", "of the old ones may have been paid already")) "." }
                        }
                        p class="check" {
                            input type="checkbox" id="accept" name="accept_charge" value="true" required;
                            label for="accept" { "It may be charged" }
                        }
                    }
                    div class="row" {
                        (forms::reason("why"))
                        button type="submit" class=(forms::class(self.bulk.weight())) { (self.bulk.name()) " " @if self.more { "all" } @else { (grouped(able)) } }
                    }
                }
            }
            p { a href=(chart::filtered(self.filter)) { "Back to the list" } }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Jobs, title: &title, notice: None, live: Live::Still }
            .around(&main)
    }
}
