//! Where a run is written down: a part of `docs/scaling.md` that only runs write, with the curve beside it.

use super::ROLES;
use super::curve::{csv, svg, thinned};
use super::order::Order;
use super::sample::Sample;
use super::verdict::Verdict;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

const PAGE: &str = "docs/scaling.md";
const DIR: &str = "docs/scaling";
const BEGIN: &str =
    "<!-- From here to the end of the drill: written by `cargo xtask scale --write`. -->\n";
const END: &str = "<!-- The end of the drill. -->\n";
/// Lines of the table at most.
const ROWS_MAX: usize = 24;

/// Writes the curve and the part of the page below a clone.
///
/// # Errors
///
/// A file cannot be read or written, or the page has no place for it.
pub(super) fn write(
    clone: &Path,
    order: &Order,
    verdict: &Verdict,
    samples: &[Sample],
) -> io::Result<()> {
    let page = fs::read_to_string(clone.join(PAGE))?;
    let part = part(order, verdict, samples);
    let page = placed(&page, &part).ok_or_else(|| {
        io::Error::other(format!(
            "{PAGE}: no place between {:?} and {:?}",
            BEGIN.trim(),
            END.trim()
        ))
    })?;
    fs::create_dir_all(clone.join(DIR))?;
    fs::write(clone.join(DIR).join("drill.csv"), csv(samples))?;
    fs::write(clone.join(DIR).join("drill.svg"), svg(samples, order))?;
    fs::write(clone.join(PAGE), page)
}

/// The page with another part between the two marks.
fn placed(page: &str, part: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{part}{END}{after}"))
}

fn part(order: &Order, verdict: &Verdict, samples: &[Sample]) -> String {
    let mut text = String::new();
    let verdicts = if verdict.wrong.is_empty() { "passed" } else { "**failed**" };
    let _ = writeln!(
        text,
        "`{}` at commit {}, {}: {verdicts}.\n",
        order.command,
        order.commit,
        sandbox::machine::told()
    );
    for wrong in &verdict.wrong {
        let _ = writeln!(text, "- {wrong}");
    }
    text.push_str("| What | |\n| --- | --- |\n");
    for (what, value) in facts(order, verdict) {
        let _ = writeln!(text, "| {what} | {value} |");
    }
    let _ = writeln!(
        text,
        "\n![processes, creates a second and backlog over the run](scaling/drill.svg)\n\n\
         Every look is in [drill.csv](scaling/drill.csv); some of them (*told* is the gateway's word, *run* what the \
         autoscaler made of it):\n\n\
         | s | limit: tasks, creates/min | submitters told, run | pollers | downloaders | waiting | creates/s | slots |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for sample in thinned(samples, ROWS_MAX) {
        let limits = sample.facts.limits;
        let role = |role: usize| {
            let told = sample.told.map_or("–".to_owned(), |(told, _)| told[role].to_string());
            format!("{told}, {}", sample.running[role])
        };
        let [submitters, pollers, downloaders] = std::array::from_fn(role);
        let _ = writeln!(
            text,
            "| {:.0} | {}, {} | {submitters} | {pollers} | {downloaders} | {} | {:.1} | {} |",
            sample.at_s,
            limits.running,
            limits.create_rpm,
            sample.facts.backlog,
            sample.creates_per_s,
            sample.facts.slots
        );
    }
    text
}

fn facts(order: &Order, verdict: &Verdict) -> Vec<(&'static str, String)> {
    let of = |name: &str| verdict.number(name);
    let per_role = |numbers: &Value| {
        let told = ROLES.map(|role| format!("{role} {}", numbers[role]));
        told.join(", ")
    };
    let ends = of("ended_by");
    vec![
        ("jobs, stored", format!("{}, {}", of("jobs"), of("stored"))),
        ("bought twice", verdict.duplicates.to_string()),
        ("lost", verdict.lost.to_string()),
        ("windows and accounts over a limit in force", verdict.over.to_string()),
        ("most processes at once", per_role(of("peaks"))),
        ("submitters at the lowered limit", of("submitters_at_low_limit").to_string()),
        (
            "processes ended by SIGTERM, by SIGKILL",
            format!("{}, {}", ends["SIGTERM"], ends["SIGKILL"]),
        ),
        ("changes of the limits", of("limit_changes").to_string()),
        (
            "farthest that the gateway's word was from what the limits and the work can use, in processes",
            per_role(of("apart_max")),
        ),
        ("times that word turned round", per_role(of("turns"))),
        ("seconds", of("seconds").to_string()),
        ("an autoscaler's minute, in seconds", format!("{:.1}", order.minute().as_secs_f64())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_put_in_the_place_of_the_last_one_and_nothing_else_changes() {
        let page = format!("before\n{BEGIN}old\n{END}after\n");
        let new = placed(&page, "new\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}new\n{END}after\n"));
        assert_eq!(placed(&new, "new\n").unwrap(), new);
        assert!(placed("no marks", "new").is_none());
    }

    #[test]
    fn the_page_that_stands_has_a_place() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let page = fs::read_to_string(root.join(PAGE)).unwrap();
        assert!(placed(&page, "").is_some());
    }
}
