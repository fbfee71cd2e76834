//! Every answer to a create call, sorted by what it may have bought.

use std::time::{Duration, Instant};

use job::Timestamp;
use provider::{Client, CreateAnswer, CreateCall, Refusal, Site};
use seedance::{Call, Class, Created, ErrorTable};

use crate::route::{ACCOUNT, KEY, Route, TASK, answer, attempt, permit, pool, settings, task};

fn refused(answer: CreateAnswer) -> Refusal {
    match answer {
        CreateAnswer::Refused(refusal) => refusal,
        CreateAnswer::Accepted { .. }
        | CreateAnswer::NotSent { .. }
        | CreateAnswer::Unclear { .. } => panic!("{answer:?}"),
    }
}

fn unclear(answer: &CreateAnswer) -> (&str, bool) {
    match answer {
        CreateAnswer::Unclear { kind, alert, .. } => (kind, *alert),
        CreateAnswer::Accepted { .. } | CreateAnswer::NotSent { .. } | CreateAnswer::Refused(_) => {
            panic!("{answer:?}")
        }
    }
}

fn error(code: &str, message: &str) -> String {
    serde_json::json!({"error": {"code": code, "message": message, "type": "T"}}).to_string()
}

#[tokio::test]
async fn an_id_is_a_task_and_the_request_names_the_attempt() {
    let body = format!(r#"{{"id":"{TASK}","safety_identifier":null}}"#);
    let route = Route::json(200, "x-request-id: 0217r\r\n", &body).await;
    let request_id = Some("0217r".to_owned());
    assert_eq!(route.create().await, CreateAnswer::Accepted { task: task(), request_id });

    let asked = route.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line(), "POST /api/v3/contents/generations/tasks HTTP/1.1");
    assert_eq!(asked[0].body, b"{\"model\":1}");
    for line in [
        format!("authorization: Bearer {KEY}\r\n"),
        format!("x-client-request-id: {}\r\n", attempt()),
        "content-type: application/json\r\n".to_owned(),
    ] {
        assert!(asked[0].head.contains(&line), "{line:?} not in {}", asked[0].head);
    }
}

/// Spelled out here, so that a wrong row in the table shows.
#[tokio::test]
async fn a_definite_no_is_refused_with_its_class() {
    for (status, code, message, class) in [
        (400, "MissingParameter.content", "", Class::Input),
        (400, "InvalidParameter", "bad", Class::Input),
        (400, "InputImageSensitiveContentDetected.PrivacyInformation", "", Class::Content),
        (400, "ContentSecurityDetectionError", "", Class::Capacity),
        (401, "AuthenticationError", "", Class::Auth),
        (403, "AccountOverdueError", "", Class::Account),
        (404, "ModelNotOpen", "", Class::Account),
        (413, "RequestTooLarge", "", Class::Input),
        (429, "RateLimitExceeded.EndpointRPMExceeded", "", Class::Rate),
        (429, "ServerOverloaded", "", Class::Capacity),
        (429, "QuotaExceeded", "You have exceeded the quota", Class::Capacity),
        (429, "QuotaExceeded", "your free trial is over", Class::Account),
        (429, "SomethingNew", "", Class::Rate),
        (418, "SomethingNew", "", Class::Input),
    ] {
        let route = Route::json(status, "", &error(code, message)).await;
        let refusal = refused(route.create().await);
        assert_eq!((refusal.class, refusal.code.as_str()), (class, code), "{status} {code}");
        assert_eq!(refusal.message, message);
        assert_eq!(route.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_no_without_json_goes_by_its_status_and_its_header() {
    let route = Route::json(413, "", "<html>413</html>").await;
    let refusal = refused(route.create().await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Input, "http-413"));

    let headers = "x-error-code: AuthenticationError\r\n";
    let refusal = refused(Route::json(401, headers, "").await.create().await);
    assert_eq!((refusal.class, refusal.code.as_str()), (Class::Auth, "AuthenticationError"));
}

#[tokio::test]
async fn waits_are_handed_on() {
    let headers = "retry-after: 12\r\nx-request-id: r9\r\n";
    let body = error("ModelAccountRpmRateLimitExceeded", "slow down Request id: other");
    let refusal = refused(Route::json(429, headers, &body).await.create().await);
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(12)));
    assert_eq!(refusal.request_id.as_deref(), Some("r9"));

    let body = error(
        "AccountQuotaExceeded",
        "used up, reset at 2026-10-05 00:00:00 +0800 CST. Request id: r7",
    );
    let refusal = refused(Route::json(429, "", &body).await.create().await);
    assert_eq!(refusal.class, Class::Pause);
    assert_eq!(refusal.resets_at, Some(Timestamp::from_unix_s(1_791_129_600)));
    assert_eq!(refusal.request_id.as_deref(), Some("r7"));
}

#[tokio::test]
async fn every_status_that_is_not_a_definite_no_is_unclear() {
    for status in [300, 301, 302, 303, 304, 307, 308, 408, 409, 424, 499, 500, 502, 503, 504, 599] {
        // A code that would be a definite no elsewhere changes nothing.
        for body in [error("InvalidParameter", "x"), String::new(), "<html>".to_owned()] {
            let body = if status == 304 { "" } else { &body };
            let route = Route::json(status, "location: /elsewhere\r\n", body).await;
            let answer = route.create().await;
            let (kind, alert) = unclear(&answer);
            assert_eq!(kind, format!("http-{status}"));
            assert!(alert || !(300..400).contains(&status), "{status}");
            assert_eq!(route.asked().len(), 1, "{status}");
        }
    }
}

/// The whole table against the rule above it: whatever row decides, a refusal is a 4xx.
#[tokio::test]
async fn no_row_of_the_table_makes_a_refusal_of_a_server_error() {
    let table = ErrorTable::builtin();
    for rule in table.rules().iter().filter(|rule| rule.calls.contains(&Call::Create)) {
        let message = rule.message_contains.as_deref().unwrap_or_default();
        let route = Route::json(500, "", &error(&rule.code, message)).await;
        unclear(&route.create().await);
        if (400..500).contains(&rule.http) && rule.created == Created::No {
            let route = Route::json(rule.http, "", &error(&rule.code, message)).await;
            let status_is_doubt = [408, 409, 424, 499].contains(&rule.http);
            match route.create().await {
                CreateAnswer::Refused(refusal) => {
                    assert_eq!(refusal.class, rule.class, "{}", rule.code)
                }
                CreateAnswer::Unclear { .. } if status_is_doubt => {}
                other => panic!("{}: {other:?}", rule.code),
            }
        }
    }
}

#[tokio::test]
async fn a_success_without_a_usable_id_is_unclear() {
    for body in [
        "{}",
        "",
        "<html>",
        "[]",
        r#"{"id":null}"#,
        r#"{"id":""}"#,
        r#"{"id":"a/b"}"#,
        r#"{"error":{"code":"InvalidParameter"}}"#,
    ] {
        for status in [200, 201, 202] {
            let route = Route::json(status, "x-request-id: r1\r\n", body).await;
            let answer = route.create().await;
            assert_eq!(unclear(&answer), ("unreadable", true), "{body}");
            assert_eq!(answer.request_id(), Some("r1"));
        }
    }
}

#[tokio::test]
async fn of_a_torn_answer_only_a_definite_status_counts() {
    let torn = |status: u16, body: &str| {
        format!("HTTP/1.1 {status} Word\r\ncontent-length: 500\r\nretry-after: 3\r\n\r\n{body}")
    };
    for status in [400, 401, 403, 404, 413, 429] {
        let refusal = refused(Route::answering(torn(status, "{\"err")).await.create().await);
        assert_eq!(refusal.code, format!("http-{status}"));
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(3)));
    }
    for status in [408, 409, 424, 499, 500, 502, 503, 504] {
        let answer = Route::answering(torn(status, "")).await.create().await;
        assert_eq!(unclear(&answer).0, format!("http-{status}"));
    }
    let whole_id = format!(r#"{{"id":"{TASK}"}}"#);
    let answer = Route::answering(torn(200, &whole_id)).await.create().await;
    assert_eq!(unclear(&answer).0, "reset");
    // Closed without a word, and in the middle of the head.
    for text in [String::new(), "HTTP/1.1 200 O".to_owned()] {
        let route = Route::answering(text).await;
        assert_eq!(unclear(&route.create().await).0, "reset");
        assert_eq!(route.asked().len(), 1);
    }
}

#[tokio::test]
async fn without_a_connection_or_past_the_deadline_nothing_was_sent() {
    let route = Route::json(200, "", "{}").await;
    let refusing = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/tasks", listener.local_addr().unwrap())
    };
    let attempt = attempt();
    let ample = Duration::from_secs(60);
    for (tasks_url, time, expected) in
        [(refusing, ample, true), (route.site().tasks_url, Duration::ZERO, false)]
    {
        let site = Site { tasks_url, account: ACCOUNT.to_owned() };
        let gate = egress::Gate::until(Instant::now() + time);
        let call = CreateCall { site: &site, attempt: &attempt, body: "{}".into(), gate };
        let answer = route.client().create(permit(Call::Create), call).await;
        assert!(
            matches!(&answer, CreateAnswer::NotSent { unreachable, .. } if *unreachable == expected),
            "{answer:?}"
        );
    }
    assert!(route.asked().is_empty());
}

/// A gateway that answers before it has the whole request cannot have created anything.
#[tokio::test]
async fn an_answer_before_the_last_byte_buys_nothing() {
    for (status, body, expected) in [
        (502, "", "not_sent"),
        (307, "", "not_sent"),
        (200, "{}", "not_sent"),
        (413, "", "refused"),
    ] {
        let early = early_route(answer(status, "", body)).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, KEY).unwrap();
        let pool = pool(&early, &file);
        let client = Client::open("sim", &pool, &settings()).unwrap();
        let gate = egress::Gate {
            before_release: Some(Box::pin(std::future::pending())),
            ..egress::Gate::until(Instant::now() + Duration::from_secs(60))
        };
        let (site, attempt) = (Site::configured(&pool, ACCOUNT), attempt());
        let call = CreateCall { site: &site, attempt: &attempt, body: "{\"a\":1}".into(), gate };
        let answer = client.create(permit(Call::Create), call).await;
        assert_eq!(answer.word(), expected, "{status}: {answer:?}");
    }
}

/// Answers as soon as a head is there.
async fn early_route(answer: String) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            stream.read_buf(&mut head).await.unwrap();
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    base_url
}

#[tokio::test]
async fn a_wrong_permit_or_an_unknown_account_sends_nothing() {
    let route = Route::json(200, "", "{}").await;
    let client = route.client();
    let attempt = attempt();
    let stranger = Site { account: "b".to_owned(), ..route.site() };
    for (site, permit, word) in [
        (route.site(), permit(Call::Retrieve), "permit for retrieve"),
        (stranger.clone(), permit(Call::Create), "on account \"a\""),
        (stranger, limiter::Permit::new("b".to_owned(), Call::Create), "put the account back"),
    ] {
        let gate = egress::Gate::until(Instant::now() + Duration::from_secs(60));
        let call = CreateCall { site: &site, attempt: &attempt, body: "{}".into(), gate };
        let CreateAnswer::NotSent { reason, unreachable: false } =
            client.create(permit, call).await
        else {
            panic!("{word}");
        };
        assert!(reason.contains(word), "{reason}");
    }
    assert!(route.asked().is_empty());
}

#[tokio::test]
async fn what_the_provider_repeats_of_our_secrets_is_not_handed_on() {
    let message = format!(
        "key {KEY} may not read `https://b.volces.com/i.png?X-Tos-Signature=canary` or \
         https://g.example/cb/v1/att_1/canary. {}",
        "z".repeat(1000)
    );
    for status in [400, 500] {
        let route = Route::json(status, "", &error("InvalidParameter", &message)).await;
        let told = format!("{:?}", route.create().await);
        assert!(!told.contains("canary"), "{told}");
        assert!(told.contains("https://b.volces.com/i.png?[redacted]"), "{told}");
        assert!(told.len() < 1200, "{told}");
    }
}
