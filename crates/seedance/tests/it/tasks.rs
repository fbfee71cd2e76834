//! Reading what the provider says about tasks.

use proptest::prelude::*;
use seedance::{ApiError, Task, TaskPage, TaskStatus, created_task_id, is_task_id};
use serde_json::json;

fn task(value: &serde_json::Value) -> Task {
    Task::parse(value.to_string().as_bytes()).expect("a task")
}

#[test]
fn numbers_may_come_as_strings() {
    let plain = json!({"id": "cgt-1", "status": "succeeded", "duration": 5, "seed": 58944,
        "created_at": 1_795_348_800, "usage": {"completion_tokens": 108_900, "total_tokens": 108_900},
        "framespersecond": 24, "execution_expires_after": 172_800});
    let strings = json!({"id": "cgt-1", "status": "succeeded", "duration": "5", "seed": "58944",
        "created_at": "1795348800", "usage": {"completion_tokens": "108900", "total_tokens": 108900.0},
        "framespersecond": " 24", "execution_expires_after": "172800"});
    assert_eq!(task(&plain), task(&strings));
    assert_eq!(task(&plain).completion_tokens, Some(108_900));
    assert_eq!(task(&plain).execution_expires_after_s, Some(172_800));
}

#[test]
fn unknown_things_are_kept_or_passed_over() {
    let odd = task(&json!({"id": "x", "status": "paused", "brand_new": {"a": [1]},
        "duration": [], "usage": "none", "content": null, "error": "text", "priority": -3.5,
        "created_at": 1e300}));
    assert_eq!(odd.status, TaskStatus::Unknown("paused".into()));
    assert!(!odd.status.is_terminal(), "a word we do not know is no end");
    assert_eq!(odd.duration_s, None);
    assert_eq!(odd.error, None);
    assert_eq!(odd.created_at_s, None);
}

#[test]
fn m12_success_without_a_link_is_visible() {
    for content in [json!(null), json!({}), json!({"video_url": ""}), json!({"video_url": null})] {
        let body = json!({"id": "x", "status": "succeeded", "content": content});
        assert_eq!(task(&body).video_url, None);
    }
}

#[test]
fn the_reason_of_a_failure_has_two_names() {
    for key in ["error", "failure_reason"] {
        let failed = task(&json!({"id": "x", "status": "failed",
            key: {"code": "InternalServiceError", "message": "m"}}));
        assert_eq!(failed.error.unwrap().code.as_deref(), Some("InternalServiceError"));
    }
    let nothing = task(&json!({"id": "x", "status": "queued", "error": null}));
    assert_eq!(nothing.error, None);
}

#[test]
fn a_task_needs_an_id_and_a_status() {
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"id":"x"}"#,
        r#"{"status":"queued"}"#,
        r#"{"id":"","status":"queued"}"#,
        r#"{"id":"a/b","status":"queued"}"#,
        r#"{"id":7,"status":"queued"}"#,
    ] {
        assert!(Task::parse(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn task_ids_are_safe_in_addresses_and_keys() {
    for good in ["cgt-20261122200000-ab3k9", "Task_0-Z", &"x".repeat(128)] {
        assert!(is_task_id(good));
    }
    for bad in ["", "a b", "a/b", "../x", "a{b}", "ü", &"x".repeat(129)] {
        assert!(!is_task_id(bad), "{bad}");
    }
}

#[test]
fn a_create_answer_is_an_id_or_doubt() {
    assert_eq!(created_task_id(br#"{"id":"cgt-1"}"#).unwrap(), "cgt-1");
    for body in [r#"{"id":"cgt-2026112"#, "{}", r#"{"id":null}"#, r#"{"id":" "}"#, "<html>", ""] {
        assert!(created_task_id(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn a_page_counts_what_it_could_not_read() {
    let body = json!({"items": [{"id": "a", "status": "running"}, {"id": "b"}, 3], "total": "3"});
    let page = TaskPage::parse(body.to_string().as_bytes()).unwrap();
    assert_eq!((page.items.len(), page.unreadable, page.total), (1, 2, Some(3)));
    let spaced = br#"{"total": 1, "items": [ {"id" : "a", "status":"running", "x": 1.50} ]}"#;
    let texts = TaskPage::parse(spaced).unwrap().texts;
    assert_eq!(texts, [r#"{"id" : "a", "status":"running", "x": 1.50}"#], "as it was written");
    assert!(TaskPage::parse(b"{}").is_err(), "no list is no proof of an empty one");
    assert!(TaskPage::parse(b"{\"items\":null}").is_err());
    assert_eq!(TaskPage::parse(b"{\"items\":[]}").unwrap().total, None);
}

#[test]
fn an_error_body_tells_its_request_id() {
    let body = br#"{"error":{"code":"InvalidParameter","message":"no. Request id: 0217ab","param":"","type":"BadRequest"}}"#;
    let error = ApiError::parse(body).unwrap();
    assert_eq!(error.request_id(), Some("0217ab"));
    assert_eq!((error.param, error.kind.as_deref()), (None, Some("BadRequest")));
    for other in ["<html>", "", "{}", r#"{"error":"x"}"#, r#"{"error":{"message":"x"}}"#] {
        assert_eq!(ApiError::parse(other.as_bytes()), None, "{other}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Task::parse(&bytes), TaskPage::parse(&bytes), created_task_id(&bytes));
        let _ = ApiError::parse(&bytes).map(|error| error.request_id().map(str::len));
    }

    #[test]
    fn any_message_is_searched_without_panic(message in "\\PC{0,40}(Request id:)?\\PC{0,20}") {
        let body = json!({"error": {"code": "X", "message": message}}).to_string();
        let _ = ApiError::parse(body.as_bytes()).unwrap().request_id();
    }

    #[test]
    fn a_status_survives_a_round_trip(word in "[a-z_]{1,12}") {
        let status = TaskStatus::from(word.clone());
        prop_assert_eq!(status.word(), word.as_str());
        let text = serde_json::to_string(&status).unwrap();
        prop_assert_eq!(serde_json::from_str::<TaskStatus>(&text).unwrap(), status);
    }
}
