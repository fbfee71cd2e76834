//! The door: a key is exchanged for a session.

use crate::PREFIX;
use crate::shell::document;
use maud::html;

/// Why the last try did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No such key, or it may not look at jobs.
    Unknown,
    /// Too many tries from this address.
    TooOften,
    /// The form did not come from this page, or its cookie was lost.
    Stale,
    /// Redis is away.
    Away,
}

/// The screen.
#[derive(Debug)]
pub struct Login<'a> {
    /// Goes into the form; a cookie holds the same.
    pub csrf: &'a str,
    /// After a try.
    pub refused: Option<Refused>,
    /// A path of ours to go to afterwards.
    pub next: &'a str,
}

impl Refused {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Unknown => "That key is not known here, or lacks the scope jobs:read.",
            Self::TooOften => "Too many tries. Wait a minute.",
            Self::Stale => "This page was too old. Try again.",
            Self::Away => "The fleet’s memory does not answer. Try again in a moment.",
        }
    }
}

impl Login<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let body = html! {
            body class="door" {
                main id="main" {
                    h1 { img src=(crate::files::address("icon.svg")) alt="" width="22" height="22"; "seedfleet" }
                    @if let Some(refused) = self.refused {
                        p class="notice grave" role="alert" { (refused.sentence()) }
                    }
                    form method="post" action={ (PREFIX) "/login" } {
                        input type="hidden" name="csrf" value=(self.csrf);
                        input type="hidden" name="next" value=(self.next);
                        label for="key" { "API key" }
                        input id="key" name="key" type="password" required maxlength="512"
                            autocomplete="current-password" autofocus;
                        button class="button" type="submit" { "Log in" }
                    }
                    p class="dim" {
                        "With " code { "jobs:read" } " you look, with " code { "review" } " you judge, with " code { "jobs:write" } " you act; a key for every tenant sees them all, and with " code { "admin" } " stops the fleet. The key is exchanged for a session and not kept."
                    }
                }
            }
        };
        document("Log in", &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_text() {
        let next = "/ui/jobs?where=\"><script>";
        let login = Login { csrf: "c", refused: Some(Refused::TooOften), next };
        let page = login.page();
        assert!(!page.contains("\"><script>"), "{page}");
        assert!(page.contains("Too many tries"));
        assert!(page.contains("type=\"password\""));
    }
}
