//! A request as cells under the columns of a table: the way back from [`super::csv`].

use super::csv::{self, METADATA};
use serde_json::{Map, Value};

/// The cells of a request, each with its column; none where a table cannot hold it, since its media stand in an
/// order of their own or it sets what has no column.
#[must_use]
pub fn flat(request: &Map<String, Value>) -> Option<Vec<(String, String)>> {
    let mut cells: Vec<(String, String)> = Vec::new();
    for (name, value) in request {
        match (name.as_str(), value) {
            ("content", Value::Array(items)) => {
                for item in items {
                    let (column, text) = of_item(item)?;
                    match cells.iter_mut().find(|(known, _)| known == column) {
                        Some((_, cell)) => cell.extend([" ", text]),
                        None => cells.push((column.to_owned(), text.to_owned())),
                    }
                }
            }
            ("metadata", Value::Object(pairs)) => {
                for (key, value) in pairs {
                    cells.push((format!("{METADATA}{key}"), value.as_str()?.to_owned()));
                }
            }
            ("output", Value::Object(output)) => {
                cells
                    .push(("output_prefix".to_owned(), output.get("prefix")?.as_str()?.to_owned()));
            }
            ("webhook", Value::Object(webhook)) => {
                for (key, value) in webhook {
                    cells.push((format!("webhook_{key}"), value.as_str()?.to_owned()));
                }
            }
            (_, Value::String(text)) => cells.push((name.clone(), text.clone())),
            (_, other) => cells.push((name.clone(), other.to_string())),
        }
    }
    // Columns stand in the order of the list, whatever order the request was in.
    let place = |name: &str| csv::COLUMNS.iter().position(|column| *column == name);
    cells.sort_by_key(|(name, _)| place(name).unwrap_or(csv::COLUMNS.len()));
    // Whatever a table would make of it is the judge.
    let (header, texts): (Vec<String>, Vec<Vec<u8>>) =
        cells.iter().map(|(name, text)| (name.clone(), text.clone().into_bytes())).unzip();
    let known = |name: &String| place(name).is_some() || name.starts_with(METADATA);
    let read = csv::request(&header, texts).ok()?;
    (header.iter().all(known) && same(&read, request)).then_some(cells)
}

/// Equal but for the order of fields.
fn same(read: &Value, request: &Map<String, Value>) -> bool {
    read.as_object().is_some_and(|read| read == request)
}

fn of_item(item: &Value) -> Option<(&'static str, &str)> {
    let kind = item.get("type")?.as_str()?;
    let text = match kind {
        "text" => return Some(("prompt", item.get("text")?.as_str()?)),
        _ => item.get(kind)?.get("url")?.as_str()?,
    };
    let column = match item.get("role")?.as_str()? {
        "first_frame" => "first_frame",
        "last_frame" => "last_frame",
        "reference_image" => "reference_images",
        "reference_video" => "reference_videos",
        "reference_audio" => "reference_audios",
        _ => return None,
    };
    Some((column, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cells(request: &Value) -> Option<Vec<(String, String)>> {
        flat(request.as_object().expect("an object"))
    }

    fn picture(url: &str) -> Value {
        json!({"type": "image_url", "image_url": {"url": url}, "role": "reference_image"})
    }

    #[test]
    fn a_request_becomes_cells_that_are_read_as_the_same_request() {
        let request = json!({
            "custom_id": "row-1",
            "model": "seedance-2.0",
            "content": [{"type": "text", "text": "a \"red\" boat,\nat dawn"},
                        picture("https://x.example/a.png"), picture("https://x.example/b.png")],
            "duration": -1, "generate_audio": false, "priority": "high",
            "metadata": {"order": "991"}, "output": {"prefix": "orders/991"},
            "webhook": {"url": "https://x.example/hook", "secret_ref": "main"},
        });
        let cells = cells(&request).expect("it fits");
        let cell = |name: &str| {
            cells.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
        };
        assert_eq!(
            cell("reference_images"),
            Some("https://x.example/a.png https://x.example/b.png")
        );
        assert_eq!((cell("metadata.order"), cell("duration")), (Some("991"), Some("-1")));
        assert_eq!(cells[0].0, "model", "in the order of the list");
    }

    #[test]
    fn what_no_table_holds_is_told() {
        let sound = json!({"type": "audio_url", "audio_url": {"url": "https://x.example/a.mp3"},
                           "role": "reference_audio"});
        let mixed = json!({"content": [sound, picture("https://x.example/a.png")]});
        let late =
            json!({"content": [picture("https://x.example/a.png"), {"type": "text", "text": "x"}]});
        for request in [mixed, late, json!({"seed": 5}), json!({"tools": [{"type": "web_search"}]})]
        {
            assert_eq!(cells(&request), None, "{request}");
        }
        assert_eq!(cells(&json!({"custom_id": ""})), None, "an empty cell is a field left out");
    }
}
