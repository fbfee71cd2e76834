//! Fetching in earnest: redirects by hand, ranges, headers, cuts and silence.

use std::time::Duration;

use egress::{
    FetchError, FetchTimeouts, GuardedClient, Hosts, Origin, Range, Refused, Rules, Trust,
};

use crate::peer::{End, Peer, Plan, answer};

fn client_for(peer: &Peer) -> GuardedClient {
    let origins = vec![Origin::parse(peer.url("/").as_str()).unwrap()];
    let rules = Rules { hosts: Hosts::AnyPublic, origins, redirects_max: 3 };
    let patience = FetchTimeouts { idle: Duration::from_secs(2), ..FetchTimeouts::default() };
    GuardedClient::new(rules, patience, Trust::Nobody).unwrap()
}

fn found(location: &str) -> String {
    answer("302 Found", &format!("location: {location}\r\n"), "")
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_first_address() {
    let canary = Peer::start(Plan::Whole(answer("200 OK", "", "secret"), End::Fin)).await;
    let port = canary.address.port();
    for (location, expected) in [
        (format!("http://127.0.0.1:{port}/"), "scheme"),
        (format!("http://0x7f.1:{port}/"), "scheme"),
        (format!("//127.0.0.1:{port}/"), "scheme"),
        (format!("https://127.0.0.1:{port}/"), "port"),
        (format!("http://u:p@127.0.0.1:{port}/"), "user info"),
        ("https://127.0.0.1/".to_owned(), "not a public"),
        ("https://169.254.169.254/latest/".to_owned(), "not a public"),
        ("https://[::ffff:127.0.0.1]/".to_owned(), "not a public"),
        ("https://localhost/".to_owned(), "not a public"),
        ("file:///etc/passwd".to_owned(), "names no host"),
        ("http://[".to_owned(), "does not parse"),
    ] {
        let peer = Peer::start(Plan::Paths(vec![("/", found(&location))])).await;
        let error = client_for(&peer).get(peer.url("/").as_str(), None).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(_)), "{location}: {error:?}");
        assert!(error.to_string().contains(expected), "{location}: {error}");
        assert_eq!(peer.now().whole, 1);
    }
    assert_eq!(canary.now().connections, 0);
}

#[tokio::test]
async fn three_redirects_are_followed_and_a_fourth_is_not() {
    let peer = Peer::start(Plan::Paths(vec![
        ("/end", answer("200 OK", "", "video")),
        ("/3", found("/2")),
        ("/2", found("1")),
        ("/1", found("/end")),
        ("/4", found("/3")),
        ("/loop", found("/loop")),
    ]))
    .await;
    let client = client_for(&peer);
    let mut response = client.get(peer.url("/3").as_str(), None).await.unwrap();
    assert_eq!(response.body.next().await.unwrap().unwrap(), "video");
    for path in ["/4", "/loop"] {
        let error = client.get(peer.url(path).as_str(), None).await.unwrap_err();
        assert!(matches!(error, FetchError::Refused(Refused::Redirects(3))), "{error:?}");
    }
    assert_eq!(peer.now().whole, 4 + 4 + 4);
}

#[tokio::test]
async fn a_range_is_asked_for_with_its_tag_and_without_any_key() {
    let headers = "content-range: bytes 4-8/9\r\netag: \"e1\"\r\naccept-ranges: bytes\r\n\
                   content-type: video/mp4\r\n";
    let peer =
        Peer::start(Plan::Paths(vec![("/", answer("206 Partial Content", headers, "video"))]))
            .await;
    let range = Range { from: 4, etag: Some("\"e1\"".to_owned()) };
    let response = client_for(&peer).get(peer.url("/v").as_str(), Some(&range)).await.unwrap();
    assert_eq!((response.status, response.content_length), (206, Some(5)));
    assert_eq!(response.etag.as_deref(), Some("\"e1\""));
    assert_eq!(response.content_range.as_deref(), Some("bytes 4-8/9"));
    assert_eq!(response.content_type.as_deref(), Some("video/mp4"));
    assert!(response.accept_ranges);

    let head = &peer.now().heads[0];
    for line in ["range: bytes=4-\r\n", "if-range: \"e1\"\r\n", "accept-encoding: identity\r\n"] {
        assert!(head.contains(line), "{line:?} not in {head}");
    }
    for name in ["authorization", "cookie", "referer"] {
        assert!(!head.contains(name), "{head}");
    }
}

#[tokio::test]
async fn the_beginning_of_a_file_is_asked_for_and_its_length_is_told() {
    let part =
        |range: &str| answer("206 Partial Content", &format!("content-range: {range}\r\n"), "pic");
    let peer = Peer::start(Plan::Paths(vec![
        ("/", found("/part")),
        ("/part", part("bytes 0-2/9000")),
        ("/unsized", part("bytes 0-2/*")),
        ("/elsewhere", part("bytes 10-12/9000")),
        ("/whole", answer("200 OK", "", "picture")),
        ("/empty", answer("416 Range Not Satisfiable", "content-range: bytes */0\r\n", "")),
    ]))
    .await;
    let client = client_for(&peer);
    for (path, status, bytes, is_beginning) in [
        ("/", 206, Some(9000), true),
        ("/unsized", 206, None, true),
        ("/elsewhere", 206, Some(9000), false),
        ("/whole", 200, Some(7), true),
        ("/empty", 416, Some(0), true),
    ] {
        let response = client.first(peer.url(path).as_str(), 3).await.unwrap();
        let told = (response.status, response.file_bytes(), response.is_beginning());
        assert_eq!(told, (status, bytes, is_beginning), "{path}");
    }
    for head in peer.now().heads {
        assert!(head.contains("range: bytes=0-2\r\n") && !head.contains("if-range"), "{head}");
    }
}

#[tokio::test]
async fn what_came_before_a_cut_is_kept_and_the_cut_is_told() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nforty".to_owned();
    for end in [End::Fin, End::Hang] {
        let peer = Peer::start(Plan::Whole(cut.clone(), end)).await;
        let mut response = client_for(&peer).get(peer.url("/").as_str(), None).await.unwrap();
        assert_eq!(response.content_length, Some(100));
        assert_eq!(response.body.next().await.unwrap().unwrap(), "forty");
        let error = response.body.next().await.unwrap_err();
        assert!(matches!(error, FetchError::Interrupted(_)), "{error:?}");
    }
    let silent = Peer::start(Plan::Whole(String::new(), End::Hang)).await;
    let error = client_for(&silent).get(silent.url("/").as_str(), None).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn any_other_status_is_an_answer() {
    for status in [200, 304, 403, 404, 416, 500, 503] {
        let text = answer(&format!("{status} Word"), "", "");
        let peer = Peer::start(Plan::Paths(vec![("/", text)])).await;
        let response = client_for(&peer).get(peer.url("/").as_str(), None).await.unwrap();
        assert_eq!(response.status, status);
    }
}
