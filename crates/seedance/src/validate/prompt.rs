//! The prompt: present, not absurdly long, and free of settings in disguise (M5).

use std::collections::BTreeSet;

use super::codes;
use super::fault::{Fault, Findings};

/// Our own bound; the contract documents none, and the prompt is kept in every job's record.
const CHARS_MAX: usize = 20_000;

/// Lengths above which the provider advises against a prompt (§2.4).
const WORDS_ADVISED_MAX: usize = 1_000;
const CJK_CHARS_ADVISED_MAX: usize = 500;

/// Longest parameter name worth reading, and how many unknown ones a warning is given for.
const NAME_CHARS_MAX: usize = 32;
const UNKNOWN_PARAMETERS_TOLD_MAX: usize = 5;

/// Old prompt parameters with the body field to use instead; the provider corrects a wrong one in
/// silence, where a body field would have been refused.
const PARAMETERS: [(&str, &str); 18] = [
    ("rs", "resolution"),
    ("resolution", "resolution"),
    ("rt", "ratio"),
    ("ratio", "ratio"),
    ("dur", "duration"),
    ("duration", "duration"),
    ("seed", "seed"),
    ("wm", "watermark"),
    ("watermark", "watermark"),
    ("cf", ""),
    ("camerafixed", ""),
    ("camera_fixed", ""),
    ("fps", ""),
    ("framepersecond", ""),
    ("framespersecond", ""),
    ("frames", "duration"),
    ("generate_audio", "generate_audio"),
    ("priority", "priority"),
];

/// Notes everything wrong with a prompt that stands at `at`.
pub(super) fn check(text: &str, at: &str, findings: &mut Findings) {
    if text.trim().is_empty() {
        findings.fault(Fault::new(
            at,
            codes::PROMPT_EMPTY,
            "the prompt is empty",
            "write what the video shall show, or leave the text item out if there is media",
        ));
        return;
    }
    let chars = text.chars().count();
    if chars > CHARS_MAX {
        findings.fault(
            Fault::new(
                at,
                codes::PROMPT_TOO_LONG,
                format!("the prompt has {chars} characters"),
                "shorten it",
            )
            .allowing(format!("up to {CHARS_MAX} characters")),
        );
        return;
    }
    let cjk = text.chars().filter(|c| ('\u{4e00}'..='\u{9fff}').contains(c)).count();
    if text.split_whitespace().count() > WORDS_ADVISED_MAX || cjk > CJK_CHARS_ADVISED_MAX {
        let message = "the prompt is longer than the provider advises; details may be ignored";
        findings.warn(at, codes::PROMPT_LONG, message.to_owned());
    }
    let names = parameters(text);
    let (known, other): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| PARAMETERS.iter().any(|(word, _)| word == name));
    for name in known {
        refuse_parameter(name, at, findings);
    }
    for name in other.into_iter().take(UNKNOWN_PARAMETERS_TOLD_MAX) {
        let message = format!("\"--{name}\" is sent as plain text; it sets nothing");
        findings.warn(at, codes::PROMPT_LOOKS_LIKE_PARAMETER, message);
    }
}

/// The names of all `--name` words in the text, lower case, each once. The text is bounded by then.
fn parameters(text: &str) -> BTreeSet<String> {
    let opens_word = |start: usize| {
        // In the middle of a word or of a longer dash it is punctuation.
        let before = text[..start].chars().next_back();
        before.is_none_or(|c| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
    };
    let name_at = |start: usize| -> String {
        let name = text[start + 2..].chars().take(NAME_CHARS_MAX);
        let name: String = name.take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        name.to_lowercase()
    };
    text.match_indices("--")
        .filter(|(start, _)| opens_word(*start))
        .map(|(start, _)| name_at(start))
        .filter(|name| !name.is_empty())
        .collect()
}

fn refuse_parameter(name: &str, at: &str, findings: &mut Findings) {
    let field = PARAMETERS.iter().find(|(word, _)| *word == name).map_or("", |(_, field)| field);
    let fix = if field.is_empty() {
        format!("take \"--{name}\" out; this model has no such setting")
    } else {
        format!("take \"--{name}\" out of the prompt and set the body field {field:?}")
    };
    findings.fault(Fault::new(
        at,
        codes::PROMPT_PARAMETER,
        format!("\"--{name}\" in a prompt is ignored when wrong, without an error"),
        fix,
    ));
}
