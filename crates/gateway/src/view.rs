//! A job as callers see it. Links of the provider and payloads never leave the fleet.

use job::{Again, End, Record, Source, State};
use seedance::{Cost, Day, PriceTable, Route};
use serde::Serialize;
use std::collections::BTreeMap;
use survey::HeldFor;
use utoipa::ToSchema;

/// One wanted generation and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobView<'a> {
    id: &'a str,
    object: &'static str,
    state: &'static str,
    created_at: String,
    updated_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    batch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    custom_id: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
    model: &'a str,
    /// What it is expected to need; `null` if no price is known for the day it came.
    estimate: Option<Estimate>,
    /// What it is billed as far as is known, in the currency of the estimate: the estimate while it may still be bought,
    /// then the tokens that were used, nothing for an end that is not billed.
    #[schema(example = "0.762300", pattern = r"^[0-9]+\.[0-9]{6}$")]
    cost: Option<String>,
    attempts: u32,
    provider: Option<ProviderView<'a>>,
    output: Option<OutputView<'a>>,
    error: Option<ErrorView<'a>>,
    /// Why a person must decide; of a parked job only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<String>,
    /// Why it is held, of a held job only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    held: Option<HeldFor>,
    cancel_requested: bool,
    /// The ended job in whose place this one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_of: Option<&'a str>,
    /// The call that makes an ended job again, if that can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "POST /v1/jobs/job_01JB2:retry")]
    next: Option<String>,
    /// Of `next`: whether the task it buys is paid although the one before may have been paid already. `false`: the
    /// earlier one cost nothing. Either way a retry buys a new task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_paid_again: Option<bool>,
    /// Where the consent of the people shown is written down.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    consent_ref: Option<&'a str>,
    /// Its content is gone: see the erasure's receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    erased: Option<ErasedView<'a>>,
    links: Links,
}

/// What a generation is expected to need. The provider bills what it counts in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Estimate {
    /// Tokens the provider is expected to count.
    tokens: u64,
    /// Their price, as a decimal number.
    #[schema(example = "0.762300", pattern = r"^[0-9]+\.[0-9]{6}$")]
    cost: String,
    /// Of the cost.
    #[schema(example = "USD")]
    currency: String,
}

impl Estimate {
    pub(crate) fn new(tokens: u64, cost: &Cost) -> Self {
        Self { tokens, cost: money(cost.micros), currency: cost.currency.to_string() }
    }

    /// At the prices of the day the job came.
    fn of(record: &Record) -> Option<Self> {
        // What an adopted task was asked for is not known, and prices go by that.
        if record.spec.source == Source::Adopted {
            return None;
        }
        let (request, tokens) = (&record.spec.request, record.spec.estimate_tokens);
        let on = |route: &Route| request.model.wire_id(*route) == request.model_id;
        let route = Route::ALL.into_iter().find(on)?;
        let day = Day::from_unix_s(record.created_at.unix_ms().div_euclid(1_000));
        let cost = PriceTable::in_force().cost(route, request, tokens, day).ok()?;
        Some(Self::new(tokens, &cost))
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erased)]
struct ErasedView<'a> {
    /// Since when.
    at: String,
    /// The erasure that took it; its receipt tells what was removed.
    erasure: &'a str,
    /// Billed for an output that is gone.
    tokens: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Provider)]
struct ProviderView<'a> {
    task_id: &'a str,
    account: &'a str,
    route: &'static str,
    status: &'a str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Output)]
struct OutputView<'a> {
    video: &'a str,
    video_sha256: &'a str,
    video_bytes: u64,
    last_frame: Option<&'a str>,
    manifest: &'a str,
    tokens: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JobError)]
struct ErrorView<'a> {
    code: &'a str,
    class: Option<&'static str>,
    message: &'a str,
    retryable: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct Links {
    #[serde(rename = "self")]
    this: String,
    cancel: String,
}

/// An amount as a decimal number.
pub(crate) fn money(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

/// Path of a job's resource below `public_url`.
pub(crate) fn job_path(public_url: &str, id: &str) -> String {
    format!("{}/v1/jobs/{id}", public_url.trim_end_matches('/'))
}

impl<'a> JobView<'a> {
    pub(crate) fn of(record: &'a Record, public_url: &str) -> Self {
        let (spec, life) = (&record.spec, &record.life);
        let this = job_path(public_url, record.id.as_str());
        let again = Again::of(record);
        Self {
            id: record.id.as_str(),
            object: "job",
            state: life.state.word().as_str(),
            created_at: record.created_at.rfc3339(),
            updated_at: life.updated_at.rfc3339(),
            batch: spec.batch.as_deref(),
            custom_id: spec.custom_id.as_deref(),
            metadata: &spec.metadata,
            model: model(record),
            estimate: Estimate::of(record),
            cost: spec.estimate_cost.as_ref().map(|_| money(spec.charge_micros(life))),
            attempts: life.attempts_begun,
            provider: provider(&life.state),
            output: output(&life.state),
            error: error(&life.state),
            reason: match &life.state {
                State::Parked { why, .. } => Some(why.to_string()),
                State::Held { .. }
                | State::Queued { .. }
                | State::Submitting { .. }
                | State::InDoubt { .. }
                | State::Generating { .. }
                | State::Overdue { .. }
                | State::Downloading { .. }
                | State::Finished { .. } => None,
            },
            held: HeldFor::of(record).map(for_its_tenant),
            cancel_requested: life.cancel.is_some(),
            retry_of: spec.retry_of.as_ref().map(job::JobId::as_str),
            next: again.map(|_| format!("POST {this}:retry")),
            next_paid_again: again.map(|again| again.paid_again),
            consent_ref: spec.consent_ref.as_deref(),
            erased: erased(record),
            links: Links { cancel: format!("{this}:cancel"), this },
        }
    }
}

/// What a pool may buy is no tenant's business.
fn for_its_tenant(held: HeldFor) -> HeldFor {
    if held.cap == Some(job::CapOf::Pool.word()) {
        return HeldFor { max: None, spent: None, currency: None, ..held };
    }
    held
}

/// Of an adopted task, what the provider tells.
fn model(record: &Record) -> &str {
    let told = record.life.told.as_ref().and_then(|told| told.model_id.as_deref());
    told.unwrap_or(&record.spec.request.model_id)
}

fn erased(record: &Record) -> Option<ErasedView<'_>> {
    let erased = record.life.erased.as_ref()?;
    let tokens = record.life.state.output().and_then(|output| output.tokens);
    Some(ErasedView { at: erased.at.rfc3339(), erasure: erased.erasure.as_str(), tokens })
}

fn provider(state: &State) -> Option<ProviderView<'_>> {
    let task = state.task()?;
    let status = match state {
        State::Generating { seen, .. } => seen.as_str(),
        State::Held { .. }
        | State::Queued { .. }
        | State::Submitting { .. }
        | State::InDoubt { .. }
        | State::Parked { .. }
        | State::Overdue { .. }
        | State::Downloading { .. }
        | State::Finished { .. } => "",
    };
    Some(ProviderView {
        task_id: task.id.as_str(),
        account: &task.facts.account,
        route: task.facts.route.word(),
        status,
    })
}

fn output(state: &State) -> Option<OutputView<'_>> {
    let output = state.output().filter(|output| output.is_here())?;
    Some(OutputView {
        video: &output.video,
        video_sha256: &output.video_sha256,
        video_bytes: output.video_bytes,
        last_frame: output.last_frame.as_deref(),
        manifest: &output.manifest,
        tokens: output.tokens,
    })
}

fn error(state: &State) -> Option<ErrorView<'_>> {
    let State::Finished { end, .. } = state else { return None };
    let plain =
        |code, message, retryable| Some(ErrorView { code, class: None, message, retryable });
    match end {
        End::Stored { .. } | End::Cancelled { .. } => None,
        End::Failed { cause } => Some(ErrorView {
            code: &cause.code,
            class: Some(cause.class.word()),
            message: &cause.message,
            retryable: false,
        }),
        End::Expired { retryable } => {
            plain("expired", "the provider gave up on the task; it was not billed", *retryable)
        }
        End::Rejected { reason, .. } => plain("rejected", reason, false),
        End::NotUseful => plain("not-useful", "useful_until passed before it was bought", false),
        End::GivenUp { reason, .. } => plain("given-up", reason, false),
        End::OutputLost { reason } => plain("output-lost", reason, false),
        End::TimedOut => plain("timed-out", "its end is not known", false),
    }
}
