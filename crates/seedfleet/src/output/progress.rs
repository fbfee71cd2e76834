//! How far a long verb is, on standard error.

use super::note;
use indicatif::{ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// How often a progress line is written where nobody watches a bar.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far a long verb is: a bar on a terminal, a line now and then elsewhere.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    last: Cell<Instant>,
    quiet: bool,
}

impl Progress {
    /// Begins; `total` is unknown where a pipe is read.
    pub(crate) fn begin(total: Option<u64>, quiet: bool) -> Self {
        let shows = !quiet && io::stderr().is_terminal();
        let bar = shows.then(|| match total {
            Some(total) => {
                let style = "{bar:32} {pos}/{len}  {elapsed}  {msg}";
                let bar = ProgressBar::new(total);
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar
            }
            None => ProgressBar::new_spinner(),
        });
        Self { bar, last: Cell::new(Instant::now()), quiet }
    }

    /// Tells where we are.
    pub(crate) fn at(&self, done: u64, text: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(done);
                bar.set_message(text.to_owned());
            }
            None if !self.quiet && self.last.get().elapsed() >= LINE_EVERY => {
                self.last.set(Instant::now());
                note(text);
            }
            None => {}
        }
    }

    /// A remark between two looks.
    pub(crate) fn remark(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None if !self.quiet => note(line),
            None => {}
        }
    }

    /// What must be known, between two looks; `--quiet` does not hush it.
    pub(crate) fn tell(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(line)),
            None => note(line),
        }
    }

    /// Ends; the bar goes away.
    pub(crate) fn end(self) {
        drop(self);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // Also where a failure ends it: that is told on a line of its own.
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
