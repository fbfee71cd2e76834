//! Queues, and what is in work.

use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::grouped;
use maud::html;

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Of which pool.
    pub pool: String,
    /// Which.
    pub queue: String,
    /// Who works it.
    pub program: &'static str,
    /// Tickets that wait, due or not.
    pub waiting: u64,
    /// Tickets due by now.
    pub due: u64,
    /// Tickets in work.
    pub leased: u64,
}

/// The screen.
#[derive(Debug)]
pub struct Workers<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// Every queue of every pool.
    pub rows: &'a [Row],
}

impl Workers<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            p class="dim" { "A ticket that is due and stays due has nobody to work it: see that its program runs, or what holds creates up. “seedfleet schema status” lists the processes that were heard of." }
            table {
                caption class="hidden" { "Queues" }
                thead { tr { th scope="col" { "Program" } th scope="col" { "Queue" } th scope="col" class="w" { "Pool" } th scope="col" class="num" { "Waiting" } th scope="col" class="num" { "Due" } th scope="col" class="num" { "In work" } } }
                tbody {
                    @for row in self.rows {
                        tr {
                            th scope="row" { (row.program) }
                            td { (row.queue) }
                            td class="w" { (row.pool) }
                            td class="num" { (grouped(row.waiting)) }
                            td class="num" { (grouped(row.due)) }
                            td class="num" { (grouped(row.leased)) }
                        }
                    }
                }
            }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Workers, title: "Workers", notice: None, live: Live::Fleet }
            .around(&main)
    }
}
