//! `POST /v1/batches`: a stream of requests of any size, taken in while it arrives.
//!
//! Rows are admitted in groups; the next piece of the body is read when a group is in, so a caller who is faster than
//! Redis waits. A row is known by its `custom_id` within the batch, else by its fingerprint, never by its place: a
//! stream that broke off is sent again, and what is in already answers as existing.

mod asked;
mod judge;
mod pilot;
mod taken;
mod told;

use super::batches::find;
use super::body::{media_type, wrong_type};
use super::query::Asked;
use crate::app::{App, PoolDoor};
use crate::caller::Caller;
use crate::problem::Problem;
use crate::room::Share;
use crate::settings::Scope;
use admission::{Admitted, Checked, Intake, Mends, Refusal, Row, RowForm, RowReader, Takes};
use asked::{BatchAsked, Wish};
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use job::{By, Source};
use judge::{Judged, Judging};
use seedance::Fault;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use store::{ADMIT_MAX, UPLOAD_LEASE};
use taken::Taken;
use told::{Told, first_code};

/// Rows held while they wait for their group, bytes.
const GROUP_BYTES_MAX: u64 = 8 << 20;
/// Different requests counted for `on_duplicates=keep`, or remembered by a dry run: 16 bytes each.
const DISTINCT_MAX: usize = 2_000_000;
/// Pauses while Redis or the bucket takes no rows; after the last one the stream is ended.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];
const FORMS: &str = "application/jsonl, application/x-ndjson, text/csv, application/json (a list)";

/// Make a batch of jobs.
///
/// The body is a stream of requests, each as for `POST /v1/jobs`: JSON lines, CSV with the columns of the manual, or one
/// JSON list. It may have any size. Good rows become jobs while it arrives; refused ones are kept as rejects. Sending
/// the same stream again adds nothing. With `dry_run` all rows are judged and none is stored: 200, and what they would need.
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
    responses(
        (status = 202, description = "All rows are read.", body = Taken),
        (status = 200, description = "The answer to a dry run.", body = Judged),
        (status = 404, response = Problem),
        (status = 409, response = Problem),
    )
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
    let wish = asked.wish()?;
    if let Some(old) = &wish.retry_of {
        find(&door.pool.store, &caller.tenant, old).await?;
    }
    let mut upload = Upload::of(&app, &caller, door, wish);
    let mut reader = RowReader::new(form, app.row_bytes_max);
    if upload.wish.dry_run {
        return Ok(Json(upload.judge_all(&app, &mut reader, body).await?).into_response());
    }
    upload.take_all(&mut reader, body).await?;
    let taken = upload.taken.told();
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

type Answer = Result<Admitted, Refusal>;

struct Upload<'a> {
    door: &'a PoolDoor,
    tenant: String,
    /// The key's name.
    made_by: String,
    wish: Wish,
    /// While it is, the batch is not told as completed. None where nothing is stored.
    open: Option<store::Upload>,
    /// In a dry run.
    judging: Option<Judging>,
    takes: Takes,
    taken: Taken,
    /// What of it is in memory.
    share: Share,
    row_bytes_max: usize,
}

impl<'a> Upload<'a> {
    fn of(app: &App, caller: &Caller, door: &'a PoolDoor, wish: Wish) -> Self {
        let taken = Taken::of(&wish.batch, &app.public_url);
        Self {
            door,
            tenant: caller.tenant.clone(),
            made_by: caller.name.clone(),
            open: None,
            judging: wish.dry_run.then(|| Judging::of(&wish)),
            wish,
            takes: Takes::default(),
            share: app.room.share(),
            row_bytes_max: app.row_bytes_max,
            taken,
        }
    }

    /// Judges every row and stores none.
    async fn judge_all(
        mut self,
        app: &App,
        reader: &mut RowReader,
        body: Body,
    ) -> Result<Value, Problem> {
        self.read(reader, body).await?;
        let judging = self.judging.take().unwrap_or_else(|| Judging::of(&self.wish));
        let read = (self.taken.id, self.taken.rows);
        judging.answer(app, (self.door, self.tenant.as_str()), read).await
    }

    /// Takes every good row in.
    async fn take_all(&mut self, reader: &mut RowReader, body: Body) -> Result<(), Problem> {
        let (store, by) = (self.door.pool.store.clone(), By::named(&self.made_by));
        let (tenant, batch) = (self.tenant.clone(), self.taken.id.clone());
        let whose = (tenant.as_str(), batch.as_str());
        if self.wish.pilot.is_some() {
            pilot::fits(&store, whose).await?;
        }
        let why = "sent with its jobs";
        store.set_batch_caps(&tenant, &batch, self.wish.caps, &by, why).await?;
        if let Some(on) = &self.wish.stop_on {
            store.set_stop_on(&tenant, &batch, Some(on), &by, why).await?;
        }
        let began = store.now().await?;
        self.open = Some(store.begin_upload(&tenant, &batch).await?);
        let read = match self.wish.pilot {
            None => self.read(reader, body).await,
            Some(rows) => match pilot::begin(&store, whose, rows, &by).await {
                Ok(()) => self.read(reader, body).await,
                Err(problem) => Err(problem),
            },
        };
        let held = match self.wish.pilot {
            None if self.taken.created > 0 => pilot::hold_others(&store, whose, began, &by).await,
            None | Some(_) => Ok(()),
        };
        if let Some(open) = &self.open
            && let Err(error) = store.end_upload(open).await
        {
            tracing::warn!(batch, %error, "the end of an upload is not noted; it lapses within {UPLOAD_LEASE:?}");
        }
        read.and(held)
    }
}

impl Upload<'_> {
    async fn read(&mut self, reader: &mut RowReader, body: Body) -> Result<(), Problem> {
        let mut pieces = body.into_data_stream();
        let mut rows = Vec::new();
        // Of the row that has begun and not ended, at most.
        let mut open_bytes = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| self.broken(&error))?;
            if let Some(open) = &mut self.open {
                self.door.pool.store.keep_upload(open).await?;
            }
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
        if self.wish.dry_run {
            return "nothing was taken in".to_owned();
        }
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
        for Row { number, body, notes, .. } in rows {
            match body {
                Ok(body) => {
                    let custom_id = body["custom_id"].as_str().map(str::to_owned);
                    ready.push((Told { number, custom_id }, self.intake(body, &notes)));
                }
                Err(fault) => {
                    let told = Told { number, custom_id: None };
                    refused.push((told, Refusal::Faults(vec![fault])));
                }
            }
        }
        if self.wish.keep {
            ready = self.count_takes(ready).await?;
        }
        if let Some(judging) = self.judging.take() {
            self.judging = Some(self.judge(judging, ready, refused).await?);
            return Ok(());
        }
        if let Some(most) = self.wish.pilot
            && self.taken.rows > most.into()
        {
            return Err(pilot::too_many(most));
        }
        let mut mended = Vec::new();
        for (told, answer) in self.admit(ready).await? {
            match answer {
                Ok(admitted) => {
                    mended.push(told.row());
                    self.taken.note(&admitted, self.wish.pilot.map(|_| told.number));
                }
                Err(refusal) => refused.push((told, refusal)),
            }
        }
        let refused: Vec<(String, String)> =
            refused.iter().map(|(told, refusal)| self.reject(told, refusal)).collect();
        let noted = self
            .door
            .pool
            .store
            .note_rejects(&self.tenant, &self.taken.id, &refused, &mended)
            .await;
        noted.map_err(|error| Problem::unavailable(&error))
    }

    /// Judges a group, in the order of the stream.
    async fn judge(
        &self,
        mut judging: Judging,
        ready: Vec<(Told, Intake)>,
        refused: Vec<(Told, Refusal)>,
    ) -> Result<Judging, Problem> {
        let now = self.door.pool.store.now().await?;
        let (told, intakes): (Vec<Told>, Vec<Intake>) = ready.into_iter().unzip();
        let judged = self.door.door.check_many(intakes, now).await;
        let refused = refused.into_iter().map(|(told, refusal)| (told, Err(refusal)));
        let mut rows: Vec<(Told, Result<Checked, Refusal>)> =
            told.into_iter().zip(judged).chain(refused).collect();
        rows.sort_by_key(|(told, _)| told.number);
        for (told, judged) in rows {
            let good = judged
                .and_then(|checked| judging.good(&told, &checked, self.wish.retry_of.is_some()));
            match good {
                Ok(()) => {}
                // The store or the process is at fault, and not the row.
                Err(refusal) if refusal.is_retryable() => {
                    return Err(Problem::refused(&refusal).detail(self.safe()));
                }
                Err(refusal) => judging.refused(&told, &refusal),
            }
        }
        judging.within(DISTINCT_MAX)?;
        Ok(judging)
    }

    fn intake(&self, mut body: Value, notes: &Map<String, Value>) -> Intake {
        self.wish.beside.complete(&mut body);
        Intake {
            tenant: self.tenant.clone(),
            batch: Some(self.taken.id.clone()),
            made_by: Some(self.made_by.clone()),
            mends: self.wish.retry_of.as_deref().map(|batch| Mends::of(batch, notes)),
            pilot: self.wish.pilot.is_some(),
            ..Intake::new(body, Source::Import)
        }
    }

    /// Gives equal rows their takes.
    async fn count_takes(
        &mut self,
        rows: Vec<(Told, Intake)>,
    ) -> Result<Vec<(Told, Intake)>, Problem> {
        let now = self.door.pool.store.now().await?;
        let door = self.door.door.clone();
        // Judging may decode inline media: no work for a thread that serves others.
        let judged = tokio::task::spawn_blocking(move || {
            let judge = |(told, intake): (Told, Intake)| {
                let named = Takes::is_named(&intake.body);
                let checked = if named { None } else { door.check(&intake, now).ok() };
                (told, intake, checked.map(|checked| checked.fingerprint))
            };
            rows.into_iter().map(judge).collect::<Vec<_>>()
        });
        let judged = judged.await.map_err(|error| Problem::unavailable(&error))?;
        let mut counted = Vec::with_capacity(judged.len());
        for (told, mut intake, fingerprint) in judged {
            if let Some(fingerprint) = fingerprint {
                intake.take_override = self.takes.count(&fingerprint);
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

    /// The line of a refused row, under its identity.
    fn reject(&mut self, told: &Told, refusal: &Refusal) -> (String, String) {
        self.taken.rejected += 1;
        *self.taken.reject_codes.entry(first_code(refusal).to_owned()).or_default() += 1;
        (told.row(), told.line(refusal).to_string())
    }
}
