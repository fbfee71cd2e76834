//! The pooled client: one request per call, bounded answers, no redirects.

use std::time::Duration;

use egress::{CallError, CallLimits, HeaderMap, RouteClient, Secret, Trust, Url};

use crate::peer::{End, Peer, Plan, answer};

fn limits() -> CallLimits {
    CallLimits {
        connect_timeout: Duration::from_secs(2),
        total_timeout: Duration::from_secs(3),
        ..CallLimits::for_reads()
    }
}

fn client() -> RouteClient {
    RouteClient::new(&limits(), Trust::Nobody).unwrap()
}

fn key() -> Secret {
    Secret::new("canary-key-4711").unwrap()
}

#[tokio::test]
async fn reads_share_a_connection_and_deletes_do_not() {
    let peer = Peer::start(Plan::Paths(vec![("/", answer("200 OK", "", "{}"))])).await;
    let client = client();
    for _ in 0..3 {
        let answer = client.get(&peer.url("/t?q=1"), HeaderMap::new(), &key()).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"{}"[..]));
    }
    assert_eq!(peer.now().connections, 1);
    client.delete(&peer.url("/t"), HeaderMap::new(), &key()).await.unwrap();
    let seen = peer.now();
    assert_eq!((seen.connections, seen.whole), (2, 4));
    assert!(seen.heads[0].starts_with("get /t?q=1 http/1.1\r\n"), "{}", seen.heads[0]);
    assert!(seen.heads[0].contains("authorization: bearer canary-key-4711\r\n"));
    assert!(seen.heads[3].starts_with("delete /t http/1.1\r\n"), "{}", seen.heads[3]);
    assert!(seen.heads[3].contains("content-type: application/json\r\n"));
    assert_eq!(seen.body_bytes, 2);
}

#[tokio::test]
async fn a_failed_read_is_one_request_and_says_which_kind() {
    for plan in [
        Plan::Whole(String::new(), End::Fin),
        Plan::Whole(String::new(), End::Rst),
        Plan::Whole(String::new(), End::Hang),
        Plan::Whole("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort".to_owned(), End::Fin),
    ] {
        let peer = Peer::start(plan).await;
        let error = client().get(&peer.url("/"), HeaderMap::new(), &key()).await.unwrap_err();
        assert!(matches!(error, CallError::NoAnswer(_)), "{error:?}");
        assert_eq!(peer.at_the_end().await.whole, 1);
    }
    let nobody = Url::parse("http://name.invalid/").unwrap();
    let error = client().get(&nobody, HeaderMap::new(), &key()).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_long_answer_and_a_redirect_go_no_further() {
    let short = CallLimits { answer_bytes_max: 100, ..limits() };
    let short = RouteClient::new(&short, Trust::Nobody).unwrap();
    let long = answer("200 OK", "", &"y".repeat(101));
    let peer = Peer::start(Plan::Whole(long, End::Fin)).await;
    let error = short.get(&peer.url("/"), HeaderMap::new(), &key()).await.unwrap_err();
    assert!(matches!(error, CallError::TooLong { status: 200, bytes_max: 100 }), "{error:?}");

    let elsewhere = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
    let moved = answer("302 Found", &format!("location: {}\r\n", elsewhere.url("/")), "");
    let peer = Peer::start(Plan::Whole(moved, End::Fin)).await;
    let answer = client().get(&peer.url("/"), HeaderMap::new(), &key()).await.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(elsewhere.now().connections, 0);
}

#[tokio::test]
async fn a_wish_to_wait_is_read_in_each_of_its_forms() {
    let date = "date: Sun, 22 Nov 2026 10:00:00 GMT\r\n";
    for (headers, expected_ms) in [
        ("retry-after: 3\r\n".to_owned(), Some(3000)),
        ("retry-after: 3\r\nretry-after-ms: 250\r\n".to_owned(), Some(250)),
        (format!("{date}retry-after: Sun, 22 Nov 2026 10:00:05 GMT\r\n"), Some(5000)),
        (format!("{date}retry-after: Sun, 22 Nov 2026 09:59:00 GMT\r\n"), Some(0)),
        ("retry-after: 99999999\r\n".to_owned(), Some(24 * 60 * 60 * 1000)),
        ("retry-after: soon\r\n".to_owned(), None),
        (String::new(), None),
    ] {
        let peer = Peer::start(Plan::Whole(answer("429 Slow", &headers, "{}"), End::Fin)).await;
        let answer = client().get(&peer.url("/"), HeaderMap::new(), &key()).await.unwrap();
        let expected = expected_ms.map(Duration::from_millis);
        assert_eq!(answer.head.retry_after, expected, "{headers:?}");
    }
}

#[test]
fn a_proxy_with_a_password_in_configuration_is_refused() {
    for (proxy, word) in [
        ("http://user:canary@proxy.internal:3128", "password"),
        ("socks5://proxy.internal", "http and https"),
        ("proxy", "not a URL"),
    ] {
        let limits = CallLimits { proxy: Some(proxy.to_owned()), ..limits() };
        let error = RouteClient::new(&limits, Trust::Nobody).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("provider.proxy: ") && text.contains(word), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}
