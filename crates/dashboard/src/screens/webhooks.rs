//! Who hears the news, how that goes, and telling somebody again.

use crate::forms::{self, Weight};
use crate::notice::Notice;
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, clock, counted, grouped, lasting};
use crate::{PREFIX, chips};
use job::{JobId, Timestamp};
use maud::{Markup, html};
use std::time::Duration;

/// One address that hears of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The address, without what may be secret in it.
    pub url: String,
    /// What it is for, in its owner's words.
    pub description: String,
    /// The types of events it hears.
    pub types: Vec<String>,
    /// Why it is off, in words, and since when; none while it is on.
    pub off: Option<(String, Timestamp)>,
    /// News that waits.
    pub waiting: u64,
    /// Why the entry that is due was not taken, where it was not.
    pub trouble: Option<String>,
    /// When that is tried again.
    pub next_at: Option<Timestamp>,
}

/// The screen.
#[derive(Debug)]
pub struct Webhooks<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// The server's clock.
    pub now: Timestamp,
    /// Every address of the tenant, or of all.
    pub rows: &'a [Row],
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id.
    pub id: String,
    /// When it ended.
    pub at: Timestamp,
    /// What was told: `job.succeeded`.
    pub kind: String,
    /// About which job.
    pub job: Option<JobId>,
    /// `delivered`, or what else.
    pub result: String,
    /// HTTP status; 0: there was no answer.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// The how-manieth try, from 1.
    pub attempt: u32,
    /// In words.
    pub why: String,
    /// A person asked for it again.
    pub replayed: bool,
}

/// One endpoint with its log.
#[derive(Debug)]
pub struct Endpoint<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// As in the list.
    pub row: &'a Row,
    /// Newest first.
    pub deliveries: &'a [Delivery],
}

impl Row {
    fn state(&self) -> Markup {
        let (class, word) = match (&self.off, &self.trouble) {
            (Some(_), _) => ("s-cancelled", "off"),
            (None, Some(_)) => ("s-in_doubt", "trying again"),
            (None, None) => ("s-succeeded", "on"),
        };
        html! { span class="state" { i class={ "dot " (class) } {} (word) } }
    }

    fn told(&self, now: Timestamp) -> Markup {
        html! {
            @if let Some((why, since)) = &self.off { (why) ", " (ago(*since, now)) }
            @else if let Some(trouble) = &self.trouble {
                (trouble) @if let Some(next) = self.next_at { span class="dim" { " · next try " (ago(next, now)) } }
            }
        }
    }

    fn address(&self) -> String {
        format!("{PREFIX}/webhooks/{}", self.id)
    }
}

impl Webhooks<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let tenants = self.viewer.tenant.is_none();
        let main = html! {
            @if self.rows.is_empty() {
                p class="empty" { "No endpoint is registered. " code { "POST /v1/webhook-endpoints" } " or " code { "seedfleet webhooks create" } " makes one; a job may also bring an address of its own." }
            } @else {
                table class="rows" {
                    caption class="hidden" { "Webhook endpoints" }
                    thead { tr { th scope="col" { "Endpoint" } th scope="col" { "State" } th scope="col" class="num" { "Waiting" } @if tenants { th scope="col" class="w" { "Tenant" } } th scope="col" class="w" { "Trouble" } } }
                    tbody {
                        @for row in self.rows {
                            tr {
                                td { a class="mono address" href=(row.address()) title=(row.id) { (row.url) } }
                                td { (row.state()) }
                                td class="num" { (grouped(row.waiting)) span class="m" { " waiting" } }
                                @if tenants { td class="w" { (row.tenant) } }
                                td class="w" { (row.told(self.now)) }
                            }
                        }
                    }
                }
            }
        };
        let viewer = self.viewer;
        Frame {
            viewer,
            screen: Screen::Webhooks,
            title: "Webhooks",
            notice: None,
            live: Live::Fleet,
        }
        .around(&main)
    }
}

impl Endpoint<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let row = self.row;
        let main = html! {
            p class="lede" {
                (row.state()) " " span class="mono address" { (row.url) }
                span { (counted(row.waiting, "event waits", "events wait")) }
            }
            @if row.off.is_some() || row.trouble.is_some() { p class="advice" { (row.told(self.now)) } }
            @if self.viewer.role.acts() { (self.verbs()) }
            dl class="facts" {
                @if !row.description.is_empty() { dt { "For" } dd { (row.description) } }
                dt { "Hears" } dd class="mono" { (row.types.join(", ")) }
                dt { "Tenant" } dd { (row.tenant) }
                dt { "Id" } dd class="mono" { (row.id) }
            }
            (self.log())
        };
        let Self { viewer, notice, .. } = *self;
        let (screen, live) = (Screen::Webhooks, Live::Fleet);
        Frame { viewer, screen, title: "Webhook endpoint", notice, live }.around(&main)
    }

    fn verbs(&self) -> Markup {
        let base = self.row.address();
        let button = |verb: &str, name: &str, weight| {
            html! {
                form method="post" action={ (base) "/" (verb) } {
                    (forms::token(self.viewer))
                    button type="submit" class=(forms::class(weight)) { (name) }
                }
            }
        };
        html! {
            div class="verbs" {
                @if self.row.off.is_some() { (button("enable", "Switch on", Weight::Plain)) } @else {
                    (button("test", "Send a test event", Weight::Plain))
                    (button("disable", "Switch off", Weight::Grave))
                }
            }
        }
    }

    fn log(&self) -> Markup {
        let acts = self.viewer.role.acts() && self.row.off.is_none();
        html! {
            section aria-labelledby="deliveries" {
                h2 id="deliveries" { "Deliveries" }
                @if self.deliveries.is_empty() { p class="empty" { "Nothing was delivered yet." } } @else {
                    table class="rows" {
                        thead { tr { th scope="col" { "When" } th scope="col" { "Event" } th scope="col" { "Job" } th scope="col" { "Result" } th scope="col" class="num w" { "Took" } th scope="col" class="num w" { "Try" } @if acts { th scope="col" { span class="hidden" { "Again" } } } } }
                        tbody { @for line in self.deliveries { (self.line(line, acts)) } }
                    }
                }
            }
        }
    }

    fn line(&self, line: &Delivery, acts: bool) -> Markup {
        let class = if line.result == "delivered" { "s-succeeded" } else { "s-failed" };
        html! {
            tr {
                td { (clock(line.at, self.now)) }
                td class="mono" { (line.kind) @if line.replayed { " " span class="tag" { "again" } } }
                td { @if let Some(id) = &line.job { (chips::job(id)) } }
                td {
                    span class="state" { i class={ "dot " (class) } {} (line.result) @if line.status > 0 && line.why.is_empty() { " " (line.status) } }
                    @if !line.why.is_empty() { " " span class="dim" { (line.why) } }
                }
                td class="num w" { (lasting(line.took)) }
                td class="num w" { (line.attempt) }
                @if acts {
                    td class="num" {
                        form method="post" action={ (self.row.address()) "/again" } {
                            (forms::token(self.viewer))
                            input type="hidden" name="delivery" value=(line.id);
                            button type="submit" class="quiet" { "Send again" }
                        }
                    }
                }
            }
        }
    }
}
