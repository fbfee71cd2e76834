//! What is shown, and what a key does to it. No clock, no socket, no terminal.

use super::dialog::{Asked, Dialog, Line};
use super::watcher::{Look, News, Order};
use job::JobId;
use job::filter::Filter;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use seedance::Route;
use store::PauseScope;

/// Lines that a page key moves by.
const PAGE: usize = 10;

/// What fills the lower half.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pane {
    /// The newest jobs of the filter.
    Jobs,
    /// Failures by code.
    Failures,
    /// One job, from this line of it on.
    Job { id: JobId, from: usize },
}

/// What a key asks of the loop.
#[derive(Debug, PartialEq)]
pub(super) enum Wish {
    /// It is over.
    Quit,
    /// The same, by Ctrl-C.
    Break,
    /// Something for the watcher.
    Order(Order),
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) pool: String,
    pub(super) route: &'static str,
    pub(super) simulated: bool,
    pub(super) currency: String,
    /// Colours may be used.
    pub(super) color: bool,
    pub(super) look: Option<Look>,
    /// Why the last look failed.
    pub(super) trouble: Option<String>,
    /// What came of the last order.
    pub(super) said: Option<String>,
    pub(super) filter: Filter,
    pub(super) pane: Pane,
    pub(super) dialog: Option<Dialog>,
    /// The line of the list that is marked.
    pub(super) at: usize,
    /// The job on it, once somebody has moved there: the mark stays with it while others come in above.
    marked: Option<JobId>,
}

impl Model {
    /// Of a pool of which nothing was seen yet.
    pub(super) fn new(pool: &str, route: Route, filter: Filter, color: bool) -> Self {
        Self {
            pool: pool.to_owned(),
            route: route.word(),
            simulated: false,
            currency: route.currency().to_string(),
            color,
            look: None,
            trouble: None,
            said: None,
            filter,
            pane: Pane::Jobs,
            dialog: None,
            at: 0,
            marked: None,
        }
    }

    /// Of a pool that talks to a simulator.
    pub(super) fn simulated(mut self, simulated: bool) -> Self {
        self.simulated = simulated;
        self
    }

    /// Takes news in.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Look(look) => {
                self.trouble = None;
                let place = |id: &JobId| look.jobs.iter().position(|line| line.id == *id);
                if let (Pane::Jobs, Some(at)) = (&self.pane, self.marked.as_ref().and_then(place)) {
                    self.at = at;
                }
                self.look = Some(*look);
                self.at = self.at.min(self.lines().saturating_sub(1));
            }
            News::Said(said) => self.said = Some(said),
            News::Trouble(why) => self.trouble = Some(why),
        }
    }

    /// Whether people paused this step.
    pub(super) fn is_paused(&self, scope: &PauseScope) -> bool {
        let mut pauses = self.look.iter().flat_map(|look| &look.glance.limits.pauses);
        pauses.any(|pause| pause.scope == scope.kind() && pause.of.is_none())
    }

    /// Lines of the list in the lower half.
    fn lines(&self) -> usize {
        let Some(look) = &self.look else { return 0 };
        match &self.pane {
            Pane::Jobs => look.jobs.len(),
            Pane::Failures => look.failures.len(),
            Pane::Job { .. } => {
                let open = look.open.as_ref();
                open.map_or(0, |detail| detail.facts.len() + detail.timeline.len())
            }
        }
    }

    /// Takes a key in.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Wish> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return Some(Wish::Break);
        }
        self.said = None;
        if let Some(dialog) = self.dialog.take() {
            return match dialog.press(key, |scope| self.is_paused(scope)) {
                Asked::On(dialog) => {
                    self.dialog = Some(dialog);
                    None
                }
                Asked::Dropped => None,
                Asked::Done(order) => {
                    if let Order::List(filter) = &order {
                        self.filter = filter.clone();
                        self.show(Pane::Jobs);
                    }
                    Some(Wish::Order(order))
                }
            };
        }
        match key.code {
            KeyCode::Char('q') => return Some(Wish::Quit),
            KeyCode::Char('/') => {
                self.dialog = Some(Dialog::Filter(Line::of(self.filter.to_string())));
            }
            KeyCode::Char('p') => self.dialog = Some(Dialog::Step { chosen: 0 }),
            KeyCode::Char('f') => {
                let failures = self.pane == Pane::Failures;
                return self.turn_to(if failures { Pane::Jobs } else { Pane::Failures });
            }
            KeyCode::Enter => return self.enter(),
            KeyCode::Esc | KeyCode::Backspace => return self.back(),
            KeyCode::Up | KeyCode::Char('k') => self.step_to(self.at_line().saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.step_to(self.at_line() + 1),
            KeyCode::PageUp => self.step_to(self.at_line().saturating_sub(PAGE)),
            KeyCode::PageDown => self.step_to(self.at_line() + PAGE),
            KeyCode::Home | KeyCode::Char('g') => self.step_to(0),
            KeyCode::End | KeyCode::Char('G') => self.step_to(usize::MAX),
            // Other keys do nothing.
            _ => {}
        }
        None
    }

    fn at_line(&self) -> usize {
        match &self.pane {
            Pane::Jobs | Pane::Failures => self.at,
            Pane::Job { from, .. } => *from,
        }
    }

    fn step_to(&mut self, line: usize) {
        let line = line.min(self.lines().saturating_sub(1));
        match &mut self.pane {
            Pane::Jobs => {
                self.at = line;
                let jobs = self.look.as_ref().map(|look| &look.jobs);
                let job = jobs.and_then(|jobs| jobs.get(line)).map(|job| job.id.clone());
                // On the first line it is the newest that is looked at, whichever that is.
                self.marked = job.filter(|_| line > 0);
            }
            Pane::Failures => self.at = line,
            Pane::Job { from, .. } => *from = line,
        }
    }

    fn show(&mut self, pane: Pane) {
        self.pane = pane;
        self.at = 0;
        self.marked = None;
    }

    /// Another pane; a job that was open is no longer looked at.
    fn turn_to(&mut self, pane: Pane) -> Option<Wish> {
        let left = matches!(self.pane, Pane::Job { .. });
        self.show(pane);
        left.then_some(Wish::Order(Order::Open(None)))
    }

    /// Into what is marked.
    fn enter(&mut self) -> Option<Wish> {
        let look = self.look.as_ref()?;
        match &self.pane {
            Pane::Jobs => {
                let id = look.jobs.get(self.at)?.id.clone();
                self.pane = Pane::Job { id: id.clone(), from: 0 };
                Some(Wish::Order(Order::Open(Some(id))))
            }
            Pane::Failures => {
                let filter = Filter::all().code(&look.failures.get(self.at)?.code);
                self.filter = filter.clone();
                self.show(Pane::Jobs);
                Some(Wish::Order(Order::List(filter)))
            }
            Pane::Job { .. } => None,
        }
    }

    /// Out of it again; last of all out of a filter.
    fn back(&mut self) -> Option<Wish> {
        match &self.pane {
            Pane::Job { .. } => {
                // The list is as it was left.
                self.pane = Pane::Jobs;
                Some(Wish::Order(Order::Open(None)))
            }
            Pane::Failures => self.turn_to(Pane::Jobs),
            Pane::Jobs if self.filter.is_all() => None,
            Pane::Jobs => {
                self.filter = Filter::all();
                self.show(Pane::Jobs);
                Some(Wish::Order(Order::List(Filter::all())))
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
