//! The contract written down a second time, by the simulator: each side catches the other's
//! misreading.

use std::fs;
use std::path::Path;

use seedance::{
    ApiError, Call, Created, Day, ErrorTable, ModelKey, PriceTable, Ratio, Resolution, Retry,
    Route, Rules, Task, TaskPage, TaskStatus, created_task_id, is_task_id, tokens, validate,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn rows(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../simulator/fixtures").join(name);
    let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<Value> = serde_json::from_slice(&text).expect("a fixture file is a JSON list");
    assert!(!rows.is_empty(), "{name} has no rows");
    rows
}

fn word<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_else(|| panic!("no {key} in {row}"))
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{value}: {error}"))
}

/// The body as it would come over the wire.
fn body(row: &Value) -> Vec<u8> {
    match row["body_text"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => row["body"].to_string().into_bytes(),
    }
}

#[test]
fn creates_the_simulator_refuses_are_refused_by_us_and_the_rest_as_written() {
    for row in rows("creates.json") {
        let name = word(&row, "name");
        let answer = validate(read(&row["route"]), &row["request"], &Rules::default());
        match row["client_accepts"].as_bool() {
            // Rows the provider refuses and a client accepts turn on what only the provider can
            // know: whether an asset exists, whether an address answers.
            Some(accepted) => assert_eq!(answer.is_ok(), accepted, "{name}: {answer:#?}"),
            None => assert_eq!(row["expect"]["http_status"], 200, "{name}: depends on our rules"),
        }
        if let (Ok(checked), Some(mode)) = (&answer, row["mode"].as_str()) {
            assert_eq!(checked.request.model, read::<ModelKey>(&row["model"]), "{name}");
            // The simulator names modes for itself; "reference" is our "references".
            let ours = checked.request.mode().word();
            assert!(ours.starts_with(&mode.replace('-', "_")), "{name}: {ours}, not {mode}");
        }
    }
}

#[test]
fn error_answers_are_sorted_as_written() {
    for row in rows("errors.json") {
        let name = word(&row, "name");
        let status: u16 = read(&row["http_status"]);
        let error = ApiError::parse(&body(&row));
        assert_eq!(error.is_some(), row["body"]["error"].is_object(), "{name}");
        let code = error.as_ref().map(|error| error.code.as_str());
        let message = error.as_ref().map_or("", |error| error.message.as_str());
        for call in read::<Vec<Call>>(&row["calls"]) {
            let found = ErrorTable::builtin().classify(call, status, code, message);
            assert_eq!(found.class.word(), word(&row, "class"), "{name} on {call}");
            if call == Call::Create {
                assert_eq!(found.created, read::<Created>(&row["created"]), "{name}");
            }
        }
    }
}

#[test]
fn task_errors_are_sorted_as_written() {
    for row in rows("task_errors.json") {
        let error = &row["error"];
        let found =
            ErrorTable::builtin().classify_task(error["code"].as_str(), word(error, "message"));
        let name = word(&row, "name");
        if word(&row, "class") == "unknown" {
            assert_eq!((found.retry, found.alert), (Retry::Hold, true), "{name}");
            continue;
        }
        assert_eq!(found.class.word(), word(&row, "class"), "{name}");
        let expected = match word(&row, "resubmit") {
            "policy" => Retry::NewTaskByPolicy,
            "yes" => Retry::NewTask,
            // Whether a download failed stands in the message only, which we never branch on.
            "no" | "once-if-the-link-is-valid" => Retry::Never,
            other => panic!("{name}: {other}"),
        };
        assert_eq!(found.retry, expected, "{name}");
    }
}

#[test]
fn tasks_are_read_as_written() {
    for row in rows("tasks.json") {
        let name = word(&row, "name");
        let Ok(task) = Task::parse(&body(&row)) else {
            assert_ne!(row["http_status"], 200, "{name} is a task");
            continue;
        };
        match word(&row, "status") {
            "unknown" => assert!(matches!(task.status, TaskStatus::Unknown(_)), "{name}"),
            known => assert_eq!(task.status.word(), known, "{name}"),
        }
        let sent = &row["body"];
        assert_eq!(task.video_url.as_deref(), sent["content"]["video_url"].as_str(), "{name}");
        let reason = [&sent["error"], &sent["failure_reason"]].into_iter().any(Value::is_object);
        assert_eq!(task.error.is_some(), reason, "{name}");
        if sent["usage"]["completion_tokens"].is_number() {
            assert_eq!(task.completion_tokens, sent["usage"]["completion_tokens"].as_u64());
        }
        if let Some(url) = &task.video_url
            && url.contains("X-Tos-Expires")
        {
            assert!(seedance::links_die_at_unix_s(url).is_some(), "{name}");
        }
    }
}

/// A task with every key its state must have, and none beside: all of what we rely on is in there.
#[test]
fn a_task_with_the_keys_of_its_state_is_read_whole() {
    for set in rows("key_sets.json") {
        let (name, status) = (word(&set, "name"), word(&set, "status"));
        let required: Vec<&str> =
            set["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
        let value = |key: &str| match key {
            "id" => "cgt-1".into(),
            "status" => status.into(),
            "content" => serde_json::json!({"video_url": "https://b.volces.com/v.mp4"}),
            "usage" => serde_json::json!({"completion_tokens": 7, "total_tokens": 7}),
            "error" => serde_json::json!({"code": "X.Y", "message": "m"}),
            "model" | "service_tier" | "resolution" | "ratio" => "word".into(),
            "draft" | "generate_audio" => false.into(),
            _ => 5.into(),
        };
        let task: serde_json::Map<String, Value> =
            required.iter().map(|key| ((*key).to_owned(), value(key))).collect();
        let task = Task::parse(Value::Object(task).to_string().as_bytes())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(task.status.word(), status, "{name}");
        // The orphan's mark and its moment, in every state.
        assert_eq!(
            (task.execution_expires_after_s, task.created_at_s),
            (Some(5), Some(5)),
            "{name}"
        );
        assert_eq!(task.video_url.is_some(), status == "succeeded", "{name}");
        assert_eq!(task.total_tokens.is_some(), status == "succeeded", "{name}");
        assert_eq!(task.error.is_some(), required.contains(&"error"), "{name}");
        let never: Vec<&str> =
            set["never"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(never.iter().all(|key| !required.contains(key)), "{name} contradicts itself");
    }
}

#[test]
fn answers_are_read_as_written() {
    for row in rows("answers.json") {
        let name = word(&row, "name");
        let body = body(&row);
        let readable = row["unreadable"] != Value::Bool(true);
        match read::<Call>(&row["call"]) {
            Call::Create => assert_eq!(created_task_id(&body).is_ok(), readable, "{name}"),
            Call::Retrieve => assert_eq!(Task::parse(&body).is_ok(), readable, "{name}"),
            Call::List => match TaskPage::parse(&body) {
                Ok(page) => {
                    assert!(readable, "{name}");
                    assert_eq!(page.unreadable, 0, "{name}");
                    assert_eq!(page.total, row["body"]["total"].as_u64(), "{name}");
                }
                Err(error) => assert!(!readable, "{name}: {error}"),
            },
            // The answer to a delete says nothing; its status does.
            Call::Delete => assert_eq!(row["http_status"], 200, "{name}"),
        }
    }
}

#[test]
fn task_ids_are_accepted_as_written() {
    for row in rows("identifiers.json") {
        assert!(is_task_id(word(&row, "id")), "{row}");
    }
}

#[test]
fn sizes_and_tokens_come_out_as_written() {
    for row in rows("sizes.json").iter().chain(&rows("tokens.json")) {
        let resolution: Resolution = read(&row["resolution"]);
        let size = resolution.frame_size(read::<Ratio>(&row["ratio"])).unwrap();
        assert_eq!((size.width, size.height), (read(&row["width"]), read(&row["height"])), "{row}");
        if row["tokens"].is_number() {
            // Rows with video give the least charge, which short input does not exceed.
            let video_input_s = (row["video_input"] == Value::Bool(true)).then_some(2);
            let found = tokens(resolution, size, read(&row["duration_s"]), video_input_s);
            assert_eq!(found, read::<u64>(&row["tokens"]), "{row}");
        }
    }
}

#[test]
fn prices_come_out_as_written() {
    let day: Day = "2026-11-22".parse().unwrap();
    for row in rows("prices.json") {
        for (route, video_input, key) in [
            (Route::Byteplus, false, "usd_per_million"),
            (Route::Byteplus, true, "usd_per_million_with_video"),
            (Route::Volcengine, false, "cny_per_million"),
            (Route::Volcengine, true, "cny_per_million_with_video"),
        ] {
            let found = PriceTable::builtin().cost_of(
                route,
                read(&row["model"]),
                read(&row["resolution"]),
                video_input,
                1_000_000,
                day,
            );
            let expected = row[key].as_f64().map(|amount| (amount * 1e6).round() as u64);
            assert_eq!(found.ok().map(|cost| cost.micros), expected, "{key} of {row}");
        }
    }
}
