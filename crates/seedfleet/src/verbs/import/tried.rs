//! What the jobs of a pilot came to, and what a person does next.

use super::money;
use crate::cli::Global;
use crate::exit::{Exit, Failure};
use crate::output::{self, Row, Rows, note};
use job::StateWord;
use seedance::Currency;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// One job of a pilot.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) job: String,
    pub(crate) state: StateWord,
    pub(crate) settings: Option<String>,
    pub(crate) micros: u64,
    pub(crate) estimated_micros: u64,
    pub(crate) video: Value,
    pub(crate) code: Option<String>,
}

/// Each job, then what they came to beside the summary of the file.
///
/// # Errors
///
/// Standard output is closed.
pub(crate) fn show(
    global: &Global,
    currency: Currency,
    tried: &[Tried],
    mut row: Row,
) -> Result<(), Failure> {
    let line = |job: &Tried| {
        Row::from_iter([
            ("job".to_owned(), json!(job.job)),
            ("state".to_owned(), json!(job.state.as_str())),
            ("settings".to_owned(), json!(job.settings)),
            ("cost".to_owned(), json!(money(currency, job.micros))),
            ("video".to_owned(), job.video.clone()),
            ("code".to_owned(), json!(job.code)),
        ])
    };
    let lines: Vec<Row> = tried.iter().map(line).collect();
    let mut codes: BTreeMap<&str, u64> = BTreeMap::new();
    for code in tried.iter().filter_map(|job| job.code.as_deref()) {
        *codes.entry(code).or_default() += 1;
    }
    let codes: Vec<String> = codes.iter().map(|(code, n)| format!("{code} {n}")).collect();
    let succeeded = tried.iter().filter(|job| job.state == StateWord::Succeeded).count();
    let spent = tried.iter().map(|job| job.micros).sum();
    let estimated = tried.iter().map(|job| job.estimated_micros).sum();
    row.insert("pilot".into(), json!(tried.len()));
    row.insert("pilot_succeeded".into(), json!(succeeded));
    row.insert("pilot_cost".into(), json!(money(currency, spent)));
    row.insert("pilot_estimated".into(), json!(money(currency, estimated)));
    row.insert("pilot_failures".into(), json!((!codes.is_empty()).then(|| codes.join(" · "))));
    if global.output.is_a_page() {
        let mut rows =
            Rows::new(&global.output, &["job", "state", "settings", "cost", "video", "code"]);
        for line in lines {
            rows.add(line)?;
        }
        rows.end()?;
        output::say("\n")?;
    } else if !global.output.has_columns() {
        row.insert("pilot_jobs".into(), json!(lines));
    }
    output::object(&global.output, row)
}

/// Says how many rows were drawn.
pub(crate) fn tell_drawn(global: &Global, rows: usize, kinds: u64, all: u64) {
    if !global.quiet {
        note(&format!("{rows} rows are drawn, of {kinds} of {all} kinds of settings"));
    }
}

/// Says that the batch has had its pilot.
pub(crate) fn tell_over(global: &Global, batch: &str) {
    if !global.quiet {
        note(&format!("the pilot of {batch} is over; all rows are taken in"));
    }
}

/// How the others are bought. `paused`: why none is, where that is so; `waits`: it is for the pilot.
pub(crate) fn tell_next(batch: &str, whose: &str, paused: Option<&str>, waits: bool) {
    let go = format!("seedfleet batch resume {batch}{whose} --reason WHY --yes");
    match paused {
        Some(_) if waits => {
            note(&format!("look at the videos; the other rows are bought with: {go}"));
        }
        Some(why) => note(&format!("the batch is paused {why}; it goes on with: {go}")),
        None => note(&format!("somebody has let {batch} go on")),
    }
}

/// The wait is over before the pilot is.
pub(crate) fn not_over(timeout: Duration) -> Failure {
    Failure::new(Exit::Deadline, format!("the pilot has not ended within {timeout:?}"))
        .hint("the work goes on; the same command waits on, with a longer --timeout")
}

/// There is nothing to try in it.
pub(crate) fn not_new(batch: &str, jobs: u64) -> Failure {
    let what = format!("batch {batch} is not new: it has {jobs} jobs; no row was taken in");
    Failure::new(Exit::Conflict, what).hint("name another batch with --batch, or leave --pilot out")
}

/// Ctrl-C on the way.
pub(crate) fn interrupted(what: &str) -> Failure {
    Failure::new(Exit::Interrupted, format!("interrupted; {what}"))
        .hint("the same command goes on where it was")
}
