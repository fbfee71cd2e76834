//! The scalar fields of the body: which there are, whose they are, and what they may hold (§2.1).

use serde_json::{Map, Value};

use super::Rules;
use super::codes;
use super::fault::{Fault, Findings, below, shown};
use super::nearest::nearest;
use crate::{Capabilities, DurationChoice, ModelKey, Ratio, Resolution};

/// Keys a caller may set.
const FIELDS: [&str; 11] = [
    "model",
    "content",
    "resolution",
    "ratio",
    "duration",
    "generate_audio",
    "watermark",
    "seed",
    "priority",
    "tools",
    "return_last_frame",
];

/// Keys the fleet sets itself, with what a caller does instead (architecture §4).
const OWNED: [(&str, &str); 4] = [
    ("callback_url", "give the address for your own notice in \"webhook\""),
    ("execution_expires_after", "say until when the video is wanted in \"useful_until\""),
    ("service_tier", "leave it out; these models have one tier"),
    ("safety_identifier", "name your user in \"end_user\"; it is hashed before it leaves"),
];

/// Keys that belong to other models, with the way out (§2.1).
const OTHER_MODELS: [(&str, &str); 11] = [
    ("frames", "give whole seconds in \"duration\""),
    ("camera_fixed", "leave it out and describe the camera in the prompt"),
    ("draft", "leave it out; for a cheap look use resolution 480p"),
    ("output_format", "leave it out; the video is an mp4"),
    ("omni_reference_task_type", "leave it out; the content array decides the mode"),
    ("subdivision_level", "leave it out"),
    ("file_format", "leave it out"),
    ("optimize_prompt", "leave it out"),
    ("reasoning_effort", "leave it out"),
    ("human_face_mode", "leave it out"),
    ("framespersecond", "leave it out; the video has 24 frames per second"),
];

/// The value under `key`, where `null` counts as absent.
pub(super) fn present<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// Refuses every key that is not the caller's to set. `beside`: keys of the document this body was
/// taken from.
pub(super) fn check_keys(body: &Map<String, Value>, beside: &[&str], findings: &mut Findings) {
    let known: Vec<&str> = FIELDS.iter().chain(beside).copied().collect();
    for (key, value) in body {
        if value.is_null() || FIELDS.contains(&key.as_str()) {
            continue;
        }
        let at = below("", key);
        if let Some((_, fix)) = OWNED.iter().find(|(owned, _)| owned == key) {
            let message = format!("{key:?} is set by the fleet");
            findings.fault(Fault::new(at, codes::FIELD_OWNED, message, *fix));
        } else if let Some((_, fix)) = OTHER_MODELS.iter().find(|(other, _)| other == key) {
            let message = format!("{key:?} is not a setting of this model");
            findings.fault(Fault::new(at, codes::FIELD_NOT_SUPPORTED, message, *fix));
        } else {
            findings.fault(unknown_key(&at, key, &known));
        }
    }
}

/// The fault for a key nobody knows, at the JSON pointer `at`, with the nearest one that is known.
pub fn unknown_key(at: &str, key: &str, known: &[&str]) -> Fault {
    let fix = match nearest(key, known.iter().copied()) {
        Some(close) => format!("did you mean {close:?}?"),
        None => "take it out".to_owned(),
    };
    Fault::new(at, codes::UNKNOWN_FIELD, format!("{} is not a known key", shown(key)), fix)
        .allowing(known.join(", "))
}

/// The settings with defaults filled in. Meaningless where a fault was found, and never used then.
pub(super) struct Settings {
    pub(super) resolution: Resolution,
    pub(super) ratio: Ratio,
    pub(super) duration: DurationChoice,
    pub(super) generate_audio: bool,
    pub(super) watermark: bool,
    pub(super) seed: Option<u32>,
    pub(super) priority: u8,
    pub(super) web_search: bool,
}

pub(super) fn read(
    body: &Map<String, Value>,
    model: Option<ModelKey>,
    rules: &Rules,
    findings: &mut Findings,
) -> Settings {
    // Without a model the widest table still finds what is wrong on every model.
    let can = model.unwrap_or(ModelKey::V20).capabilities();
    let settings = Settings {
        resolution: resolution(body, model, can, findings),
        ratio: ratio(body, can, findings),
        duration: duration(body, can, findings),
        generate_audio: flag(body, "generate_audio", true, findings),
        watermark: flag(body, "watermark", false, findings),
        seed: seed(body, rules, findings),
        priority: integer(body, "priority", 0, 9, findings)
            .map_or(0, |value| u8::try_from(value).expect("checked to lie in 0..=9")),
        web_search: web_search(body, rules, findings),
    };
    if !flag(body, "return_last_frame", true, findings) {
        findings.fault(
            Fault::new(
                "/return_last_frame",
                codes::FIELD_OWNED,
                "the fleet always asks for the last frame",
                "leave it out",
            )
            .allowing("true"),
        );
    }
    settings
}

fn resolution(
    body: &Map<String, Value>,
    model: Option<ModelKey>,
    can: &Capabilities,
    findings: &mut Findings,
) -> Resolution {
    let words = |list: &[Resolution]| list.iter().map(|r| r.word()).collect::<Vec<_>>().join(", ");
    let Some(word) = string(body, "resolution", findings) else {
        return can.resolution_default;
    };
    let Some(found) = Resolution::from_word(word) else {
        findings.fault(not_allowed("/resolution", word, &words(can.resolutions)));
        return can.resolution_default;
    };
    if !can.resolutions.contains(&found) {
        let who = model.map_or("this model", ModelKey::alias);
        findings.fault(
            Fault::new(
                "/resolution",
                codes::RESOLUTION,
                format!("{who} does not make {found}"),
                format!("choose a smaller resolution or model {:?}", ModelKey::V20.alias()),
            )
            .allowing(words(can.resolutions)),
        );
    }
    found
}

fn ratio(body: &Map<String, Value>, can: &Capabilities, findings: &mut Findings) -> Ratio {
    let Some(word) = string(body, "ratio", findings) else { return can.ratio_default };
    Ratio::from_word(word).unwrap_or_else(|| {
        let words: Vec<&str> = Ratio::ALL.into_iter().map(Ratio::word).collect();
        findings.fault(not_allowed("/ratio", word, &words.join(", ")));
        can.ratio_default
    })
}

fn duration(
    body: &Map<String, Value>,
    can: &Capabilities,
    findings: &mut Findings,
) -> DurationChoice {
    const AT: &str = "/duration";
    let allowed =
        format!("whole seconds from {} to {}, or -1", can.duration_min_s, can.duration_max_s);
    let Some(value) = present(body, "duration") else { return can.duration_default };
    let Some(seconds) = value.as_i64() else {
        findings.fault(not_an_integer(AT, value).allowing(allowed));
        return can.duration_default;
    };
    let in_range = |s: &i64| (can.duration_min_s.into()..=can.duration_max_s.into()).contains(s);
    match DurationChoice::try_from(seconds) {
        Ok(choice) if seconds == -1 || in_range(&seconds) => choice,
        Ok(_) | Err(_) => {
            findings.fault(
                Fault::new(
                    AT,
                    codes::DURATION,
                    format!("the model does not make videos of {seconds} s"),
                    "choose a length in range, or -1 to let the model choose",
                )
                .allowing(allowed),
            );
            can.duration_default
        }
    }
}

fn seed(body: &Map<String, Value>, rules: &Rules, findings: &mut Findings) -> Option<u32> {
    present(body, "seed")?;
    if !rules.allow_seed {
        findings.fault(Fault::new(
            "/seed",
            codes::SEED,
            "it is not certain that this model takes a seed",
            "leave it out (the answer names the seed used), or have the operator set allow_seed",
        ));
        return None;
    }
    // -1 asks for a random seed, which is what leaving it out does.
    let seed = integer(body, "seed", -1, i64::from(i32::MAX), findings)?;
    u32::try_from(seed).ok()
}

fn web_search(body: &Map<String, Value>, rules: &Rules, findings: &mut Findings) -> bool {
    const AT: &str = "/tools";
    const ALLOWED: &str = "[{\"type\": \"web_search\"}]";
    let Some(value) = present(body, "tools") else { return false };
    let Some(tools) = value.as_array() else {
        findings.fault(
            Fault::new(AT, codes::WRONG_TYPE, "tools is not a list", "write a list of one tool")
                .allowing(ALLOWED),
        );
        return false;
    };
    let is_search = |tool: &Value| {
        tool.as_object().is_some_and(|tool| {
            present(tool, "type").and_then(Value::as_str) == Some("web_search")
                && tool.iter().all(|(key, value)| key == "type" || value.is_null())
        })
    };
    match tools.as_slice() {
        [] => false,
        [tool] if is_search(tool) => {
            if !rules.allow_web_search {
                findings.fault(Fault::new(
                    AT,
                    codes::WEB_SEARCH_OFF,
                    "web search is not switched on for this route",
                    "leave tools out, or have the operator set allow_web_search",
                ));
            }
            true
        }
        _ => {
            findings.fault(
                Fault::new(
                    AT,
                    codes::VALUE_NOT_ALLOWED,
                    "the only tool there is, is one web search",
                    "write it exactly so, or leave tools out",
                )
                .allowing(ALLOWED),
            );
            false
        }
    }
}

fn flag(body: &Map<String, Value>, key: &str, default: bool, findings: &mut Findings) -> bool {
    let Some(value) = present(body, key) else { return default };
    value.as_bool().unwrap_or_else(|| {
        findings.fault(
            Fault::new(
                below("", key),
                codes::WRONG_TYPE,
                format!("{key} is {}, not a boolean", kind(value)),
                "write true or false without quotes",
            )
            .allowing("true, false"),
        );
        default
    })
}

fn integer(
    body: &Map<String, Value>,
    key: &str,
    min: i64,
    max: i64,
    findings: &mut Findings,
) -> Option<i64> {
    let value = present(body, key)?;
    let at = below("", key);
    let allowed = format!("a whole number from {min} to {max}");
    match value.as_i64() {
        Some(number) if (min..=max).contains(&number) => Some(number),
        None if !value.is_u64() => {
            findings.fault(not_an_integer(&at, value).allowing(allowed));
            None
        }
        Some(_) | None => {
            let message = format!("{key} is out of range");
            findings.fault(
                Fault::new(at, codes::OUT_OF_RANGE, message, "choose a number in range")
                    .allowing(allowed),
            );
            None
        }
    }
}

fn string<'a>(body: &'a Map<String, Value>, key: &str, findings: &mut Findings) -> Option<&'a str> {
    let value = present(body, key)?;
    let text = value.as_str();
    if text.is_none() {
        findings.fault(Fault::new(
            below("", key),
            codes::WRONG_TYPE,
            format!("{key} is {}, not a string", kind(value)),
            "write it in quotes",
        ));
    }
    text
}

fn not_allowed(at: &str, word: &str, allowed: &str) -> Fault {
    let fix = match nearest(word, allowed.split(", ")) {
        Some(close) => format!("did you mean {close:?}?"),
        None => "choose one of the allowed values".to_owned(),
    };
    Fault::new(at, codes::VALUE_NOT_ALLOWED, format!("{} is not allowed here", shown(word)), fix)
        .allowing(allowed)
}

fn not_an_integer(at: &str, value: &Value) -> Fault {
    let fix = match value {
        Value::String(text) if text.trim().parse::<i64>().is_ok() => "take the quotes away",
        Value::Number(_) => "write it without a decimal point or exponent",
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            "write a whole number"
        }
    };
    Fault::new(at, codes::NOT_AN_INTEGER, format!("found {}, not an integer", kind(value)), fix)
}

/// What a JSON value is, in words.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
