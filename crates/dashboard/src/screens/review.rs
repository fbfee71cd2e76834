//! What waits for a person before anything is paid.

use crate::forms::{self, Weight};
use crate::notice::Notice;
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, counted, grouped};
use crate::{PREFIX, chips};
use job::{HeldWhy, Record, State, Timestamp};
use maud::{Markup, html};
use seedance::{ContentItem, MediaSource};

/// The screen.
#[derive(Debug)]
pub struct Review<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// Held jobs, newest first, each with its estimated cost in words.
    pub items: &'a [(Record, Option<String>)],
    /// There are more.
    pub more: bool,
    /// A decision was refused for want of a reason.
    pub fault: Option<&'a str>,
}

impl Review<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            @if let Some(fault) = self.fault { p class="notice grave" role="alert" { (fault) } }
            p class="lede" {
                @if self.items.is_empty() && self.more { "Among the newest held jobs are only paused ones; older ones may wait for a person." }
                @else if self.items.is_empty() { "No job waits for a person." } @else {
                    (counted(self.items.len() as u64, "job is held", "jobs are held"))
                    @if self.more { ", and more behind them" } "; nothing of them has been bought."
                }
            }
            @for (record, cost) in self.items { (self.card(record, cost.as_deref())) }
        };
        let Self { viewer, notice, .. } = *self;
        Frame { viewer, screen: Screen::Review, title: "Review", notice, live: Live::Fleet }
            .around(&main)
    }

    fn card(&self, record: &Record, cost: Option<&str>) -> Markup {
        let (spec, request) = (&record.spec, &record.spec.request);
        let why = match record.life.state {
            State::Held { why: HeldWhy::Budget { .. } } => "waits for budget",
            State::Held { why: HeldWhy::Paused { .. } } => "paused",
            State::Held { why: HeldWhy::Review }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. }
            | State::Finished { .. } => "waits for review",
        };
        html! {
            article class="card" id=(record.id) {
                header { (chips::job(&record.id)) span class="tag" { (why) } span class="dim" { (spec.tenant) " · " (ago(record.created_at, self.now)) } }
                @if let Some(prompt) = request.prompt() { p class="prompt" { (prompt) } }
                (media(record))
                dl class="facts inline" {
                    dt { "Model" } dd { (request.model.word()) " " (request.resolution) }
                    dt { "People" } dd { (if spec.people { "declared" } else { "not declared" }) }
                    dt { "Consent" } dd class="mono" { (spec.consent_ref.as_deref().unwrap_or("none given")) }
                    dt { "Expected" } dd { (grouped(spec.estimate_tokens)) " tokens" @if let Some(cost) = cost { ", " (cost) } }
                }
                @if self.viewer.role.reviews() { (self.decide(record)) }
            }
        }
    }

    fn decide(&self, record: &Record) -> Markup {
        let why = format!("why-{}", record.id);
        html! {
            form method="post" action={ (PREFIX) "/review/" (record.id) } class="row" {
                (forms::token(self.viewer))
                (forms::reason(&why))
                button type="submit" name="verb" value="approve" class="button" { "Approve" }
                button type="submit" name="verb" value="reject" class=(forms::class(Weight::Grave)) { "Reject" }
            }
        }
    }
}

/// Media that came inside the request are shown; those that lie elsewhere are named, since a page of
/// ours asks no other site.
fn media(record: &Record) -> Markup {
    let items: Vec<(&ContentItem, &MediaSource)> = record
        .spec
        .request
        .content
        .iter()
        .filter_map(|item| item.source().map(|source| (item, source)))
        .collect();
    if items.is_empty() {
        return html! {};
    }
    html! {
        ul class="media" {
            @for (item, source) in items {
                li {
                    @match source {
                        MediaSource::Inline { sha256, mime, .. } if mime.starts_with("image/") => {
                            img src={ (PREFIX) "/jobs/" (record.id) "/media/" (sha256) } alt={ (kind(item)) " given with the request" } loading="lazy";
                        }
                        MediaSource::Inline { mime, .. } => { span class="mono" { (mime) } }
                        MediaSource::Url(url) => { span class="mono address" { (url) } }
                        MediaSource::Asset(id) => { span class="mono address" { "asset://" (id) } }
                    }
                    span class="dim" { (kind(item)) }
                }
            }
        }
    }
}

fn kind(item: &ContentItem) -> &'static str {
    match item {
        ContentItem::Text { .. } => "text",
        ContentItem::Image { role, .. } => role.word(),
        ContentItem::Video { .. } => "reference video",
        ContentItem::Audio { .. } => "reference audio",
    }
}
