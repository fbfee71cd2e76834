//! JSON as strangers send it, read strictly: no key twice, no endless nesting, nothing behind the end.
//!
//! Two keys of one name are two readings of one document: what was checked could differ from what is sent.

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Deepest nesting of a document; a request has five levels.
const DEPTH_MAX: usize = 32;
/// Values of one document, keys aside: a thousand requests have a tenth of these. A value takes many times the memory of
/// its shortest text, so the text's length alone is no bound.
const VALUES_MAX: usize = 250_000;

/// Reads one document.
///
/// # Errors
///
/// In words, with line and column.
pub fn read_json(text: &[u8]) -> Result<Value, String> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let values_left = Cell::new(VALUES_MAX);
    let strict = Strict { levels_left: DEPTH_MAX, values_left: &values_left };
    let value = strict.deserialize(&mut reader);
    let value = value.map_err(|error| error.to_string())?;
    reader.end().map_err(|error| error.to_string())?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    levels_left: usize,
    values_left: &'a Cell<usize>,
}

impl Strict<'_> {
    fn inner<E: serde::de::Error>(&self) -> Result<Self, E> {
        let too_deep = || E::custom(format!("nested deeper than {DEPTH_MAX} levels"));
        let levels_left = self.levels_left.checked_sub(1).ok_or_else(too_deep)?;
        Ok(Self { levels_left, ..*self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        let left = self.values_left.get().checked_sub(1);
        let left =
            left.ok_or_else(|| D::Error::custom(format!("more than {VALUES_MAX} values")))?;
        self.values_left.set(left);
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("the number is too large"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            match items.next_element_seed(self.inner()?)? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = pairs.next_key::<String>()? {
            if object.contains_key(&key) {
                let shown: String = key.chars().take(48).collect();
                return Err(A::Error::custom(format!("the key {shown:?} stands twice")));
            }
            let value = pairs.next_value_seed(self.inner()?)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let text = br#" {"a":[1,-2,0.5,"x",true,null,{}],"b":{"c":18446744073709551615}} "#;
        assert_eq!(read_json(text), Ok(serde_json::from_slice(text).unwrap()));
        assert_eq!(read_json(b"1"), Ok(Value::from(1)));
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let deep = "[".repeat(DEPTH_MAX + 2) + &"]".repeat(DEPTH_MAX + 2);
        let wide = format!("[{}1]", "1,".repeat(VALUES_MAX));
        let bad = [
            (&br#"{"a":1,"a":2}"#[..], "twice"),
            (br#"[{"b":{"\u0061":1,"a":1}}]"#, "twice"),
            (deep.as_bytes(), "nested"),
            (wide.as_bytes(), "values"),
            (b"1 2", "trailing"),
            (b"1e999", "out of range"),
            (b"\"\xff\"", "unicode"),
            (b"{\"a\":\"\x00\"}", "control character"),
            (b"", "EOF"),
            (b"nul", "EOF"),
            (b"NaN", "expected"),
        ];
        for (text, why) in bad {
            let told = read_json(text).unwrap_err();
            let shown = String::from_utf8_lossy(text);
            assert!(told.contains(why), "{shown}: {why}: {told}");
        }
    }

    #[test]
    fn fuzz_strict_json() {
        let words = ["{", "}", "[", "]", "\"a\":", "\"a\"", ",", "1", "-1e9", "null", "\\u0061"];
        fuzz::run("strict_json", &words, |text| {
            let plain = serde_json::from_slice::<Value>(text);
            match read_json(text) {
                Ok(value) => {
                    assert_eq!(plain.ok().as_ref(), Some(&value), "the same as every other reader");
                    "good".to_owned()
                }
                Err(why) if plain.is_ok() => {
                    assert!(why.contains("twice") || why.contains("nested"), "{why}");
                    "two readings".to_owned()
                }
                Err(_) => "bad".to_owned(),
            }
        });
    }
}
