//! The judgement on one document, as a pure function: faults, identity, price, review.

use crate::envelope::{Envelope, FIELDS};
use crate::identity;
use crate::intake::Intake;
use crate::reader::shown;
use crate::settings::{Review, Settings};
use crate::{Refusal, codes};
use assets::{ByTenant, Layout, LayoutFault, Place};
use job::{Fingerprint, HeldWhy, JobId, Record, Spec, State, Timestamp};
use seedance::{
    Cost, Day, Fault, InlineMedia, PriceTable, Request, Route, Rules, Warning, estimate_tokens,
};
use serde_json::Value;
use store::NewJob;
use ulid::Ulid;

const BATCH_CHARS_MAX: usize = 128;
const KEY_CHARS_MAX: usize = 255;

/// A document without a fault, and what would become of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The generation in normal form.
    pub request: Request,
    /// Its identity within the tenant.
    pub fingerprint: Fingerprint,
    /// Which repeat of the request it is, from 1.
    pub take: u32,
    /// The caller's own id.
    pub custom_id: Option<String>,
    /// What a new job would wait for; `None`: it would be queued at once.
    pub held: Option<HeldWhy>,
    /// Tokens expected.
    pub estimate_tokens: u64,
    /// What they cost on the day asked about.
    pub cost: Cost,
    /// Legal, but worth telling.
    pub warnings: Vec<Warning>,
}

/// What a judgement rests on. Knows no store and no bucket.
#[derive(Debug)]
pub(crate) struct Judge {
    pub(crate) pool: String,
    pub(crate) route: Route,
    pub(crate) layouts: ByTenant<Layout>,
    pub(crate) settings: Settings,
    pub(crate) prices: &'static PriceTable,
}

/// A checked request with all a record needs.
pub(crate) struct Sound {
    pub(crate) checked: Checked,
    pub(crate) media: Vec<InlineMedia>,
    pub(crate) intake: Intake,
    pub(crate) envelope: Envelope,
}

impl Judge {
    /// Judges at `now`.
    pub(crate) fn judge(&self, mut intake: Intake, now: Timestamp) -> Result<Sound, Refusal> {
        let mut faults = named(&intake);
        let mut body = intake.body.take();
        let envelope = match &mut body {
            Value::Object(object) => {
                let origins = &self.settings.webhook_origins;
                Some(Envelope::take_out(object, intake.take_override, now, origins, &mut faults))
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        };
        let prefix = envelope.as_ref().and_then(|envelope| envelope.output_prefix.as_deref());
        faults.extend(self.place_fault(&intake.tenant, prefix, now));
        let beside: Vec<&str> = FIELDS.into_iter().filter(|field| *field != "priority").collect();
        let read = seedance::validate_beside(self.route, &body, &Rules::default(), &beside);
        let (seedance::Checked { request, media, warnings }, envelope) = match (read, envelope) {
            (Ok(read), Some(envelope)) if faults.is_empty() => (read, envelope),
            (Ok(_), _) => return Err(Refusal::Faults(faults)),
            (Err(more), _) => {
                faults.extend(more);
                return Err(Refusal::Faults(faults));
            }
        };
        let checked = self.weigh(&intake, &envelope, request, warnings, now)?;
        Ok(Sound { checked, media, intake, envelope })
    }

    /// Judges requests up to the first that brought media, so that those of one at most are held.
    pub(crate) fn judge_some(
        &self,
        requests: &mut impl Iterator<Item = Intake>,
        now: Timestamp,
    ) -> Vec<Result<Sound, Refusal>> {
        let mut judged = Vec::new();
        for intake in requests {
            let sound = self.judge(intake, now);
            let has_media = sound.as_ref().is_ok_and(|sound| !sound.media.is_empty());
            judged.push(sound);
            if has_media {
                break;
            }
        }
        judged
    }

    fn weigh(
        &self,
        intake: &Intake,
        envelope: &Envelope,
        request: Request,
        mut warnings: Vec<Warning>,
        now: Timestamp,
    ) -> Result<Checked, Refusal> {
        let estimate_tokens = estimate_tokens(&request);
        let day = Day::from_unix_s(now.unix_ms().div_euclid(1_000));
        let cost = self
            .prices
            .cost(self.route, &request, estimate_tokens, day)
            .map_err(Refusal::NoPrice)?;
        let review = self.settings.review_of(&intake.tenant);
        let held = review.holds(&request, envelope.review || envelope.people);
        if envelope.review && review == Review::Off {
            warnings.push(Warning {
                pointer: "/review".to_owned(),
                code: codes::REVIEW_MARK_WITHOUT_EFFECT.to_owned(),
                message: "nobody reviews jobs of this tenant, so this one does not wait".to_owned(),
            });
        }
        let end_user = envelope.end_user.as_deref();
        Ok(Checked {
            fingerprint: Fingerprint::of(self.route, &request, end_user, envelope.take),
            take: envelope.take,
            custom_id: envelope.custom_id.clone(),
            held: held.then_some(HeldWhy::Review),
            request,
            estimate_tokens,
            cost,
            warnings,
        })
    }

    /// A paid video must have a place to go, so the place is tried before anything is stored. Only
    /// the tenant and the prefix can be wrong with it.
    pub(crate) fn place_fault(
        &self,
        tenant: &str,
        prefix: Option<&str>,
        now: Timestamp,
    ) -> Option<Fault> {
        let job_id = job_id(now);
        let created_at_ms = now.unix_ms();
        let place = Place { tenant, job_id: job_id.as_str(), created_at_ms, prefix };
        let why = self.layouts.of(tenant).folder(&place).err()?;
        let reserved_by_prefix = prefix.is_some() && matches!(why, LayoutFault::Reserved(_));
        let at = if reserved_by_prefix { "/output/prefix" } else { "" };
        Some(Fault::new(at, codes::NAME_INVALID, why.to_string(), "choose another name"))
    }

    /// The record of a new job, accepted at `now`.
    pub(crate) fn record(&self, sound: Sound, now: Timestamp) -> NewJob {
        let Sound { checked, media: _, intake, envelope } = sound;
        let idempotency = identity::idempotency(&intake, &envelope, &checked.fingerprint);
        let state = match checked.held {
            Some(why) => State::Held { why },
            None => State::Queued { tries: 0 },
        };
        let spec = Spec {
            tenant: intake.tenant,
            pool: self.pool.clone(),
            end_user: envelope.end_user,
            priority: envelope.priority,
            batch: intake.batch,
            pilot: intake.pilot,
            custom_id: envelope.custom_id,
            useful_until: envelope.useful_until,
            take: envelope.take,
            metadata: envelope.metadata,
            webhook: envelope.webhook,
            // A trace context that cannot be read is dropped, never an error: so its standard says.
            traceparent: intake.traceparent.filter(|text| is_traceparent(text)),
            output_prefix: envelope.output_prefix,
            retry_of: None,
            people: envelope.people,
            consent_ref: envelope.consent_ref,
            made_by: intake.made_by,
            erased: false,
            source: intake.source,
            fingerprint: checked.fingerprint,
            estimate_tokens: checked.estimate_tokens,
            estimate_cost: Some(checked.cost),
            request: checked.request,
        };
        NewJob { record: Record::begin(job_id(now), spec, state, now), idempotency }
    }
}

/// A fresh id. Its time is the server's, so that ids made on many machines sort by acceptance.
pub(crate) fn job_id(now: Timestamp) -> JobId {
    let ms = u64::try_from(now.unix_ms()).unwrap_or(0);
    JobId::from_ulid(Ulid::from_parts(ms, Ulid::generate().random()))
}

/// Faults of what stands beside the document.
fn named(intake: &Intake) -> Vec<Fault> {
    let mut faults = Vec::new();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if let Some(batch) = &intake.batch
        && !(is_sized(batch, BATCH_CHARS_MAX) && batch.chars().all(plain))
    {
        let allowed = format!("1 to {BATCH_CHARS_MAX} of letters, digits and . _ -");
        faults.push(bad_name("name of a batch", batch, &allowed));
    }
    if let Some(key) = &intake.idempotency_key
        && !(is_sized(key, KEY_CHARS_MAX) && key.chars().all(|c| c.is_ascii_graphic()))
    {
        let allowed = format!("1 to {KEY_CHARS_MAX} visible ASCII characters without blanks");
        faults.push(bad_name("idempotency key", key, &allowed));
    }
    faults
}

fn is_sized(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len())
}

fn bad_name(what: &str, name: &str, allowed: &str) -> Fault {
    let message = format!("{} is not usable as {what}", shown(name));
    Fault::new("", codes::NAME_INVALID, message, format!("choose another {what}")).allowing(allowed)
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, in lower case, ids not all zero.
pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |part: &str| part.bytes().any(|b| b != b'0');
    match parts.as_slice() {
        [version, trace, span, flags] => {
            *version == "00"
                && hex(trace, 32)
                && is_set(trace)
                && hex(span, 16)
                && is_set(span)
                && hex(flags, 2)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use job::Source;

    fn judge() -> Judge {
        Judge {
            pool: "main".to_owned(),
            route: Route::Byteplus,
            layouts: Layout::parse("{tenant}/{yyyy}/{mm}/{dd}/{job_id}/")
                .expect("a good layout")
                .into(),
            settings: Settings::default(),
            prices: PriceTable::in_force(),
        }
    }

    /// The document a sound request is sent as, which must be as sound and mean the same.
    fn sent_again(sound: &Sound) -> Value {
        let envelope = seedance::Envelope {
            callback_url: None,
            execution_expires_after_s: 90_000,
            safety_identifier: None,
        };
        let media = |sha256: &str| {
            let found = sound.media.iter().find(|media| media.sha256_hex == sha256)?;
            Some(found.bytes.to_vec())
        };
        let body = sound.checked.request.wire_body(&envelope, &media).expect("all media are here");
        let mut body: Value = serde_json::from_slice(&body).expect("we send JSON");
        body.as_object_mut().expect("an object").shift_remove("execution_expires_after");
        body
    }

    #[test]
    fn fuzz_create_request() {
        let words = [
            "\"content\":",
            "\"text\"",
            "\"image_url\"",
            "\"role\":",
            "\"url\":",
            "first_frame",
            "reference_image",
            "reference_video",
            "\"duration\":",
            "\"ratio\":",
            "16:9",
            "-1",
            "12",
            "\"resolution\":",
            "1080p",
            "480p",
            "\"frames\":",
            "\"seed\":",
            "seedance-2.0-fast",
            "asset://",
            "https://",
            "data:image/png;base64,",
            "\"take\":",
            "\"metadata\":",
            "null",
            "\"output\":",
            "\"webhook\":",
            "true",
            "false",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\"",
        ];
        let (judge, now) = (judge(), Timestamp::from_unix_ms(1_795_335_330_000));
        fuzz::run("create_request", &words, |document| {
            let Ok(body) = serde_json::from_slice::<Value>(document) else {
                return "no JSON".to_owned();
            };
            let refusal = match judge.judge(Intake::new(body.clone(), Source::Api), now) {
                Ok(sound) => {
                    let again = Intake::new(sent_again(&sound), Source::Api);
                    let again = judge.judge(again, now).err();
                    assert!(again.is_none(), "accepted, and refused as it is sent: {again:?}");
                    return format!("sound, {} media", sound.media.len());
                }
                Err(refusal) => refusal,
            };
            let Refusal::Faults(faults) = &refusal else { return refusal.code().to_owned() };
            assert!(!faults.is_empty(), "refused without a reason");
            for fault in faults {
                let (parent, _) = fault.pointer.rsplit_once('/').unwrap_or_default();
                assert!(body.pointer(parent).is_some(), "no such place: {fault:?}");
                let code = fault.code.as_str();
                let known = seedance::FAULT_CODES.contains(&code) || codes::CODES.contains(&code);
                assert!(known, "{fault:?}");
                assert!(!fault.message.is_empty() && !fault.fix.is_empty(), "{fault:?}");
                assert!(fault.message.len() <= 1_000, "{} bytes", fault.message.len());
            }
            let mut told: Vec<&str> = faults.iter().map(|fault| fault.code.as_str()).collect();
            told.sort_unstable();
            told.dedup();
            told.join(" ")
        });
    }

    #[test]
    fn a_trace_context_is_kept_only_if_it_can_be_read() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(is_traceparent(good));
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned();
        for bad in [good.to_uppercase(), good.replace("00-4", "01-4"), zero, format!("{good}-")] {
            assert!(!is_traceparent(&bad), "{bad}");
        }
    }

    #[test]
    fn ids_sort_by_the_clock_they_are_given() {
        let at = |ms| job_id(Timestamp::from_unix_ms(ms));
        assert!(at(1_795_335_330_000) < at(1_795_335_330_001));
        assert_ne!(at(5), at(5));
    }
}
