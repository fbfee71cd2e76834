//! The fields of ours that stand beside the provider's in one document.

use crate::codes;
use crate::hook::url_fault;
use crate::reader::{Reader, below, out_of_range, shown, text_fault, wrong_type};
use job::{Priority, Timestamp, Webhook};
use seedance::Fault;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Every field of ours. `priority` is shared: a word is our order inside the tenant, a number is the
/// provider's own priority.
pub const FIELDS: [&str; 11] = [
    "end_user",
    "priority",
    "custom_id",
    "useful_until",
    "metadata",
    "webhook",
    "take",
    "people",
    "consent_ref",
    "output",
    "review",
];

/// Wanted repeats of one request; more is a loop that runs away.
pub const TAKE_MAX: u32 = 1_000;

const END_USER_CHARS_MAX: usize = 256;
const CUSTOM_ID_CHARS_MAX: usize = 200;
const CONSENT_REF_CHARS_MAX: usize = 512;
const INSTANT_CHARS_MAX: usize = 64;
const METADATA_PAIRS_MAX: usize = 16;
const METADATA_KEY_CHARS_MAX: usize = 64;
const METADATA_VALUE_CHARS_MAX: usize = 512;
const WEBHOOK_URL_CHARS_MAX: usize = 2_048;
const SECRET_REF_CHARS_MAX: usize = 128;
/// Far beyond what a folder may be; its real bounds are the bucket's.
const PREFIX_CHARS_MAX: usize = 1_024;

/// What the caller said about the job, as opposed to the generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Envelope {
    pub(crate) end_user: Option<String>,
    pub(crate) priority: Priority,
    pub(crate) custom_id: Option<String>,
    pub(crate) useful_until: Option<Timestamp>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) take: u32,
    pub(crate) people: bool,
    pub(crate) consent_ref: Option<String>,
    pub(crate) output_prefix: Option<String>,
    /// `review`: the caller wants a person to look.
    pub(crate) review: bool,
}

impl Envelope {
    /// Takes our fields out of the document, so that the provider's are left.
    pub(crate) fn take_out(
        body: &mut Map<String, Value>,
        take_override: Option<u32>,
        now: Timestamp,
        origins: &[String],
        faults: &mut Vec<Fault>,
    ) -> Self {
        let mut reader = Reader::new(body, "", faults);
        let envelope = Self {
            end_user: reader.text("end_user", END_USER_CHARS_MAX),
            priority: priority(&mut reader),
            custom_id: reader.text("custom_id", CUSTOM_ID_CHARS_MAX),
            useful_until: useful_until(&mut reader, now),
            metadata: metadata(&mut reader),
            webhook: webhook(&mut reader, origins),
            take: take(&mut reader, take_override),
            people: reader.flag("people"),
            consent_ref: reader.text("consent_ref", CONSENT_REF_CHARS_MAX),
            output_prefix: output_prefix(&mut reader),
            review: reader.flag("review"),
        };
        let unread = |f: &Fault| f.pointer == "/consent_ref";
        if envelope.people && envelope.consent_ref.is_none() && !faults.iter().any(unread) {
            faults.push(Fault::new(
                "/consent_ref",
                codes::CONSENT_MISSING,
                "real people are shown and their consent is not named",
                "say in \"consent_ref\" where their consent is written down",
            ));
        }
        envelope
    }
}

/// A word is ours; a number stays in the body, where the validator judges it.
fn priority(reader: &mut Reader<'_>) -> Priority {
    const LANES: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];
    const ALLOWED: &str = "\"high\", \"normal\" or \"low\" for the order among your own jobs; \
                           an integer 0 to 9 for the provider's own priority";
    let at = reader.pointer("priority");
    let fault = match reader.take_if("priority", |value| !value.is_number()) {
        None | Some(Value::Null) => return Priority::default(),
        Some(Value::String(word)) => match LANES.into_iter().find(|lane| lane.word() == word) {
            Some(lane) => return lane,
            None => Fault::new(
                at,
                codes::VALUE_NOT_ALLOWED,
                format!("{} is not a priority", shown(&word)),
                "write one of the words, or a number without quotes",
            ),
        },
        Some(other) => wrong_type(at, &other, "a word or a number"),
    };
    reader.fault(fault.allowing(ALLOWED));
    Priority::default()
}

fn useful_until(reader: &mut Reader<'_>, now: Timestamp) -> Option<Timestamp> {
    let text = reader.text("useful_until", INSTANT_CHARS_MAX)?;
    let at = reader.pointer("useful_until");
    let allowed = "an instant in the future, such as 2026-11-23T06:00:00Z";
    let fault = match Timestamp::parse_rfc3339(&text) {
        Ok(until) if until > now => return Some(until),
        Ok(until) => Fault::new(
            at,
            codes::USEFUL_UNTIL_PAST,
            format!("{} has passed; it is {} now", until.rfc3339(), now.rfc3339()),
            "give a later instant, or leave it out if the video is wanted at any time",
        ),
        Err(_) => Fault::new(
            at,
            codes::VALUE_NOT_ALLOWED,
            format!("{} is not an RFC 3339 instant", shown(&text)),
            "write date, time and zone",
        ),
    };
    reader.fault(fault.allowing(allowed));
    None
}

fn metadata(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let at = reader.pointer("metadata");
    let Some(object) = reader.object("metadata") else { return BTreeMap::new() };
    let pairs = object.into_iter().filter(|(_, value)| !value.is_null());
    let pairs: Vec<(String, Value)> = pairs.collect();
    if pairs.len() > METADATA_PAIRS_MAX {
        let message = format!("{} pairs are given", pairs.len());
        let fault = Fault::new(&at, codes::TOO_MANY_ENTRIES, message, "keep fewer pairs")
            .allowing(format!("up to {METADATA_PAIRS_MAX} pairs of texts"));
        reader.fault(fault);
        return BTreeMap::new();
    }
    let mut kept = BTreeMap::new();
    for (key, value) in pairs {
        let at = below(&at, &key);
        if let Some(mut fault) = text_fault(&at, &key, METADATA_KEY_CHARS_MAX) {
            fault.message = format!("in the key, {}", fault.message);
            reader.fault(fault);
            continue;
        }
        match value {
            Value::String(text) => match text_fault(&at, &text, METADATA_VALUE_CHARS_MAX) {
                None => {
                    kept.insert(key, text);
                }
                Some(fault) => reader.fault(fault),
            },
            other => reader.fault(wrong_type(at, &other, "a text")),
        }
    }
    kept
}

fn webhook(reader: &mut Reader<'_>, origins: &[String]) -> Option<Webhook> {
    const KEYS: [&str; 2] = ["url", "secret_ref"];
    let at = reader.pointer("webhook");
    let mut object = reader.object("webhook")?;
    let (url, secret_ref) = reader.within(&mut object, &at, &KEYS, |inner| {
        let url = inner.text("url", WEBHOOK_URL_CHARS_MAX);
        let secret_ref = inner.text("secret_ref", SECRET_REF_CHARS_MAX);
        (url, secret_ref)
    });
    let at = below(&at, "url");
    let fault = match url {
        Some(url) => match url_fault(&at, &url, origins) {
            None => return Some(Webhook { url, secret_ref }),
            Some(fault) => fault,
        },
        None if reader.told(&at) => return None,
        None => Fault::new(
            at,
            codes::MISSING_FIELD,
            "the webhook has no address",
            "add \"url\", or leave the webhook out",
        ),
    };
    reader.fault(fault);
    None
}

fn take(reader: &mut Reader<'_>, take_override: Option<u32>) -> u32 {
    let said = reader.integer("take", 1, TAKE_MAX);
    match take_override {
        Some(take) if !(1..=TAKE_MAX).contains(&take) => {
            let at = reader.pointer("take");
            reader.fault(out_of_range(at, take, 1, TAKE_MAX));
            1
        }
        Some(take) => take,
        None => said.unwrap_or(1),
    }
}

fn output_prefix(reader: &mut Reader<'_>) -> Option<String> {
    let at = reader.pointer("output");
    let mut object = reader.object("output")?;
    let prefix = reader.within(&mut object, &at, &["prefix"], |inner| {
        // The empty prefix is a prefix: programs write it when none is wanted.
        inner.take_if("prefix", |value| value.as_str() == Some(""));
        inner.text("prefix", PREFIX_CHARS_MAX)
    })?;
    match assets::check_prefix(&prefix) {
        Ok(prefix) => Some(prefix.to_owned()),
        Err(why) => {
            let fault = Fault::new(
                below(&at, "prefix"),
                codes::NAME_INVALID,
                why.to_string(),
                "name a folder such as orders/991/",
            );
            reader.fault(fault);
            None
        }
    }
}
