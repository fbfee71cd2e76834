//! The picture: a pure function of the model and the size of the terminal.

use super::dialog::{Dialog, Line as Typed, STEPS};
use super::layout;
use super::model::{Model, Pane};
use super::watcher::{Detail, JobLine, Look};
use super::words::{grouped, lasting, wrapped};
use job::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

/// Below this there is no room for anything.
const SMALLEST: (u16, u16) = (40, 10);
/// Lines that the lower half keeps whatever stands above it.
const LOWER_LEAST: u16 = 4;

/// What is told of each job, from what matters most: a narrow terminal shows the first of them.
const JOB_COLUMNS: [Column; 8] = [
    ("JOB", 30),
    ("STATE", 11),
    ("AGE", 7),
    ("CUSTOM ID", 16),
    ("CODE", 28),
    ("MODEL", 17),
    ("BATCH", 14),
    ("TENANT", 10),
];
/// The same of each group of failures.
const FAILURE_COLUMNS: [Column; 7] =
    [("CODE", 36), ("CLASS", 9), ("JOBS", 9), ("FIRST", 7), ("LAST", 7), ("PAID", 4), ("RETRY", 5)];

/// Colours, where they are wanted; else weight alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    color: bool,
}

impl Paint {
    pub(super) const fn of(model: &Model) -> Self {
        Self { color: model.color }
    }

    fn style(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    pub(super) fn bold(self, text: String) -> Span<'static> {
        Span::styled(text, Style::new().add_modifier(Modifier::BOLD))
    }

    pub(super) fn dim(self, text: String) -> Span<'static> {
        Span::styled(text, self.style(Color::DarkGray))
    }

    pub(super) fn good(self, text: String) -> Span<'static> {
        Span::styled(text, self.style(Color::Green))
    }

    pub(super) fn warn(self, text: String) -> Span<'static> {
        Span::styled(text, self.style(Color::Yellow))
    }

    pub(super) fn old(self, text: String) -> Span<'static> {
        Span::styled(text, self.style(Color::Magenta))
    }

    pub(super) fn bad(self, text: String) -> Span<'static> {
        Span::styled(text, self.style(Color::Red).add_modifier(Modifier::BOLD))
    }
}

/// Draws everything.
pub(super) fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("seedfleet top needs {} x {} letters; [q]uit", SMALLEST.0, SMALLEST.1);
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let foot = foot(model, usize::from(area.width));
    let head = layout::head(model, usize::from(area.width));
    let foot_rows = rows(foot.len()).min(area.height - LOWER_LEAST);
    let head_rows = rows(head.len()).min(area.height - LOWER_LEAST - foot_rows);
    let band = |y, height| Rect { y, height, ..area };
    frame.render_widget(Paragraph::new(head), band(0, head_rows));
    let middle = area.height - head_rows - foot_rows;
    frame.render_widget(Paragraph::new(foot), band(area.height - foot_rows, foot_rows));
    let title = Paragraph::new(Line::from(title(model)));
    frame.render_widget(title, band(head_rows, 1));
    let Some(look) = &model.look else { return };
    let lower = band(head_rows + 1, middle - 1);
    match &model.pane {
        Pane::Jobs => jobs(model, look, frame, lower),
        Pane::Failures => failures(model, look, frame, lower),
        Pane::Job { id, from } => {
            let lines = match look.open.as_ref().filter(|open| open.id == *id) {
                Some(detail) => detail_lines(detail),
                None => vec![Line::from("looking …")],
            };
            let lines: Vec<Line<'_>> = lines.into_iter().skip(*from).collect();
            frame.render_widget(Paragraph::new(lines), lower);
        }
    }
}

fn rows(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}

fn title(model: &Model) -> Vec<Span<'static>> {
    let paint = Paint::of(model);
    let text = match &model.pane {
        Pane::Jobs => {
            let filter = model.filter.to_string();
            let which = if filter.is_empty() { "all".to_owned() } else { filter };
            let more = model.look.as_ref().is_some_and(|look| look.more);
            let told = model.look.as_ref().filter(|look| look.filter == model.filter);
            let n = told.map_or("looking …".to_owned(), |look| grouped(look.jobs.len() as u64));
            format!("── jobs: {which}: {}{n} ", if more { "the newest " } else { "" })
        }
        Pane::Failures => "── failures by code ".to_owned(),
        Pane::Job { id, .. } => format!("── {id} "),
    };
    vec![paint.bold(crate::output::plain(&text))]
}

/// What stands at the bottom: a question, news, or the keys.
fn foot(model: &Model, width: usize) -> Vec<Line<'static>> {
    let paint = Paint::of(model);
    let mut lines = Vec::new();
    if let Some(why) = &model.trouble {
        let told = wrapped(&format!("NOT UP TO DATE: {why}"), width);
        lines.extend(told.into_iter().map(|line| Line::from(paint.bad(line))));
    }
    if let Some(said) = &model.said {
        lines.extend(wrapped(said, width).into_iter().map(|line| Line::from(paint.warn(line))));
    }
    let keys = "[q]uit  [/]filter  [p]ause a step  [f]ailures  [enter] job  [esc] back  [arrows] move    o<1m O<2m #>2m ?doubt";
    match &model.dialog {
        None => lines.push(Line::from(paint.dim(keys.to_owned()))),
        Some(Dialog::Filter(typed)) => lines.extend(typing("filter", typed, width, paint)),
        Some(Dialog::Step { chosen }) => {
            let mut spans = vec![paint.bold("which step? ".to_owned())];
            for (n, scope) in STEPS.iter().enumerate() {
                let verb = if model.is_paused(scope) { "resume" } else { "pause" };
                let text = format!(" {verb} {scope} ");
                let marked = Style::new().add_modifier(Modifier::REVERSED);
                spans.push(if n == *chosen { Span::styled(text, marked) } else { Span::raw(text) });
            }
            spans.push(paint.dim("  [enter] choose  [esc] leave".to_owned()));
            lines.push(Line::from(spans));
        }
        Some(Dialog::Reason { scope, resumes, line }) => {
            let verb = if *resumes { "resume" } else { "pause for an hour" };
            lines.extend(typing(&format!("{verb}: {scope}; why?"), line, width, paint));
        }
    }
    lines
}

/// A line that is being typed, its end in sight, and above it what was wrong with it.
fn typing(what: &str, typed: &Typed, width: usize, paint: Paint) -> Vec<Line<'static>> {
    let fault = typed.fault.iter().flat_map(|fault| wrapped(fault, width));
    let mut lines: Vec<Line<'static>> = fault.map(|line| Line::from(paint.bad(line))).collect();
    let room = width.saturating_sub(what.chars().count() + 3);
    let skipped = typed.text.chars().count().saturating_sub(room);
    let end: String = typed.text.chars().skip(skipped).collect();
    let cursor = Style::new().add_modifier(Modifier::REVERSED);
    lines.push(Line::from(vec![
        paint.bold(format!("{what} ")),
        Span::raw(crate::output::plain(&end)),
        Span::styled(" ", cursor),
    ]));
    lines
}

/// How long ago, for a column.
fn ago(at: Timestamp, now: Timestamp) -> String {
    lasting(now.since(at))
}

/// A column: its name and its width.
type Column = (&'static str, u16);

/// The columns that have room, from the first on.
fn fitting(columns: &[Column], room: u16) -> &[Column] {
    let mut taken = 0;
    let fits = |(_, width): &&Column| {
        taken += width + 1;
        taken <= room + 1
    };
    let n = columns.iter().take_while(fits).count();
    columns.get(..n.max(1)).unwrap_or(columns)
}

fn table(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[Column],
    lines: Vec<Vec<String>>,
) {
    let columns = fitting(columns, area.width);
    let widths = columns.iter().map(|(_, width)| Constraint::Length(*width));
    let head = Row::new(columns.iter().map(|(name, _)| Cell::from(*name)));
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let marked = Style::new().add_modifier(Modifier::REVERSED);
    let lines = lines.into_iter().map(|cells| Row::new(cells.into_iter().take(columns.len())));
    let table = Table::new(lines, widths).header(head.style(bold)).row_highlight_style(marked);
    let mut state = TableState::default().with_selected(Some(model.at));
    frame.render_stateful_widget(table, area, &mut state);
}

fn jobs(model: &Model, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    if look.jobs.is_empty() {
        frame.render_widget(Paragraph::new("no job fits"), area);
        return;
    }
    let line = |job: &JobLine| {
        let age = ago(job.created, look.glance.now);
        let own = [job.custom_id.clone(), job.code.clone(), job.model.to_owned()];
        let cells = [job.id.to_string(), job.state.to_owned(), age].into_iter().chain(own);
        cells.chain([job.batch.clone(), job.tenant.clone()]).collect::<Vec<_>>()
    };
    table(model, frame, area, &JOB_COLUMNS, look.jobs.iter().map(line).collect());
}

fn failures(model: &Model, look: &Look, frame: &mut Frame<'_>, area: Rect) {
    let Some(marked) = look.failures.get(model.at) else {
        frame.render_widget(Paragraph::new("no failure waits for anybody"), area);
        return;
    };
    let advice = format!("{}: {}", marked.code, marked.advice);
    let advice = wrapped(&crate::output::plain(&advice), usize::from(area.width));
    let room = rows(advice.len()).min(area.height.saturating_sub(2));
    let above = Rect { height: area.height - room, ..area };
    let below = Rect { y: area.y + above.height, height: room, ..area };
    let line = |group: &survey::FailureView| {
        let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
        let (first, last) = group.seen;
        vec![
            crate::output::plain(&group.code),
            group.class.clone().unwrap_or_default(),
            grouped(group.open),
            ago(first, look.glance.now),
            ago(last, look.glance.now),
            yes(group.paid),
            yes(group.retryable),
        ]
    };
    table(model, frame, above, &FAILURE_COLUMNS, look.failures.iter().map(line).collect());
    frame.render_widget(
        Paragraph::new(advice.into_iter().map(Line::from).collect::<Vec<_>>()),
        below,
    );
}

fn detail_lines(detail: &Detail) -> Vec<Line<'static>> {
    if detail.facts.is_empty() {
        return vec![Line::from("it is not in this pool any more")];
    }
    let width = detail.facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let facts = detail.facts.iter().map(|(name, value)| format!("{name:<width$}  {value}"));
    let steps = detail
        .timeline
        .iter()
        .map(|[after, state, what, by]| format!("{after:>10}  {state:<11}  {what}  ({by})"));
    facts.chain(steps).map(Line::from).collect()
}

#[cfg(test)]
mod tests;
