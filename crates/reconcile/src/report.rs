//! What was found and done, in a form a person can act on and a program can read.

use job::{AttemptId, JobId, TaskId, Timestamp};
use serde::Serialize;

/// Findings and deeds told one by one; more are only counted.
const TOLD_MAX: usize = 1_000;

/// One comparison of a pool.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Which pool.
    pub pool: String,
    /// When it began, by Redis's clock.
    pub at: Timestamp,
    /// How far back the list was read.
    pub since: Timestamp,
    /// Nothing was changed, whatever was found.
    pub dry_run: bool,
    /// One row an account.
    pub accounts: Vec<AccountReport>,
    /// What the second fence brought back; none where it was not asked.
    pub recovered: Option<Recovered>,
    /// What was mended on the way.
    pub deeds: Vec<Deed>,
    /// What a person should look at.
    pub findings: Vec<Finding>,
    /// Deeds and findings beyond those told.
    pub left_out: u64,
}

/// One account's list against our records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Default)]
pub struct AccountReport {
    /// Which.
    pub account: String,
    /// Tasks the list showed for the window.
    pub tasks: u64,
    /// Of those, owned by a job.
    pub owned: u64,
    /// Of those, an open attempt's: settle takes them in by itself.
    pub in_doubt: u64,
    /// Of those, nobody's.
    pub orphans: u64,
    /// Jobs of ours that wait for a task, or for its film, and the provider does not know it.
    pub unknown: u64,
    /// Ended jobs of ours that count as paid, and the provider does not know their task; looked for where tokens
    /// are added up.
    pub unknown_paid: u64,
    /// Sums of tokens; none where they were not added up.
    pub tokens: Option<Tokens>,
}

/// Tokens of the succeeded tasks of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct Tokens {
    /// As the provider's list tells.
    pub provider: u64,
    /// As our records tell.
    pub ours: u64,
    /// Of the provider's: of jobs that are still on their way home.
    pub pending: u64,
    /// Of the provider's: of tasks that no job owns.
    pub unowned: u64,
}

impl Tokens {
    /// What neither our records nor work on its way explains; above zero: billed and not ours.
    #[must_use]
    pub fn difference(&self) -> i64 {
        let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        signed(self.provider) - signed(self.ours) - signed(self.pending)
    }
}

/// What a walk through the second fence did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct Recovered {
    /// Requests that were ever sent, in the time looked at.
    pub intents: u64,
    /// Of those, known to their job.
    pub known: u64,
    /// Jobs that came back because Redis had lost them.
    pub restored: u64,
    /// Jobs that learned of an attempt that Redis had lost.
    pub doubted: u64,
    /// Forgotten attempts of jobs that send nothing any more, or settle another one first.
    pub left: u64,
    /// Intents nobody can read.
    pub unreadable: u64,
}

/// Something mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deed {
    /// What.
    pub kind: DeedKind,
    /// Which job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Which attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptId>,
    /// Which task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
}

/// Kinds of deeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeedKind {
    /// A job came back from its intent, in doubt about the attempt it had sent.
    Restored,
    /// A job learned of an attempt that Redis had lost.
    Doubted,
    /// A task nobody owned went to the job that had bought it.
    Adopted,
    /// A task nobody owned was withdrawn while it still waited.
    Cancelled,
}

/// Something for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Whose account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Which job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// Which task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// What is the matter.
    pub sentence: String,
    /// What to do: a command where there is one.
    pub cure: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A task that no job owns and no attempt explains.
    OrphanTask,
    /// A second task of a job that has one.
    StrayTask,
    /// A job waits for a task that the provider does not know, or counts as paid with one.
    UnknownTask,
    /// The provider bills other tokens than our record says.
    TokensDiffer,
    /// The list could not be read whole: absence is not proven.
    ListUnreadable,
    /// An intent or a record says nothing.
    Unreadable,
    /// A finished job had an attempt that Redis forgot.
    ForgottenAttempt,
    /// Creates are frozen.
    Frozen,
}

impl FindingKind {
    /// The word in tables.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::OrphanTask => "orphan_task",
            Self::StrayTask => "stray_task",
            Self::UnknownTask => "unknown_task",
            Self::TokensDiffer => "tokens_differ",
            Self::ListUnreadable => "list_unreadable",
            Self::Unreadable => "unreadable",
            Self::ForgottenAttempt => "forgotten_attempt",
            Self::Frozen => "frozen",
        }
    }
}

impl Report {
    /// Nothing found yet.
    #[must_use]
    pub fn new(pool: &str, at: Timestamp, since: Timestamp, dry_run: bool) -> Self {
        Self {
            pool: pool.to_owned(),
            at,
            since,
            dry_run,
            accounts: Vec::new(),
            recovered: None,
            deeds: Vec::new(),
            findings: Vec::new(),
            left_out: 0,
        }
    }

    /// Nobody needs to look.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds a finding.
    pub fn find(&mut self, finding: Finding) {
        if self.findings.len() < TOLD_MAX {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    /// Adds a deed.
    pub fn did(&mut self, deed: Deed) {
        if self.deeds.len() < TOLD_MAX {
            self.deeds.push(deed);
        } else {
            self.left_out += 1;
        }
    }

    /// Says every finding once in the log, for the alert behind it.
    pub fn page(&self) {
        for Finding { kind, account, job, task, sentence, cure } in &self.findings {
            let kind = kind.word();
            tracing::error!(
                pool = self.pool, kind, account, job_id = ?job, task.id = ?task, cure, "{sentence}"
            );
        }
        if self.left_out > 0 {
            tracing::error!(pool = self.pool, left_out = self.left_out, "more was found than told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            kind: FindingKind::OrphanTask,
            account: Some("a".into()),
            job: None,
            task: Some(TaskId::parse("cgt-1").unwrap()),
            sentence: "nobody's".into(),
            cure: "look".into(),
        }
    }

    #[test]
    fn a_report_has_a_bound_and_says_what_it_left_out() {
        let now = Timestamp::from_unix_s(1);
        let mut report = Report::new("main", now, now, true);
        assert!(report.is_clean());
        (0..TOLD_MAX + 7).for_each(|_| report.find(finding()));
        assert_eq!((report.findings.len(), report.left_out), (TOLD_MAX, 7));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["findings"][0]["kind"], FindingKind::OrphanTask.word());
        assert_eq!(json["findings"][0]["task"], "cgt-1");
    }

    #[test]
    fn tokens_on_their_way_home_are_no_difference() {
        let tokens = Tokens { provider: 300, ours: 100, pending: 150, unowned: 50 };
        assert_eq!(tokens.difference(), 50);
    }
}
