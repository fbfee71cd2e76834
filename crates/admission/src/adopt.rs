//! Tasks that were bought elsewhere: taken over by their id, and never bought again.

use crate::check::job_id;
use crate::door::{Door, unavailable};
use crate::envelope::Envelope;
use crate::reader::Reader;
use crate::{Refusal, codes};
use job::{Adoption, AttemptId, Facts, JobId, PoolSettings, TaskId, Timestamp};
use seedance::{
    ContentItem, DurationChoice, Fault, Request, Route, Rules, TASKS_PATH, validate_beside,
};
use serde_json::{Map, Value, json};
use std::time::Duration;
use store::Adopted;
use ulid::Ulid;

/// The fields of such a wish; all but `task_id` may be left out.
const FIELDS: [&str; 7] =
    ["task_id", "account", "model", "resolution", "custom_id", "metadata", "output"];
const NAME_CHARS_MAX: usize = 128;
/// The model of tasks whose wish names none; what the provider tells is written down with the end.
const MODEL_DEFAULT: &str = "seedance-2.0";

/// A wish to take a task over.
#[derive(Debug, Clone, PartialEq)]
pub struct AdoptWish {
    /// The caller's document.
    pub body: Value,
    /// Whose job it becomes.
    pub tenant: String,
    /// The key or person that asks.
    pub made_by: Option<String>,
}

/// A task that has a job here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// Which.
    pub id: JobId,
    /// This call made it.
    pub new: bool,
}

/// Why a task was not taken over.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AdoptRefusal {
    /// As at the door for requests.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is the task of a job that bought it, or of another tenant's.
    #[error("the task has an owner here")]
    Owned {
        /// Which job.
        by: JobId,
    },
}

/// Where a pool's tasks are read.
#[derive(Debug)]
pub(crate) struct Sites {
    tasks_url: String,
    accounts: Vec<String>,
}

impl Sites {
    pub(crate) fn of(pool: &PoolSettings) -> Self {
        let tasks_url = format!("{}{TASKS_PATH}", pool.base_url());
        Self { tasks_url, accounts: pool.accounts.keys().cloned().collect() }
    }
}

impl Door {
    /// Takes a task over: from here on it is watched and its output is fetched. It is not asked for at
    /// the provider: a task that does not exist ends its job with a cause that says so. `watch`: our own
    /// limit for watching (`poll.deadline`).
    ///
    /// Safe to repeat: the same task is the same job.
    ///
    /// # Errors
    ///
    /// [`AdoptRefusal`].
    pub async fn adopt(&self, wish: AdoptWish, watch: Duration) -> Result<TakenOver, AdoptRefusal> {
        let now = self.store.now().await.map_err(unavailable)?;
        let adoption = self.judge_adoption(wish, now)?;
        let record =
            adoption.record(job_id(now), AttemptId::from_ulid(Ulid::generate()), now, watch);
        match self.store.adopt(&record).await.map_err(unavailable)? {
            Adopted::New => Ok(TakenOver { id: record.id, new: true }),
            // Fingerprints are the tenant's own, so this is a job of the caller.
            Adopted::Before { id } => Ok(TakenOver { id, new: false }),
            Adopted::Owned { by } => Err(AdoptRefusal::Owned { by }),
        }
    }

    fn judge_adoption(&self, wish: AdoptWish, now: Timestamp) -> Result<Adoption, Refusal> {
        let AdoptWish { body, tenant, made_by } = wish;
        let mut faults = Vec::new();
        let Value::Object(mut body) = body else {
            let fault = Fault::new("", codes::WRONG_TYPE, "this is no object", "send one object")
                .allowing("an object with \"task_id\"");
            return Err(Refusal::Faults(vec![fault]));
        };
        let mut reader = Reader::new(&mut body, "", &mut faults);
        let strange = strange(reader.rest());
        let named = Named::read(&mut reader, &self.sites);
        faults.extend(strange);
        let request = bare(self.judge.route, &mut body).map_err(|more| faults.extend(more)).ok();
        let envelope = Envelope::take_out(&mut body, None, now, &[], &mut faults);
        let prefix = envelope.output_prefix.clone();
        faults.extend(self.judge.place_fault(&tenant, prefix.as_deref(), now));
        let (Some((task, account)), Some(request), true) = (named, request, faults.is_empty())
        else {
            return Err(Refusal::Faults(faults));
        };
        let facts = Facts {
            route: self.judge.route,
            create_url: self.sites.tasks_url.clone(),
            retrieve_url: self.sites.tasks_url.clone(),
            model_id: request.model_id.clone(),
            account,
            class: request.slot_class(),
            price_version: "unknown".to_owned(),
        };
        Ok(Adoption {
            tenant,
            pool: self.judge.pool.clone(),
            task,
            facts,
            request,
            made_by,
            custom_id: envelope.custom_id,
            metadata: envelope.metadata,
            output_prefix: prefix,
        })
    }
}

/// Task and account.
struct Named;

impl Named {
    fn read(reader: &mut Reader<'_>, sites: &Sites) -> Option<(TaskId, String)> {
        let task = reader.text("task_id", NAME_CHARS_MAX);
        let account = reader.text("account", NAME_CHARS_MAX);
        let task = match task.map(|text| TaskId::parse(&text)) {
            Some(Ok(task)) => Some(task),
            Some(Err(error)) => {
                let fault = Fault::new(
                    "/task_id",
                    codes::VALUE_NOT_ALLOWED,
                    error.to_string(),
                    "write the id as the provider told it",
                );
                reader.fault(fault);
                None
            }
            None if reader.told("/task_id") => None,
            None => {
                let message = "no task is named";
                let fix = "add \"task_id\"";
                reader.fault(Fault::new("/task_id", codes::MISSING_FIELD, message, fix));
                None
            }
        };
        let known = sites.accounts.join(", ");
        let account = match (account, sites.accounts.as_slice()) {
            (Some(name), accounts) if accounts.contains(&name) => Some(name),
            (None, [only]) => Some(only.clone()),
            (Some(_) | None, _) => {
                let message = "the account that bought the task is not named, or not of this pool";
                let fix = "name the account whose key bought it";
                let fault = Fault::new("/account", codes::VALUE_NOT_ALLOWED, message, fix);
                reader.fault(fault.allowing(known));
                None
            }
        };
        task.zip(account)
    }
}

/// Keys that such a wish does not have; those of a whole request would be passed over without a word.
fn strange(body: &Map<String, Value>) -> Vec<Fault> {
    const STRANGE_KEYS_MAX: usize = 20;
    let strange = body.keys().filter(|key| !FIELDS.contains(&key.as_str()));
    let strange = strange.take(STRANGE_KEYS_MAX);
    strange.map(|key| seedance::unknown_key(&crate::reader::below("", key), key, &FIELDS)).collect()
}

/// Model and size as far as they are known, judged as a request's would be, without any content.
fn bare(route: Route, body: &mut Map<String, Value>) -> Result<Request, Vec<Fault>> {
    let model = body.shift_remove("model").unwrap_or_else(|| json!(MODEL_DEFAULT));
    let mut stand_in = json!({"model": model, "content": [{"type": "text", "text": "unknown"}]});
    if let Some(resolution) = body.shift_remove("resolution") {
        stand_in["resolution"] = resolution;
    }
    let read = validate_beside(route, &stand_in, &Rules::default(), &[])?;
    let request = read.request.without_content();
    let content: Vec<ContentItem> = Vec::new();
    Ok(Request { content, duration_s: DurationChoice::ModelChooses, ..request })
}
