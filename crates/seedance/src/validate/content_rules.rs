//! The `content` array: its items, and the modes that exclude each other (§2.4, M15–M20).

use serde_json::{Map, Value};

use super::fault::{Fault, Findings, below, shown};
use super::fields::{kind, present, unknown_key};
use super::media::Intake;
use super::nearest::nearest;
use super::{Rules, codes, prompt};
use crate::{Capabilities, ContentItem, ImageRole, InlineMedia, MediaSource, ModelKey};

const AT: &str = "/content";

/// Items looked at in one request: far above the largest legal one, and a bound on our own work.
const ITEMS_MAX: usize = 64;

/// The kinds of item by their wire word; the payload object carries the same name.
const TYPES: [&str; 4] = ["text", "image_url", "video_url", "audio_url"];

/// The content in normal form with the bytes that came along.
pub(super) struct Content {
    pub(super) items: Vec<ContentItem>,
    pub(super) media: Vec<InlineMedia>,
}

/// An item as far as it could be read. A part that is `None` has its fault already, but the item
/// still counts for the rules about the whole.
struct Seen {
    at: String,
    what: What,
}

enum What {
    Text(Option<String>),
    Image { source: Option<MediaSource>, role: Role },
    Video(Option<MediaSource>),
    Audio(Option<MediaSource>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Given(ImageRole),
    LeftOut,
    Bad,
}

/// Reads the array; `None` if anything in it is wrong.
pub(super) fn read(
    body: &Map<String, Value>,
    model: Option<ModelKey>,
    rules: &Rules,
    findings: &mut Findings,
) -> Option<Content> {
    let faults_before = findings.faults.len();
    let list = list(body, findings)?;
    let mut intake = Intake::default();
    let seen: Vec<Option<Seen>> = list
        .iter()
        .take(ITEMS_MAX)
        .enumerate()
        .map(|(index, value)| item(&below(AT, &index.to_string()), value, &mut intake, findings))
        .collect();
    // An item of no known kind could be anything, so rules about the whole would only guess.
    if let Some(mut seen) = seen.into_iter().collect::<Option<Vec<Seen>>>() {
        let can = model.unwrap_or(ModelKey::V20).capabilities();
        check_texts(&seen, findings);
        check_modes(&mut seen, findings);
        check_counts(&seen, can, rules, findings);
        intake.check_total_length(AT, findings);
        if findings.faults.len() == faults_before {
            let items = seen.into_iter().filter_map(normal).collect();
            return Some(Content { items, media: intake.into_media() });
        }
    }
    None
}

/// Web search goes with a prompt alone (§2.1).
pub(super) fn check_web_search(content: &Content, findings: &mut Findings) {
    if content.items.iter().any(|item| item.source().is_some()) {
        findings.fault(Fault::new(
            "/tools",
            codes::WEB_SEARCH_WITH_MEDIA,
            "web search works on text-only requests",
            "leave tools out, or take the media out",
        ));
    }
}

fn list<'a>(body: &'a Map<String, Value>, findings: &mut Findings) -> Option<&'a [Value]> {
    let fault = match present(body, "content") {
        None => Fault::new(
            AT,
            codes::MISSING_FIELD,
            "there is no content",
            "add \"content\" with at least a text item",
        ),
        Some(Value::Array(list)) if list.is_empty() => Fault::new(
            AT,
            codes::CONTENT_EMPTY,
            "the content list is empty",
            "add a text item, or media",
        ),
        Some(Value::Array(list)) if list.len() > ITEMS_MAX => Fault::new(
            AT,
            codes::CONTENT_TOO_LONG,
            format!("content has {} items", list.len()),
            "remove items; a request takes one text and up to 15 references",
        ),
        Some(Value::Array(list)) => return Some(list),
        Some(other) => Fault::new(
            AT,
            codes::WRONG_TYPE,
            format!("content is {}, not a list", kind(other)),
            "write a list of items, each with a \"type\"",
        ),
    };
    findings.fault(fault);
    None
}

fn item(at: &str, value: &Value, intake: &mut Intake, findings: &mut Findings) -> Option<Seen> {
    let Some(object) = value.as_object() else {
        findings.fault(Fault::new(
            at,
            codes::WRONG_TYPE,
            format!("the item is {}, not an object", kind(value)),
            "write an object with a \"type\"",
        ));
        return None;
    };
    let kind = item_type(at, object, findings)?;
    let known: &[&str] = if kind == "text" { &["type", "text"] } else { &["type", kind, "role"] };
    for (key, value) in object {
        if !value.is_null() && !known.contains(&key.as_str()) {
            findings.fault(unknown_key(&below(at, key), key, known));
        }
    }
    let what = match kind {
        "text" => What::Text(text(at, object, findings)),
        "image_url" => {
            let role = image_role(at, object, findings);
            What::Image { source: intake.image(at, object, findings), role }
        }
        "video_url" => {
            only_role(at, object, "reference_video", findings);
            What::Video(intake.video(at, object, findings))
        }
        _ => {
            only_role(at, object, "reference_audio", findings);
            What::Audio(intake.audio(at, object, findings))
        }
    };
    Some(Seen { at: at.to_owned(), what })
}

fn item_type(
    at: &str,
    object: &Map<String, Value>,
    findings: &mut Findings,
) -> Option<&'static str> {
    let at = below(at, "type");
    let (code, message, fix) = match present(object, "type") {
        None => (codes::MISSING_FIELD, "the item has no type".to_owned(), "add a type".to_owned()),
        Some(Value::String(word)) => {
            if let Some(known) = TYPES.into_iter().find(|known| known == word) {
                return Some(known);
            }
            let fix = match nearest(word, TYPES) {
                _ if word == "draft_task" => "leave it out; this model has no drafts".to_owned(),
                Some(close) => format!("did you mean {close:?}?"),
                None => "use one of the known types".to_owned(),
            };
            (codes::CONTENT_TYPE, format!("{} is not a type of content", shown(word)), fix)
        }
        Some(other) => {
            let message = format!("type is {}, not a string", kind(other));
            (codes::WRONG_TYPE, message, "write it in quotes".to_owned())
        }
    };
    findings.fault(Fault::new(at, code, message, fix).allowing(TYPES.join(", ")));
    None
}

fn text(at: &str, object: &Map<String, Value>, findings: &mut Findings) -> Option<String> {
    let at = below(at, "text");
    match present(object, "text") {
        Some(Value::String(text)) => {
            prompt::check(text, &at, findings);
            return Some(text.clone());
        }
        None => findings.fault(Fault::new(
            at,
            codes::MISSING_FIELD,
            "the text item has no text",
            "write the prompt in \"text\"",
        )),
        Some(other) => findings.fault(Fault::new(
            at,
            codes::WRONG_TYPE,
            format!("text is {}, not a string", kind(other)),
            "write the prompt as a string",
        )),
    }
    None
}

fn image_role(at: &str, object: &Map<String, Value>, findings: &mut Findings) -> Role {
    let words = ImageRole::ALL.map(ImageRole::word);
    match present(object, "role") {
        None => Role::LeftOut,
        Some(value) => {
            if let Some(role) = value.as_str().and_then(ImageRole::from_word) {
                return Role::Given(role);
            }
            role_fault(at, value, &words, findings);
            Role::Bad
        }
    }
}

/// Videos and sounds have one role each; it may be left out because nothing else can be meant.
fn only_role(at: &str, object: &Map<String, Value>, role: &str, findings: &mut Findings) {
    if let Some(value) = present(object, "role")
        && value.as_str() != Some(role)
    {
        role_fault(at, value, &[role], findings);
    }
}

fn role_fault(at: &str, value: &Value, words: &[&str], findings: &mut Findings) {
    let (message, close) = match value.as_str() {
        Some(word) => {
            (format!("{} is no role for this item", shown(word)), nearest(word, words.to_vec()))
        }
        None => (format!("role is {}, not a string", kind(value)), None),
    };
    let fix = close.map_or_else(
        || "choose one of the allowed roles".to_owned(),
        |close| format!("did you mean {close:?}?"),
    );
    findings.fault(
        Fault::new(below(at, "role"), codes::ROLE_UNKNOWN, message, fix).allowing(words.join(", ")),
    );
}

fn check_texts(seen: &[Seen], findings: &mut Findings) {
    let texts: Vec<&Seen> = seen.iter().filter(|s| matches!(s.what, What::Text(_))).collect();
    for extra in texts.iter().skip(1) {
        findings.fault(
            Fault::new(
                &extra.at,
                codes::PROMPT_REPEATED,
                "there is more than one text item",
                "join the texts into one",
            )
            .allowing("at most one text item"),
        );
    }
}

/// Frames or references, never both; and every role said where it could mean two things.
fn check_modes(seen: &mut [Seen], findings: &mut Findings) {
    let pictures = seen.iter().filter(|s| matches!(s.what, What::Image { .. })).count();
    let clips = seen.iter().filter(|s| matches!(s.what, What::Video(_) | What::Audio(_))).count();
    for s in seen.iter_mut() {
        if let What::Image { role: role @ Role::LeftOut, .. } = &mut s.what {
            if pictures == 1 && clips == 0 {
                *role = Role::Given(ImageRole::FirstFrame);
            } else {
                findings.fault(
                    Fault::new(
                        below(&s.at, "role"),
                        codes::ROLE_MISSING,
                        "the role may be left out only on a single picture without other media",
                        "say what the picture is for",
                    )
                    .allowing(ImageRole::ALL.map(ImageRole::word).join(", ")),
                );
            }
        }
    }

    let with = |role: ImageRole| -> Vec<&Seen> {
        let is =
            |s: &&Seen| matches!(s.what, What::Image { role: r, .. } if r == Role::Given(role));
        seen.iter().filter(is).collect()
    };
    let first = with(ImageRole::FirstFrame);
    let last = with(ImageRole::LastFrame);
    let references = with(ImageRole::ReferenceImage).len() + clips;
    if references > 0 {
        for frame in first.iter().chain(&last) {
            findings.fault(Fault::new(
                below(&frame.at, "role"),
                codes::FRAMES_WITH_REFERENCES,
                "first and last frames cannot be mixed with reference media",
                "make every picture a reference_image, or take the references out",
            ));
        }
        return;
    }
    for (frames, code, name) in [
        (&first, codes::FIRST_FRAME_REPEATED, "first"),
        (&last, codes::LAST_FRAME_REPEATED, "last"),
    ] {
        for extra in frames.iter().skip(1) {
            findings.fault(
                Fault::new(
                    below(&extra.at, "role"),
                    code,
                    format!("there is more than one {name} frame"),
                    "keep one, or make all pictures reference_image",
                )
                .allowing(format!("one {name} frame")),
            );
        }
    }
    let role_unclear = seen
        .iter()
        .any(|s| matches!(s.what, What::Image { role, .. } if !matches!(role, Role::Given(_))));
    if let (true, Some(frame), false) = (first.is_empty(), last.first(), role_unclear) {
        findings.fault(Fault::new(
            below(&frame.at, "role"),
            codes::LAST_FRAME_ALONE,
            "a last frame needs a first frame",
            "add a picture with role first_frame; it may be the same picture",
        ));
    }
}

fn check_counts(seen: &[Seen], can: &Capabilities, rules: &Rules, findings: &mut Findings) {
    let count = |is: fn(&What) -> bool| seen.iter().filter(|s| is(&s.what)).count();
    let images = count(|what| matches!(what, What::Image { .. }));
    let videos = count(|what| matches!(what, What::Video(_)));
    let audios = count(|what| matches!(what, What::Audio(_)));

    for (found, max, code, kind) in [
        (images, can.reference_images_max, codes::TOO_MANY_IMAGES, "pictures"),
        (videos, can.reference_videos_max, codes::TOO_MANY_VIDEOS, "videos"),
        (audios, can.reference_audios_max, codes::TOO_MANY_AUDIOS, "sounds"),
    ] {
        if found > max {
            findings.fault(
                Fault::new(AT, code, format!("there are {found} {kind}"), "take some out")
                    .allowing(format!("up to {max} {kind}")),
            );
        }
    }
    if audios > 0 && images + videos == 0 {
        let alone = seen.iter().find(|s| matches!(s.what, What::Audio(_)));
        findings.fault(Fault::new(
            alone.map_or(AT, |s| s.at.as_str()),
            codes::AUDIO_ALONE,
            "sound cannot be the only reference",
            "add at least one reference_image or reference_video",
        ));
    }
    let references = images + videos + audios;
    if references > rules.references_warn_above {
        let message = format!("{references} references; older provider docs stop at 12");
        findings.warn(AT, codes::MANY_REFERENCES, message);
    }
}

fn normal(seen: Seen) -> Option<ContentItem> {
    match seen.what {
        What::Text(text) => text.map(|text| ContentItem::Text { text }),
        What::Image { source, role: Role::Given(role) } => {
            source.map(|source| ContentItem::Image { source, role })
        }
        What::Image { role: Role::LeftOut | Role::Bad, .. } => None,
        What::Video(source) => source.map(|source| ContentItem::Video { source }),
        What::Audio(source) => source.map(|source| ContentItem::Audio { source }),
    }
}
