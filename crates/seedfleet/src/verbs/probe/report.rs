//! What the probe learned: one answer per question, dated, as JSON and as text.

use crate::exit::Failure;
use crate::output;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Version of the report's form.
const FORM: u32 = 1;

/// One question and what came back.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answer {
    /// A short name, the simulator's where it can be set to either answer.
    pub(crate) name: &'static str,
    /// Which row of the contract's list of doubts.
    pub(crate) doubt: u8,
    /// In words.
    pub(crate) question: &'static str,
    /// In a word; none: it could not be answered.
    pub(crate) answer: Option<String>,
    /// What it was read from, or why there is no answer.
    pub(crate) detail: String,
}

/// What the account has shown in the last 7 days, this probe included.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Shown {
    pub(crate) echoes_ok: u64,
    pub(crate) echoes_bad: u64,
    pub(crate) lags: u64,
    pub(crate) lag_max_ms: u64,
    pub(crate) callbacks_before: u64,
    pub(crate) callbacks_after: u64,
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    form: u32,
    program: &'static str,
    /// When it began, by Redis's clock.
    pub(crate) asked_at: String,
    pub(crate) pool: String,
    pub(crate) route: String,
    pub(crate) simulated: bool,
    pub(crate) account: String,
    /// Most this probe could cost, as printed before.
    pub(crate) cost_max: String,
    /// The job that bought the one video.
    pub(crate) job: Option<String>,
    pub(crate) task: Option<String>,
    /// Tokens billed for it.
    pub(crate) tokens: Option<u64>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) evidence: Option<Shown>,
    /// Whatever a person should look at.
    pub(crate) remarks: Vec<String>,
}

impl Report {
    pub(crate) fn new(asked_at: String, pool: &str, account: &str) -> Self {
        Self {
            form: FORM,
            program: env!("CARGO_PKG_VERSION"),
            asked_at,
            pool: pool.to_owned(),
            route: String::new(),
            simulated: false,
            account: account.to_owned(),
            cost_max: String::new(),
            job: None,
            task: None,
            tokens: None,
            answers: Vec::new(),
            evidence: None,
            remarks: Vec::new(),
        }
    }

    /// Adds what is known of a question.
    pub(crate) fn add(
        &mut self,
        (doubt, name, question): Question,
        answer: Option<impl Into<String>>,
        detail: impl Into<String>,
    ) {
        let (answer, detail) = (answer.map(Into::into), detail.into());
        self.answers.push(Answer { name, doubt, question, answer, detail });
    }

    /// Adds a question that stays open.
    pub(crate) fn open(&mut self, question: Question, why: impl Into<String>) {
        self.add(question, None::<String>, why);
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "probe of pool {}, account {} ({}{}) at {}\n",
            self.pool,
            self.account,
            self.route,
            if self.simulated { ", simulated" } else { "" },
            self.asked_at
        );
        let mut line = |words: String| {
            text.push_str(&output::plain(&words));
            text.push('\n');
        };
        line(format!("most it could cost: {}", self.cost_max));
        if let (Some(job), Some(task)) = (&self.job, &self.task) {
            let tokens = self.tokens.map_or_else(String::new, |n| format!(", {n} tokens billed"));
            line(format!("bought: {task} for {job}{tokens}"));
        }
        for Answer { name, doubt, question, answer, detail } in &self.answers {
            let answer = answer.as_deref().unwrap_or("?");
            line(format!("{doubt:>3}  {name:<20} {answer:<20} {question}"));
            if !detail.is_empty() {
                line(format!("     {detail}"));
            }
        }
        if let Some(shown) = &self.evidence {
            line(format!(
                "evidence of the last 7 days: mark echoed {} times, not echoed {}; list lag measured {} times, at most \
                 {} ms; first callbacks before the reply {}, after it {}",
                shown.echoes_ok,
                shown.echoes_bad,
                shown.lags,
                shown.lag_max_ms,
                shown.callbacks_before,
                shown.callbacks_after
            ));
        }
        for remark in &self.remarks {
            line(format!("note: {remark}"));
        }
        text
    }

    /// Writes both forms, whole or not at all; where they are.
    ///
    /// # Errors
    ///
    /// The folder cannot be written.
    pub(crate) fn save(&self, out: &Path) -> Result<[PathBuf; 2], Failure> {
        let json = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        let beside = out.with_extension("txt");
        for (path, content) in [(out, json), (beside.as_path(), self.text())] {
            let unfinished = path.with_extension("unfinished");
            let written = std::fs::write(&unfinished, content)
                .and_then(|()| std::fs::rename(&unfinished, path));
            written.map_err(|error| {
                let mut what = String::new();
                let _ = write!(what, "{}: {error}", path.display());
                Failure::new(crate::exit::Exit::Failed, what)
            })?;
        }
        Ok([out.to_owned(), beside])
    }
}

/// Number in the contract's list, name, and the question itself.
pub(crate) type Question = (u8, &'static str, &'static str);
