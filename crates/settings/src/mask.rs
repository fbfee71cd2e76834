//! How a value is written for people, and what of it may be shown.

use config::ValueKind;
use toml::Value;

const MASKED: &str = "***";

/// Last words of keys whose value is itself a secret. Paths (`…_file`) and ids are not.
const SECRET_ENDINGS: [&str; 4] = ["_key", "secret", "token", "password"];

/// The value as it would stand in a file.
pub(crate) fn as_toml(kind: &ValueKind) -> Value {
    let value = config::Value::from(kind.clone());
    value.try_deserialize().expect("what files, texts and rules make can be said in TOML")
}

/// The value as it may be printed under the key that ends in `last_word`.
pub(crate) fn masked(last_word: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::String(_) if SECRET_ENDINGS.iter().any(|end| last_word.ends_with(end)) => {
            Value::String(MASKED.to_owned())
        }
        Value::String(text) => Value::String(without_userinfo(text)),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| masked(last_word, item)).collect())
        }
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => value.clone(),
    }
}

/// What [`masked`] hides of a value.
pub(crate) fn secrets_in(last_word: &str, value: &Value) -> Vec<String> {
    match value {
        Value::String(text) if SECRET_ENDINGS.iter().any(|end| last_word.ends_with(end)) => {
            vec![text.clone()]
        }
        Value::String(text) => {
            let login = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
            let login = login.map(|(login, _)| login);
            let password = login.and_then(|login| login.split_once(':')).map(|(_, word)| word);
            login.into_iter().chain(password).map(str::to_owned).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| secrets_in(last_word, item)).collect(),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => Vec::new(),
    }
}

/// Hides everything between `://` and the last `@` of the authority.
fn without_userinfo(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    // A password with an unescaped `/` would end the authority early: look for the `@` in all of it.
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{MASKED}@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(last_word: &str, text: &str) -> String {
        let Value::String(text) = masked(last_word, &Value::String(text.to_owned())) else {
            panic!("a text stays a text")
        };
        text
    }

    #[test]
    fn secrets_are_known_by_the_end_of_their_key() {
        for word in ["api_key", "client_secret", "session_token", "password", "secret"] {
            assert_eq!(shown(word, "hunter2"), MASKED, "{word}");
        }
        for word in ["api_key_file", "access_key_id", "key_prefix", "token_key_current"] {
            assert_eq!(shown(word, "plain"), "plain", "{word}");
        }
    }

    #[test]
    fn addresses_lose_their_userinfo_wherever_they_stand() {
        assert_eq!(shown("url", "redis://u:p@h/0"), "redis://***@h/0");
        assert_eq!(shown("url", "redis://:p@ss@h/0"), "redis://***@h/0");
        assert_eq!(shown("url", "redis://h/0"), "redis://h/0");
        let list = Value::Array(vec![Value::String("http://u:p@h".to_owned())]);
        assert_eq!(masked("origins", &list).to_string(), r#"["http://***@h"]"#);
    }
}
