//! What is asked at the bottom of the picture: a filter, a step, a reason.

use super::watcher::Order;
use job::filter::{FILTER_BYTES_MAX, Filter};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use store::PauseScope;

/// The steps that can be paused, in the order of a job's way.
pub(super) const STEPS: [PauseScope; 3] =
    [PauseScope::Submit, PauseScope::Poll, PauseScope::Download];

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Dialog {
    /// Which jobs?
    Filter(Line),
    /// Which step?
    Step { chosen: usize },
    /// Why?
    Reason { scope: PauseScope, resumes: bool, line: Line },
}

/// A line that is being typed, and what was wrong with it when it was last entered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) fault: Option<String>,
}

/// What came of a key.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// It goes on.
    On(Dialog),
    /// Nothing is wanted any more.
    Dropped,
    /// An answer.
    Done(Order),
}

impl Line {
    pub(super) fn of(text: String) -> Self {
        Self { text, fault: None }
    }

    /// Types a key; true: it was one that ends the line.
    fn typed(&mut self, key: KeyEvent) -> bool {
        match key.code {
            KeyCode::Enter => return true,
            KeyCode::Backspace => {
                self.text.pop();
            }
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.text.clear();
            }
            KeyCode::Char(c)
                if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT)
                    && self.text.len() + c.len_utf8() <= FILTER_BYTES_MAX =>
            {
                self.text.push(c);
            }
            // Other keys type nothing.
            _ => return false,
        }
        self.fault = None;
        false
    }
}

impl Dialog {
    /// Takes a key. `paused`: whether this step is paused now.
    pub(super) fn press(self, key: KeyEvent, paused: impl Fn(&PauseScope) -> bool) -> Asked {
        if key.code == KeyCode::Esc {
            return Asked::Dropped;
        }
        match self {
            Self::Filter(mut line) => {
                if !line.typed(key) {
                    return Asked::On(Self::Filter(line));
                }
                match Filter::parse(&line.text) {
                    Ok(filter) => Asked::Done(Order::List(filter)),
                    Err(error) => {
                        line.fault = Some(error.to_string());
                        Asked::On(Self::Filter(line))
                    }
                }
            }
            Self::Step { chosen } => {
                let chosen = match key.code {
                    KeyCode::Down | KeyCode::Char('j' | 'p') => (chosen + 1) % STEPS.len(),
                    KeyCode::Up | KeyCode::Char('k') => (chosen + STEPS.len() - 1) % STEPS.len(),
                    KeyCode::Enter => {
                        let scope = STEPS[chosen].clone();
                        let (resumes, line) = (paused(&scope), Line::default());
                        return Asked::On(Self::Reason { scope, resumes, line });
                    }
                    KeyCode::Char('q') => return Asked::Dropped,
                    _ => chosen,
                };
                Asked::On(Self::Step { chosen })
            }
            Self::Reason { scope, resumes, mut line } => {
                if !line.typed(key) {
                    return Asked::On(Self::Reason { scope, resumes, line });
                }
                match job::reason(&line.text).map(str::to_owned) {
                    Some(reason) if resumes => Asked::Done(Order::Resume(scope, reason)),
                    Some(reason) => Asked::Done(Order::Pause(scope, reason)),
                    None => {
                        line.fault = Some("a reason is needed: it stays in the audit".to_owned());
                        Asked::On(Self::Reason { scope, resumes, line })
                    }
                }
            }
        }
    }
}
