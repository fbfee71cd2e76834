//! Reading, listing and deleting: what is asked, and what the answers mean.

use std::time::Duration;

use job::TaskId;
use provider::{Deleted, ListQuery, Listed, Retrieved, Site, TooManyIds, Trouble};
use seedance::{Call, Class, TaskStatus};

use crate::route::{ACCOUNT, KEY, Route, TASK, answer, permit, task};

async fn retrieve(route: &Route) -> Retrieved {
    route.client().retrieve(permit(Call::Retrieve), &route.site(), &task()).await
}

async fn list(route: &Route, query: &ListQuery) -> Listed {
    route.client().list(permit(Call::List), &route.site(), query).await
}

async fn delete(route: &Route) -> Deleted {
    route.client().delete(permit(Call::Delete), &route.site(), &task()).await
}

fn trouble(retrieved: Retrieved) -> Trouble {
    match retrieved {
        Retrieved::Trouble(trouble) => trouble,
        Retrieved::Task { .. } | Retrieved::NotFound => panic!("{retrieved:?}"),
    }
}

fn error(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#)
}

#[tokio::test]
async fn a_task_is_read_where_it_was_made_and_kept_as_it_came() {
    let body = format!(r#"{{"id":"{TASK}",  "status":"running","new":[1]}}"#);
    let route = Route::json(200, "x-request-id: r1\r\n", &body).await;
    let Retrieved::Task { task: read, raw, request_id } = retrieve(&route).await else {
        panic!("no task");
    };
    assert_eq!((read.status, &raw[..]), (TaskStatus::Running, body.as_bytes()));
    assert_eq!(request_id.as_deref(), Some("r1"));
    let asked = route.asked();
    let line = format!("GET /api/v3/contents/generations/tasks/{TASK} HTTP/1.1");
    assert_eq!((asked.len(), asked[0].line()), (1, line.as_str()));
    assert!(asked[0].head.contains(&format!("authorization: Bearer {KEY}\r\n")));

    // The client of another route follows the recorded address.
    let elsewhere = Route::json(500, "", "").await;
    let client = elsewhere.client();
    let found = client.retrieve(permit(Call::Retrieve), &route.site(), &task()).await;
    assert!(matches!(found, Retrieved::Task { .. }), "{found:?}");
    assert!(elsewhere.asked().is_empty());
}

#[tokio::test]
async fn an_unknown_task_is_told_from_other_404s() {
    for code in ["NotFound.Task", "ResourceNotFound"] {
        assert_eq!(retrieve(&Route::json(404, "", &error(code)).await).await, Retrieved::NotFound);
    }
    let route = Route::json(404, "", &error("ModelNotOpen")).await;
    assert_eq!(trouble(retrieve(&route).await).class, Class::Account);
}

#[tokio::test]
async fn trouble_is_sorted_and_one_request_each() {
    let torn = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{".to_owned();
    let other = r#"{"id":"cgt-other","status":"running"}"#;
    for (text, class, code) in [
        (answer(401, "", &error("AuthenticationError")), Class::Auth, "AuthenticationError"),
        (
            answer(429, "", &error("AccountRateLimitExceeded")),
            Class::Rate,
            "AccountRateLimitExceeded",
        ),
        (answer(500, "", &error("InternalServiceError")), Class::Server, "InternalServiceError"),
        (answer(502, "", "<html>"), Class::Server, "http-502"),
        (answer(200, "", "<html>"), Class::Server, "unreadable"),
        (answer(200, "", "{}"), Class::Server, "unreadable"),
        (answer(200, "", other), Class::Server, "wrong-task"),
        (torn, Class::Server, "no-answer"),
        (String::new(), Class::Server, "no-answer"),
    ] {
        let route = Route::answering(text).await;
        let trouble = trouble(retrieve(&route).await);
        assert_eq!((trouble.class, trouble.code.as_str()), (class, code), "{trouble:?}");
        assert_eq!(route.asked().len(), 1);
    }
    let route = Route::json(429, "retry-after: 2\r\nx-request-id: r2\r\n", "").await;
    let trouble = trouble(retrieve(&route).await);
    assert_eq!(trouble.retry_after, Some(Duration::from_secs(2)));
    assert_eq!(trouble.request_id.as_deref(), Some("r2"));
}

#[tokio::test]
async fn no_key_leaves_for_a_plain_address_of_a_real_pool() {
    let route = Route::json(200, "", "{}").await;
    let mut real = route.pool();
    real.simulated = false;
    real.base_url = None;
    let client = provider::Client::open("real", &real, &crate::route::settings()).unwrap();
    for tasks_url in [route.site().tasks_url, "ftp://h/".to_owned(), "no url".to_owned()] {
        let site = Site { tasks_url, account: ACCOUNT.to_owned() };
        let found = client.retrieve(permit(Call::Retrieve), &site, &task()).await;
        assert_eq!(trouble(found).code, "not-asked");
    }
    let unreachable = Site { tasks_url: "http://127.0.0.1:1/t".to_owned(), ..route.site() };
    let found = route.client().retrieve(permit(Call::Retrieve), &unreachable, &task()).await;
    assert_eq!(trouble(found).code, "unreachable");
    assert!(route.asked().is_empty());
}

#[tokio::test]
async fn a_list_call_is_written_as_the_official_clients_write_it() {
    let items =
        format!(r#"{{"items":[{{"id":"{TASK}","status":"queued"}},{{"no":"id"}}],"total":7}}"#);
    let route = Route::json(200, "", &items).await;
    let ids = ["cgt-1", "cgt-2"].map(|id| TaskId::parse(id).unwrap()).to_vec();
    let query = ListQuery::page(2, 500)
        .with_status(TaskStatus::Running)
        .of_model("dreamina-seedance-2-0-260128")
        .of_tasks(ids)
        .unwrap();
    let Listed::Page { page, .. } = list(&route, &query).await else { panic!("no page") };
    assert_eq!((page.items.len(), page.total, page.unreadable), (1, Some(7), 1));
    list(&route, &ListQuery::page(0, 9999)).await;
    let lines: Vec<_> = route.asked().iter().map(|asked| asked.line().to_owned()).collect();
    let path = "GET /api/v3/contents/generations/tasks";
    assert_eq!(
        lines,
        [
            format!(
                "{path}?page_num=2&page_size=500&filter.status=running\
                 &filter.model=dreamina-seedance-2-0-260128\
                 &filter.task_ids=cgt-1&filter.task_ids=cgt-2 HTTP/1.1"
            ),
            format!("{path}?page_num=1&page_size=500 HTTP/1.1"),
        ]
    );
}

#[tokio::test]
async fn a_list_address_stays_short_and_a_list_without_items_is_trouble() {
    let id = TaskId::parse(TASK).unwrap();
    let most = ListQuery::page(1, 150).of_tasks(vec![id.clone(); 150]).unwrap();
    let route = Route::json(200, "", r#"{"items":[]}"#).await;
    assert!(matches!(list(&route, &most).await, Listed::Page { .. }));
    assert!(route.asked()[0].line().len() < 8000);
    let error = ListQuery::page(1, 500).of_tasks(vec![id; 151]).unwrap_err();
    assert_eq!(error, TooManyIds { given: 151 });

    for (status, body) in [(200, "{}"), (200, "<html>"), (429, ""), (500, "")] {
        let listed = list(&Route::json(status, "", body).await, &ListQuery::page(1, 1)).await;
        assert!(matches!(listed, Listed::Trouble(_)), "{listed:?}");
    }
}

#[tokio::test]
async fn a_delete_is_cancelled_too_late_gone_or_trouble() {
    let route = Route::json(200, "", "{}").await;
    assert_eq!(delete(&route).await, Deleted::Cancelled);
    let asked = route.asked();
    let line = format!("DELETE /api/v3/contents/generations/tasks/{TASK} HTTP/1.1");
    assert_eq!((asked[0].line(), &asked[0].body[..]), (line.as_str(), &b"{}"[..]));

    let late = error("InvalidAction.RunningTaskDeletion");
    assert_eq!(delete(&Route::json(409, "", &late).await).await, Deleted::TooLate);
    assert_eq!(delete(&Route::json(404, "", &error("NotFound.X")).await).await, Deleted::Gone);
    for status in [400, 401, 403, 429, 500, 502] {
        let deleted = delete(&Route::json(status, "", "").await).await;
        assert!(matches!(deleted, Deleted::Trouble(_)), "{status}: {deleted:?}");
    }
    let route = Route::answering(String::new()).await;
    let Deleted::Trouble(trouble) = delete(&route).await else { panic!("no trouble") };
    assert_eq!((trouble.code.as_str(), route.asked().len()), ("no-answer", 1));
}
