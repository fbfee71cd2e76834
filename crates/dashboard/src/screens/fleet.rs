//! The whole at a glance.

use crate::bottleneck::{Class, Facts};
use crate::chart::{self, Backlog, Cell, Throughput};
use crate::notice::Notice;
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, grouped, lasting, share};
use crate::{PREFIX, chips};
use job::{JobId, StateWord, Timestamp};
use maud::{Markup, html};
use std::time::Duration;

/// Steps of the chart that make up the rate in words.
const RATE_STEPS: usize = 10;

/// Something a commit raised an alarm about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alarm {
    /// When.
    pub at: Timestamp,
    /// What: `output_lost`.
    pub what: String,
    /// About which job.
    pub job: Option<JobId>,
    /// More, where a person or the quarantine said it.
    pub why: Option<String>,
}

/// A day's bound and what of it is taken, in millionths of the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The bound in words.
    pub text: String,
    /// Taken by what the jobs accepted today cost or may yet cost.
    pub taken: u64,
    /// The bound.
    pub most: u64,
}

/// The screen.
#[derive(Debug)]
pub struct Fleet<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// A pool of this fleet is simulated: nothing in it is billed.
    pub simulated: bool,
    /// Jobs by state.
    pub counts: Vec<(StateWord, u64)>,
    /// What comes in and goes out.
    pub throughput: Throughput,
    /// Where the unfinished jobs were of late.
    pub backlog: Backlog,
    /// What limits the fleet, and how full its classes are; `None` for a tenant's own view.
    pub facts: Option<Facts>,
    /// The slots in use, by class in the order of [`Facts::classes`].
    pub cells: Vec<Vec<Cell>>,
    /// What the jobs that ended today cost, in words; none where nothing was spent.
    pub spent: Option<String>,
    /// What a tenant's jobs may cost a day, where that is bounded.
    pub budget: Option<Budget>,
    /// The first output link to die, from now.
    pub tightest: Option<Duration>,
    /// The newest alarms.
    pub alarms: Vec<Alarm>,
}

impl Fleet<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            (self.sentence())
            (self.tiles())
            div class="pair" {
                section aria-labelledby="flow" {
                    h2 id="flow" { "In and out" }
                    (self.throughput.chart())
                }
                section aria-labelledby="backlog" {
                    h2 id="backlog" { "Unfinished jobs" }
                    (self.backlog.chart())
                }
            }
            section aria-labelledby="states" {
                h2 id="states" { "Jobs by state" }
                (chart::states(&self.counts, None))
            }
            @if let Some(facts) = &self.facts { (self.slots(&facts.classes)) }
            @if !self.alarms.is_empty() { (self.alarms()) }
        };
        let title = "Fleet";
        let Self { viewer, notice, .. } = *self;
        Frame { viewer, screen: Screen::Fleet, title, notice, live: Live::Fleet }.around(&main)
    }

    fn sentence(&self) -> Markup {
        let Some(facts) = &self.facts else { return html! {} };
        let limit = &facts.limit;
        html! {
            p class={ "limit" @if limit.grave { " grave" } } {
                span class="dim" { "What limits us now" }
                strong { (limit.text) }
                @if self.simulated { span class="tag" { "simulated: nothing is billed" } }
                @if let Some((command, page)) = limit.next {
                    span class="dim" { "next: " code { (command) } ", " (page) }
                }
            }
            @for also in &facts.also { p class="dim" { "Also: " (also) } }
        }
    }

    fn tiles(&self) -> Markup {
        let count = |words: &[StateWord]| -> u64 {
            self.counts.iter().filter(|(word, _)| words.contains(word)).map(|(_, n)| n).sum()
        };
        let attention = count(&[StateWord::InDoubt, StateWord::Parked]);
        let chart = &self.throughput;
        let rates = [&chart.accepted, &chart.finished].map(|series| chart.rate(series, RATE_STEPS));
        html! {
            dl class="tiles" {
                (tile("In", &html! { (format!("{:.1}", rates[0])) small { " /min" } }, None))
                (tile("Out", &html! { (format!("{:.1}", rates[1])) small { " /min" } }, None))
                (tile("Waiting", &html! { a href=(chart::filtered("state=queued")) { (grouped(count(&[StateWord::Queued]))) } }, self.waited()))
                @if let Some(facts) = &self.facts {
                    @let (free, limit) = facts.headroom();
                    (tile("Headroom", &html! { (grouped(free)) small { " of " (grouped(limit)) } }, Some(html! { "free slots" })))
                }
                (tile("Spent today", &html! { (self.spent.as_deref().unwrap_or("nothing")) }, Some(html! { "by jobs that ended (UTC)" })))
                @if let Some(budget) = &self.budget {
                    (tile("Of the day’s budget", &html! { (share(budget.taken, budget.most)) }, Some(html! { "of " (budget.text) })))
                }
                (tile("In doubt", &html! { a href={ (PREFIX) "/doubt" } { (grouped(attention)) } }, None))
                (tile("Held", &html! { a href={ (PREFIX) "/review" } { (grouped(count(&[StateWord::Held]))) } }, None))
                @if let Some(left) = self.tightest {
                    (tile("First link dies in", &html! { (lasting(left)) }, None))
                }
            }
        }
    }

    fn waited(&self) -> Option<Markup> {
        let oldest = self.facts.as_ref()?.oldest?;
        Some(html! { "oldest " (lasting(oldest)) })
    }

    fn slots(&self, classes: &[Class]) -> Markup {
        html! {
            section aria-labelledby="slots" {
                h2 id="slots" { "Slots at the provider" }
                table class="slots" {
                    thead { tr { th scope="col" { "Class" } th scope="col" class="num" { "In use" } th scope="col" class="num" { "Waiting" } th scope="col" class="span" { "A cell for each slot, by how long its job has held it" } } }
                    tbody {
                        @for (at, class) in classes.iter().enumerate() {
                            tr {
                                th scope="row" { (class.name) }
                                td class="num" { (chart::used(class.used, class.limit)) }
                                td class="num" { (grouped(class.due)) }
                                td class="span" { (chart::slots(self.cells.get(at).map_or(&[], Vec::as_slice), class.limit)) }
                            }
                        }
                    }
                }
                (chart::ages())
            }
        }
    }

    fn alarms(&self) -> Markup {
        html! {
            section aria-labelledby="alarms" {
                h2 id="alarms" { "Alarms" }
                table class="rows" {
                    thead { tr { th scope="col" { "What" } th scope="col" { "Job" } th scope="col" class="wide" { "Why" } th scope="col" class="num" { "When" } } }
                    tbody {
                        @for alarm in &self.alarms {
                            tr {
                                td { (alarm.what.replace('_', " ")) }
                                td { @if let Some(id) = &alarm.job { (chips::job(id)) } @else { "the pool" } }
                                td class="wide" { (alarm.why.as_deref().unwrap_or("")) }
                                td class="num" { (ago(alarm.at, self.now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn tile(name: &str, value: &Markup, note: Option<Markup>) -> Markup {
    html! {
        div class="tile" {
            dt { (name) }
            dd { span class="big" { (value) } @if let Some(note) = note { span class="dim" { (note) } } }
        }
    }
}
