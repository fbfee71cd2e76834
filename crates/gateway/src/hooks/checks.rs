//! What may be asked of an endpoint: types, secrets, texts.

use crate::problem::Problem;
use crate::stream::known_types;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use job::StateWord;
use store::Change;

/// Bytes of a secret; the specification asks for 24 to 64.
const SECRET_BYTES: usize = 32;
const SECRET_BYTES_ALLOWED: std::ops::RangeInclusive<usize> = 24..=64;
/// Characters of a description.
const DESCRIPTION_CHARS_MAX: usize = 256;
/// Types one endpoint names.
const TYPES_MAX: usize = 32;

pub(super) fn default_types() -> Vec<String> {
    let ends = StateWord::ALL.into_iter().filter(|word| word.is_finished()).map(Change::kind_of);
    ends.chain(["batch.completed", "batch.paused", "endpoint.disabled"])
        .map(str::to_owned)
        .collect()
}

pub(super) fn types(named: Option<Vec<String>>) -> Result<Option<Vec<String>>, Problem> {
    let Some(named) = named else { return Ok(None) };
    let known = known_types();
    if named.len() > TYPES_MAX {
        return Err(invalid("types", format!("{TYPES_MAX} types at most")));
    }
    match named.iter().find(|word| !known.contains(&word.as_str())) {
        None => Ok(Some(named)),
        Some(word) => {
            let word: String = word.chars().take(64).collect();
            Err(invalid("types", format!("{word:?} is none of {}", known.join(", "))))
        }
    }
}

pub(super) fn check_description(text: &str) -> Result<(), Problem> {
    if text.chars().count() <= DESCRIPTION_CHARS_MAX {
        return Ok(());
    }
    Err(invalid("description", format!("{DESCRIPTION_CHARS_MAX} characters at most")))
}

pub(super) fn secret(given: Option<String>) -> Result<String, Problem> {
    let Some(given) = given else {
        let bytes: [u8; SECRET_BYTES] = rand::random();
        return Ok(format!("whsec_{}", STANDARD.encode(bytes)));
    };
    let bytes = given.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok());
    match bytes {
        Some(bytes) if SECRET_BYTES_ALLOWED.contains(&bytes.len()) => Ok(given),
        Some(_) | None => {
            Err(invalid("secret", "whsec_ and base64 of 24 to 64 bytes are allowed".to_owned()))
        }
    }
}

pub(super) fn invalid(field: &str, why: String) -> Problem {
    let title = format!("{field} cannot be taken");
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-request", title).detail(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_enough_and_of_the_form() {
        let made = secret(None).unwrap();
        assert!(made.starts_with("whsec_") && secret(Some(made.clone())).is_ok());
        assert_ne!(made, secret(None).unwrap());
        for bad in ["", "whsec_", "whsec_YQ==", "whsec_***", "secret"] {
            assert_eq!(secret(Some(bad.to_owned())).unwrap_err().status(), 422, "{bad}");
        }
    }
}
