//! What the service refuses at create, and how it says so (`docs/provider.md` §2.1–§2.6).
//!
//! The service names one fault per answer. Here the order is fixed (plain fields, then content),
//! so a run can be repeated; a client must not lean on it. Unknown fields pass unseen, null counts
//! as absent.

mod content;

use serde_json::{Map, Value};

use crate::doubts::{Doubts, EXPIRES_AFTER_DEFAULT_S, Seed, ServiceTier};
use crate::models::{self, Model};
use crate::refusal::Refusal;

use self::content::Content;

/// A create request the service would take, reduced to what its task needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    pub(crate) resolution: &'static str,
    pub(crate) ratio: &'static str,
    /// Output seconds; none where the model chooses.
    pub(crate) duration_s: Option<u32>,
    pub(crate) with_video: bool,
    pub(crate) with_last_frame: bool,
    pub(crate) generate_audio: bool,
    pub(crate) expires_after_s: i64,
    pub(crate) priority: u8,
    pub(crate) seed: Option<u64>,
    pub(crate) safety_identifier: Option<String>,
    pub(crate) tools: Option<Value>,
    pub(crate) callback_url: Option<String>,
}

/// Checks a request body for `model`, or gives the service's one complaint.
pub(crate) fn validate(
    body: &Map<String, Value>,
    model: &Model,
    model_name: &str,
    doubts: &Doubts,
) -> Result<Wanted, Refusal> {
    let fields = Fields { body };
    let items = match fields.get("content") {
        None => return Err(Refusal::missing("content")),
        Some(Value::Array(items)) if !items.is_empty() => items,
        Some(Value::Array(_)) => {
            return Err(Refusal::parameter("content", "`content` must not be empty"));
        }
        Some(_) => return Err(Refusal::parameter("content", "`content` must be an array")),
    };
    refuse_foreign_fields(&fields, model_name, doubts)?;
    let resolution = resolution(&fields, model, model_name)?;
    let ratio = ratio(&fields)?;
    let duration_s = duration(&fields, model_name)?;
    let expires_after_s =
        fields.integer("execution_expires_after")?.unwrap_or(EXPIRES_AFTER_DEFAULT_S);
    if !(1..=259_200).contains(&expires_after_s) {
        let detail = format!("expected a value up to 259200, got {expires_after_s}");
        return Err(Refusal::parameter("execution_expires_after", &detail));
    }
    let priority = fields.integer("priority")?.unwrap_or(0);
    if !(0..=9).contains(&priority) {
        return Err(Refusal::parameter("priority", "expected a value from 0 to 9"));
    }
    let seed = fields.integer("seed")?.filter(|seed| *seed != -1);
    if seed.is_some_and(|seed| !(0..=i64::from(u32::MAX)).contains(&seed)) {
        return Err(Refusal::parameter("seed", "the seed is out of range"));
    }
    let safety_identifier = fields.text("safety_identifier")?;
    if safety_identifier.is_some_and(|text| text.chars().count() > 64) {
        return Err(Refusal::parameter("safety_identifier", "at most 64 characters expected"));
    }
    fields.boolean("watermark")?;
    let with_last_frame = fields.boolean("return_last_frame")?.unwrap_or(false);
    let generate_audio = fields.boolean("generate_audio")?.unwrap_or(true);
    let callback_url = fields.text("callback_url")?.map(str::to_owned);
    let content = Content::read(items, doubts)?;
    let tools = tools(&fields, &content)?;
    Ok(Wanted {
        resolution,
        ratio: ratio.or(content.shape).unwrap_or("16:9"),
        duration_s,
        with_video: content.videos > 0,
        with_last_frame,
        generate_audio,
        expires_after_s,
        priority: u8::try_from(priority).unwrap_or(9),
        seed: seed.and_then(|seed| u64::try_from(seed).ok()),
        safety_identifier: safety_identifier.map(str::to_owned),
        tools,
        callback_url,
    })
}

/// Fields of other models, which the 2.0 family wants left out even at their default value.
fn refuse_foreign_fields(
    fields: &Fields<'_>,
    model_name: &str,
    doubts: &Doubts,
) -> Result<(), Refusal> {
    if fields.has_text("service_tier", "flex") {
        let code = "InvalidParameter.UnsupportedParameter";
        let detail = format!("flex is not supported for model {model_name}");
        return Err(Refusal::parameter_with(code, "service_tier", &detail));
    }
    let foreign = [
        "service_tier",
        "draft",
        "frames",
        "camera_fixed",
        "output_format",
        "omni_reference_task_type",
        "seed",
    ];
    let is_let_pass = |name: &str| match name {
        "seed" => doubts.seed == Seed::Accepted,
        "service_tier" => {
            doubts.service_tier == ServiceTier::Accepted && fields.has_text(name, "default")
        }
        _ => false,
    };
    let given = |name: &&str| fields.get(name).is_some() && !is_let_pass(name);
    match foreign.into_iter().find(given) {
        None => Ok(()),
        Some(name) => {
            let detail = format!("`{name}` is not supported for {model_name}, must be empty");
            Err(Refusal::parameter(name, &detail))
        }
    }
}

fn resolution(
    fields: &Fields<'_>,
    model: &Model,
    model_name: &str,
) -> Result<&'static str, Refusal> {
    let Some(given) = fields.text("resolution")? else {
        return Ok("720p");
    };
    let lower = given.to_ascii_lowercase();
    let found = model.resolutions.iter().copied().find(|known| *known == lower);
    found.ok_or_else(|| {
        let detail = format!("resolution {given} is not supported for model {model_name}");
        Refusal::parameter("resolution", &detail)
    })
}

/// None where the model chooses.
fn ratio(fields: &Fields<'_>) -> Result<Option<&'static str>, Refusal> {
    let Some(given) = fields.text("ratio")? else {
        return Ok(None);
    };
    if given == "adaptive" {
        return Ok(None);
    }
    let found = models::RATIOS.into_iter().find(|known| *known == given);
    found
        .map(Some)
        .ok_or_else(|| Refusal::parameter("ratio", &format!("ratio {given} is not supported")))
}

fn duration(fields: &Fields<'_>, model_name: &str) -> Result<Option<u32>, Refusal> {
    match fields.integer("duration")?.unwrap_or(5) {
        -1 => Ok(None),
        seconds @ 4..=15 => Ok(u32::try_from(seconds).ok()),
        other => {
            let detail = format!("duration {other} is not supported for model {model_name}");
            Err(Refusal::parameter("duration", &detail))
        }
    }
}

fn tools(fields: &Fields<'_>, content: &Content) -> Result<Option<Value>, Refusal> {
    let tools = match fields.get("tools") {
        None => return Ok(None),
        Some(Value::Array(tools)) if tools.is_empty() => return Ok(None),
        Some(Value::Array(tools)) => tools,
        Some(_) => return Err(Refusal::parameter("tools", "`tools` must be an array")),
    };
    let known = |tool: &Value| tool.get("type").and_then(Value::as_str) == Some("web_search");
    if !tools.iter().all(known) {
        return Err(Refusal::parameter("tools", "only web_search is supported"));
    }
    if content.has_media() {
        return Err(Refusal::parameter("tools", "web_search needs text as the only input"));
    }
    Ok(Some(Value::Array(tools.clone())))
}

/// Typed reading of the body's fields.
struct Fields<'a> {
    body: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.body.get(name).filter(|value| !value.is_null())
    }

    fn has_text(&self, name: &str, text: &str) -> bool {
        self.get(name).and_then(Value::as_str) == Some(text)
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let wrong = || Refusal::parameter(name, "expected an integer");
        self.get(name).map(|value| value.as_i64().ok_or_else(wrong)).transpose()
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        let wrong = || Refusal::parameter(name, "expected a boolean");
        self.get(name).map(|value| value.as_bool().ok_or_else(wrong)).transpose()
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let wrong = || Refusal::parameter(name, "expected a string");
        self.get(name).map(|value| value.as_str().ok_or_else(wrong)).transpose()
    }
}
