//! `POST /v1/jobs:bulk`: many jobs in one request, each with an answer of its own.

use super::body::Sent;
use crate::app::App;
use crate::caller::Caller;
use crate::problem::{Document, Problem};
use crate::settings::Scope;
use crate::view::{Estimate, job_path};
use admission::{Admitted, How, Intake, Refusal};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use job::{Again, Source};
use seedance::{Fault, unknown_key};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use store::Match;
use utoipa::ToSchema;

/// Jobs in one request.
const ITEMS_MAX: usize = 1_000;

/// Jobs to be made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body, which is read by hand to tell its faults")]
pub(super) struct BulkRequest {
    /// Each a body of `POST /v1/jobs`, with its own `idempotency_key` beside it if it has one.
    #[schema(max_items = 1000)]
    jobs: Vec<Value>,
}

/// What became of each job of a request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Bulk)]
pub(super) struct BulkView {
    #[schema(example = "bulk")]
    object: &'static str,
    /// New jobs.
    created: usize,
    /// Jobs that existed before.
    existing: usize,
    /// Requests that made none.
    refused: usize,
    /// In the order of the request.
    results: Vec<ItemView>,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BulkItem)]
struct ItemView {
    /// Its place in `jobs`, from 0.
    index: usize,
    /// `created`, `existing` or `refused`.
    outcome: &'static str,
    /// The job; absent of a refused one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    state: Option<&'static str>,
    /// How an existing one was recognised: `idempotency_key` or `fingerprint`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    recognised_by: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    estimate: Option<Estimate>,
    /// Address of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    link: Option<String>,
    /// What makes an ended job again, if that can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// Why there is no job; pointers lead into the item.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<Document>,
}

/// Make many jobs.
///
/// Up to 1,000 in one request. Each is taken in or refused on its own, and the answer says which: 200 means that the
/// request was read, not that every job was made. Safe to repeat.
#[utoipa::path(
    post,
    path = "/v1/jobs:bulk",
    operation_id = "create_jobs",
    tag = "jobs",
    request_body = BulkRequest,
    responses((status = 200, description = "What became of each.", body = BulkView))
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Sent(body, _share): Sent,
) -> Result<Json<BulkView>, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let items = items(body)?;
    let (mut intakes, mut early) = (Vec::with_capacity(items.len()), Vec::new());
    for (index, body) in items.into_iter().enumerate() {
        match intake(body, &caller) {
            Ok(intake) => intakes.push((index, intake)),
            Err(fault) => early.push((index, Err(Refusal::Faults(vec![fault])))),
        }
    }
    let (places, intakes): (Vec<usize>, Vec<Intake>) = intakes.into_iter().unzip();
    let answers = door.door.admit_many(intakes).await;
    let mut results: Vec<(usize, Result<Admitted, Refusal>)> =
        places.into_iter().zip(answers).chain(early).collect();
    results.sort_by_key(|(index, _)| *index);
    let results: Vec<ItemView> =
        results.into_iter().map(|(index, answer)| item(&app, index, answer)).collect();
    let count = |outcome: &str| results.iter().filter(|item| item.outcome == outcome).count();
    Ok(Json(BulkView {
        object: "bulk",
        created: count("created"),
        existing: count("existing"),
        refused: count("refused"),
        results,
    }))
}

fn items(body: Value) -> Result<Vec<Value>, Problem> {
    let fault = |pointer: &str, code: &str, message: &str, fix: &str| {
        Problem::faults(&[Fault::new(pointer, code, message, fix)])
    };
    let Value::Object(mut body) = body else {
        let fix = "send {\"jobs\": [ … ]}";
        return Err(fault("", "body-not-object", "the body is not a JSON object", fix));
    };
    let jobs = body.shift_remove("jobs");
    if let Some(key) = body.keys().next() {
        let at = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        return Err(Problem::faults(&[unknown_key(&at, key, &["jobs"])]));
    }
    match jobs {
        Some(Value::Array(jobs)) if jobs.len() <= ITEMS_MAX => Ok(jobs),
        Some(Value::Array(jobs)) => {
            let title = format!("{} jobs are more than {ITEMS_MAX} in one request", jobs.len());
            let advice = "send fewer at once, or a stream to /v1/batches";
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-items", title).detail(advice))
        }
        Some(_) => Err(fault("/jobs", "wrong-type", "\"jobs\" is not a list", "write a list")),
        None => Err(fault("/jobs", "missing-field", "\"jobs\" is missing", "add the list")),
    }
}

fn intake(mut body: Value, caller: &Caller) -> Result<Intake, Fault> {
    let key = match body.as_object_mut().and_then(|object| object.shift_remove("idempotency_key")) {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => Some(key),
        Some(_) => {
            let message = "the idempotency key is not a text";
            return Err(Fault::new("/idempotency_key", "wrong-type", message, "write a text"));
        }
    };
    let mut intake = Intake::new(body, Source::Api);
    intake.tenant.clone_from(&caller.tenant);
    intake.made_by = Some(caller.name.clone());
    intake.idempotency_key = key;
    Ok(intake)
}

fn item(app: &App, index: usize, answer: Result<Admitted, Refusal>) -> ItemView {
    let admitted = match answer {
        Ok(admitted) => admitted,
        Err(refusal) => {
            let problem = Some(Problem::refused(&refusal).into_document());
            return ItemView {
                index,
                outcome: "refused",
                id: None,
                state: None,
                recognised_by: None,
                estimate: None,
                link: None,
                next: None,
                problem,
            };
        }
    };
    let (outcome, recognised_by) = match admitted.how {
        How::Created => ("created", None),
        How::Deduplicated { by: Match::Key } => ("existing", Some("idempotency_key")),
        How::Deduplicated { by: Match::Fingerprint } => ("existing", Some("fingerprint")),
    };
    let link = job_path(&app.public_url, admitted.id.as_str());
    ItemView {
        index,
        outcome,
        id: Some(admitted.id.to_string()),
        state: admitted.state.map(job::StateWord::as_str),
        recognised_by,
        estimate: Some(Estimate::new(admitted.estimate_tokens, &admitted.cost)),
        next: admitted
            .state
            .filter(|word| Again::WORDS.contains(word))
            .map(|_| format!("POST {link}:retry")),
        link: Some(link),
        problem: None,
    }
}
