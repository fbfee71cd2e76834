//! Who did what, and why.

use crate::chips;
use crate::shell::{Frame, Screen};
use crate::viewer::Viewer;
use crate::wording::clock;
use job::{JobId, Timestamp};
use maud::html;

/// One decision of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// By which verb.
    pub verb: String,
    /// About which job; none for what concerns a pool.
    pub job: Option<JobId>,
    /// Why.
    pub reason: String,
    /// What came of it.
    pub result: String,
}

/// The screen.
#[derive(Debug)]
pub struct Audit<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// The server's clock.
    pub now: Timestamp,
    /// Newest first.
    pub lines: &'a [Line],
}

impl Audit<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            @if self.lines.is_empty() { p class="empty" { "Nobody has decided anything yet." } } @else {
                table class="rows" {
                    caption class="hidden" { "Decisions, newest first" }
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Job" } th scope="col" class="wide" { "Why" } th scope="col" class="w" { "Result" } } }
                    tbody {
                        @for line in self.lines {
                            tr {
                                td { (clock(line.at, self.now)) }
                                td { (line.by) }
                                td { (line.verb) }
                                td { @if let Some(id) = &line.job { (chips::job(id)) } }
                                td class="wide" { (line.reason) }
                                td class="w dim" { (line.result) }
                            }
                        }
                    }
                }
            }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Audit, title: "Audit", notice: None, live: true }
            .around(&main)
    }
}
