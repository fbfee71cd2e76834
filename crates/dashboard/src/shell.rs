//! What every page has: head, landmarks, navigation, and a line about what was just done.

use crate::viewer::Viewer;
use crate::{files, forms, wording};
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

    const fn name(self) -> &'static str {
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
    const fn key(self) -> char {
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

/// What a form has just done. Only words of this list and numbers travel in the address, so that a
/// link cannot put words into our mouth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The job was cancelled.
    Cancelled,
    /// The wish to cancel is noted.
    CancelAsked,
    /// Too late.
    TooLate,
    /// Done, of many: how many, of how many.
    Many(u64, u64),
    /// Approved: the job goes on.
    Approved,
    /// Rejected: the job is over, unpaid.
    Rejected,
    /// The task is the job's.
    Adopted,
    /// Sent again.
    Resent,
    /// Ended by a person.
    GivenUp,
    /// A new job repeats the old one.
    Retried,
}

impl Notice {
    /// The query of the page that shows it.
    #[must_use]
    pub fn query(self) -> String {
        match self {
            Self::Many(done, of) => format!("said=many&done={done}&of={of}"),
            Self::Cancelled
            | Self::CancelAsked
            | Self::TooLate
            | Self::Approved
            | Self::Rejected
            | Self::Adopted
            | Self::Resent
            | Self::GivenUp
            | Self::Retried => format!("said={}", self.word()),
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::CancelAsked => "cancel-asked",
            Self::TooLate => "too-late",
            Self::Many(..) => "many",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Adopted => "adopted",
            Self::Resent => "resent",
            Self::GivenUp => "given-up",
            Self::Retried => "retried",
        }
    }

    /// Reads what [`Notice::query`] wrote.
    #[must_use]
    pub fn read(said: &str, done: u64, of: u64) -> Option<Self> {
        let all = [
            Self::Cancelled,
            Self::CancelAsked,
            Self::TooLate,
            Self::Many(done, of),
            Self::Approved,
            Self::Rejected,
            Self::Adopted,
            Self::Resent,
            Self::GivenUp,
            Self::Retried,
        ];
        all.into_iter().find(|notice| notice.word() == said)
    }

    fn sentence(self) -> String {
        let fixed = match self {
            Self::Many(done, of) => {
                let of = wording::counted(of, "job", "jobs");
                return format!("Done for {} of {of}.", wording::grouped(done));
            }
            Self::Cancelled => "Cancelled. Nothing was paid.",
            Self::CancelAsked => "The wish to cancel is noted; the provider has the last word.",
            Self::TooLate => "Too late to cancel: nothing was changed.",
            Self::Approved => "Approved: the job is queued.",
            Self::Rejected => "Rejected: the job is over, and nothing was paid.",
            Self::Adopted => "Adopted: the task is this job's, and is polled from here on.",
            Self::Resent => "Queued to be sent once more.",
            Self::GivenUp => "Given up: the job is over.",
            Self::Retried => "A new job repeats the old one.",
        };
        fixed.to_owned()
    }
}

/// The frame around a screen.
pub(crate) struct Frame<'a> {
    pub(crate) viewer: &'a Viewer,
    pub(crate) screen: Screen,
    pub(crate) title: &'a str,
    pub(crate) notice: Option<Notice>,
    /// The page is fetched again when something in the fleet has changed.
    pub(crate) live: bool,
}

impl Frame<'_> {
    /// The whole document.
    pub(crate) fn around(&self, main: &Markup) -> String {
        let body = html! {
            body data-live=[self.live.then(|| format!("{PREFIX}/live"))] {
                a class="skip" href="#main" { "To the content" }
                (self.side())
                main id="main" tabindex="-1" {
                    div class="head" { h1 { (self.title) } }
                    @if let Some(notice) = self.notice {
                        p class="notice" role="status" { (notice.sentence()) }
                    }
                    @if self.live {
                        // The page is its own fragment: the same address, of which only this part is kept.
                        div id="live" hx-get="" hx-trigger="fleet-changed from:body" hx-select="#live"
                            hx-swap="outerHTML" hx-disinherit="*" { (main) }
                    } @else { (main) }
                }
                (keys())
            }
        };
        document(self.title, &body)
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

/// The list of keys, opened by `?`; without a script the keys are not there either.
fn keys() -> Markup {
    html! {
        dialog id="keys" aria-labelledby="keys-title" {
            h2 id="keys-title" { "Keys" }
            dl {
                dt { kbd { "/" } } dd { "to the filter" }
                dt { kbd { "j" } " " kbd { "k" } } dd { "next and previous row" }
                dt { kbd { "Enter" } } dd { "open the row" }
                @for screen in Screen::ALL {
                    dt { kbd { "g" } " " kbd { (screen.key()) } } dd { (screen.name()) }
                }
                dt { kbd { "?" } } dd { "this list" }
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
            csrf: "token-1".into(),
        }
    }

    #[test]
    fn names_from_outside_are_text_and_stay_text() {
        let viewer = viewer();
        let frame =
            Frame { viewer: &viewer, screen: Screen::Jobs, title: "<b>", notice: None, live: true };
        let page = frame.around(&html! { p { "x" } });
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("\" onload=\""), "{page}");
        assert!(page.contains("&lt;b&gt;"));
        assert!(page.contains("aria-current=\"page\""));
    }

    #[test]
    fn a_page_carries_nothing_inline() {
        let viewer = viewer();
        let frame =
            Frame { viewer: &viewer, screen: Screen::Fleet, title: "x", notice: None, live: false };
        let page = frame.around(&html! {});
        for inline in ["<style", " style=", " onclick=", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, page.matches("<script src=\"/ui/static/").count());
    }

    #[test]
    fn notices_survive_their_address_and_no_others_are_believed() {
        for notice in [Notice::Cancelled, Notice::Many(3, 5), Notice::Resent, Notice::TooLate] {
            let query = notice.query();
            let of = |name: &str| {
                let found = query.split('&').find_map(|pair| pair.strip_prefix(name));
                found.and_then(|rest| rest.strip_prefix('=')).unwrap_or_default().to_owned()
            };
            let number = |name| of(name).parse().unwrap_or(0);
            assert_eq!(Notice::read(&of("said"), number("done"), number("of")), Some(notice));
        }
        assert_eq!(Notice::read("your account is closed", 0, 0), None);
        assert_eq!(Notice::Many(1_000, 1).sentence(), "Done for 1,000 of 1 job.");
    }

    #[test]
    fn every_screen_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<char> = Screen::ALL.map(Screen::key).into();
        assert_eq!(keys.len(), Screen::ALL.len());
    }
}
