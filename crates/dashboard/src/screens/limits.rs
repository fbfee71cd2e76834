//! What the provider and the configuration allow.

use crate::bottleneck::Stop;
use crate::shell::{Frame, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, grouped};
use job::Timestamp;
use maud::html;

/// One class of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Of which pool.
    pub pool: String,
    /// Whose money.
    pub account: String,
    /// Which class.
    pub class: String,
    /// Slots in use.
    pub used: u64,
    /// Slots there are.
    pub limit: u64,
    /// Creates a minute.
    pub create_rpm: u64,
}

/// The screen.
#[derive(Debug)]
pub struct Limits<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// The server's clock.
    pub now: Timestamp,
    /// Every class of every account.
    pub rows: &'a [Row],
    /// Accounts that were stopped.
    pub stops: &'a [Stop],
}

impl Limits<'_> {
    /// The document.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn page(&self) -> String {
        let main = html! {
            p class="dim" { "As configured under " code { "pools.*.accounts.*" } "; the provider counts running tasks and creates a minute for each class." }
            table {
                caption class="hidden" { "Limits" }
                thead { tr { th scope="col" { "Class" } th scope="col" { "Account" } th scope="col" class="span" { "Slots" } th scope="col" class="num" { "In use" } th scope="col" class="num w" { "Creates a minute" } } }
                tbody {
                    @for row in self.rows {
                        @let width = 100.0 * row.used as f64 / row.limit.max(1) as f64;
                        tr {
                            th scope="row" { (row.class) }
                            td { (row.pool) " / " (row.account) }
                            td class="span" {
                                svg class="bar" width="100%" height="10" aria-hidden="true" {
                                    rect class="track" width="100%" height="10" {}
                                    rect class="s-running" width=(format!("{:.2}%", width.min(100.0))) height="10" {}
                                }
                            }
                            td class="num" { (grouped(row.used)) " / " (grouped(row.limit)) }
                            td class="num w" { (grouped(row.create_rpm)) }
                        }
                    }
                }
            }
            @if !self.stops.is_empty() {
                section aria-labelledby="stops" {
                    h2 id="stops" { "Stopped accounts" }
                    table {
                        thead { tr { th scope="col" { "Account" } th scope="col" { "By" } th scope="col" { "Until" } } }
                        tbody { @for stop in self.stops { tr { td { (stop.account) } td class="mono" { (stop.code) } td { (ago(stop.until, self.now)) } } } }
                    }
                }
            }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Limits, title: "Limits", notice: None, live: true }
            .around(&main)
    }
}
