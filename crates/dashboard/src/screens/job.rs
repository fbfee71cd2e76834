//! One job: where its time went, what it made, what was asked, what was tried.

use crate::forms::{self, Weight};
use crate::notice::Notice;
use crate::shell::{Frame, Live, Screen};
use crate::viewer::Viewer;
pub use crate::waterfall::Beside;
use crate::wording::{ago, clock, grouped, sized};
use crate::{PREFIX, chart, chips, waterfall};
use job::{
    Attempt, AttemptOutcome, End, HeldWhy, OpenAttempt, Record, SpendCap, State, StateWord,
    Timestamp,
};
use maud::{Markup, html};

/// One line of a job's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// The state before.
    pub from: StateWord,
    /// The state after.
    pub to: StateWord,
    /// What happened.
    pub what: String,
    /// Who wrote it.
    pub by: String,
}

/// What a repeat of the job would mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It is not over, or nobody could do it better a second time.
    No,
    /// A new job with a task of its own.
    Possible {
        /// What that costs, where a price is known.
        cost: Option<String>,
        /// This one may have been paid already.
        paid_again: bool,
    },
}

/// The screen.
#[derive(Debug)]
pub struct Job<'a> {
    /// Who looks.
    pub viewer: &'a Viewer,
    /// What was just done.
    pub notice: Option<Notice>,
    /// The server's clock.
    pub now: Timestamp,
    /// The job.
    pub record: &'a Record,
    /// Newest first.
    pub timeline: &'a [Line],
    /// What the timeline does not tell.
    pub beside: Beside,
    /// Estimated or billed cost in words, where a price is known.
    pub cost: Option<String>,
    /// The provider's last payload, with its links cut; `None`: there is none.
    pub payload: Option<String>,
    /// What is advised about the way it ended.
    pub advice: Option<String>,
    /// Whether it can be repeated.
    pub again: Again,
}

impl Job<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let record = self.record;
        let word = record.life.state.word();
        let main = html! {
            p class="lede" {
                (chips::state(word)) " "
                span class="mono" { (record.id) }
                @if let Some(told) = told(record) { span { (told) } }
            }
            @if let Some(advice) = &self.advice { p class="advice" { (advice) } }
            @if self.viewer.role.acts() { (self.verbs()) }
            div class="split" {
                div {
                    (self.film())
                    section aria-labelledby="time" {
                        h2 id="time" { "Where the time went" }
                        (waterfall::chart(self.timeline, self.until(), self.beside))
                    }
                }
                (self.facts())
            }
            (self.attempts())
            (self.timeline())
            (self.documents())
        };
        let title = format!("Job {}", chips::short_id(record.id.as_str()));
        let Self { viewer, notice, .. } = *self;
        let live = if word.is_finished() { Live::Still } else { Live::Job(&record.id) };
        Frame { viewer, screen: Screen::Jobs, title: &title, notice, live }.around(&main)
    }

    fn until(&self) -> Timestamp {
        match &self.record.life.state {
            State::Finished { at, .. } => *at,
            State::Held { .. }
            | State::Queued { .. }
            | State::Submitting { .. }
            | State::InDoubt { .. }
            | State::Parked { .. }
            | State::Generating { .. }
            | State::Overdue { .. }
            | State::Downloading { .. } => self.now,
        }
    }

    fn verbs(&self) -> Markup {
        let base = format!("{PREFIX}/jobs/{}", self.record.id);
        let word = self.record.life.state.word();
        html! {
            div class="verbs" {
                @if !word.is_finished() && !word.is_in_doubt() && self.record.life.cancel.is_none() {
                    (forms::verb(self.viewer, &format!("{base}/cancel"), "Cancel", "why-cancel", Weight::Grave, &html! {
                        p { "A job that waits is over at once and costs nothing. One that runs at the provider may be past stopping." }
                    }))
                }
                @if let Again::Possible { cost, paid_again } = &self.again {
                    (forms::verb(self.viewer, &format!("{base}/retry"), "Run again", "why-retry", Weight::Plain, &html! {
                        p {
                            "A new job with the same request buys a task of its own"
                            @if let Some(cost) = cost { ", " (cost) }
                            "."
                            @if *paid_again { " This one may have been paid already." }
                        }
                        p class="check" {
                            input type="checkbox" id="accept" name="accept_charge" value="true" required;
                            label for="accept" { "It may be charged" }
                        }
                    }))
                }
                @if word.is_in_doubt() { a class="button" href={ (PREFIX) "/doubt/" (self.record.id) } { "Decide the doubt" } }
                @if word == StateWord::Held { a class="button" href={ (PREFIX) "/review#" (self.record.id) } { "Review" } }
            }
        }
    }

    fn film(&self) -> Markup {
        let Some(output) = self.record.life.state.output() else { return html! {} };
        if !output.is_here() {
            return html! { p { "What was made was erased; what it cost stays." } };
        }
        let base = format!("{PREFIX}/jobs/{}", self.record.id);
        let poster = output.last_frame.as_ref().map(|_| format!("{base}/poster"));
        html! {
            video class="film" controls preload="metadata" src={ (base) "/video" } poster=[poster]
                aria-label="The stored video" {}
            p class="dim" {
                (sized(output.video_bytes)) " · sha256 " span class="mono" title=(output.video_sha256) { (output.video_sha256.chars().take(12).collect::<String>()) "…" }
                " · " a href={ (base) "/video" } download={ (self.record.id) ".mp4" } { "Download" }
            }
        }
    }

    fn facts(&self) -> Markup {
        let (record, spec) = (self.record, &self.record.spec);
        let request = &spec.request;
        let task = record.life.state.task();
        html! {
            dl class="facts" {
                @if let Some(prompt) = request.prompt() { dt { "Prompt" } dd class="prompt" { (prompt) } }
                dt { "Model" } dd { (request.model.word()) " · " (request.resolution) " · " (request.ratio) " · " (chart_duration(request)) }
                dt { "Tenant" } dd { (spec.tenant) }
                @if let Some(batch) = &spec.batch { dt { "Batch" } dd { a href=(chart::batch(&spec.tenant, batch, "")) { (batch) } } }
                @if let Some(id) = &spec.custom_id { dt { "Custom id" } dd class="mono" { (id) } }
                dt { "Accepted" } dd { (clock(record.created_at, self.now)) " (" (ago(record.created_at, self.now)) ")" }
                dt { "Last change" } dd { (ago(record.life.updated_at, self.now)) }
                @if let Some(until) = spec.useful_until { dt { "Useful until" } dd { (clock(until, self.now)) } }
                dt { "Tokens" } dd { (tokens(record)) }
                @if let Some(cost) = &self.cost { dt { "Cost" } dd { (cost) } }
                @if let Some(task) = task {
                    dt { "Task" } dd class="mono" { (task.id) }
                    dt { "Account" } dd { (task.facts.account) " · " (task.facts.route.word()) }
                }
                @if spec.take > 1 { dt { "Take" } dd { (spec.take) } }
                @if let Some(old) = &spec.retry_of { dt { "Repeats" } dd { (chips::job(old)) } }
                @if let Some(webhook) = &spec.webhook { dt { "Tells" } dd class="mono" { (webhook.url.split(['?', '#']).next().unwrap_or_default()) } }
                @if let Some(consent) = &spec.consent_ref { dt { "Consent" } dd class="mono" { (consent) } }
                @for (key, value) in &spec.metadata { dt { (key) } dd { (value) } }
                @if !record.life.strays.is_empty() {
                    dt { "Other tasks" } dd class="mono" { @for task in &record.life.strays { (task) " " } }
                }
            }
        }
    }

    fn attempts(&self) -> Markup {
        let life = &self.record.life;
        let open = life.state.open_attempt();
        if open.is_none() && life.attempts.is_empty() {
            return html! {};
        }
        html! {
            section aria-labelledby="attempts" {
                h2 id="attempts" { "Attempts" }
                table class="rows" {
                    thead { tr { th scope="col" class="num" { "No." } th scope="col" { "Begun" } th scope="col" class="wide" { "Outcome" } th scope="col" class="w" { "Account" } th scope="col" class="w num" { "Mark" } th scope="col" class="w" { "Id" } } }
                    tbody {
                        @if let Some(attempt) = open { (self.attempt(attempt, &html! { "open" })) }
                        @for attempt in life.attempts.iter().rev() { (self.attempt(&attempt.open, &outcome(attempt))) }
                    }
                }
            }
        }
    }

    fn attempt(&self, attempt: &OpenAttempt, outcome: &Markup) -> Markup {
        html! {
            tr {
                td class="num" { (attempt.number) }
                td { (clock(attempt.begun_at, self.now)) }
                td class="wide" { (outcome) }
                td class="w" { (attempt.facts.account) }
                td class="w num" { (attempt.nonce_s) }
                td class="w mono" title=(attempt.id) { (chips::short_id(attempt.id.as_str())) }
            }
        }
    }

    fn timeline(&self) -> Markup {
        html! {
            section aria-labelledby="timeline" {
                h2 id="timeline" { "Timeline" }
                table class="rows" {
                    thead { tr { th scope="col" { "When" } th scope="col" { "State" } th scope="col" class="wide" { "What" } th scope="col" class="w" { "By" } } }
                    tbody {
                        @for line in self.timeline {
                            tr {
                                td { (clock(line.at, self.now)) }
                                td { (chips::state(line.to)) }
                                td class="wide" { (line.what) }
                                td class="w dim" { (line.by) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn documents(&self) -> Markup {
        let request = serde_json::to_string_pretty(&self.record.spec.request);
        html! {
            section aria-labelledby="documents" {
                h2 id="documents" { "Documents" }
                details { summary { "Request, in normal form" } pre tabindex="0" { (request.unwrap_or_default()) } }
                @if let Some(payload) = &self.payload {
                    details { summary { "The provider’s payload" } pre tabindex="0" { (payload) } }
                }
            }
        }
    }
}

fn chart_duration(request: &seedance::Request) -> String {
    match request.duration_s {
        seedance::DurationChoice::Seconds(seconds) => format!("{seconds} s"),
        seedance::DurationChoice::ModelChooses => "the model’s length".to_owned(),
    }
}

fn tokens(record: &Record) -> String {
    let estimate = format!("about {} expected", grouped(record.spec.estimate_tokens));
    let billed = record.life.state.output().and_then(|output| output.tokens);
    billed.map_or(estimate, |tokens| format!("{} billed", grouped(tokens)))
}

fn budget(cap: &SpendCap, record: &Record) -> String {
    match cap.resets_at(record.life.updated_at) {
        Some(at) => format!("waits for budget: {cap}; it begins anew at {}", at.rfc3339()),
        None => format!("waits for budget: {cap}; it goes on when the cap is raised"),
    }
}

/// What the state alone does not say.
pub(crate) fn told(record: &Record) -> Option<String> {
    let cancel = record.life.cancel.as_ref().filter(|_| !record.life.state.word().is_finished());
    if let Some(ask) = cancel {
        return Some(format!("cancel asked by {}", ask.by.as_str()));
    }
    match &record.life.state {
        State::Held { why: HeldWhy::Review } => Some("waits for a person’s review".to_owned()),
        State::Held { why: HeldWhy::Budget { cap, .. } } => Some(budget(cap, record)),
        State::Held { why: HeldWhy::Paused { .. } } => Some("paused".to_owned()),
        State::InDoubt { cause, .. } => Some(cause.to_string()),
        State::Parked { why, .. } => Some(why.to_string()),
        State::Generating { seen, .. } if !seen.is_empty() => {
            Some(format!("the provider says {seen}"))
        }
        State::Finished { end, .. } => ended(end),
        State::Queued { tries } if *tries > 0 => Some(format!("{tries} tries sent nothing")),
        State::Queued { .. }
        | State::Submitting { .. }
        | State::Generating { .. }
        | State::Overdue { .. }
        | State::Downloading { .. } => None,
    }
}

fn ended(end: &End) -> Option<String> {
    match end {
        End::Stored { .. } => None,
        End::TimedOut => Some("how it ended is not known".to_owned()),
        End::NotUseful => Some("useful_until passed before it was bought".to_owned()),
        End::Failed { cause } => Some(format!("{}: {}", cause.code, cause.message)),
        End::Expired { retryable: true } => Some("not billed; may be asked for again".to_owned()),
        End::Expired { retryable: false } => Some("not billed".to_owned()),
        End::Cancelled { by } => Some(format!("by {}", by.as_str())),
        End::Rejected { by, reason } | End::GivenUp { by, reason } => {
            Some(format!("by {}: {reason}", by.as_str()))
        }
        End::OutputLost { reason } => Some(reason.clone()),
    }
}

fn outcome(attempt: &Attempt) -> Markup {
    match &attempt.outcome {
        AttemptOutcome::NotSent { reason } => html! { "not sent: " (reason) },
        AttemptOutcome::Refused { code } => html! { "refused: " span class="mono" { (code) } },
        AttemptOutcome::Accepted { task } => html! { "accepted as " span class="mono" { (task) } },
        AttemptOutcome::Absent => html! { "proven absent by two whole scans" },
        AttemptOutcome::Abandoned { by, reason } => html! { "abandoned by " (by) ": " (reason) },
    }
}
