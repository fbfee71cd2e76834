//! What the provider and the configuration allow.

use crate::bottleneck::Stop;
use crate::forms::{self, Weight};
use crate::notice::Notice;
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, clock, grouped};
use crate::{PREFIX, chart};
use job::Timestamp;
use maud::{Markup, html};

/// One class of one account.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Of which pool.
    pub pool: String,
    /// Whose money.
    pub account: String,
    /// Which class.
    pub class: String,
    /// Slots in use.
    pub used: u64,
    /// Slots that may be used now.
    pub limit: u64,
    /// Slots as configured.
    pub configured: u64,
    /// Creates a minute now.
    pub create_rpm: f64,
    /// Creates a minute as configured.
    pub configured_rpm: u64,
}

/// Why a pool begins no attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// Who did it.
    pub by: String,
    /// A person wanted it, so that a person may end it; else the fleet must be looked into first.
    pub asked: bool,
}

/// One pool and its switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Which.
    pub name: String,
    /// Its route: `byteplus`.
    pub route: &'static str,
    /// It talks to a simulator.
    pub simulated: bool,
    /// It is frozen.
    pub frozen: Option<Frozen>,
}

/// The screen.
#[derive(Debug)]
pub struct Limits<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// Every pool.
    pub pools: &'a [Pool],
    /// Every class of every account.
    pub rows: &'a [Row],
    /// What is lower than configured: by whom, since when, until when and why.
    pub lowered: &'a [String],
    /// Accounts that were stopped.
    pub stops: &'a [Stop],
}

impl Limits<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            section class="first" aria-labelledby="pools" {
                h2 id="pools" { "Creates" }
                @for pool in self.pools { (self.pool(pool)) }
            }
            section aria-labelledby="classes" {
                h2 id="classes" { "What the provider allows" }
                (self.classes())
                p class="dim" { "As configured under " code { "pools.*.accounts.*" } "; the provider counts running tasks and creates a minute for each class. Lower at once, for the whole fleet: " code { "seedfleet limits set" } "." }
            }
            @if !self.lowered.is_empty() {
                section aria-labelledby="lowered" {
                    h2 id="lowered" { "Lower than configured" }
                    ul { @for sentence in self.lowered { li { (sentence) } } }
                }
            }
            @if !self.stops.is_empty() { (self.stops()) }
        };
        let Self { viewer, notice, .. } = *self;
        Frame { viewer, screen: Screen::Limits, title: "Limits", notice, live: Live::Fleet }
            .around(&main)
    }

    fn pool(&self, pool: &Pool) -> Markup {
        let base = format!("{PREFIX}/limits/{}", chart::encoded(&pool.name));
        let (class, word) = match pool.frozen {
            Some(_) => ("s-failed", "frozen"),
            None => ("s-succeeded", "open"),
        };
        html! {
            article class="group" {
                header {
                    b { (pool.name) }
                    span class="state" { i class={ "dot " (class) } {} (word) }
                    span class="dim" { (pool.route) @if pool.simulated { ", simulated: nothing is billed" } }
                }
                @match &pool.frozen {
                    None => { p { "Attempts begin as slots and pace allow." } }
                    Some(frozen) => {
                        p { "No attempt begins since " (clock(frozen.since, self.now)) ", by " b { (frozen.by) } ": " (frozen.why) ". What is at the provider goes on." }
                        @if !frozen.asked {
                            p class="advice" { "The fleet froze itself. Find out first whether anything would be bought twice: " code { "seedfleet reconcile --after-restore" } "." }
                        }
                    }
                }
                @if self.viewer.role.rules() {
                    @match &pool.frozen {
                        None => {
                            (forms::verb(self.viewer, &format!("{base}/freeze"), "Freeze", &format!("why-{}", pool.name), Weight::Grave, &html! {
                                p { "No new task is bought in this pool, by anybody, until a person thaws it. Running tasks are polled and fetched as ever." }
                            }))
                        }
                        Some(frozen) if frozen.asked => {
                            (forms::verb(self.viewer, &format!("{base}/thaw"), "Thaw", &format!("why-{}", pool.name), Weight::Plain, &html! {
                                p { "Attempts begin again." }
                            }))
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn classes(&self) -> Markup {
        html! {
            table {
                caption class="hidden" { "Limits" }
                thead { tr { th scope="col" { "Class" } th scope="col" { "Account" } th scope="col" class="span" { "Slots" } th scope="col" class="num" { "In use" } th scope="col" class="num w" { "Creates a minute" } } }
                tbody {
                    @for row in self.rows {
                        tr {
                            th scope="row" { (row.class) }
                            td { (row.pool) " / " (row.account) }
                            td class="span" { (chart::share_bar(100.0 * row.used as f64 / row.limit.max(1) as f64, "s-running")) }
                            td class="num" { (chart::used(row.used, row.limit)) @if row.limit < row.configured { span class="dim" { " of " (grouped(row.configured)) } } }
                            td class="num w" { @if row.create_rpm < row.configured_rpm as f64 { (row.create_rpm) span class="dim" { " of " (grouped(row.configured_rpm)) } } @else { (grouped(row.configured_rpm)) } }
                        }
                    }
                }
            }
        }
    }

    fn stops(&self) -> Markup {
        html! {
            section aria-labelledby="stops" {
                h2 id="stops" { "Stopped accounts" }
                table {
                    thead { tr { th scope="col" { "Account" } th scope="col" { "By" } th scope="col" { "Until" } } }
                    tbody { @for stop in self.stops { tr { td { (stop.account) } td class="mono" { (stop.code) } td { (ago(stop.until, self.now)) } } } }
                }
            }
        }
    }
}
