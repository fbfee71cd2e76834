//! What is shown where a screen cannot be.

use crate::PREFIX;
use crate::shell::document;
use maud::html;

/// The screen.
#[derive(Debug)]
pub struct Trouble<'a> {
    /// HTTP status.
    pub status: u16,
    /// What happened.
    pub title: &'a str,
    /// What to do.
    pub advice: &'a str,
}

impl Trouble<'_> {
    /// The document.
    #[must_use]
    pub fn page(&self) -> String {
        let body = html! {
            body class="door" {
                main id="main" {
                    h1 { (self.title) }
                    p { (self.advice) }
                    p class="dim" { "Status " (self.status) }
                    p { a href=(PREFIX) { "To the fleet" } }
                }
            }
        };
        document(self.title, &body)
    }
}
