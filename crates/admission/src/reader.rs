//! Reading an object of the document field by field, with every mistake noted and none fatal.
//!
//! `null` means absent, as everywhere in the document.

use crate::codes;
use seedance::{Fault, unknown_key};
use serde_json::{Map, Value};

/// Characters of a caller's text that a message repeats.
const SHOWN_CHARS_MAX: usize = 48;

/// Unknown keys told for one object; an object made of nothing else gets no longer answer.
const STRANGE_KEYS_MAX: usize = 16;

/// One object and its place in the document. Fields are taken out as they are read, so what is left
/// in the end is not ours.
pub(crate) struct Reader<'a> {
    object: &'a mut Map<String, Value>,
    at: &'a str,
    faults: &'a mut Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        object: &'a mut Map<String, Value>,
        at: &'a str,
        faults: &'a mut Vec<Fault>,
    ) -> Self {
        Self { object, at, faults }
    }

    pub(crate) fn pointer(&self, key: &str) -> String {
        below(self.at, key)
    }

    /// What has not been taken yet.
    pub(crate) fn rest(&self) -> &Map<String, Value> {
        self.object
    }

    pub(crate) fn fault(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// The value under `key`.
    pub(crate) fn take(&mut self, key: &str) -> Option<Value> {
        // Not `remove`: it moves the last field forward, and faults come in the caller's order.
        self.object.shift_remove(key).filter(|value| !value.is_null())
    }

    /// The value under `key` if `wanted` is what it is; otherwise it stays.
    pub(crate) fn take_if(&mut self, key: &str, wanted: fn(&Value) -> bool) -> Option<Value> {
        if self.object.get(key).is_some_and(wanted) { self.object.shift_remove(key) } else { None }
    }

    /// A text of 1 to `chars_max` characters on one line.
    pub(crate) fn text(&mut self, key: &str, chars_max: usize) -> Option<String> {
        let at = self.pointer(key);
        match self.take(key)? {
            Value::String(text) => match text_fault(&at, &text, chars_max) {
                None => Some(text),
                Some(fault) => {
                    self.fault(fault);
                    None
                }
            },
            other => {
                self.fault(wrong_type(at, &other, "a text"));
                None
            }
        }
    }

    /// `true` or `false`; absent is `false`.
    pub(crate) fn flag(&mut self, key: &str) -> bool {
        let at = self.pointer(key);
        match self.take(key) {
            None => false,
            Some(Value::Bool(flag)) => flag,
            Some(other) => {
                self.fault(wrong_type(at, &other, "true or false"));
                false
            }
        }
    }

    /// A whole number between two bounds.
    pub(crate) fn integer(&mut self, key: &str, min: u32, max: u32) -> Option<u32> {
        let at = self.pointer(key);
        let value = self.take(key)?;
        let allowed = format!("an integer from {min} to {max}");
        let fault = match &value {
            Value::Number(number) => match number.as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(n) if (min..=max).contains(&n) => return Some(n),
                _ if number.is_f64() => Fault::new(
                    at,
                    codes::NOT_AN_INTEGER,
                    format!("{number} is not a whole number"),
                    "write it without point or exponent",
                )
                .allowing(allowed),
                _ => out_of_range(at, number, min, max),
            },
            other => wrong_type(at, other, &allowed),
        };
        self.fault(fault);
        None
    }

    /// An object inside this one.
    pub(crate) fn object(&mut self, key: &str) -> Option<Map<String, Value>> {
        let at = self.pointer(key);
        match self.take(key)? {
            Value::Object(object) => Some(object),
            other => {
                self.fault(wrong_type(at, &other, "an object"));
                None
            }
        }
    }

    /// Reads an object that stands at `at`, and refuses what `read` left of it. `known`: its keys.
    pub(crate) fn within<T>(
        &mut self,
        object: &mut Map<String, Value>,
        at: &str,
        known: &[&str],
        read: impl FnOnce(&mut Reader<'_>) -> T,
    ) -> T {
        let result = read(&mut Reader::new(object, at, self.faults));
        let strange = object.iter().filter(|(_, value)| !value.is_null()).take(STRANGE_KEYS_MAX);
        self.faults.extend(strange.map(|(key, _)| unknown_key(&below(at, key), key, known)));
        result
    }

    /// Whether a fault at this place has been noted.
    pub(crate) fn told(&self, at: &str) -> bool {
        self.faults.iter().any(|fault| fault.pointer == at)
    }
}

/// One more step down a JSON pointer.
pub(crate) fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// A caller's text as a message may repeat it: quoted and cut.
pub(crate) fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

pub(crate) fn out_of_range(
    at: String,
    number: impl std::fmt::Display,
    min: u32,
    max: u32,
) -> Fault {
    let message = format!("{number} is out of range");
    Fault::new(at, codes::OUT_OF_RANGE, message, format!("choose a number from {min} to {max}"))
        .allowing(format!("an integer from {min} to {max}"))
}

pub(crate) fn wrong_type(at: String, found: &Value, wanted: &str) -> Fault {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let message = format!("this is {found}, not {wanted}");
    Fault::new(at, codes::WRONG_TYPE, message, format!("write {wanted}, or leave it out"))
        .allowing(wanted)
}

/// What is wrong with a text that should be one line of 1 to `chars_max` characters.
pub(crate) fn text_fault(at: &str, text: &str, chars_max: usize) -> Option<Fault> {
    let chars = text.chars().count();
    let allowed = format!("1 to {chars_max} characters without line breaks");
    if chars == 0 || chars > chars_max {
        let message = format!("the text has {chars} characters");
        let fix = if chars == 0 { "leave it out, or write something" } else { "shorten it" };
        return Some(Fault::new(at, codes::OUT_OF_RANGE, message, fix).allowing(allowed));
    }
    text.chars().any(char::is_control).then(|| {
        let message = "the text holds a line break or another control character";
        Fault::new(at, codes::VALUE_NOT_ALLOWED, message, "take it out").allowing(allowed)
    })
}
