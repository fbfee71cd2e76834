//! Who hears the news, and how that goes.

use crate::shell::{Frame, Screen};
use crate::viewer::Viewer;
use crate::wording::grouped;
use maud::html;

/// One address that hears of jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// The address, without what may be secret in it.
    pub url: String,
    /// How it stands: `enabled`, or why not.
    pub state: String,
    /// News that waits.
    pub waiting: u64,
    /// Why the entry that is due was not taken, where it was not.
    pub trouble: Option<String>,
}

/// The screen.
#[derive(Debug)]
pub struct Webhooks<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// Every address of the tenant, or of all.
    pub rows: &'a [Row],
}

impl Webhooks<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            @if self.rows.is_empty() { p class="empty" { "No endpoint is registered. Jobs may name one of their own." } } @else {
                table class="rows" {
                    caption class="hidden" { "Webhook endpoints" }
                    thead { tr { th scope="col" { "Endpoint" } th scope="col" class="w" { "Tenant" } th scope="col" { "State" } th scope="col" class="num" { "Waiting" } th scope="col" class="w" { "Last trouble" } } }
                    tbody {
                        @for row in self.rows {
                            tr {
                                td { span class="mono address" title=(row.id) { (row.url) } }
                                td class="w" { (row.tenant) }
                                td { (row.state) }
                                td class="num" { (grouped(row.waiting)) }
                                td class="w" { @if let Some(trouble) = &row.trouble { (trouble) } }
                            }
                        }
                    }
                }
            }
        };
        let viewer = self.viewer;
        Frame { viewer, screen: Screen::Webhooks, title: "Webhooks", notice: None, live: true }
            .around(&main)
    }
}
