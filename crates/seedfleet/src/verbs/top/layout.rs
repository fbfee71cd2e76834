//! The upper half of the picture: the whole pool in a few lines.

use super::model::Model;
use super::view::Paint;
use super::words::{grouped, lasting, money, wrapped};
use job::{StateWord, Step};
use ratatui::text::{Line, Span};
use std::collections::BTreeMap;
use std::time::Duration;
use store::{Depth, PauseScope};
use survey::{ClassView, Flow, Glance, HeldSlot};

/// From these ages on a slot's cell looks another way.
const AGES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
/// Cells of one class at most.
const CELLS_MOST: usize = 60;
/// What stands beside the cells of a class.
const BESIDE_CELLS: usize = 44;

/// A class over all accounts of the pool.
#[derive(Debug, Clone, Copy, Default)]
struct Class {
    used: u64,
    slots: u64,
    rpm: f64,
    creates: u64,
    waiting: u64,
}

/// All lines of the upper half.
pub(super) fn head(model: &Model, width: usize) -> Vec<Line<'static>> {
    let paint = Paint::of(model);
    let mut name = format!("seedfleet {}  {}", model.pool, model.route);
    if model.simulated {
        name.push_str(" (simulated)");
    }
    let Some(look) = &model.look else {
        return vec![Line::from(vec![paint.bold(name), Span::raw("  looking …")])];
    };
    let glance = &look.glance;
    let mut lines = vec![first(model, glance, name), flow(glance, paint), states(glance)];
    lines.extend(classes(glance, width, paint));
    for (title, text) in [("steps", steps(model, glance)), ("of use", of_use(glance))] {
        lines.extend(titled(title, &text, width, paint));
    }
    lines.extend(titled("LIMITED BY", &glance.limits.limited_by, width, paint));
    lines.extend(titled("FAILED 15m", &failed(&glance.flow), width, paint));
    lines
}

fn first(model: &Model, glance: &Glance, name: String) -> Line<'static> {
    let paint = Paint::of(model);
    let clock: String = glance.now.rfc3339().chars().skip(11).take(8).collect();
    let memory = match glance.memory_ratio {
        Some(ratio) => format!("redis {:.0}%", ratio * 100.0),
        None => format!("redis {}", indicatif::HumanBytes(glance.memory_bytes)),
    };
    let mut spans =
        vec![paint.bold(name), Span::raw(format!("  {clock}Z  {memory}  spend today "))];
    if let Some(budget) = &glance.limits.budget {
        let today = &budget.today;
        let cap =
            today.max.as_deref().map_or(" (no cap)".to_owned(), |max| format!("/{}", money(max)));
        spans.push(Span::raw(format!("{} {}{cap}", model.currency, money(&today.spent))));
        if budget.held > 0 {
            spans.push(paint.warn(format!("  held for budget {}", grouped(budget.held))));
        }
    }
    Line::from(spans)
}

fn count(glance: &Glance, word: StateWord) -> u64 {
    glance.limits.counts.get(word.as_str()).copied().unwrap_or(0)
}

fn flow(glance: &Glance, paint: Paint) -> Line<'static> {
    let Flow { in_per_s, out_per_s, behind, .. } = &glance.flow;
    let queued = grouped(count(glance, StateWord::Queued));
    let oldest = glance.oldest.map(|age| format!(" (oldest {})", lasting(age)));
    let doubt = count(glance, StateWord::InDoubt) + count(glance, StateWord::Parked);
    let link = glance.link_left.map_or("-".to_owned(), lasting);
    let oldest = oldest.unwrap_or_default();
    let mut spans = vec![
        Span::raw(format!("IN {in_per_s:.2}/s  OUT {out_per_s:.2}/s   queued {queued}{oldest}   ")),
        if doubt > 0 {
            paint.bad(format!("in doubt {}", grouped(doubt)))
        } else {
            Span::raw("in doubt 0")
        },
        Span::raw(format!("   url-ttl min {link}")),
    ];
    if *behind {
        spans.push(paint.warn("   (reading on: rates are too low)".to_owned()));
    }
    Line::from(spans)
}

fn states(glance: &Glance) -> Line<'static> {
    let counts = StateWord::ALL.into_iter().map(|word| (word, count(glance, word)));
    let told = counts.filter(|(_, n)| *n > 0);
    let told: Vec<String> =
        told.map(|(word, n)| format!("{} {}", word.as_str(), grouped(n))).collect();
    let told = if told.is_empty() { "none".to_owned() } else { told.join(" · ") };
    Line::from(format!("states  {told}"))
}

/// A line for each class that is in use or waited for.
fn classes(glance: &Glance, width: usize, paint: Paint) -> Vec<Line<'static>> {
    let mut classes: BTreeMap<&'static str, Class> = BTreeMap::new();
    for view in glance.limits.accounts.iter().flat_map(|account| &account.classes) {
        let ClassView { class, slots, slots_used, create_rpm, .. } = view;
        let of = classes.entry(*class).or_default();
        of.used += slots_used;
        of.slots += u64::from(*slots);
        of.rpm += create_rpm;
    }
    for (class, n) in &glance.flow.creates {
        classes.entry(class.word()).or_default().creates += n;
    }
    for depth in &glance.depths {
        if let Some(class) = depth.queue.class() {
            classes.entry(class.word()).or_default().waiting += depth.waiting + depth.leased;
        }
    }
    classes.retain(|_, of| of.used + of.creates + of.waiting > 0);
    if classes.is_empty() {
        return vec![Line::from("slots  none in use, and nothing waits for one")];
    }
    let line = |(class, of): (&'static str, Class)| {
        let slots = glance.slots.iter().filter(|slot| slot.class.word() == class);
        let mut slots: Vec<HeldSlot> = slots.copied().collect();
        slots.sort_by_key(|slot| slot.age);
        let mut spans = vec![Span::raw(format!("slots {class:<8} {}/{} [", of.used, of.slots))];
        spans.extend(cells(&slots, of, width, paint));
        let rpm = of.rpm.round();
        spans.push(Span::raw(format!(
            "]  creates/min {}/{rpm}  waiting {}",
            of.creates,
            grouped(of.waiting)
        )));
        Line::from(spans)
    };
    classes.into_iter().map(line).collect()
}

/// The slots of a class, youngest first, one cell each or, where they are too many, each for as many.
#[allow(clippy::cast_possible_truncation, reason = "no more than CELLS_MOST")]
fn cells(slots: &[HeldSlot], of: Class, width: usize, paint: Paint) -> Vec<Span<'static>> {
    let room = width.saturating_sub(BESIDE_CELLS).clamp(4, CELLS_MOST) as u64;
    let all = of.slots.max(of.used);
    let drawn = all.min(room);
    // Rounded up: a slot in use is never drawn as none.
    let used = (of.used * drawn).div_ceil(all.max(1)) as usize;
    let cell = |n: usize| {
        // Of those that were read, which may be fewer than there are.
        let Some(slot) = slots.get(n * slots.len() / used.max(1)) else {
            return Span::raw("o");
        };
        match slot.age {
            _ if slot.in_doubt => paint.bad("?".to_owned()),
            age if age < AGES[0] => paint.good("o".to_owned()),
            age if age < AGES[1] => paint.warn("O".to_owned()),
            _ => paint.old("#".to_owned()),
        }
    };
    let free = (drawn as usize).saturating_sub(used);
    (0..used).map(cell).chain([paint.dim("·".repeat(free))]).collect()
}

/// What waits at each step, and what is paused.
fn steps(model: &Model, glance: &Glance) -> String {
    let told = |step: Step, name: &str, scope: Option<&PauseScope>| {
        let of = glance.depths.iter().filter(|depth| depth.queue.step() == step);
        let add = |sum: (u64, u64, u64), depth: &Depth| {
            (sum.0 + depth.waiting, sum.1 + depth.due, sum.2 + depth.leased)
        };
        let (waiting, due, leased) = of.fold((0, 0, 0), add);
        let paused = scope.is_some_and(|scope| model.is_paused(scope));
        let paused = if paused { "PAUSED " } else { "" };
        format!("{name} {paused}waiting {} due {} at work {leased}", grouped(waiting), grouped(due))
    };
    [
        told(Step::Submit, "submit", Some(&PauseScope::Submit)),
        told(Step::Settle, "settle", None),
        told(Step::Poll, "poll", Some(&PauseScope::Poll)),
        told(Step::Download, "download", Some(&PauseScope::Download)),
        told(Step::Notify, "notify", None),
    ]
    .join(" | ")
}

/// Processes of use by role, and what bounds their number.
fn of_use(glance: &Glance) -> String {
    let bound = |bound: survey::Bound| {
        let word = serde_json::to_value(bound).unwrap_or_default();
        word.as_str().unwrap_or_default().replace('_', " ")
    };
    let roles = glance.wanted.roles();
    let told = roles.iter().map(|(role, n, by, _)| format!("{role} {n} ({})", bound(*by)));
    told.collect::<Vec<_>>().join(" | ")
}

fn failed(flow: &Flow) -> String {
    if flow.failed.is_empty() {
        return "none".to_owned();
    }
    let told = flow.failed.iter().map(|(code, n)| format!("{code} {}", grouped(*n)));
    crate::output::plain(&told.collect::<Vec<_>>().join(" · "))
}

fn titled(title: &str, text: &str, width: usize, paint: Paint) -> Vec<Line<'static>> {
    let indent = title.chars().count() + 2;
    let lines = wrapped(text, width.saturating_sub(indent));
    let line = |(n, text): (usize, String)| {
        let front = if n == 0 { format!("{title}  ") } else { " ".repeat(indent) };
        Line::from(vec![paint.bold(front), Span::raw(text)])
    };
    lines.into_iter().enumerate().map(line).collect()
}
