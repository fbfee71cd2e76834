//! The curve of a run: as numbers, and as a picture.

use super::ROLES;
use super::order::Order;
use super::sample::Sample;
use std::fmt::Write as _;

/// Lines of the file at most.
const LINES_MAX: usize = 400;
/// The picture, in its own units.
const WIDTH: f64 = 900.0;
const PANEL: f64 = 150.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 34.0;

/// A run's looks with equal gaps, of which the last is always one.
pub(super) fn thinned(samples: &[Sample], most: usize) -> Vec<&Sample> {
    let step = samples.len().div_ceil(most.max(1)).max(1);
    let from = samples.len().saturating_sub(1) % step;
    samples.iter().skip(from).step_by(step).collect()
}

/// Comma-separated, with a head.
pub(super) fn csv(samples: &[Sample]) -> String {
    let mut text = "t_s,limit_running,limit_creates_per_min,usable_creates_per_s".to_owned();
    for role in ROLES {
        let _ = write!(text, ",{role}_desired,{role}_running");
    }
    text.push_str(",backlog,creates_per_s,slots_used,ended\n");
    for sample in thinned(samples, LINES_MAX) {
        let Sample { facts, .. } = sample;
        let limits = facts.limits;
        let _ = write!(
            text,
            "{:.1},{},{},{:.1}",
            sample.at_s,
            limits.running,
            limits.create_rpm,
            facts.usable_per_s()
        );
        for role in 0..ROLES.len() {
            let told = sample.told.map_or_else(String::new, |(told, _)| told[role].to_string());
            let _ = write!(text, ",{told},{}", sample.running[role]);
        }
        let _ = writeln!(
            text,
            ",{},{:.1},{},{}",
            facts.backlog, sample.creates_per_s, facts.slots, sample.ended
        );
    }
    text
}

/// One line of a panel.
struct Line<'a> {
    name: &'a str,
    colour: &'a str,
    /// What is wanted or allowed, and not what is.
    dashed: bool,
    points: Vec<(f64, f64)>,
}

/// Three panels above each other: processes, creates a second, jobs that wait.
pub(super) fn svg(samples: &[Sample], order: &Order) -> String {
    let shown = thinned(samples, LINES_MAX);
    let row = |name, colour, dashed, of: &dyn Fn(&Sample) -> Option<f64>| Line {
        name,
        colour,
        dashed,
        points: shown.iter().filter_map(|sample| Some((sample.at_s, of(sample)?))).collect(),
    };
    let running = |role: usize| move |sample: &Sample| Some(f64::from(sample.running[role]));
    let panels = [
        (
            "processes",
            vec![
                row("submitters told", "#888888", true, &|sample| {
                    Some(f64::from(sample.told?.0[0]))
                }),
                row("submitters", "#0b5cad", false, &running(0)),
                row("pollers", "#b35900", false, &running(1)),
                row("downloaders", "#2e7d32", false, &running(2)),
            ],
        ),
        (
            "creates a second",
            vec![
                row("the limits can use", "#888888", true, &|sample| {
                    Some(sample.facts.usable_per_s())
                }),
                row("made", "#0b5cad", false, &|sample| Some(sample.creates_per_s)),
            ],
        ),
        (
            "jobs and slots",
            vec![
                row("waiting, of the backlog's 100", "#0b5cad", false, &|sample| {
                    Some(sample.facts.backlog as f64 * 100.0 / order.jobs.max(1) as f64)
                }),
                row("slots in use, of the limit's 100", "#b35900", false, &|sample| {
                    let limit = f64::from(sample.facts.limits.running.max(1));
                    Some(sample.facts.slots as f64 * 100.0 / limit)
                }),
            ],
        ),
    ];
    let last_s = shown.last().map_or(1.0, |sample| sample.at_s.max(1.0));
    let height = panels.len() as f64 * (PANEL + TOP) + TOP;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (n, (title, lines)) in panels.iter().enumerate() {
        panel(&mut text, title, lines, n as f64 * (PANEL + TOP) + TOP, last_s);
    }
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{}\">0 s</text>\n<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{last_s:.0} s</text>\n</svg>",
        height - TOP / 2.0,
        WIDTH - 10.0,
        height - TOP / 2.0
    );
    text
}

fn panel(text: &mut String, title: &str, lines: &[Line<'_>], top: f64, last_s: f64) {
    let most = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y).fold(1.0, f64::max);
    let (bottom, right) = (top + PANEL, WIDTH - 10.0);
    let _ = writeln!(
        text,
        "<path d=\"M{LEFT} {top}V{bottom}H{right}\" fill=\"none\" stroke=\"#444444\"/>\n\
         <text x=\"{x}\" y=\"{bottom}\" text-anchor=\"end\">0</text>\n\
         <text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{most:.0}</text>",
        x = LEFT - 6.0,
        y = top + 9.0
    );
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
        top - 6.0
    );
    for (n, Line { name, colour, dashed, points }) in lines.iter().enumerate() {
        let mut path = String::new();
        for (x, y) in points {
            let x = LEFT + x / last_s * (right - LEFT);
            let y = bottom - y / most * PANEL;
            // Between two looks it is what the first of them saw.
            let _ = match path.is_empty() {
                true => write!(path, "M{x:.1} {y:.1}"),
                false => write!(path, "H{x:.1}V{y:.1}"),
            };
        }
        let dash = if *dashed { " stroke-dasharray=\"5 3\"" } else { "" };
        let _ = writeln!(
            text,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\"{dash}/>\n\
             <text x=\"{}\" y=\"{}\" fill=\"{colour}\">{name}</text>",
            LEFT + 180.0 + n as f64 * 170.0,
            top - 6.0
        );
    }
}
