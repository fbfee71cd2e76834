//! What callbacks bring: a reason to look now, never a state.

use crate::connection::Call;
use crate::{Queue, Store, StoreError, commit, script};
use job::{AttemptId, JobId, StateWord, TaskId};
use redis::{Pipeline, Value};

/// What a hint led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HintOutcome {
    /// No such attempt, or it was closed more than 9 days ago.
    Unknown,
    /// The job's next look comes at once, or its next ticket will carry the hint.
    Noted(JobId),
    /// The job is finished: nothing to look at.
    Finished(JobId),
    /// The job has moved on since the caller saw it: nothing was done.
    Moved(JobId),
}

impl Store {
    /// Makes the job of an attempt look at its task now.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn hint(
        &self,
        attempt: &AttemptId,
        task: Option<&TaskId>,
    ) -> Result<HintOutcome, StoreError> {
        self.hint_in(attempt, task, None, None).await
    }

    /// As [`Store::hint`], for what is news only to the job as the caller saw it, at this revision.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn hint_at(
        &self,
        attempt: &AttemptId,
        task: Option<&TaskId>,
        revision: u64,
    ) -> Result<HintOutcome, StoreError> {
        self.hint_in(attempt, task, None, Some(revision)).await
    }

    /// As [`Store::hint`], for a task that a job without a ticket does not know: the job gets one
    /// look by the settle step, if it still stands in the state the caller saw.
    ///
    /// # Errors
    ///
    /// As every call; safe to repeat.
    pub async fn late_hint(
        &self,
        attempt: &AttemptId,
        task: &TaskId,
        seen: StateWord,
    ) -> Result<HintOutcome, StoreError> {
        self.hint_in(attempt, Some(task), Some(seen), None).await
    }

    async fn hint_in(
        &self,
        attempt: &AttemptId,
        task: Option<&TaskId>,
        reopens: Option<StateWord>,
        revision: Option<u64>,
    ) -> Result<HintOutcome, StoreError> {
        let Some(id) = self.job_of_attempt(attempt).await? else {
            return Ok(HintOutcome::Unknown);
        };
        let keys = self.keys();
        let names = vec![
            keys.job(&id),
            keys.due(Queue::Settle),
            keys.lease(Queue::Settle),
            keys.wake(Queue::Settle),
            keys.due(Queue::Poll),
            keys.lease(Queue::Poll),
            keys.wake(Queue::Poll),
        ];
        let args = vec![
            id.to_string(),
            task.map_or_else(String::new, TaskId::to_string),
            reopens.map_or_else(String::new, |word| word.as_str().to_owned()),
            revision.map_or_else(String::new, |revision| revision.to_string()),
        ];
        let call = || Call::new(&script::HINT, names.clone(), args.clone());
        let mut reply = self.connection().call(call()).await?;
        if matches!(&reply, Value::Array(parts) if parts.is_empty()) {
            // News of a job that has left Redis: it comes back for them. For anything else it need not.
            match reopens {
                Some(_) if self.recall(&id).await? => {
                    reply = self.connection().call(call()).await?
                }
                None if self.tombstones(std::slice::from_ref(&id)).await? != [None] => {
                    return Ok(HintOutcome::Finished(id));
                }
                Some(_) | None => {}
            }
        }
        let Value::Array(parts) = &reply else { return Err(StoreError::reply("hint", &reply)) };
        let Some(word) = parts.first().and_then(commit::word) else {
            return Ok(HintOutcome::Unknown);
        };
        let word = StateWord::parse(&word).ok_or_else(|| StoreError::reply("hint", &reply))?;
        let what = parts.get(1).and_then(commit::word);
        if what.as_deref() == Some("moved") {
            return Ok(HintOutcome::Moved(id));
        }
        let looks = what.is_some_and(|what| what != "noted");
        let finished = word.is_finished() && !looks;
        Ok(if finished { HintOutcome::Finished(id) } else { HintOutcome::Noted(id) })
    }

    /// The job an attempt belongs to.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn job_of_attempt(&self, attempt: &AttemptId) -> Result<Option<JobId>, StoreError> {
        let id: Option<String> =
            self.connection().ask(redis::cmd("GET").arg(self.keys().attempt(attempt))).await?;
        id.map(|id| JobId::parse(&id).map_err(|e| StoreError::corrupt(attempt.as_str(), e)))
            .transpose()
    }

    /// The open attempt of an account that carries this mark, if one does.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn open_mark(
        &self,
        account: &str,
        nonce_s: u32,
    ) -> Result<Option<AttemptId>, StoreError> {
        let key = self.keys().nonces(account);
        let id: Option<String> =
            self.connection().ask(redis::cmd("HGET").arg(&key).arg(nonce_s)).await?;
        id.map(|id| AttemptId::parse(&id).map_err(|e| StoreError::corrupt(&key, e))).transpose()
    }

    /// Whose each task is, in the order asked for.
    ///
    /// # Errors
    ///
    /// As every call.
    pub async fn owners(&self, tasks: &[TaskId]) -> Result<Vec<Option<JobId>>, StoreError> {
        let mut owners = Vec::with_capacity(tasks.len());
        for tasks in tasks.chunks(1_000) {
            let mut pipe = Pipeline::with_capacity(tasks.len());
            for task in tasks {
                pipe.cmd("HGET").arg(self.keys().tasks()).arg(task.as_str());
            }
            for (task, answer) in tasks.iter().zip(self.connection().pipe(&mut pipe).await?) {
                let owner = match answer {
                    Value::Nil => None,
                    other => {
                        let id = commit::word(&other)
                            .ok_or_else(|| StoreError::reply("owners", &other))?;
                        Some(JobId::parse(&id).map_err(|e| StoreError::corrupt(task.as_str(), e))?)
                    }
                };
                owners.push(owner);
            }
        }
        let unknown: Vec<usize> = owners
            .iter()
            .enumerate()
            .filter(|(_, owner)| owner.is_none())
            .map(|(at, _)| at)
            .collect();
        for unknown in unknown.chunks(1_000) {
            let asked: Vec<&TaskId> = unknown.iter().map(|at| &tasks[*at]).collect();
            for (at, owner) in unknown.iter().zip(self.archived_owners(&asked).await?) {
                owners[*at] = owner;
            }
        }
        Ok(owners)
    }
}
