//! The strict gate in front of a paid call (§12.1, M2, M5, M15–M20, M25).
//!
//! Stricter than the provider on purpose: what it would correct in silence, misread, or refuse one
//! fault at a time is refused here, all faults at once. `null` means absent wherever it stands,
//! because the provider's own clients write it for every option that is not set (§2.1).

mod codes;
mod content_rules;
mod fault;
mod fields;
mod media;
mod model_name;
mod nearest;
mod prompt;
mod reference;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use codes::{FAULT_CODES, WARNING_CODES};
pub use fault::{Fault, Warning};
pub use fields::unknown_key;
pub use nearest::nearest;
pub use reference::{FileFacts, FileFormat, MediaKind, Reached, reference_doubt, reference_faults};

use crate::{InlineMedia, Request, Route, wire_body};
use fault::Findings;

/// The largest create body the provider takes. Its "64 MB" is read as the smaller of the two
/// possible figures, so that neither reading can refuse what we send.
const BODY_BYTES_MAX: u64 = 64_000_000;

/// Room for what the fleet adds when it sends: callback address, expiry, end user.
const ENVELOPE_BYTES_MAX: u64 = 4_096;

/// What differs between deployments where the sources contradict each other (§2.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// Whether a seed is passed on; sources disagree whether 2.0 takes one.
    pub allow_seed: bool,
    /// Whether the web search tool is passed on; documented for one route only.
    pub allow_web_search: bool,
    /// More references than this are accepted with a warning, since older docs stop there.
    pub references_warn_above: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { allow_seed: false, allow_web_search: false, references_warn_above: 12 }
    }
}

/// A request that may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The normal form.
    pub request: Request,
    /// The bytes behind each [`MediaSource::Inline`](crate::MediaSource), each content once.
    pub media: Vec<InlineMedia>,
    /// Legal, but worth telling.
    pub warnings: Vec<Warning>,
}

/// Checks a create body for `route` and brings it into normal form.
///
/// `value` is the provider's create body as the caller would write it; fields that belong to a job
/// and not to the generation must have been taken out before.
///
/// # Errors
///
/// Every fault there is, in the order of the checks: keys, model, settings, content, size. Nothing
/// of a refused request may be stored or sent.
pub fn validate(route: Route, value: &Value, rules: &Rules) -> Result<Checked, Vec<Fault>> {
    validate_beside(route, value, rules, &[])
}

/// The same for a body out of a larger document: `beside` names the keys that stand next to the
/// provider's there. Each is offered where an unknown key looks like a slip of it.
///
/// # Errors
///
/// As [`validate`].
pub fn validate_beside(
    route: Route,
    value: &Value,
    rules: &Rules,
    beside: &[&str],
) -> Result<Checked, Vec<Fault>> {
    let mut findings = Findings::default();
    let Some(body) = value.as_object() else {
        findings.fault(Fault::new(
            "",
            codes::BODY_NOT_OBJECT,
            "the request is not a JSON object",
            "send one object with at least \"model\" and \"content\"",
        ));
        return Err(findings.into_faults());
    };

    fields::check_keys(body, beside, &mut findings);
    let model = model_name::read(route, body, &mut findings);
    let settings = fields::read(body, model, rules, &mut findings);
    let content = content_rules::read(body, model, rules, &mut findings);
    if let (Some(content), true) = (&content, settings.web_search) {
        content_rules::check_web_search(content, &mut findings);
    }

    let (Some(model), Some(content), true) = (model, content, findings.faults.is_empty()) else {
        return Err(findings.into_faults());
    };
    let request = Request {
        model,
        model_id: model.wire_id(route).to_owned(),
        content: content.items,
        resolution: settings.resolution,
        ratio: settings.ratio,
        duration_s: settings.duration,
        generate_audio: settings.generate_audio,
        watermark: settings.watermark,
        seed: settings.seed,
        priority: settings.priority,
        web_search: settings.web_search,
    };
    let body_bytes = wire_body::length_bytes(&request) + ENVELOPE_BYTES_MAX;
    if body_bytes > BODY_BYTES_MAX {
        findings.fault(
            Fault::new(
                "",
                codes::BODY_TOO_LARGE,
                format!("the request would be {body_bytes} bytes on the wire"),
                "pass large media by URL or asset id instead of inline",
            )
            .allowing(format!("up to {BODY_BYTES_MAX} bytes with all media encoded")),
        );
        return Err(findings.into_faults());
    }
    Ok(Checked { request, media: content.media, warnings: findings.warnings })
}
