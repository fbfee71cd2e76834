//! Verbs on many jobs at once, and how far each has come; a part of several screens.

use crate::chart;
use crate::wording::{ago, cut, grouped};
use job::Timestamp;
use maud::{Markup, html};

/// Letters of a filter in a row.
const FILTER_LETTERS: usize = 60;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What is done: `cancel`.
    pub verb: &'static str,
    /// To which jobs: a filter.
    pub filter: String,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it ended before its end.
    pub failed: Option<String>,
    /// Jobs it changed.
    pub changed: u64,
    /// Jobs it left as they were.
    pub left: u64,
}

impl Operation {
    /// The filter without what every operation adds to it: the states its verb can change, and its time.
    fn asked(&self) -> String {
        let added =
            |condition: &str| ["state=", "created<"].iter().any(|own| condition.starts_with(own));
        let asked: Vec<&str> = self.filter.split(' ').filter(|part| !added(part)).collect();
        asked.join(" ")
    }

    const fn word(&self) -> (&'static str, &'static str) {
        match (&self.failed, self.ended) {
            (Some(_), _) => ("s-failed", "failed"),
            (None, Some(_)) => ("s-succeeded", "done"),
            (None, None) => ("s-running", "goes on"),
        }
    }
}

/// The newest ones, in a section of its own; nothing where there are none.
pub(crate) fn section(items: &[Operation], now: Timestamp) -> Markup {
    if items.is_empty() {
        return html! {};
    }
    html! {
        section aria-labelledby="operations" {
            h2 id="operations" { "Operations on many jobs" }
            table class="rows" {
                thead { tr { th scope="col" { "What" } th scope="col" { "State" } th scope="col" class="num" { "Changed" } th scope="col" class="num w" { "Left" } th scope="col" class="wide" { "Who and why" } th scope="col" class="num" { "Begun" } } }
                tbody { @for item in items { (row(item, now)) } }
            }
        }
    }
}

fn row(item: &Operation, now: Timestamp) -> Markup {
    let (class, word) = item.word();
    html! {
        tr {
            td { (item.verb) " " a class="mono" href=(chart::filtered(&item.filter)) title=(item.filter) { (cut(&item.asked(), FILTER_LETTERS)) } }
            td { span class="state" { i class={ "dot " (class) } {} (word) } @if let Some(why) = &item.failed { " " (why) } }
            td class="num" { (grouped(item.changed)) span class="m" { " changed" } }
            td class="num w" { (grouped(item.left)) }
            td class="wide" { (item.by) span class="dim" { ": " (item.reason) } }
            td class="num" { (ago(item.at, now)) }
        }
    }
}
