//! Retrieve, list and delete (`docs/provider.md` §3).

use serde_json::{Map, Value, json};

use super::listing::{Filter, Span};
use super::{State, Who};
use crate::doubts::DeleteCancelled;
use crate::faults::{Facts, Read, Rule};
use crate::ledger::Entry;
use crate::refusal::Refusal;
use crate::task::{Status, Task};

const SECOND_US: u64 = 1_000_000;

/// The calls that spend no money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Retrieve,
    List,
    Delete,
}

impl Call {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Retrieve => "retrieve",
            Self::List => "list",
            Self::Delete => "delete",
        }
    }
}

/// What a delete did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeleteEnd {
    /// A queued task will not run.
    Cancelled,
    /// The record of an ended task, and its files, are gone.
    Deleted,
}

impl State {
    /// Draws a fault for a call about one task, or about none.
    pub(crate) fn read_fault(
        &mut self,
        call: Call,
        who: &Who,
        id: Option<&str>,
    ) -> Option<Rule<Read>> {
        let task = id.and_then(|id| self.seq_of_id.get(id)).and_then(|seq| self.tasks.get(seq));
        let now_ms = self.clock.calendar_ms();
        let age_ms = task.map(|task| u64::try_from(now_ms - task.created_ms).unwrap_or(0));
        let facts = Facts {
            account: Some(&who.account),
            id,
            model: task.map(|task| task.model_name),
            nonce: task.map(|task| task.expires_after_s),
            status: task.map(|task| task.status.word()),
            callback: task.and_then(|task| task.callback.as_deref()),
            ..Facts::default()
        };
        let rules = match call {
            Call::Retrieve => &mut self.faults.retrieve,
            Call::List => &mut self.faults.list,
            Call::Delete => &mut self.faults.delete,
        };
        self.chance.draw(rules, &facts, |rule| match rule.kind {
            Read::Lag => false,
            Read::NotFoundAtFirst => age_ms.is_some_and(|age| age < rule.ms.unwrap_or(5_000)),
            Read::UnknownStatus
            | Read::Error500
            | Read::Html502
            | Read::Answer
            | Read::Slow
            | Read::Drop
            | Read::CutBody
            | Read::MissingPage
            | Read::ShiftedPage
            | Read::OldestFirst
            | Read::DoneThenDrop => true,
        })
    }

    /// Counts a read call against the account's rate.
    pub(crate) fn check_rate(
        &mut self,
        call: Call,
        who: &Who,
        came_us: Option<u64>,
    ) -> Result<(), Refusal> {
        let limits = self.limits_of(&who.account);
        let (name, limit) = match call {
            Call::Retrieve => ("retrieve_qps", limits.retrieve_qps),
            Call::List => ("list_qps", limits.list_qps),
            Call::Delete => ("delete_qps", limits.delete_qps),
        };
        match self.pass(name, who.account.to_string(), SECOND_US, limit, came_us) {
            true => Ok(()),
            false => Err(self.doubts.dressed(Refusal::builtin("AccountRateLimitExceeded"))),
        }
    }

    fn visible(&self, who: &Who, id: &str) -> Result<&Task, Refusal> {
        let task = self.seq_of_id.get(id).and_then(|seq| self.tasks.get(seq));
        task.filter(|task| task.account == who.account && task.project == who.project)
            .ok_or_else(|| self.doubts.unknown())
    }

    /// One task object.
    pub(crate) fn retrieve(&self, who: &Who, id: &str) -> Result<Map<String, Value>, Refusal> {
        self.visible(who, id).map(|task| self.object(task, false))
    }

    /// One page of task objects; `shift` moves the page by a record, as concurrent creates would.
    pub(crate) fn list(
        &self,
        who: &Who,
        filter: &Filter,
        (page_num, page_size): (usize, usize),
        newest_first: bool,
        shift: usize,
    ) -> Value {
        let span = Span { skip: (page_num - 1) * page_size + shift, take: page_size, newest_first };
        let (numbers, total) = match (self.indexes.get(who), filter.ids.is_empty()) {
            (None, _) => (Vec::new(), 0),
            (Some(index), true) => index.page(filter.status, filter.model, span),
            (Some(_), false) => self.named(who, filter, span),
        };
        let items: Vec<Value> = numbers
            .iter()
            .filter_map(|seq| self.tasks.get(seq))
            .map(|task| Value::Object(self.object(task, true)))
            .collect();
        json!({"items": items, "total": total})
    }

    fn named(&self, who: &Who, filter: &Filter, span: Span) -> (Vec<u64>, usize) {
        let mut numbers: Vec<u64> = filter
            .ids
            .iter()
            .filter_map(|id| self.visible(who, id).ok())
            .filter(|task| task.listed)
            .filter(|task| filter.status.is_none_or(|status| task.status == status))
            .filter(|task| filter.model.is_none_or(|model| task.model_name == model))
            .map(|task| task.seq)
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        if span.newest_first {
            numbers.reverse();
        }
        let total = numbers.len();
        (numbers.into_iter().skip(span.skip).take(span.take).collect(), total)
    }

    /// The model a `filter.model` value stands for; none if nothing can carry it.
    pub(crate) fn filter_model(&self, name: &str) -> Option<&'static str> {
        let model = self.endpoints.get(name).copied();
        let model = model.or_else(|| crate::models::Model::find(self.route, name))?;
        Some(model.name(self.route))
    }

    /// Cancels a queued task, or deletes an ended one.
    pub(crate) fn delete(&mut self, who: &Who, id: &str) -> Result<DeleteEnd, Refusal> {
        let task = self.visible(who, id)?;
        let seq = task.seq;
        match task.status {
            Status::Queued => {
                let work_ms = self.clock.work_ms();
                self.end(seq, Status::Cancelled, work_ms);
                Ok(DeleteEnd::Cancelled)
            }
            Status::Running => Err(Refusal::builtin("InvalidAction.RunningTaskDeletion")),
            Status::Cancelled => match self.doubts.delete_cancelled {
                DeleteCancelled::Conflict => {
                    let code = "InvalidAction.CancelledTaskDeletion";
                    let message = "Cannot delete task because it is cancelled.";
                    Err(Refusal::new(409, code, message, ""))
                }
                DeleteCancelled::NotFound => Err(self.doubts.unknown()),
                DeleteCancelled::Done => Ok(self.drop_record(seq)),
            },
            Status::Succeeded | Status::Failed | Status::Expired => Ok(self.drop_record(seq)),
        }
    }

    fn drop_record(&mut self, seq: u64) -> DeleteEnd {
        if let Some(task) = self.tasks.get(&seq) {
            let entry = Entry::new().with("task", &task.id).with("status", task.status.word());
            self.note("deleted", entry);
        }
        self.forget(seq);
        DeleteEnd::Deleted
    }
}
