//! The document a job's request would be sent as.

use crate::codes;
use assets::Buckets;
use job::{Priority, Spec, Timestamp};
use seedance::{Fault, MissingMedia};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The request of a job as its caller would send it today, for export and for copies: every setting said, without a
/// `useful_until` that has passed. `inline` hands out the bytes behind a content hash.
///
/// # Errors
///
/// What was asked has been taken out, was never known, or a medium of it is gone.
pub fn document(
    spec: &Spec,
    now: Timestamp,
    inline: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<Map<String, Value>, Fault> {
    let unknown =
        |what: String| Fault::new("", codes::MISSING_FIELD, what, "write the request itself");
    if spec.erased || spec.source == job::Source::Adopted {
        return Err(unknown("nobody here knows what it was asked for".to_owned()));
    }
    let envelope = seedance::Envelope {
        callback_url: None,
        execution_expires_after_s: 0,
        safety_identifier: None,
    };
    let body = spec.request.wire_body(&envelope, inline);
    let body = body.map_err(|error: MissingMedia| unknown(error.to_string()))?;
    let body: Map<String, Value> = serde_json::from_slice(&body).expect("we send JSON");
    let mut document = Map::new();
    if let Some(custom_id) = &spec.custom_id {
        document.insert("custom_id".into(), json!(custom_id));
    }
    // The fleet adds these by itself.
    let own = ["execution_expires_after", "return_last_frame"];
    document.extend(body.into_iter().filter(|(key, _)| !own.contains(&key.as_str())));
    document.insert("model".into(), json!(spec.request.model.alias()));
    beside(spec, now, &mut document);
    Ok(document)
}

/// The same, with inline media read back from the tenant's bucket.
///
/// # Errors
///
/// In words: why it cannot be told.
pub async fn whole_document(
    buckets: &Buckets,
    spec: &Spec,
    now: Timestamp,
) -> Result<Map<String, Value>, String> {
    let mut media: HashMap<&str, Vec<u8>> = HashMap::new();
    let hashes = if spec.erased { Vec::new() } else { spec.inline_media() };
    for hash in hashes {
        let bytes = buckets.of(&spec.tenant).get_media(&spec.tenant, hash).await;
        media.insert(hash, bytes.map_err(|error| error.to_string())?.to_vec());
    }
    let inline = |hash: &str| media.get(hash).cloned();
    document(spec, now, &inline).map_err(|fault| fault.message)
}

/// The fields of ours.
fn beside(spec: &Spec, now: Timestamp, document: &mut Map<String, Value>) {
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            document.insert(key.to_owned(), value);
        }
    };
    put("end_user", spec.end_user.as_ref().map(|user| json!(user)));
    if spec.priority != Priority::Normal {
        put("priority", Some(json!(spec.priority.word())));
    }
    let until = spec.useful_until.filter(|until| *until > now);
    put("useful_until", until.map(|until| json!(until.rfc3339())));
    put("metadata", (!spec.metadata.is_empty()).then(|| json!(spec.metadata)));
    put("webhook", spec.webhook.as_ref().map(|webhook| json!(webhook)));
    put("take", (spec.take > 1).then(|| json!(spec.take)));
    put("people", spec.people.then(|| json!(true)));
    put("consent_ref", spec.consent_ref.as_ref().map(|consent| json!(consent)));
    let output = spec.output_prefix.as_ref().map(|prefix| json!({"prefix": prefix}));
    put("output", output);
}
