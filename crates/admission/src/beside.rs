//! What is said once for all rows of a file or stream: it holds for rows that do not say it themselves.

use serde_json::{Map, Value, json};

/// Fields of ours, as a row would write them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beside {
    fields: Map<String, Value>,
    output_prefix: Option<String>,
}

impl Beside {
    /// Nothing but what is given: fields by their names, and the folder below that of the tenant.
    #[must_use]
    pub fn of<const N: usize>(
        fields: [(&str, Option<Value>); N],
        output_prefix: Option<String>,
    ) -> Self {
        let said = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self { fields: said.collect(), output_prefix }
    }

    /// Adds what a row leaves out. What is no object is left for its judge.
    pub fn complete(&self, body: &mut Value) {
        let Value::Object(row) = body else { return };
        for (name, value) in &self.fields {
            say(row, name, value);
        }
        if let Some(prefix) = &self.output_prefix {
            say(row, "output", &json!({}));
            if let Some(Value::Object(output)) = row.get_mut("output") {
                say(output, "prefix", &json!(prefix));
            }
        }
    }
}

fn say(object: &mut Map<String, Value>, name: &str, value: &Value) {
    if object.get(name).is_none_or(Value::is_null) {
        object.insert(name.to_owned(), value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_say_it_themselves_keep_what_they_say() {
        let fields =
            [("priority", Some(json!("low"))), ("take", Some(json!(2))), ("useful_until", None)];
        let beside = Beside::of(fields, Some("spring/".to_owned()));
        for (row, whole) in [
            (json!({}), json!({"priority": "low", "take": 2, "output": {"prefix": "spring/"}})),
            (
                json!({"priority": "high", "take": null, "output": {"prefix": "own/"}}),
                json!({"priority": "high", "take": 2, "output": {"prefix": "own/"}}),
            ),
            // The judge tells what is wrong with it.
            (
                json!({"output": "here", "take": 7}),
                json!({"output": "here", "take": 7, "priority": "low"}),
            ),
            (json!([1]), json!([1])),
        ] {
            let mut row = row;
            beside.complete(&mut row);
            assert_eq!(row, whole);
        }
    }
}
