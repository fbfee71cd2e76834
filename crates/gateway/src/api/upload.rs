//! `POST /v1/batches`: a stream of requests of any size, taken in while it arrives.
//!
//! Rows are admitted in groups; the next piece of the body is read when a group is in, so a caller who is faster than
//! Redis waits. A row is known by its `custom_id` within the batch, else by its fingerprint, never by its place: a
//! stream that broke off is sent again, and what is in already answers as existing.

mod told;

use super::batches::find;
use super::body::{media_type, wrong_type};
use super::query::Asked;
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::room::Share;
use crate::settings::Scope;
use crate::view::money;
use admission::{Admitted, How, Intake, Refusal, Row, RowForm, RowReader};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use job::{Source, StateWord, StopOn, Timestamp};
use seedance::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use store::{ADMIT_MAX, UPLOAD_LEASE};
use told::Told;
use ulid::Ulid;
use utoipa::{IntoParams, ToSchema};

/// Rows held while they wait for their group, bytes.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Different requests counted for `on_duplicates=keep`: 24 bytes each.
const DISTINCT_MAX: usize = 2_000_000;
/// Pauses while Redis or the bucket takes no rows; after the last one the stream is ended.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
/// Faults told of one refused row.
const FAULTS_MAX: usize = 8;
const FORMS: &str = "application/jsonl, application/x-ndjson, text/csv, application/json (a list)";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchAsked {
    /// Its name; made up if you give none. The same name again adds to the batch.
    #[param(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9._-]+$")]
    batch: Option<String>,
    /// For rows that name none: `high`, `normal` or `low`.
    #[param(inline)]
    priority: Option<PriorityAsked>,
    /// For rows that name none: after this instant they are not worth buying.
    #[param(format = DateTime)]
    useful_until: Option<String>,
    /// What an equal row means: the first one's job (`skip`), or one more take of it (`keep`).
    #[serde(default)]
    #[param(inline)]
    on_duplicates: Duplicates,
    /// What may be bought for the batch on one day (UTC), as `:budget` takes it.
    buy_day_max: Option<String>,
    /// What may be bought for it in all.
    buy_total_max: Option<String>,
    /// Pause the batch by itself when one of these is met: `failed>5% of 50 | code=CODE>3 | in_doubt>10`.
    stop_on: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Priority)]
enum PriorityAsked {
    High,
    Normal,
    Low,
}

impl PriorityAsked {
    const fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Duplicates {
    #[default]
    Skip,
    Keep,
}

/// What became of a stream's rows.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = BatchTaken)]
pub(super) struct Taken {
    /// Name of the batch.
    id: String,
    #[schema(example = "batch")]
    object: &'static str,
    /// Rows read.
    rows: u64,
    /// New jobs.
    created: u64,
    /// Of them, those that wait for a person first.
    held: u64,
    /// Rows whose job existed.
    existing: u64,
    /// Rows that made none; `links.rejects` tells why.
    rejected: u64,
    /// Rejected rows by code.
    reject_codes: BTreeMap<String, u64>,
    /// Tokens the new jobs are expected to need.
    tokens: u64,
    /// Their price; absent without new jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Object)]
    cost: Option<Value>,
    links: BatchLinks,
    #[serde(skip)]
    micros: u64,
    #[serde(skip)]
    currency: String,
}

#[derive(Debug, Default, Serialize, ToSchema)]
struct BatchLinks {
    #[serde(rename = "self")]
    this: String,
    rejects: String,
}

/// Make a batch of jobs.
///
/// The body is a stream of requests, each as for `POST /v1/jobs`: JSON lines, CSV with the columns of the manual, or one
/// JSON list. It may have any size. Good rows become jobs while it arrives; refused ones are kept as rejects. Sending
/// the same stream again adds nothing.
#[utoipa::path(
    post,
    path = "/v1/batches",
    operation_id = "create_batch",
    tag = "batches",
    params(BatchAsked),
    request_body(
        description = "The requests.",
        content(
            (Vec<serde_json::Value> = "application/json"),
            (String = "application/jsonl"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
        )
    ),
    responses((status = 202, description = "All rows are read.", body = Taken))
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    Asked(asked): Asked<BatchAsked>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsWrite)?;
    let form = match media_type(&headers)?.as_deref() {
        Some("application/jsonl" | "application/x-ndjson" | "application/ndjson") => {
            RowForm::JsonLines
        }
        Some("text/csv") => RowForm::Csv,
        Some("application/json") => RowForm::JsonList,
        Some(_) | None => return Err(wrong_type(FORMS)),
    };
    let batch = name(asked.batch.as_deref())?;
    if let Some(text) = &asked.useful_until
        && let Err(why) = Timestamp::parse_rfc3339(text)
    {
        let title = "useful_until is no instant";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", title).detail(why));
    }
    let caps = super::budget::caps(asked.buy_day_max.as_deref(), asked.buy_total_max.as_deref());
    let caps = caps.map_err(|(field, why)| super::operations::refused(field, &why))?;
    let stop_on = asked.stop_on.as_deref().map(StopOn::parse).transpose();
    let stop_on = stop_on.map_err(|why| super::operations::refused("stop_on", &why))?;
    let this = format!("{}/v1/batches/{batch}", app.public_url.trim_end_matches('/'));
    let links = BatchLinks { rejects: format!("{this}/rejects"), this };
    let (store, by) = (&door.pool.store, job::By::named(&caller.name));
    let why = "sent with its jobs";
    store.set_batch_caps(&caller.tenant, &batch, caps, &by, why).await?;
    if stop_on.is_some() {
        store.set_stop_on(&caller.tenant, &batch, stop_on.as_ref(), &by, why).await?;
    }
    let mut upload = Upload {
        door,
        tenant: caller.tenant.clone(),
        made_by: caller.name.clone(),
        open: door.pool.store.begin_upload(&caller.tenant, &batch).await?,
        asked,
        takes: HashMap::new(),
        share: app.room.share(),
        row_bytes_max: app.row_bytes_max,
        taken: Taken { id: batch, object: "batch", links, ..Taken::default() },
    };
    let mut reader = RowReader::new(form, app.row_bytes_max);
    let read = upload.read(&mut reader, body).await;
    if let Err(error) = door.pool.store.end_upload(&upload.open).await {
        tracing::warn!(batch = upload.taken.id, %error, "the end of an upload is not noted; it lapses within {UPLOAD_LEASE:?}");
    }
    read?;
    let mut taken = upload.taken;
    if taken.created > 0 {
        taken.cost = Some(json!({"cost": money(taken.micros), "currency": taken.currency}));
    }
    let location = taken.links.this.clone();
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(taken)).into_response())
}

/// Refused rows of a batch.
///
/// One JSON object on each line, in no order: place in the stream, `custom_id`, and the faults with pointers into the
/// row. A row that came again and was taken in is not among them. The first 10,000 are kept, for 30 days.
#[utoipa::path(
    get,
    path = "/v1/batches/{id}/rejects",
    operation_id = "get_batch_rejects",
    tag = "batches",
    params(("id" = String, Path, description = "The batch.")),
    responses(
        (status = 200, description = "The rows.", content_type = "application/x-ndjson", body = String),
    )
)]
pub(super) async fn rejects(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let door = app.enter(&caller, Scope::JobsRead)?;
    let (store, tenant) = (door.pool.store.clone(), caller.tenant.clone());
    find(&store, &tenant, &id).await?;
    let pages = futures::stream::try_unfold(Some(0), move |cursor| {
        let (store, tenant, id) = (store.clone(), tenant.clone(), id.clone());
        async move {
            let Some(cursor) = cursor else { return Ok(None) };
            let (next, rows) = store.rejects(&tenant, &id, cursor).await?;
            let text: String = rows.into_iter().map(|row| row + "\n").collect();
            Ok::<_, store::StoreError>(Some((text, (next != 0).then_some(next))))
        }
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(pages)).into_response())
}

fn name(asked: Option<&str>) -> Result<String, Problem> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match asked {
        None => Ok(format!("batch_{}", Ulid::generate())),
        Some(name) if (1..=128).contains(&name.len()) && name.chars().all(plain) => {
            Ok(name.to_owned())
        }
        Some(_) => {
            let title = "this is no name for a batch";
            Err(Problem::new(StatusCode::BAD_REQUEST, "bad-query", title)
                .detail("batch: 1 to 128 of letters, digits and . _ -"))
        }
    }
}

type Answer = Result<Admitted, Refusal>;

struct Upload<'a> {
    door: &'a PoolDoor,
    tenant: String,
    /// The key's name.
    made_by: String,
    /// While it is, the batch is not told as completed.
    open: store::Upload,
    asked: BatchAsked,
    /// How often a request came, by the start of its fingerprint.
    takes: HashMap<u128, u32>,
    taken: Taken,
    /// What of it is in memory.
    share: Share,
    row_bytes_max: usize,
}

impl Upload<'_> {
    async fn read(&mut self, reader: &mut RowReader, body: Body) -> Result<(), Problem> {
        let mut pieces = body.into_data_stream();
        let mut rows = Vec::new();
        // Of the row that has begun and not ended, at most.
        let mut open_bytes = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.broken(&error))?;
            self.door.pool.store.keep_upload(&mut self.open).await?;
            let known = rows.len();
            if let Err(fault) = reader.feed(&piece, &mut rows) {
                return self.ended_by(fault, rows).await;
            }
            let before = if rows.len() == known { open_bytes } else { 0 };
            open_bytes = self.row_bytes_max.min(before + piece.len());
            let bytes: u64 = rows.iter().map(|row| row.bytes).sum();
            let held = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(open_bytes);
            self.share.hold(held).map_err(|problem| problem.detail(self.safe()))?;
            if rows.len() >= ADMIT_MAX || bytes >= GROUP_BYTES_MAX {
                self.take_in(std::mem::take(&mut rows)).await?;
            }
        }
        if let Err(fault) = reader.end(&mut rows) {
            return self.ended_by(fault, rows).await;
        }
        self.take_in(rows).await
    }

    /// The rest of the stream cannot be read; the rows before that place are good.
    async fn ended_by(&mut self, fault: Fault, rows: Vec<Row>) -> Result<(), Problem> {
        self.take_in(rows).await?;
        Err(Problem::faults(&[fault]).detail(self.safe()))
    }

    fn broken(&self, error: &axum::Error) -> Problem {
        let title = "the body broke off";
        let told = format!("{error}; {}", self.safe());
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body-broke-off", title).detail(told).retryable()
    }

    fn safe(&self) -> String {
        let safe = self.taken.created + self.taken.existing;
        format!("{safe} rows are safe; send the stream again, they will not be made twice")
    }

    async fn take_in(&mut self, rows: Vec<Row>) -> Result<(), Problem> {
        let mut rows = rows.into_iter();
        loop {
            let group: Vec<Row> = rows.by_ref().take(ADMIT_MAX).collect();
            if group.is_empty() {
                return Ok(());
            }
            self.group(group).await?;
        }
    }

    async fn group(&mut self, rows: Vec<Row>) -> Result<(), Problem> {
        self.taken.rows += rows.len() as u64;
        let (mut ready, mut refused) = (Vec::new(), Vec::new());
        for Row { number, body, .. } in rows {
            match body {
                Ok(body) => {
                    let custom_id = body["custom_id"].as_str().map(str::to_owned);
                    ready.push((Told { number, custom_id }, self.intake(body)));
                }
                Err(fault) => {
                    let told = Told { number, custom_id: None };
                    refused.push(self.reject(&told, &Refusal::Faults(vec![fault])));
                }
            }
        }
        if self.asked.on_duplicates == Duplicates::Keep {
            ready = self.count_takes(ready).await?;
        }
        let mut mended = Vec::new();
        for (told, answer) in self.admit(ready).await? {
            match answer {
                Ok(admitted) => {
                    mended.push(told.row());
                    self.admitted(&admitted);
                }
                Err(refusal) => refused.push(self.reject(&told, &refusal)),
            }
        }
        let noted = self
            .door
            .pool
            .store
            .note_rejects(&self.tenant, &self.taken.id, &refused, &mended)
            .await;
        noted.map_err(|error| Problem::unavailable(&error))
    }

    fn intake(&self, mut body: Value) -> Intake {
        if let Some(row) = body.as_object_mut() {
            let said = [
                ("priority", self.asked.priority.map(|priority| priority.word().to_owned())),
                ("useful_until", self.asked.useful_until.clone()),
            ];
            for (key, value) in said {
                let Some(value) = value else { continue };
                if row.get(key).is_none_or(Value::is_null) {
                    row.insert(key.to_owned(), Value::String(value));
                }
            }
        }
        Intake {
            tenant: self.tenant.clone(),
            batch: Some(self.taken.id.clone()),
            made_by: Some(self.made_by.clone()),
            ..Intake::new(body, Source::Import)
        }
    }

    /// Gives equal rows their takes; rows that name themselves, or their take, are told apart already.
    async fn count_takes(
        &mut self,
        rows: Vec<(Told, Intake)>,
    ) -> Result<Vec<(Told, Intake)>, Problem> {
        let now = self.door.pool.store.now().await?;
        let door = self.door.door.clone();
        // Judging may decode inline media: no work for a thread that serves others.
        let judged = tokio::task::spawn_blocking(move || {
            let judge = |(told, intake): (Told, Intake)| {
                let named = ["custom_id", "take"].iter().any(|key| !intake.body[*key].is_null());
                let checked = if named { None } else { door.check(&intake, now).ok() };
                (told, intake, checked.map(|checked| checked.fingerprint))
            };
            rows.into_iter().map(judge).collect::<Vec<_>>()
        });
        let judged = judged.await.map_err(|error| Problem::unavailable(&error))?;
        let mut counted = Vec::with_capacity(judged.len());
        for (told, mut intake, fingerprint) in judged {
            if let Some(fingerprint) = fingerprint {
                let digits = fingerprint.as_str().rsplit('_').next().unwrap_or_default();
                let key = digits.get(..32).and_then(|hex| u128::from_str_radix(hex, 16).ok());
                let take = self.takes.entry(key.unwrap_or(0)).or_insert(0);
                *take += 1;
                intake.take_override = (*take > 1).then_some(*take);
            }
            counted.push((told, intake));
        }
        if self.takes.len() > DISTINCT_MAX {
            let title = format!("more than {DISTINCT_MAX} different rows with on_duplicates=keep");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-items", title)
                .detail(
                    "give each row a custom_id, which needs no counting, or send less at once",
                ));
        }
        Ok(counted)
    }

    /// Admits a group, with patience for a fleet that is away for a moment.
    async fn admit(&self, rows: Vec<(Told, Intake)>) -> Result<Vec<(Told, Answer)>, Problem> {
        let (mut rows, mut answered) = (rows, Vec::new());
        let mut pauses = PAUSES.iter();
        loop {
            let intakes = rows.iter().map(|(_, intake)| intake.clone()).collect();
            let answers = self.door.door.admit_many(intakes).await;
            let (mut again, mut why) = (Vec::new(), None);
            for ((told, intake), answer) in rows.into_iter().zip(answers) {
                match answer {
                    Err(refusal) if refusal.is_retryable() => {
                        why = Some(refusal);
                        again.push((told, intake));
                    }
                    Ok(_) | Err(_) => answered.push((told, answer)),
                }
            }
            let Some(why) = why else { return Ok(answered) };
            let Some(pause) = pauses.next() else {
                return Err(Problem::refused(&why).detail(self.safe()));
            };
            tokio::time::sleep(*pause).await;
            rows = again;
        }
    }

    fn admitted(&mut self, admitted: &Admitted) {
        let taken = &mut self.taken;
        match admitted.how {
            How::Created => {
                taken.created += 1;
                taken.held += u64::from(admitted.state == Some(StateWord::Held));
                taken.tokens += admitted.estimate_tokens;
                taken.micros += admitted.cost.micros;
                taken.currency = admitted.cost.currency.to_string();
            }
            How::Deduplicated { .. } => taken.existing += 1,
        }
    }

    /// The line of a refused row, under its identity.
    fn reject(&mut self, told: &Told, refusal: &Refusal) -> (String, String) {
        self.taken.rejected += 1;
        let code = refusal.faults().first().map_or(refusal.code(), |fault| fault.code.as_str());
        *self.taken.reject_codes.entry(code.to_owned()).or_default() += 1;
        let faults: Vec<&Fault> = refusal.faults().iter().take(FAULTS_MAX).collect();
        let line = json!({
            "row": told.number,
            "custom_id": told.custom_id,
            "code": code,
            "message": refusal.to_string().chars().take(1_000).collect::<String>(),
            "errors": faults,
        });
        (told.row(), line.to_string())
    }
}
