//! Who did what, and why.

use crate::chips;
use crate::screens::operations::{self, Operation};
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::clock;
use job::{JobId, Timestamp};
use maud::{Markup, html};

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
    /// Verbs on many jobs, newest first.
    pub operations: &'a [Operation],
    /// Newest first.
    pub lines: &'a [Line],
}

impl Audit<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            p class="dim" { "What people decided, by the dashboard, the API and the command line. What the fleet does by itself stands in each job’s timeline." }
            @if self.lines.is_empty() && self.operations.is_empty() {
                p class="empty" { "Nobody has decided anything yet." }
            }
            (operations::section(self.operations, self.now))
            @if !self.lines.is_empty() { (self.lines()) }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Audit, title: "Audit", notice: None, live: Live::Fleet }
            .around(&main)
    }

    fn lines(&self) -> Markup {
        html! {
            section aria-labelledby="decisions" {
                h2 id="decisions" { "Decisions" }
                table class="rows" {
                    thead { tr { th scope="col" { "When" } th scope="col" { "Who" } th scope="col" { "What" } th scope="col" { "Job" } th scope="col" class="wide" { "Why" } th scope="col" class="w" { "Result" } } }
                    tbody {
                        @for line in self.lines {
                            tr {
                                td { (clock(line.at, self.now)) }
                                td { (line.by) }
                                td { (line.verb) }
                                td { @match &line.job { Some(id) => { (chips::job(id)) } None => { span class="dim" { "the pool" } } } }
                                td class="wide" { (line.reason) }
                                td class="w dim" { (line.result) }
                            }
                        }
                    }
                }
            }
        }
    }
}
