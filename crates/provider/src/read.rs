//! Reading, listing and withdrawing tasks.

use std::time::Instant;

use bytes::Bytes;
use egress::{Answer, CallError, HeaderMap, Url};
use job::TaskId;
use limiter::Permit;
use seedance::{Call, Class, ModelKey, Route, Task, TaskPage, TaskStatus};

use crate::{
    Client, Site,
    client::Cleared,
    sort::{Sorted, Trouble, count_error, sort},
};

/// Largest page, and highest page number (`docs/provider.md` §3.1).
const PAGE_MAX: u32 = 500;

/// Task ids in one list call: about 6 KB of address. Many front doors stop at 8 KB.
const IDS_MAX: usize = 150;

/// What a read of one task said.
#[derive(Debug, Clone, PartialEq)]
pub enum Retrieved {
    /// The task.
    Task {
        /// As far as we understand it.
        task: Box<Task>,
        /// As the provider wrote it: the payload to keep.
        raw: Bytes,
        /// The provider's id of this request.
        request_id: Option<String>,
    },
    /// The provider knows no such task: too young to be seen, too old, or deleted. Which of them is
    /// told by the task's age.
    NotFound,
    /// No answer to the question.
    Trouble(Trouble),
}

/// What a list call said.
#[derive(Debug, Clone, PartialEq)]
pub enum Listed {
    /// One page. It proves the absence of nothing by itself.
    Page {
        /// Its rows.
        page: TaskPage,
        /// The provider's own clock when it answered, in seconds since 1970, where it told it.
        sent_at_s: Option<i64>,
    },
    /// No answer to the question.
    Trouble(Trouble),
}

/// What a delete call said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// Done: a queued task is cancelled. (A finished one would have lost its record.)
    Cancelled,
    /// The task is being generated already.
    TooLate,
    /// The provider knows no such task.
    Gone,
    /// No clear answer. Read the task before anything else.
    Trouble(Trouble),
}

/// What an account's key may list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lists {
    /// Everything at once.
    #[default]
    Whole,
    /// One model at a time.
    ByModel,
}

/// Which page of which tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    page_num: u32,
    page_size: u32,
    status: Option<TaskStatus>,
    model: Option<String>,
    tasks: Vec<TaskId>,
}

/// More ids than fit into one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{given} task ids in one list call; at most {IDS_MAX} fit")]
pub struct TooManyIds {
    /// How many were given.
    pub given: usize,
}

impl ListQuery {
    /// Most ids that [`ListQuery::of_tasks`] takes.
    pub const TASK_IDS_MAX: usize = IDS_MAX;

    /// The `page_num`-th page, counted from 1, of `page_size` tasks; both at most 500.
    #[must_use]
    pub fn page(page_num: u32, page_size: u32) -> Self {
        Self {
            page_num: page_num.clamp(1, PAGE_MAX),
            page_size: page_size.clamp(1, PAGE_MAX),
            status: None,
            model: None,
            tasks: Vec::new(),
        }
    }

    /// The smallest list that every key of a route may ask for: some may list nothing without naming a
    /// model.
    #[must_use]
    pub fn smallest(route: Route) -> Self {
        Self::page(1, 1).of_model(ModelKey::V20.wire_id(route))
    }

    /// Only tasks with this status.
    #[must_use]
    pub fn with_status(self, status: TaskStatus) -> Self {
        Self { status: Some(status), ..self }
    }

    /// Only tasks of this model id. Some keys may list nothing without it.
    #[must_use]
    pub fn of_model(self, model_id: &str) -> Self {
        Self { model: Some(model_id.to_owned()), ..self }
    }

    /// Only these tasks.
    ///
    /// # Errors
    ///
    /// [`TooManyIds`] above [`ListQuery::TASK_IDS_MAX`].
    pub fn of_tasks(self, tasks: Vec<TaskId>) -> Result<Self, TooManyIds> {
        if tasks.len() > IDS_MAX {
            return Err(TooManyIds { given: tasks.len() });
        }
        Ok(Self { tasks, ..self })
    }

    fn write_to(&self, url: &mut Url) {
        let mut pairs = url.query_pairs_mut();
        pairs.append_pair("page_num", &self.page_num.to_string());
        pairs.append_pair("page_size", &self.page_size.to_string());
        if let Some(status) = &self.status {
            pairs.append_pair("filter.status", status.word());
        }
        if let Some(model) = &self.model {
            pairs.append_pair("filter.model", model);
        }
        for task in &self.tasks {
            pairs.append_pair("filter.task_ids", task.as_str());
        }
    }
}

impl Client {
    /// Reads one task: one GET, bounded by `provider.read_timeout`.
    ///
    /// # Source
    ///
    /// `docs/provider.md` §3, §4.
    pub async fn retrieve(&self, permit: Permit, site: &Site, task: &TaskId) -> Retrieved {
        let cleared = match self.clear_task(permit, Call::Retrieve, site, task) {
            Ok(cleared) => cleared,
            Err(trouble) => return Retrieved::Trouble(trouble),
        };
        let answer = match self.ask(Call::Retrieve, site, &cleared).await {
            Ok(answer) => answer,
            Err(trouble) => return Retrieved::Trouble(trouble),
        };
        if !(200..300).contains(&answer.status) {
            let sorted = sort(Call::Retrieve, &answer, &cleared.key);
            if is_unknown_task(&answer, &sorted) {
                cleared.spent.passed();
                return Retrieved::NotFound;
            }
            return Retrieved::Trouble(troubled(&cleared, sorted, &answer).await);
        }
        cleared.spent.passed();
        match Task::parse(&answer.body) {
            Ok(read) if read.id != task.as_str() => {
                let message = "the answer is about another task".to_owned();
                let trouble = Trouble::ours(Class::Server, "wrong-task", message);
                let request_id = answer.head.request_id;
                Retrieved::Trouble(Trouble { request_id, alert: true, ..trouble })
            }
            Ok(read) => Retrieved::Task {
                task: Box::new(read),
                raw: answer.body,
                request_id: answer.head.request_id,
            },
            Err(error) => Retrieved::Trouble(Trouble::unreadable(&answer, error.to_string())),
        }
    }

    /// Reads one page of the account's tasks: one GET. All of a project's clients share this list.
    ///
    /// # Source
    ///
    /// `docs/provider.md` §3.1.
    pub async fn list(&self, permit: Permit, site: &Site, query: &ListQuery) -> Listed {
        let mut cleared = match self.clear(permit, Call::List, site) {
            Ok(cleared) => cleared,
            Err(trouble) => return Listed::Trouble(trouble),
        };
        query.write_to(&mut cleared.url);
        let answer = match self.ask(Call::List, site, &cleared).await {
            Ok(answer) => answer,
            Err(trouble) => return Listed::Trouble(trouble),
        };
        if !(200..300).contains(&answer.status) {
            let sorted = sort(Call::List, &answer, &cleared.key);
            return Listed::Trouble(troubled(&cleared, sorted, &answer).await);
        }
        cleared.spent.passed();
        match TaskPage::parse(&answer.body) {
            Ok(page) => Listed::Page { page, sent_at_s: answer.head.sent_at_s },
            Err(error) => Listed::Trouble(Trouble::unreadable(&answer, error.to_string())),
        }
    }

    /// Withdraws a task: one DELETE. Call it only right after a read that said `queued`: on a
    /// finished task the same request destroys the record of what was paid for.
    ///
    /// # Source
    ///
    /// `docs/provider.md` §3.2.
    pub async fn delete(&self, permit: Permit, site: &Site, task: &TaskId) -> Deleted {
        let cleared = match self.clear_task(permit, Call::Delete, site, task) {
            Ok(cleared) => cleared,
            Err(trouble) => return Deleted::Trouble(trouble),
        };
        let answer = match self.ask(Call::Delete, site, &cleared).await {
            Ok(answer) => answer,
            Err(trouble) => return Deleted::Trouble(trouble),
        };
        if (200..300).contains(&answer.status) {
            cleared.spent.passed();
            return Deleted::Cancelled;
        }
        let sorted = sort(Call::Delete, &answer, &cleared.key);
        if answer.status == 409 {
            Deleted::TooLate
        } else if is_unknown_task(&answer, &sorted) {
            Deleted::Gone
        } else {
            Deleted::Trouble(troubled(&cleared, sorted, &answer).await)
        }
    }

    /// [`Client::clear`], with the address of one task.
    fn clear_task(
        &self,
        permit: Permit,
        call: Call,
        site: &Site,
        task: &TaskId,
    ) -> Result<Cleared, Trouble> {
        let mut cleared = self.clear(permit, call, site)?;
        if let Ok(mut path) = cleared.url.path_segments_mut() {
            path.pop_if_empty().push(task.as_str());
        }
        Ok(cleared)
    }

    /// Makes the one request and tells how it went.
    pub(crate) async fn ask(
        &self,
        call: Call,
        site: &Site,
        cleared: &Cleared,
    ) -> Result<Answer, Trouble> {
        let began = Instant::now();
        let headers = HeaderMap::new();
        let asked: Result<Answer, CallError> = match call {
            Call::Delete => self.reads.delete(&cleared.url, headers, &cleared.key).await,
            Call::Create | Call::Retrieve | Call::List => {
                self.reads.get(&cleared.url, headers, &cleared.key).await
            }
        };
        let took = began.elapsed();
        let outcome = match &asked {
            Ok(answer) if (200..300).contains(&answer.status) => "ok",
            Ok(_) => "refused",
            Err(_) => "failed",
        };
        self.count(call, outcome, took);
        match &asked {
            Ok(_) | Err(CallError::TooLong { .. }) => cleared.spent.answered().await,
            Err(CallError::Unreachable(_)) => cleared.spent.never_left().await,
            // It may arrive yet.
            Err(CallError::NoAnswer(_)) => {}
        }
        tracing::debug!(
            pool = self.pool,
            account = site.account,
            call = call.word(),
            status = asked.as_ref().ok().map(|answer| answer.status),
            request_id = asked.as_ref().ok().and_then(|answer| answer.head.request_id.as_deref()),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "provider call",
        );
        asked.map_err(|error| {
            let trouble = Trouble::on_the_way(&error);
            count_error(call, &trouble.code, trouble.class);
            trouble
        })
    }
}

/// The trouble an answer makes; one that tells the account off for calling holds the calls of its kind,
/// whoever made this one.
async fn troubled(cleared: &Cleared, sorted: Sorted, answer: &Answer) -> Trouble {
    let trouble = Trouble::of(sorted, answer.head.retry_after);
    match trouble.class.is_told_off() {
        true => cleared.spent.refused(&trouble.code, trouble.asked_wait()).await,
        false => cleared.spent.passed(),
    }
    trouble
}

/// Whether a 404 speaks of the task, and not of a wrong model or a closed door.
fn is_unknown_task(answer: &Answer, sorted: &Sorted) -> bool {
    answer.status == 404 && sorted.verdict.class == Class::State
}
