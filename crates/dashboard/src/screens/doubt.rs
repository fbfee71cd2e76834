//! Creates nobody knows the outcome of, and the three decisions no program may take.

use crate::forms::{self, Weight};
use crate::notice::Notice;
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
use crate::wording::{ago, clock, counted};
use crate::{PREFIX, chips};
use job::{JobId, StateWord, Timestamp};
use maud::{Markup, html};

/// One job in doubt, in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub id: JobId,
    /// In doubt, or parked.
    pub state: StateWord,
    /// Since when.
    pub since: Timestamp,
    /// Whose money.
    pub account: String,
    /// What was seen, in words.
    pub seen: String,
    /// Why a person must decide; of a parked job.
    pub why: Option<String>,
}

/// The list.
#[derive(Debug)]
pub struct Doubts<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// Parked jobs first.
    pub rows: &'a [Row],
    /// There are more.
    pub more: bool,
}

impl Doubts<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let parked = self.rows.iter().filter(|row| row.state == StateWord::Parked).count();
        let main = html! {
            p class="lede" {
                @match (self.rows.is_empty(), parked) {
                    (true, _) => { "Every create has an answer." }
                    (false, 0) => { "Nobody has to decide: the fleet still looks for what became of these." }
                    (false, _) => { (counted(parked as u64, "job waits for a person", "jobs wait for a person")) @if parked < self.rows.len() { "; the others are still being looked for" } "." }
                }
            }
            p class="dim" { "A create that ended without a clear answer may have bought a task. It is not sent again until that is settled." }
            @if !self.rows.is_empty() {
                table class="rows" {
                    caption class="hidden" { "Jobs in doubt" }
                    thead { tr { th scope="col" { "Job" } th scope="col" { "State" } th scope="col" class="wide" { "Evidence" } th scope="col" class="w" { "Account" } th scope="col" class="num" { "Since" } } }
                    tbody {
                        @for row in self.rows {
                            tr {
                                td { a class="id" href={ (PREFIX) "/doubt/" (row.id) } title=(row.id) { (chips::short_id(row.id.as_str())) } }
                                td { (chips::state(row.state)) }
                                td class="wide" { @if let Some(why) = &row.why { (why) ". " } span class="dim" { (row.seen) } }
                                td class="w" { (row.account) }
                                td class="num" { (ago(row.since, self.now)) }
                            }
                        }
                    }
                }
                @if self.more { p class="dim" { "There are more; these come first." } }
            }
        };
        let Self { viewer, notice, .. } = *self;
        Frame { viewer, screen: Screen::Doubt, title: "In doubt", notice, live: Live::Fleet }
            .around(&main)
    }
}

/// One doubt with its evidence.
#[derive(Debug)]
pub struct Doubt<'a> {
    /// Who decides.
    pub viewer: &'a Viewer,
    /// The server's clock.
    pub now: Timestamp,
    /// The job, as in the list.
    pub row: &'a Row,
    /// Everything that is known, name and value.
    pub evidence: &'a [(String, String)],
    /// From here on nothing of the attempt can show up any more.
    pub settled_from: Timestamp,
    /// What one more send costs, in words.
    pub cost: Option<String>,
    /// Tasks that fit, where several do.
    pub tasks: Vec<String>,
    /// Stands for the evidence as it is shown: a decision on another one is refused.
    pub grounds: String,
    /// Why the last decision was not taken.
    pub fault: Option<String>,
}

impl Doubt<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let main = html! {
            @if let Some(fault) = &self.fault { p class="notice grave" role="alert" { (fault) } }
            p class="lede" {
                (chips::state(self.row.state)) " " (chips::job(&self.row.id)) " "
                @if let Some(why) = &self.row.why { span { (why) } }
            }
            p { (self.row.seen) "." }
            div class="split" {
                section aria-labelledby="evidence" {
                    h2 id="evidence" { "Evidence" }
                    dl class="facts" { @for (name, value) in self.evidence { dt { (name.replace('_', " ")) } dd class="mono" { (value) } } }
                }
                @if self.viewer.role.acts() { (self.verbs()) }
            }
        };
        let viewer = self.viewer;
        Frame {
            viewer,
            screen: Screen::Doubt,
            title: "Decide a doubt",
            notice: None,
            live: Live::Still,
        }
        .around(&main)
    }

    fn verbs(&self) -> Markup {
        let base = format!("{PREFIX}/doubt/{}", self.row.id);
        let settled = self.now >= self.settled_from;
        let parked = self.row.state == StateWord::Parked;
        html! {
            section aria-labelledby="decide" class="decide" {
                h2 id="decide" { "Decide" }
                @if !parked { p class="dim" { "The fleet goes on looking by itself. Decide only what it cannot know." } }
                (self.verb(&base, "adopt", "Adopt a task", Weight::Plain, &html! {
                    p { "The provider’s console shows the task: it becomes this job’s. It is read first, and must carry the attempt’s own mark." }
                    @for task in &self.tasks { p class="mono" { (task) } }
                    div class="row" { label for="task" { "Task" } input id="task" name="task" type="text" required maxlength="128" autocomplete="off" spellcheck="false"; }
                    p class="check" { input type="checkbox" id="unverified" name="unverified" value="true"; label for="unverified" { "Adopt it even if it cannot be read or shows another mark" } }
                }))
                @if !settled {
                    p class="dim" { "Until " (clock(self.settled_from, self.now)) " a task may still show up: sending again and giving up are possible from then on." }
                } @else {
                    @if parked {
                        (self.verb(&base, "resend", "Send again", Weight::Grave, &html! {
                            p { "One more create, " (self.cost.as_deref().unwrap_or("at a price that is not in the table")) ". If the first one made a task after all, two are paid." }
                        }))
                    }
                    (self.verb(&base, "give-up", "Give up", Weight::Grave, &html! {
                        p { "The job is over. A task that exists all the same is billed, and fetched when it is found." }
                    }))
                }
            }
        }
    }

    fn verb(&self, base: &str, word: &str, name: &str, weight: Weight, note: &Markup) -> Markup {
        let id = format!("why-{word}");
        let note = html! {
            input type="hidden" name="grounds" value=(self.grounds);
            (note)
        };
        forms::verb(self.viewer, &format!("{base}/{word}"), name, &id, weight, &note)
    }
}
