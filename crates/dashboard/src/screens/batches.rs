//! Jobs that came together.

use crate::forms::{self, Weight};
use crate::notice::Notice;
use crate::screens::operations::{self, Operation};
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, counted, cut, grouped, lasting, share};
use crate::{PREFIX, chart, chips};
use job::{JobId, StateWord, Timestamp};
use maud::{Markup, html};
use std::time::Duration;

/// Letters of a name in a list.
const NAME_LETTERS: usize = 48;

/// What is known of a batch, in the list and on its page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Whose.
    pub tenant: String,
    /// `running`, `paused`, `completed` or `completed_with_failures`.
    pub word: &'static str,
    /// Its jobs by state.
    pub counts: Vec<(StateWord, u64)>,
    /// Refused rows that are kept: they made no job.
    pub rejects: u64,
    /// When its first upload began, or its first job was taken in.
    pub created_at: Timestamp,
    /// What its finished jobs cost, in words; none before there is any.
    pub spent: Option<String>,
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
    /// Batches passed over before these.
    pub skipped: usize,
    /// Batches to pass over for the next page, where there is one.
    pub next: Option<usize>,
}

/// Failures with one code, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub code: String,
    /// Jobs.
    pub jobs: u64,
    /// They were paid for.
    pub paid: bool,
    /// What to do.
    pub advice: String,
}

/// Why a batch sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Who paused it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
}

/// One batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// As in the list.
    pub row: &'a Row,
    /// When it will have ended, in words; none when it has.
    pub eta: Option<String>,
    /// How long it took from its first job to its last end; none while it goes on.
    pub took: Option<Duration>,
    /// What one stored video costs on average, in words.
    pub each: Option<String>,
    /// It is paused.
    pub paused: Option<Pause>,
    /// What may be bought for it, what was, and how many jobs wait for that, in words; none without a cap.
    pub budget: Option<String>,
    /// Failures by code, most frequent first.
    pub failures: &'a [Failure],
    /// Verbs on its jobs, newest first.
    pub operations: &'a [Operation],
    /// The newest stored jobs that have a picture.
    pub posters: &'a [JobId],
}

fn sum(counts: &[(StateWord, u64)], fits: impl Fn(StateWord) -> bool) -> u64 {
    counts.iter().filter(|(word, _)| fits(*word)).map(|(_, n)| n).sum()
}

impl Row {
    fn all(&self) -> u64 {
        sum(&self.counts, |_| true)
    }

    fn over(&self) -> u64 {
        sum(&self.counts, StateWord::is_finished)
    }

    /// Jobs of it are not over, or more are on their way.
    fn is_open(&self) -> bool {
        matches!(self.word, "running" | "paused")
    }

    fn stored(&self) -> u64 {
        sum(&self.counts, |word| word == StateWord::Succeeded)
    }

    /// Where it is shown, or where a verb on it is sent to.
    fn address(&self, verb: &str) -> String {
        chart::batch(&self.tenant, &self.name, verb)
    }

    /// What finds its jobs. Names are their tenants' own.
    fn filter(&self, viewer: &Viewer) -> String {
        let batch = format!("batch={}", quoted(&self.name));
        match viewer.tenant {
            Some(_) => batch,
            None => format!("tenant={} {batch}", quoted(&self.tenant)),
        }
    }

    fn state(&self) -> Markup {
        let class = match self.word {
            "paused" => "s-held",
            "completed" => "s-succeeded",
            "completed_with_failures" => "s-failed",
            _ => "s-running",
        };
        html! { span class="state" { i class={ "dot " (class) } {} (self.word.replace('_', " ")) } }
    }
}

impl Batches<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let tenants = self.viewer.tenant.is_none();
        let main = html! {
            @if self.rows.is_empty() {
                p class="empty" {
                    @if self.skipped > 0 { "There are no older batches." } @else {
                        "No batch yet. " code { "POST /v1/batches?batch=NAME" } " and " code { "seedfleet import --batch NAME" } " make one of many requests."
                    }
                }
            } @else {
                table class="rows batches" {
                    caption class="hidden" { "Batches, newest first" }
                    thead { tr {
                        th scope="col" { "Batch" } th scope="col" { "State" } th scope="col" class="span" { "Jobs by state" }
                        th scope="col" class="num" { "Over" } th scope="col" class="num w" { "Jobs" } th scope="col" class="num w" { "Stored" }
                        th scope="col" class="num w" { "Spent" }
                        @if tenants { th scope="col" class="w" { "Tenant" } }
                        th scope="col" class="num" { "Begun" }
                    } }
                    tbody { @for row in self.rows { (self.line(row, tenants)) } }
                }
            }
            (self.pages())
        };
        let viewer = self.viewer;
        let live = if self.skipped == 0 { Live::Fleet } else { Live::Still };
        Frame { viewer, screen: Screen::Batches, title: "Batches", notice: None, live }
            .around(&main)
    }

    fn line(&self, row: &Row, tenants: bool) -> Markup {
        let whole = row.all();
        html! {
            tr {
                td { a class="name" href=(row.address("")) title=(row.name) { (cut(&row.name, NAME_LETTERS)) } }
                td { (row.state()) }
                td class="span" { (chart::bar(&row.counts, whole)) }
                td class="num" { (share(row.over(), whole)) span class="m" { " over" } }
                td class="num w" { (grouped(whole)) }
                td class="num w" { (grouped(row.stored())) }
                td class="num w" { @match &row.spent { Some(spent) => { (spent) } None => { span class="dim" { "–" } } } }
                @if tenants { td class="w" { (row.tenant) } }
                td class="num" { (ago(row.created_at, self.now)) }
            }
        }
    }

    fn pages(&self) -> Markup {
        let base = format!("{PREFIX}/batches");
        html! {
            @if self.skipped > 0 || self.next.is_some() {
                nav class="pages" aria-label="Pages" {
                    @if self.skipped > 0 { a href=(base) rel="first" { "Newest" } }
                    @if let Some(next) = self.next { a href={ (base) "?skip=" (next) } rel="next" { "Older" } }
                }
            }
        }
    }
}

impl Batch<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let row = self.row;
        let (whole, over) = (row.all(), row.over());
        let filter = row.filter(self.viewer);
        let main = html! {
            p class="lede" {
                (row.state())
                span { b { (share(over, whole)) } " over: " (grouped(over)) " of " (counted(whole, "job", "jobs")) }
                @if let Some(took) = self.took { span { "· took " (lasting(took)) } }
                a href=(chart::filtered(&filter)) { "All its jobs" }
            }
            @if let Some(eta) = &self.eta { p class="dim" { "To go: " (eta) "." } }
            @if let Some(pause) = &self.paused { (self.pause(pause)) }
            @if let Some(budget) = &self.budget { p class="notice" { (budget) } }
            @if self.viewer.role.acts() && row.is_open() { (self.verbs()) }
            section class="first" aria-labelledby="progress" {
                h2 id="progress" class="hidden" { "Progress" }
                (chart::states(&row.counts, Some(&filter)))
            }
            (self.tiles())
            (self.failures(&filter, whole))
            (self.posters())
            (operations::section(self.operations, self.now))
        };
        let Self { viewer, notice, .. } = *self;
        let title = format!("Batch {}", row.name);
        let live = Live::Batch { tenant: &row.tenant, name: &row.name };
        let live = if row.is_open() { live } else { Live::Still };
        Frame { viewer, screen: Screen::Batches, title: &title, notice, live }.around(&main)
    }

    fn pause(&self, pause: &Pause) -> Markup {
        html! {
            p class="notice" {
                "Paused by " b { (pause.by) } " " (ago(pause.at, self.now)) ": " (pause.reason)
            }
        }
    }

    fn verbs(&self) -> Markup {
        let to = |verb: &str| self.row.address(verb);
        html! {
            div class="verbs" {
                @if self.paused.is_some() {
                    (forms::verb(self.viewer, &to("resume"), "Resume", "why-resume", Weight::Plain, &html! {
                        p { "Its paused jobs go back to where they stood in the queue." }
                    }))
                } @else {
                    (forms::verb(self.viewer, &to("pause"), "Pause", "why-pause", Weight::Plain, &html! {
                        p { "None of its waiting jobs is sent from then on, nor those that come later. What is at the provider goes on." }
                    }))
                }
                (forms::verb(self.viewer, &to("cancel"), "Cancel", "why-cancel", Weight::Grave, &html! {
                    p { "Jobs that wait are over at once and cost nothing. Those at the provider stop only if it has not begun with them." }
                }))
            }
        }
    }

    fn tiles(&self) -> Markup {
        let row = self.row;
        html! {
            dl class="tiles" {
                (tile("Stored", &html! { (grouped(row.stored())) }))
                (tile("Failed", &html! { (grouped(self.failures.iter().map(|failure| failure.jobs).sum())) }))
                @if row.rejects > 0 { (tile("Rows refused", &html! { (grouped(row.rejects)) })) }
                (tile("Spent", &html! { (row.spent.as_deref().unwrap_or("nothing yet")) }))
                @if let Some(each) = &self.each { (tile("A stored video", &html! { (each) })) }
                (tile("Begun", &html! { (ago(row.created_at, self.now)) }))
                (tile("Tenant", &html! { (row.tenant) }))
            }
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn failures(&self, filter: &str, whole: u64) -> Markup {
        if self.failures.is_empty() {
            return html! {};
        }
        let most = self.failures.iter().map(|failure| failure.jobs).max().unwrap_or(1).max(1);
        html! {
            section aria-labelledby="failures" {
                h2 id="failures" { "Failures" }
                table class="rows measure" {
                    thead { tr { th scope="col" { "Code" } th scope="col" class="span w" { "Share of the failed" } th scope="col" class="num" { "Jobs" } th scope="col" class="num w" { "Of all" } th scope="col" class="wide" { "What to do" } } }
                    tbody {
                        @for failure in self.failures {
                            tr {
                                td { a class="mono" href=(chart::filtered(&format!("{filter} code={}", quoted(&failure.code)))) { (failure.code) } @if failure.paid { " " span class="tag grave" { "paid" } } }
                                td class="span w" { (chart::share_bar(100.0 * failure.jobs as f64 / most as f64, "s-failed")) }
                                td class="num" { (grouped(failure.jobs)) span class="m" { " jobs" } }
                                td class="num w" { (share(failure.jobs, whole)) }
                                td class="wide" { (failure.advice) }
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
                    @for id in self.posters {
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

fn tile(name: &str, value: &Markup) -> Markup {
    html! { div class="tile" { dt { (name) } dd { span class="big" { (value) } } } }
}

/// A value of the filter grammar, quoted where it must be.
pub(crate) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '/');
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
