//! Under which names a request is recognised: the caller's key, and what the key stands for.

use crate::envelope::Envelope;
use crate::intake::Intake;
use job::{Fingerprint, Source};
use serde::Serialize;
use sha2::{Digest, Sha256};
use store::Idempotency;

/// The key of a request, if it has one, with the hash of what was asked under it.
///
/// Two kinds of key live in one space and cannot meet: the caller's own, and the name of an imported
/// row. A batch's name holds no colon, so batch and row cannot be cut in two ways.
pub(crate) fn idempotency(
    intake: &Intake,
    envelope: &Envelope,
    fingerprint: &Fingerprint,
) -> Option<Idempotency> {
    let key = match (&intake.idempotency_key, intake.source) {
        (Some(key), _) => format!("key:{key}"),
        (None, Source::Import) => row_key(intake.batch.as_ref()?, envelope.custom_id.as_ref()?),
        (None, Source::Api | Source::Cli | Source::Adopted) => return None,
    };
    Some(Idempotency { key, body_sha256: meaning_sha256(envelope, fingerprint) })
}

/// The key of an imported row.
pub(crate) fn row_key(batch: &str, custom_id: &str) -> String {
    format!("custom:{batch}:{custom_id}")
}

/// SHA-256 (hex) of what a document means: how it was written (order of fields, defaults said or
/// left out, the line width of a data URL) does not make it another request.
fn meaning_sha256(envelope: &Envelope, fingerprint: &Fingerprint) -> String {
    #[derive(Serialize)]
    struct Meaning<'a> {
        fingerprint: &'a Fingerprint,
        envelope: &'a Envelope,
    }
    let text = serde_json::to_vec(&Meaning { fingerprint, envelope })
        .expect("plain data always serialises");
    hex::encode(Sha256::digest(&text))
}
