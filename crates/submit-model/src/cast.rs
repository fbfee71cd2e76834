//! The job everybody plays with, and its attempts.

use crate::shelf::job_id;
use crate::timing::{BIRTH, at, policy};
use job::{AttemptId, DoubtPolicy, Facts, Fingerprint, OpenAttempt, Record, Source, Spec, State};
use seedance::{Route, SlotClass};
use std::sync::Arc;

pub(crate) const MODEL_ID: &str = "dreamina-seedance-2-0-260128";
/// The mark of an attempt is this less its rank among the account's open attempts.
pub(crate) const NONCE_BASE_S: u32 = 172_800;
/// More than a world can use.
const MARKS_MAX: u32 = 8;

/// Job `number`, just accepted. All of them ask for the same.
pub(crate) fn accepted(number: usize) -> Record {
    let body = serde_json::json!({
        "model": "seedance-2.0",
        "content": [{"type": "text", "text": "a lighthouse at dusk"}],
    });
    let request = seedance::validate(Route::Byteplus, &body, &seedance::Rules::default())
        .expect("the request is valid")
        .request;
    let fingerprint = Fingerprint::of(Route::Byteplus, &request, None, 1);
    let spec = Spec {
        estimate_tokens: 108_900,
        ..Spec::plain("default", "main", Source::Api, fingerprint, request)
    };
    Record::begin(job_id(number), spec, State::Queued { tries: 0 }, BIRTH)
}

/// An attempt as the submitter draws it: `drawn` makes its id unique, `mark` is the lowest that no
/// open attempt of the account holds, which is the worst that the rule of Begin allows.
pub(crate) fn drawn(
    record: &Record,
    drawn: usize,
    asked: u8,
    intent: u8,
    mark: u32,
) -> OpenAttempt {
    let number = record.life.attempts_begun + 1;
    let begun_at = at(asked);
    OpenAttempt {
        id: AttemptId::draw(&record.id, number, ulid::Ulid(1 + drawn as u128)),
        number,
        nonce_s: NONCE_BASE_S - mark,
        begun_at,
        send_by: begun_at + policy(DoubtPolicy::Strict).submit.send_deadline,
        renderer: 1,
        body_sha256: String::new(),
        safety_identifier: None,
        intent: (intent > 0).then_some(u32::from(intent)),
        facts: Facts {
            route: Route::Byteplus,
            create_url: String::new(),
            retrieve_url: String::new(),
            model_id: MODEL_ID.to_owned(),
            account: "main".into(),
            class: SlotClass::V20,
            price_version: String::new(),
        },
    }
}

/// The lowest mark that none of these open attempts holds, nor any of the job's own before.
pub(crate) fn free_mark(record: &Record, open: &[Arc<OpenAttempt>]) -> u32 {
    let taken = |nonce_s| open.iter().any(|attempt| attempt.nonce_s == nonce_s);
    (0..MARKS_MAX)
        .find(|mark| !taken(NONCE_BASE_S - mark) && !record.life.has_marked(NONCE_BASE_S - mark))
        .unwrap_or(MARKS_MAX)
}
