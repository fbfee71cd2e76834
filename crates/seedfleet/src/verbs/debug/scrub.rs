//! The last sieve before the archive: secrets that the configuration leads to, and what addresses carry.

use egress::redact_text;
use serde_json::Value;
use settings::Loaded;
use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

const GONE: &str = "***";
/// A secret that is shorter hides words of every day.
const SECRET_CHARS_MIN: usize = 6;
/// No file of a secret is this long.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// What must not be shown, the longest first: one secret may hold another.
pub(super) struct Scrub(Vec<String>);

impl Scrub {
    /// Reads the files that keys named `…_file`, and those of callback keys, point to.
    pub(super) fn of(loaded: &Loaded) -> Self {
        let mut secrets: BTreeSet<String> = loaded.secrets().into_iter().collect();
        for path in loaded.secret_files() {
            secrets.extend(words_of(&path));
        }
        let mut secrets: Vec<String> =
            secrets.into_iter().filter(|secret| secret.len() >= SECRET_CHARS_MIN).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    pub(super) fn text(&self, text: &str) -> String {
        let told = |text: &str| {
            self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), GONE))
        };
        // Once more: an address that was cut may have hidden a part of one.
        told(&redact_text(&told(text)))
    }

    pub(super) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.value(item)).collect())
            }
            Value::Object(fields) => {
                let clean = fields.iter().map(|(name, inner)| (self.text(name), self.value(inner)));
                Value::Object(clean.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
        }
    }
}

/// The whole content and each of its lines; of a header also what stands behind its name. A file that cannot be
/// read hides nothing that somebody could have shown.
fn words_of(path: &Path) -> Vec<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let mut words = vec![text.trim().to_owned()];
    for line in text.lines().map(str::trim) {
        words.push(line.to_owned());
        words.extend(line.split_once(':').map(|(_, value)| value.trim().to_owned()));
        words.extend(line.rsplit_once(' ').map(|(_, word)| word.to_owned()));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use settings::Sources;

    #[test]
    fn secrets_of_the_configuration_and_what_addresses_carry_go() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let key = dir.path().join("key");
        std::fs::write(&key, "canary-key-1\n").expect("written");
        let headers = dir.path().join("headers");
        std::fs::write(&headers, "Authorization: Bearer canary-token-2\n").expect("written");
        let loaded = Sources::default()
            .set("redis.url", "redis://fleet:canary-password-3@redis:6379/0")
            .set("pools.p.accounts.a.api_key_file", key.display().to_string())
            .set("telemetry.otlp_headers_file", headers.display().to_string())
            .load()
            .expect("loads");
        let scrub = Scrub::of(&loaded);
        let text = scrub.text(
            "canary-key-1 went; canary-token-2, canary-password-3, https://h/v.mp4?X-Sign=canary-4 and words",
        );
        assert!(!text.contains("canary") && text.ends_with("and words"), "{text}");
        let value = scrub.value(&json!({"a": ["x canary-key-1", 1], "canary-token-2": null}));
        assert!(!value.to_string().contains("canary"), "{value}");
        assert_eq!(value["a"][1], 1);
    }
}
