//! Equal rows of a file that are each wanted: `--duplicates keep`, `on_duplicates=keep`.

use job::Fingerprint;
use serde_json::Value;
use std::collections::HashMap;

/// How often a request came, by the first 64 bits of its fingerprint: 16 bytes for each different one.
#[derive(Debug, Default)]
pub struct Takes(HashMap<u64, u32>);

impl Takes {
    /// Whether a row names itself, or its take: such rows are told apart already.
    #[must_use]
    pub fn is_named(body: &Value) -> bool {
        ["custom_id", "take"].iter().any(|key| !body[*key].is_null())
    }

    /// Counts a row; its take, where it is not the first.
    pub fn count(&mut self, fingerprint: &Fingerprint) -> Option<u32> {
        let take = self.0.entry(start(fingerprint.as_str())).or_insert(0);
        *take += 1;
        (*take > 1).then_some(*take)
    }

    /// Different requests so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The start of a fingerprint as a number; these are in the order of their texts.
pub(crate) fn start(fingerprint: &str) -> u64 {
    let digits = fingerprint.rsplit('_').next().unwrap_or_default();
    let digits = digits.get(..16).unwrap_or(digits);
    u64::from_str_radix(digits, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_repeats_of_nameless_rows_get_a_take() {
        for (body, named) in [
            (json!({"custom_id": "a"}), true),
            (json!({"take": 2}), true),
            (json!({"custom_id": null, "take": null}), false),
            (json!([]), false),
        ] {
            assert_eq!(Takes::is_named(&body), named, "{body}");
        }
        assert_eq!(start("f1_00000000000000ff1234"), 0xff);
        assert_eq!((start("f1_a"), start(""), start("f1_no hex")), (10, 0, 0));
    }
}
