//! A state as a dot and a word. The dots differ in lightness as well as in hue.

use crate::PREFIX;
use job::StateWord;
use maud::{Markup, html};

/// The word as people read it.
pub(crate) fn spoken(word: StateWord) -> &'static str {
    match word {
        StateWord::InDoubt => "in doubt",
        StateWord::NotUseful => "not useful",
        StateWord::GivenUp => "given up",
        StateWord::OutputLost => "output lost",
        StateWord::TimedOut => "timed out",
        StateWord::Held
        | StateWord::Queued
        | StateWord::Submitting
        | StateWord::Parked
        | StateWord::Running
        | StateWord::Overdue
        | StateWord::Downloading
        | StateWord::Succeeded
        | StateWord::Failed
        | StateWord::Expired
        | StateWord::Cancelled
        | StateWord::Rejected => word.as_str(),
    }
}

/// Dot and word.
pub(crate) fn state(word: StateWord) -> Markup {
    html! {
        span class="state" { i class={ "dot s-" (word.as_str()) } {} (spoken(word)) }
    }
}

/// A job's id, short for the eye and whole for the clipboard, leading to its page.
pub(crate) fn job(id: &job::JobId) -> Markup {
    let text = id.as_str();
    html! { a class="id" href={ (PREFIX) "/jobs/" (text) } title=(text) { (short_id(text)) } }
}

/// The beginning tells when, the end tells which.
pub(crate) fn short_id(text: &str) -> String {
    match (text.get(..12), text.get(text.len().saturating_sub(4)..)) {
        (Some(start), Some(end)) if text.len() > 20 => format!("{start}…{end}"),
        (Some(_) | None, _) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_keeps_its_beginning_and_its_end() {
        assert_eq!(short_id("job_01M8C685CS1ARX0YYEEGFP2N1T"), "job_01M8C685…2N1T");
        assert_eq!(short_id("short"), "short");
    }

    #[test]
    fn every_state_has_a_colour_of_its_own_in_the_style_sheet() {
        let css = include_str!("../static/dash.css");
        for word in StateWord::ALL {
            assert!(css.contains(&format!(".s-{} ", word.as_str())), "{}", word.as_str());
            let chip = state(word).into_string();
            assert!(chip.contains(&format!("s-{}", word.as_str())), "{chip}");
        }
    }
}
