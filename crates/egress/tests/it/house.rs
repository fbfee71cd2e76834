//! The client for our own gateway: reads are asked again, changes are not.

use std::time::{Duration, Instant};

use egress::{CallError, HeaderMap, HeaderValue, HouseClient, Secret};
use futures::stream;

use crate::peer::{End, Peer, Plan, answer};

fn key() -> Secret {
    Secret::new("canary-key-4711").unwrap()
}

#[tokio::test]
async fn a_read_waits_as_long_as_the_answer_says_and_a_change_is_sent_once() {
    let later = answer("429 Too Many Requests", "retry-after-ms: 300\r\n", "{}");
    let peer = Peer::start(Plan::Paths(vec![("/", later)])).await;
    let client = HouseClient::new(&peer.url("/")).unwrap();
    let begun = Instant::now();
    let read = client.get(&peer.url("/v1/jobs"), &key()).await.unwrap();
    assert_eq!((read.status, peer.now().whole), (429, 4));
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());

    let posted = client.post(&peer.url("/v1/jobs"), HeaderMap::new(), "{}".into(), &key()).await;
    assert_eq!((posted.unwrap().status, peer.now().whole), (429, 5));
}

#[tokio::test]
async fn a_wait_beyond_patience_is_told_at_once() {
    let later = answer("503 Service Unavailable", "retry-after: 3600\r\n", "{}");
    let peer = Peer::start(Plan::Paths(vec![("/", later)])).await;
    let client = HouseClient::new(&peer.url("/")).unwrap();
    let read = client.get(&peer.url("/v1/jobs"), &key()).await.unwrap();
    assert_eq!((read.status, peer.now().whole), (503, 1));
    assert_eq!(read.head.retry_after, Some(Duration::from_secs(3600)));
}

#[tokio::test]
async fn silence_is_asked_again_by_a_read_only() {
    let peer = Peer::start(Plan::Whole(String::new(), End::Fin)).await;
    let client = HouseClient::new(&peer.url("/")).unwrap();
    client.get(&peer.url("/v1/jobs"), &key()).await.expect_err("no answer");
    assert_eq!(peer.now().whole, 4);
    let posted = client.post(&peer.url("/v1/jobs"), HeaderMap::new(), "{}".into(), &key()).await;
    posted.expect_err("no answer");
    assert_eq!(peer.now().whole, 5);
}

#[tokio::test]
async fn rows_go_out_as_they_come_and_a_broken_source_breaks_the_call() {
    let peer = Peer::start(Plan::EarlyAnswer(answer("202 Accepted", "", "{}"))).await;
    let client = HouseClient::new(&peer.url("/")).unwrap();
    let url = peer.url("/v1/batches");
    let kind = || HeaderValue::from_static("application/jsonl");
    let rows = stream::iter([Ok(b"one\n".to_vec()), Ok(b"two\n".to_vec())]);
    let taken = client.post_rows(&url, kind(), rows, &key()).await.unwrap();
    assert_eq!(taken.status, 202);
    let heads = peer.now().heads;
    for part in ["content-type: application/jsonl", "transfer-encoding: chunked"] {
        assert!(heads[0].contains(part), "{part} in {heads:?}");
    }
    let broken = [Ok(b"one\n".to_vec()), Err(std::io::Error::other("the disk went away"))];
    let silent = Peer::start(Plan::Head(End::Hang)).await;
    let url = silent.url("/v1/batches");
    let error = client.post_rows(&url, kind(), stream::iter(broken), &key()).await.unwrap_err();
    assert!(matches!(error, CallError::NoAnswer(_)), "{error}");
    assert_eq!(silent.at_the_end().await.connections, 1, "it is sent once");
}

#[tokio::test]
async fn an_answer_is_read_piece_by_piece_and_tells_where_a_redirect_leads() {
    let leads = answer("302 Found", "location: https://bucket.example/v?sig=canary\r\n", "");
    let lines = answer("200 OK", "", "one\ntwo\n");
    let plan = Plan::Paths(vec![("/lines", lines), ("/output", leads)]);
    let peer = Peer::start(plan).await;
    let client = HouseClient::new(&peer.url("/")).unwrap();
    let open =
        async |path: &str| client.open(&peer.url(path), &HeaderMap::new(), &key()).await.unwrap();
    let mut pieces = open("/lines").await;
    let mut text = Vec::new();
    while let Some(piece) = pieces.next().await.unwrap() {
        text.extend_from_slice(&piece);
    }
    assert_eq!((pieces.status, text.as_slice()), (200, &b"one\ntwo\n"[..]));
    let moved = open("/output").await;
    assert_eq!(moved.status, 302);
    assert_eq!(moved.location.as_deref(), Some("https://bucket.example/v?sig=canary"));
    assert!(!format!("{moved:?}").contains("canary"), "a signed link is for no log");
}
