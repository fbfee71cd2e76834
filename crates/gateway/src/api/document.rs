//! The OpenAPI document: its head, what every operation shares, and the route that serves it.

use crate::app::App;
use crate::problem::{Document, Problem};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::OpenApi;

/// Where the document is served.
const PATH: &str = "/openapi.json";

/// What every operation may answer besides what it describes itself.
const SHARED: [&str; 5] = ["400", "408", "429", "500", "503"];
/// Besides, where a key is needed; where there is something in the path; where there is a body.
const WITH_KEY: [&str; 2] = ["401", "403"];
const WITH_PATH: [&str; 1] = ["404"];
const WITH_BODY: [&str; 3] = ["413", "415", "422"];

/// Where an answer leads: the operation, its status, where the answer holds the id, and the operations that take it as
/// their `id`.
const LINKS: [(&str, &str, &str, &[&str]); 9] = [
    ("create_job", "202", "/id", OF_JOB),
    ("create_job", "200", "/id", OF_JOB),
    ("create_batch", "202", "/id", OF_BATCH),
    ("create_operation", "202", "/id", &["get_operation"]),
    ("create_webhook_endpoint", "201", "/id", OF_ENDPOINT),
    ("list_webhook_deliveries", "200", "/items/0/id", &["replay_webhook_delivery"]),
    ("create_erasure", "200", "/id", &["get_erasure"]),
    ("create_erasure", "202", "/id", &["get_erasure"]),
    ("create_key", "201", "/id", &["rotate_key", "revoke_key"]),
];
const OF_JOB: &[&str] = &[
    "get_job",
    "cancel_job",
    "retry_job",
    "follow_job",
    "get_output",
    "get_last_frame",
    "get_payload",
    "approve_job",
    "reject_job",
];
const OF_BATCH: &[&str] = &[
    "get_batch",
    "get_batch_results",
    "get_batch_rejects",
    "pause_batch",
    "resume_batch",
    "cancel_batch",
];
const OF_ENDPOINT: &[&str] = &[
    "get_webhook_endpoint",
    "change_webhook_endpoint",
    "rotate_webhook_secret",
    "test_webhook_endpoint",
    "replay_webhook_events",
    "enable_webhook_endpoint",
    "list_webhook_deliveries",
    "remove_webhook_endpoint",
];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "seedfleet",
        description = "Enqueue video generations, watch them, fetch what they made. A job is bought once however \
                       often it is sent. Every answer carries `X-Request-Id`; what goes wrong is a problem of RFC 9457 \
                       that says whether the same request may succeed later and whether money moved.",
        contact(),
    ),
    components(schemas(Document), responses(Problem))
)]
struct Head;

pub(super) fn head() -> utoipa::openapi::OpenApi {
    Head::openapi()
}

/// Adds what all operations share.
pub(super) fn finish(document: utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("a document is plain data");
    let components = &mut document["components"];
    components["securitySchemes"] = json!({"key": {
        "type": "http", "scheme": "bearer", "description": "A key of the gateway's configuration.",
    }});
    components["headers"] = json!({"RequestId": {
        "description": "Names this request in our log; tell it when you report something.",
        "schema": {"type": "string", "pattern": "^req_[0-9A-Z]{26}$"},
    }});
    components["responses"]["Problem"]["headers"] = request_id();
    document["security"] = json!([{"key": []}]);
    let Some(paths) = document["paths"].as_object_mut() else { return document };
    for (path, item) in paths {
        let Some(item) = item.as_object_mut() else { continue };
        for operation in item.values_mut().filter_map(Value::as_object_mut) {
            share(path, operation);
        }
    }
    document
}

fn share(path: &str, operation: &mut Map<String, Value>) {
    let is_open = operation.get("security").is_some();
    let has_body = operation.contains_key("requestBody");
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    for response in responses.values_mut().filter(|response| response.get("$ref").is_none()) {
        let ours = request_id();
        match response["headers"].as_object_mut() {
            Some(headers) => headers.extend(ours.as_object().cloned().unwrap_or_default()),
            None => response["headers"] = ours,
        }
    }
    let mut codes: Vec<&str> = SHARED.to_vec();
    codes.extend(WITH_KEY.iter().filter(|_| !is_open));
    codes.extend(WITH_PATH.iter().filter(|_| path.contains('{')));
    codes.extend(WITH_BODY.iter().filter(|_| has_body));
    for code in codes {
        responses.entry(code).or_insert_with(|| json!({"$ref": "#/components/responses/Problem"}));
    }
    responses.sort_keys();
    for (from, status, pointer, to) in LINKS {
        if operation["operationId"] == from {
            operation["responses"][status]["links"] = links(pointer, to);
        }
    }
}

fn links(pointer: &str, to: &[&str]) -> Value {
    let id = format!("$response.body#{pointer}");
    let link =
        |name: &&str| ((*name).to_owned(), json!({"operationId": name, "parameters": {"id": id}}));
    Value::Object(to.iter().map(link).collect())
}

fn request_id() -> Value {
    json!({"X-Request-Id": {"$ref": "#/components/headers/RequestId"}})
}

/// This document.
#[utoipa::path(
    get,
    path = PATH,
    operation_id = "openapi",
    tag = "about",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub(super) async fn serve(State(app): State<Arc<App>>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.document.clone()).into_response()
}

#[cfg(test)]
mod tests {
    use super::super::openapi;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_says_what_it_is() {
        let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let mut ids = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let at = format!("{method} {path}");
                let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{at}: no id"));
                assert!(ids.insert(id.to_owned()), "{at}: a second {id}");
                assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{at}");
                assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{at}: one tag");
                assert!(operation["responses"]["503"].is_object(), "{at}");
            }
        }
    }

    #[test]
    fn links_lead_from_answers_that_are_to_operations_that_are() {
        let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
        let operations: Vec<_> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|item| item.as_object().unwrap().values())
            .collect();
        let of = |id: &str| operations.iter().find(|operation| operation["operationId"] == id);
        for (from, status, _, to) in super::LINKS {
            let operation = of(from).unwrap_or_else(|| panic!("no {from}"));
            assert!(operation["responses"][status]["content"].is_object(), "{from} {status}");
            for name in to {
                let takes = of(name).unwrap_or_else(|| panic!("no {name}"))["parameters"].clone();
                let takes = takes.as_array().unwrap().iter();
                assert!(takes.into_iter().any(|parameter| parameter["name"] == "id"), "{name}");
            }
        }
    }
}
