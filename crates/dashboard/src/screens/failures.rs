//! What went wrong, by code.

use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, counted, cut, grouped, share};
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
    /// Its class; none of a code of ours.
    pub class: Option<String>,
    /// How many.
    pub jobs: u64,
    /// When the first one failed.
    pub first: Timestamp,
    /// When the last one did.
    pub last: Timestamp,
    /// They were paid for.
    pub paid: bool,
    /// The same request may succeed when it is made again.
    pub retryable: bool,
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
    /// Most frequent first.
    pub groups: &'a [Group],
    /// Jobs there are, failed or not.
    pub whole: u64,
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
                    span { b { (counted(all, "job has", "jobs have")) " failed" } ", " (share(all, self.whole)) " of all, with " (counted(self.groups.len() as u64, "code", "codes")) "." }
                    span class="dim" { "Failed tasks are not billed; what was is marked." }
                }
                @if self.groups.len() > 1 { (self.chart(most)) }
                @for group in self.groups { (self.group(group)) }
            }
        };
        let viewer = self.viewer;
        Frame {
            viewer,
            screen: Screen::Failures,
            title: "Failures",
            notice: None,
            live: Live::Fleet,
        }
        .around(&main)
    }

    /// All groups against each other.
    #[allow(clippy::cast_precision_loss)]
    fn chart(&self, most: u64) -> Markup {
        html! {
            table class="rows measure" {
                caption class="hidden" { "Failed jobs by code" }
                thead { tr { th scope="col" { "Code" } th scope="col" class="span" { "Jobs" } th scope="col" class="num" { span class="hidden" { "Number" } } th scope="col" class="num w" { "First" } th scope="col" class="num w" { "Last" } } }
                tbody {
                    @for group in self.groups {
                        tr {
                            td { a class="mono" href={ "#" (anchor(&group.code)) } { (group.code) } }
                            td class="span" { (chart::share_bar(100.0 * group.jobs as f64 / most.max(1) as f64, "s-failed")) }
                            td class="num" { (grouped(group.jobs)) span class="m" { " jobs" } }
                            td class="num w" { (ago(group.first, self.now)) }
                            td class="num w" { (ago(group.last, self.now)) }
                        }
                    }
                }
            }
        }
    }

    fn group(&self, group: &Group) -> Markup {
        let filter = chart::filtered(&format!("code={} dismissed=no", quoted(&group.code)));
        html! {
            article class="group" id=(anchor(&group.code)) {
                header {
                    h2 class="mono" { (group.code) }
                    span class="tags" {
                        @if let Some(class) = &group.class { span class="tag" { (class) } } @else { span class="tag" { "ours" } }
                        @if group.paid { span class="tag grave" { "paid" } } @else { span class="tag" { "not billed" } }
                        @if group.retryable { span class="tag" { "may succeed if made again" } } @else { span class="tag" { "fails again if unchanged" } }
                    }
                    span class="end" { span class="dim" { "last " (ago(group.last, self.now)) " " } a href=(filter) { (counted(group.jobs, "job", "jobs")) } }
                }
                @if !group.advice.is_empty() { p class="advice" { (group.advice) } }
                @if !group.samples.is_empty() {
                    ul class="samples" {
                        @for sample in &group.samples {
                            li {
                                (chips::job(&sample.id))
                                span {
                                    (cut(&sample.prompt, SAMPLE_LETTERS))
                                    @if !sample.message.is_empty() { " " span class="dim" { (cut(&sample.message, SAMPLE_LETTERS)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A name within the page: a code may hold anything.
fn anchor(code: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    format!("code-{}", code.chars().take(80).map(plain).collect::<String>())
}
