//! What every page has: head, landmarks, navigation, and a line about what was just done.

use crate::notice::Notice;
use crate::viewer::Viewer;
use crate::{chart, files, forms, wording};
use job::JobId;
use maud::{DOCTYPE, Markup, html};

/// Everything lies below this path.
pub const PREFIX: &str = "/ui";

/// No evaluation, no request to another site, no style element: what the policy refuses anyway.
const HTMX: &str = r#"{"allowEval":false,"includeIndicatorStyles":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyEnabled":false}"#;

/// The screens, in the order of the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// The whole at a glance.
    Fleet,
    /// Jobs that came together.
    Batches,
    /// One by one.
    Jobs,
    /// What went wrong, by code.
    Failures,
    /// Creates nobody knows the outcome of.
    Doubt,
    /// What waits for a person before it is paid.
    Review,
    /// Who did what, and why.
    Audit,
    /// Who hears the news.
    Webhooks,
    /// Queues and who works on them.
    Workers,
    /// What the provider and the configuration allow.
    Limits,
}

impl Screen {
    /// All, in order.
    pub const ALL: [Self; 10] = [
        Self::Fleet,
        Self::Batches,
        Self::Jobs,
        Self::Failures,
        Self::Doubt,
        Self::Review,
        Self::Audit,
        Self::Webhooks,
        Self::Workers,
        Self::Limits,
    ];

    /// The last part of its address.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Batches => "batches",
            Self::Jobs => "jobs",
            Self::Failures => "failures",
            Self::Doubt => "doubt",
            Self::Review => "review",
            Self::Audit => "audit",
            Self::Webhooks => "webhooks",
            Self::Workers => "workers",
            Self::Limits => "limits",
        }
    }

    /// What is seen there.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Fleet => {
                "in one sentence what limits the fleet now; what came in and went out, unfinished jobs over time, every slot by age, cost of the day, alarms"
            }
            Self::Batches => {
                "each batch with its jobs by state, cost and pace; its failures, its newest pictures; to pause, resume and cancel"
            }
            Self::Jobs => {
                "jobs by a filter (`docs/filters.md`), with verbs on all that match; one job with its film, where its time went, attempts, timeline, request and the provider’s payload; to cancel and run again"
            }
            Self::Failures => {
                "failed jobs by code: how many, of which class, whether they were paid, whether a repeat may succeed, what to do"
            }
            Self::Doubt => {
                "creates nobody knows the outcome of, with the evidence; to adopt, send again or give up"
            }
            Self::Review => {
                "jobs that wait for a person before they are paid; to approve and reject"
            }
            Self::Audit => "who did what and why, and how far operations on many jobs have come",
            Self::Webhooks => "endpoints and their deliveries; to test, switch and tell again",
            Self::Workers => "queues: what waits, what is due, what is in work",
            Self::Limits => {
                "what the provider allows and what of it is used; stopped accounts; the switch of each pool"
            }
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fleet => "Fleet",
            Self::Batches => "Batches",
            Self::Jobs => "Jobs",
            Self::Failures => "Failures",
            Self::Doubt => "In doubt",
            Self::Review => "Review",
            Self::Audit => "Audit",
            Self::Webhooks => "Webhooks",
            Self::Workers => "Workers",
            Self::Limits => "Limits",
        }
    }

    /// `g` and this letter lead there.
    pub(crate) const fn key(self) -> char {
        match self {
            Self::Fleet => 'f',
            Self::Batches => 'b',
            Self::Jobs => 'j',
            Self::Failures => 'x',
            Self::Doubt => 'd',
            Self::Review => 'r',
            Self::Audit => 'a',
            Self::Webhooks => 'h',
            Self::Workers => 'w',
            Self::Limits => 'l',
        }
    }
}

/// What wakes a page, which is then fetched again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Live<'a> {
    /// Nothing: it stands still.
    Still,
    /// Whatever changes in the fleet.
    Fleet,
    /// Changes of one job.
    Job(&'a JobId),
    /// Changes of the jobs of one batch.
    Batch {
        /// Whose.
        tenant: &'a str,
        /// Its name.
        name: &'a str,
    },
}

impl Live<'_> {
    /// Where the page hears of it.
    fn stream(self) -> Option<String> {
        let base = format!("{PREFIX}/live");
        match self {
            Self::Still => None,
            Self::Fleet => Some(base),
            Self::Job(id) => Some(format!("{base}?job={id}")),
            Self::Batch { tenant, name } => {
                let (tenant, name) = (chart::encoded(tenant), chart::encoded(name));
                Some(format!("{base}?batch={name}&tenant={tenant}"))
            }
        }
    }
}

/// The frame around a screen.
pub(crate) struct Frame<'a> {
    pub(crate) viewer: &'a Viewer,
    pub(crate) screen: Screen,
    pub(crate) title: &'a str,
    pub(crate) notice: Option<Notice>,
    /// When the page is fetched again.
    pub(crate) live: Live<'a>,
}

impl Frame<'_> {
    /// The whole document.
    pub(crate) fn around(&self, main: &Markup) -> String {
        let body = html! {
            body {
                a class="skip" href="#main" { "To the content" }
                (self.side())
                main id="main" tabindex="-1" {
                    div class="head" { h1 { (self.title) } }
                    @if let Some(notice) = self.notice {
                        p class="notice" role="status" { (notice.sentence()) }
                    }
                    // The page is its own fragment: the same address, of which only this part is kept. It is there
                    // on a page that stands still too, since that may be what one that moved has come to.
                    @if let Some(stream) = self.live.stream() {
                        div id="live" data-live=(stream) hx-get="" hx-trigger="fleet-changed from:body"
                            hx-select="#live" hx-select-oob="#in-doubt" hx-swap="outerHTML" hx-disinherit="*" { (main) }
                    } @else { div id="live" { (main) } }
                }
                (keys())
            }
        };
        document(self.title, &body)
    }

    /// How many wait there; refreshed with the page.
    fn in_doubt(&self) -> Markup {
        let n = self.viewer.in_doubt;
        html! { span id="in-doubt" class="count" { @if n > 0 { " " (wording::grouped(n)) } } }
    }

    fn side(&self) -> Markup {
        let viewer = self.viewer;
        let whose = viewer.tenant.as_deref().unwrap_or("all tenants");
        html! {
            header class="side" {
                a class="brand" href=(PREFIX) { img src=(files::address("icon.svg")) alt="" width="18" height="18"; "seedfleet" }
                nav aria-label="Screens" {
                    ul {
                        @for screen in Screen::ALL {
                            li {
                                a href={ (PREFIX) "/" (screen.path()) } data-key=(screen.key())
                                    aria-current=[(screen == self.screen).then_some("page")] {
                                    (screen.name())
                                    @if screen == Screen::Doubt { (self.in_doubt()) }
                                }
                            }
                        }
                    }
                }
                form class="who" method="post" action={ (PREFIX) "/logout" } {
                    (forms::token(viewer))
                    span { b { (viewer.name) } br; (viewer.role.word()) ", " (whose) }
                    button type="submit" class="quiet" { "Log out" }
                }
            }
        }
    }
}

/// Keys beside those that lead to a screen.
pub(crate) const KEYS: [(&str, &str); 5] = [
    ("/", "to the filter"),
    ("j", "next row"),
    ("k", "previous row"),
    ("Enter", "open the row"),
    ("?", "this list"),
];

/// The list of keys, opened by `?`; without a script the keys are not there either.
fn keys() -> Markup {
    html! {
        dialog id="keys" aria-labelledby="keys-title" {
            h2 id="keys-title" { "Keys" }
            dl {
                @for (key, what) in KEYS { dt { kbd { (key) } } dd { (what) } }
                @for screen in Screen::ALL {
                    dt { kbd { "g" } " " kbd { (screen.key()) } } dd { (screen.name()) }
                }
            }
            form method="dialog" { button class="button" { "Close" } }
        }
    }
}

/// A document with our files and nothing inline.
pub(crate) fn document(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="htmx-config" content=(HTMX);
                title { (title) " · seedfleet" }
                link rel="icon" href=(files::address("icon.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(files::address("dash.css"));
                script src=(files::address("htmx.min.js")) defer {}
                script src=(files::address("dash.js")) defer {}
            }
            (body)
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::viewer::Role;

    fn viewer() -> Viewer {
        Viewer {
            name: "<script>alert(1)</script>".into(),
            tenant: Some("\" onload=\"x".into()),
            simulated: None,
            role: Role::Viewer,
            in_doubt: 3,
            csrf: "token-1".into(),
        }
    }

    #[test]
    fn names_from_outside_are_text_and_stay_text() {
        let viewer = viewer();
        let frame = Frame {
            viewer: &viewer,
            screen: Screen::Jobs,
            title: "<b>",
            notice: None,
            live: Live::Fleet,
        };
        let page = frame.around(&html! { p { "x" } });
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("\" onload=\""), "{page}");
        assert!(page.contains("&lt;b&gt;"));
        assert!(page.contains("aria-current=\"page\""));
        assert!(page.contains("class=\"count\"> 3<"), "{page}");
    }

    #[test]
    fn a_page_carries_nothing_inline() {
        let viewer = viewer();
        let frame = Frame {
            viewer: &viewer,
            screen: Screen::Fleet,
            title: "x",
            notice: None,
            live: Live::Still,
        };
        let page = frame.around(&html! {});
        for inline in ["<style", " style=", " onclick=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, page.matches("<script src=\"/ui/static/").count());
    }

    #[test]
    fn every_screen_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<char> = Screen::ALL.map(Screen::key).into();
        assert_eq!(keys.len(), Screen::ALL.len());
    }
}
