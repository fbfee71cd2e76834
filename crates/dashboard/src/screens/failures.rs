//! What went wrong, by code.

use crate::shell::{Frame, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, counted, cut, grouped};
use crate::{chart, chips, screens::batches::quoted};
use job::{JobId, Timestamp};
use maud::{Markup, html};

/// Letters of a sample's prompt.
const SAMPLE_LETTERS: usize = 110;

/// A job as an example of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Which.
    pub id: JobId,
    /// Its prompt.
    pub prompt: String,
    /// The provider's words.
    pub message: String,
}

/// Failures with one code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The provider's code, or one of ours.
    pub code: String,
    /// Its class.
    pub class: String,
    /// How many.
    pub jobs: u64,
    /// The newest, where that is known.
    pub last: Option<Timestamp>,
    /// What to do.
    pub advice: String,
    /// A few of them, newest first.
    pub samples: Vec<Sample>,
}

/// The screen.
#[derive(Debug)]
pub struct Failures<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// The server's clock.
    pub now: Timestamp,
    /// Largest first.
    pub groups: &'a [Group],
    /// Only the newest failures were looked at.
    pub partial: bool,
}

impl Failures<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let most = self.groups.iter().map(|group| group.jobs).max().unwrap_or(0);
        let all: u64 = self.groups.iter().map(|group| group.jobs).sum();
        let main = html! {
            @if self.groups.is_empty() {
                p class="empty" { "Nothing has failed." }
            } @else {
                p class="lede" {
                    (counted(all, "job", "jobs")) " in " (counted(self.groups.len() as u64, "group", "groups"))
                    @if self.partial { ", of the newest failures" }
                }
                @for group in self.groups { (self.group(group, most)) }
            }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Failures, title: "Failures", notice: None, live: true }
            .around(&main)
    }

    #[allow(clippy::cast_precision_loss)]
    fn group(&self, group: &Group, most: u64) -> Markup {
        let width = 100.0 * group.jobs as f64 / most.max(1) as f64;
        html! {
            article class="group" {
                header {
                    h2 { a class="mono" href=(chart::filtered(&format!("code={}", quoted(&group.code)))) { (group.code) } }
                    span class="tag" { (group.class) }
                    span { b { (grouped(group.jobs)) } @if let Some(last) = group.last { span class="dim" { " · last " (ago(last, self.now)) } } }
                }
                svg class="bar thin" width="100%" height="6" aria-hidden="true" {
                    rect class="track" width="100%" height="6" {}
                    rect class="s-failed" width=(format!("{width:.2}%")) height="6" {}
                }
                @if !group.advice.is_empty() { p class="advice" { (group.advice) } }
                @if !group.samples.is_empty() {
                    ul class="samples" {
                        @for sample in &group.samples {
                            li {
                                (chips::job(&sample.id)) " "
                                span { (cut(&sample.prompt, SAMPLE_LETTERS)) }
                                @if !sample.message.is_empty() { span class="dim" { (cut(&sample.message, SAMPLE_LETTERS)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
