//! The whole at a glance.

use crate::bottleneck::{Class, Facts};
use crate::chart::{self, Cell, Throughput};
use crate::shell::{Frame, Notice, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, grouped, lasting};
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
    /// What limits the fleet, and how full its classes are; `None` for a tenant's own view.
    pub facts: Option<Facts>,
    /// The slots in use, by class in the order of [`Facts::classes`].
    pub cells: Vec<Vec<Cell>>,
    /// What today has cost, in words.
    pub spent: Option<String>,
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
            section aria-labelledby="flow" {
                h2 id="flow" { "In and out" }
                (self.throughput.chart())
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
        Frame { viewer, screen: Screen::Fleet, title, notice, live: true }.around(&main)
    }

    fn sentence(&self) -> Markup {
        let Some(facts) = &self.facts else { return html! {} };
        let sentence = facts.sentence();
        html! {
            p class={ "limit" @if sentence.grave { " grave" } } {
                span class="dim" { "What limits us now" }
                strong { (sentence.text) }
                @if self.simulated { span class="tag" { "simulated: nothing is billed" } }
            }
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
                (tile("Waiting", &html! { (grouped(count(&[StateWord::Queued]))) }, self.waited()))
                @if let Some(facts) = &self.facts {
                    @let (free, limit) = facts.headroom();
                    (tile("Headroom", &html! { (grouped(free)) small { " of " (grouped(limit)) } }, Some(html! { "free slots" })))
                }
                @if let Some(spent) = &self.spent {
                    (tile("Spent today", &html! { (spent) }, Some(html! { "by jobs of this day (UTC)" })))
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
                    thead { tr { th scope="col" { "Class" } th scope="col" { "By age" } th scope="col" class="num" { "In use" } th scope="col" class="num w" { "Waiting" } } }
                    tbody {
                        @for (at, class) in classes.iter().enumerate() {
                            tr {
                                th scope="row" { (class.name) }
                                td class="span" { (chart::slots(self.cells.get(at).map_or(&[], Vec::as_slice), class.limit)) }
                                td class="num" { (grouped(class.used)) " / " (grouped(class.limit)) }
                                td class="num w" { (grouped(class.due)) }
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
                table {
                    thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Job" } th scope="col" class="w" { "Why" } } }
                    tbody {
                        @for alarm in &self.alarms {
                            tr {
                                td { (ago(alarm.at, self.now)) }
                                td { (alarm.what.replace('_', " ")) }
                                td { @if let Some(id) = &alarm.job { (chips::job(id)) } @else { "the pool" } }
                                td class="w" { (alarm.why.as_deref().unwrap_or("")) }
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
