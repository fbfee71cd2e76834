//! `jobs open`: the link of a stored video, opened where there is a desktop.

use super::find;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use crate::session::Session;
use job::{JobId, State};
use std::io::{self, IsTerminal};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What of it.
pub(super) struct Wanted {
    pub(super) last_frame: bool,
    pub(super) print: bool,
    pub(super) lives: Duration,
}

/// Prints the link; a person at a desktop sees it opened.
pub(super) async fn run(session: &Session, id: &JobId, wanted: Wanted) -> Outcome {
    let record = find(session, id).await?.record;
    let state = &record.life.state;
    let word = state.word().as_str();
    let Some(output) = state.output().filter(|output| output.is_here()) else {
        let what = match (state, &record.life.erased) {
            (_, Some(_)) => format!("the content of {id} was erased"),
            (State::Finished { .. }, None) => format!("{id} has no video: it is {word}"),
            (_, None) => format!("{id} has no video yet: it is {word}"),
        };
        return Err(Failure::new(Exit::Conflict, what)
            .hint(format!("`seedfleet jobs show {id}` tells its way; `jobs wait` waits for it")));
    };
    let path = match (wanted.last_frame, &output.last_frame) {
        (false, _) => &output.video,
        (true, Some(frame)) => frame,
        (true, None) => {
            return Err(Failure::new(Exit::NotFound, format!("{id} came without a last frame")));
        }
    };
    let buckets = session.buckets()?;
    let assets = buckets.of(&record.spec.tenant);
    let link = match assets.link(path, wanted.lives).await {
        Some(signed) => signed?,
        None => assets.address(path),
    };
    show(&link, wanted.print)
}

/// Prints a link, and opens it where a person sits at a desktop.
pub(crate) fn show(link: &str, print: bool) -> Outcome {
    say(&format!("{link}\n"))?;
    if !print
        && io::stdout().is_terminal()
        && let Some(opener) = opener(|name| std::env::var_os(name).is_some())
        && let Err(error) = open(opener, link)
    {
        note(&format!("{opener} cannot be started: {error}"));
    }
    Ok(Exit::Done)
}

/// What opens links on this desktop; none on a machine without one.
fn opener(is_set: impl Fn(&str) -> bool) -> Option<&'static str> {
    if cfg!(target_os = "macos") {
        return Some("open");
    }
    ["DISPLAY", "WAYLAND_DISPLAY"].into_iter().any(is_set).then_some("xdg-open")
}

/// It outlives this program, and says nothing into its terminal.
fn open(opener: &str, link: &str) -> io::Result<()> {
    let mut command = Command::new(opener);
    command.arg(link).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_opened_where_there_is_no_desktop() {
        if cfg!(not(target_os = "macos")) {
            assert_eq!(opener(|_| false), None);
            assert_eq!(opener(|name| name == "WAYLAND_DISPLAY"), Some("xdg-open"));
        }
    }
}
