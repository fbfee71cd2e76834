//! Forms that change something: always POST, always with the session's token, and where a person
//! decides, with a reason.

use crate::viewer::Viewer;
use maud::{Markup, html};

/// Longest reason taken, letters.
pub const REASON_LETTERS_MAX: usize = 500;

/// The hidden field that a page of another site cannot know.
pub(crate) fn token(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name="csrf" value=(viewer.csrf); }
}

/// A field for the reason. `id` tells the labels of one page apart.
pub(crate) fn reason(id: &str) -> Markup {
    html! {
        label for=(id) { "Reason" }
        input id=(id) name="reason" type="text" required maxlength=(REASON_LETTERS_MAX)
            autocomplete="off" placeholder="for the audit";
    }
}

/// How a button weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    Plain,
    Grave,
}

/// One verb with its reason, folded away until wanted.
pub(crate) fn verb(
    viewer: &Viewer,
    action: &str,
    name: &str,
    id: &str,
    weight: Weight,
    note: &Markup,
) -> Markup {
    html! {
        details class="verb" {
            summary { (name) }
            form method="post" action=(action) {
                (token(viewer))
                (note)
                div class="row" {
                    (reason(id))
                    button type="submit" class=(class(weight)) { (name) }
                }
            }
        }
    }
}

pub(crate) const fn class(weight: Weight) -> &'static str {
    match weight {
        Weight::Plain => "button",
        Weight::Grave => "button grave",
    }
}
