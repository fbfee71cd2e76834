//! `submit`: one job from the command line.

use crate::cli::{Global, SubmitArgs};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, Row, note};
use crate::session::{Session, operator};
use crate::verbs::{import::money, jobs};
use admission::{Admitted, How, Intake, Refusal};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use job::Source;
use seedance::{AudioFormat, Fault, ImageFormat, ImageRole};
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;

/// The largest request read from a file, media inline.
const FILE_BYTES_MAX: u64 = 96 << 20;
/// The largest picture or sound taken from a file; the validator's own bounds are smaller.
const MEDIUM_BYTES_MAX: u64 = 32 << 20;
/// The model of requests that name none.
const MODEL_DEFAULT: &str = "seedance-2.0";

/// Runs the verb.
pub(crate) async fn run(global: &Global, args: Box<SubmitArgs>) -> Outcome {
    let body = body(&args)?;
    let session = Session::open_for(global, Some(&args.tenant)).await?;
    let intake = Intake {
        tenant: args.tenant.clone(),
        idempotency_key: args.idempotency_key.clone(),
        made_by: Some(operator(None).as_str().to_owned()),
        ..Intake::new(body, Source::Cli)
    };
    let admitted = session.door()?.admit(intake).await.map_err(|refusal| refused(&refusal))?;
    for warning in &admitted.warnings {
        note(&format!("warning: {} {}", warning.pointer, warning.message));
    }
    let id = admitted.id.clone();
    if !args.wait {
        output::object(&global.output, told(&admitted, session.pool.simulated))?;
        return Ok(Exit::Done);
    }
    note(&format!("{id} accepted; waiting for its end"));
    jobs::wait_for(global, &session, std::slice::from_ref(&id), args.timeout).await
}

pub(super) fn told(admitted: &Admitted, simulated: bool) -> Row {
    let existing = match admitted.how {
        How::Created => None,
        How::Deduplicated { by: store::Match::Key } => Some("by its idempotency key"),
        How::Deduplicated { by: store::Match::Fingerprint } => Some("by its fingerprint"),
    };
    let cost = money(admitted.cost.currency, admitted.cost.micros);
    let mut row = Row::new();
    row.insert("job".into(), json!(admitted.id));
    row.insert("state".into(), json!(admitted.state.map(job::StateWord::as_str)));
    row.insert("existing".into(), json!(existing));
    row.insert("tokens_estimated".into(), json!(admitted.estimate_tokens));
    row.insert("cost_estimated".into(), json!(cost));
    if simulated {
        row.insert("simulated".into(), json!(true));
    }
    row
}

/// Every fault at once, each with its cure.
pub(super) fn refused(refusal: &Refusal) -> Failure {
    match refusal {
        Refusal::Faults(faults) => {
            let n = faults.len();
            let what = format!("{n} fault{} in the request; nothing was stored", plural(n));
            faults.iter().fold(Failure::new(Exit::Findings, what), |failure, fault| {
                let at = if fault.pointer.is_empty() { "/" } else { &fault.pointer };
                let allowed =
                    fault.allowed.as_ref().map_or(String::new(), |a| format!(" Allowed: {a}."));
                let Fault { message, code, fix, .. } = fault;
                let line = format!("{at}: {message} [{code}].{allowed} {fix}");
                failure.because(output::plain(&line))
            })
        }
        Refusal::KeyReused { id } => Failure::new(Exit::Conflict, refusal.to_string())
            .hint(format!("use another key, or look at it: seedfleet jobs show {id}")),
        Refusal::NoPrice(_) => Failure::new(Exit::Findings, refusal.to_string()),
        Refusal::BacklogFull { .. }
        | Refusal::BudgetExhausted { .. }
        | Refusal::MediaExhausted { .. } => Failure::new(Exit::Guard, refusal.to_string())
            .hint("it is a cap of the tenant: sections `caps` and `tenants` of the configuration"),
        Refusal::Paused { .. } | Refusal::Unavailable { .. } => {
            Failure::new(Exit::Outage, refusal.to_string())
                .hint("repeat the command; should it have been taken in, the same job answers")
        }
    }
}

const fn plural(n: usize) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// The document: a file's, with the command line's words over it.
pub(crate) fn body(args: &SubmitArgs) -> Result<Value, Failure> {
    let mut body = match &args.file {
        Some(path) => read_file(path)?,
        None => Map::from_iter([("model".to_owned(), json!(MODEL_DEFAULT))]),
    };
    let mut content = Vec::new();
    if let Some(prompt) = &args.prompt {
        content.push(json!({"type": "text", "text": prompt}));
    }
    for image in &args.image {
        content.push(picture(image)?);
    }
    for url in &args.video {
        content.push(item("video_url", url, Some("reference_video")));
    }
    for audio in &args.audio {
        content.push(item("audio_url", &sound(audio)?, Some("reference_audio")));
    }
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    put("content", (!content.is_empty()).then(|| Value::Array(content)));
    put("model", args.model.as_ref().map(|model| json!(model)));
    put("resolution", args.resolution.as_ref().map(|resolution| json!(resolution)));
    put("ratio", args.ratio.as_ref().map(|ratio| json!(ratio)));
    put("duration", args.duration.map(|duration| json!(duration)));
    put("custom_id", args.custom_id.as_ref().map(|id| json!(id)));
    put("take", args.take.map(|take| json!(take)));
    Ok(Value::Object(body))
}

fn read_file(path: &Path) -> Result<Map<String, Value>, Failure> {
    let shown = path.display();
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        bytes
    } else {
        read_bounded(path, FILE_BYTES_MAX)?
    };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(Failure::new(Exit::Findings, format!("{shown} holds no JSON object"))),
        Err(error) => {
            Err(Failure::new(Exit::Findings, format!("{shown} is not JSON")).because(error))
        }
    }
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(Exit::NotFound, format!("cannot read {}", path.display())).because(error)
    };
    let length = std::fs::metadata(path).map_err(cannot)?.len();
    if length > bytes_max {
        let what = format!("{} has {length} bytes, more than {bytes_max}", path.display());
        return Err(Failure::new(Exit::Findings, what).hint("pass it by URL"));
    }
    std::fs::read(path).map_err(cannot)
}

/// `URL[:ROLE]`, where the URL may also be a file here.
fn picture(words: &str) -> Result<Value, Failure> {
    let (place, role) = match words.rsplit_once(':') {
        Some((place, role)) if ImageRole::from_word(role).is_some() => (place, Some(role)),
        _ => (words, None),
    };
    let url = medium(place, "image", |bytes| ImageFormat::sniff(bytes).map(ImageFormat::word))?;
    Ok(item("image_url", &url, role))
}

fn sound(place: &str) -> Result<String, Failure> {
    medium(place, "audio", |bytes| AudioFormat::sniff(bytes).map(AudioFormat::word))
}

/// An address as it is, or a file as a data URL.
fn medium(
    place: &str,
    kind: &str,
    format: impl Fn(&[u8]) -> Option<&'static str>,
) -> Result<String, Failure> {
    if place.contains("://") || place.starts_with("data:") {
        return Ok(place.to_owned());
    }
    let bytes = read_bounded(Path::new(place), MEDIUM_BYTES_MAX)?;
    let Some(format) = format(&bytes) else {
        let what = format!("{place} is no {kind} of a format the provider takes");
        return Err(Failure::new(Exit::Findings, what));
    };
    Ok(format!("data:{kind}/{format};base64,{}", STANDARD.encode(bytes)))
}

fn item(kind: &str, url: &str, role: Option<&str>) -> Value {
    let mut item = json!({"type": kind, kind: {"url": url}});
    if let Some(role) = role {
        item["role"] = json!(role);
    }
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_stands_behind_the_last_colon() {
        let url = "https://a.example:8443/b.png";
        let plain = picture(url).unwrap();
        assert_eq!((plain["image_url"]["url"].as_str(), plain["role"].as_str()), (Some(url), None));
        let named = picture(&format!("{url}:last_frame")).unwrap();
        assert_eq!(named["role"], "last_frame");
        assert_eq!(named["image_url"]["url"], url);
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let missing = picture("no-such.png:first_frame").unwrap_err();
        assert_eq!(missing.exit, Exit::NotFound);
        assert!(missing.to_string().contains("no-such.png"), "{missing}");
    }
}
