//! No key, signed query or callback token in anything a person or a log can read.

use std::time::{Duration, Instant};

use egress::{
    CallLimits, CreateClient, FetchTimeouts, Gate, GuardedClient, HeaderMap, Hosts, RouteClient,
    Rules, Secret, Settings, Trust, Url, redact_text, redact_url,
};

use crate::peer::{End, Peer, Plan};

const KEY: &str = "canary-key-4711";
const QUERY: &str = "X-Tos-Signature=canary-signature";

#[test]
fn a_secret_is_never_printed() {
    let secret = Secret::new(KEY).unwrap();
    assert_eq!(format!("{secret:?} {:?}", Some(secret.clone())), "[redacted] Some([redacted])");
    assert_eq!(secret.strip_from(&format!("key {KEY} is unknown")), "key [redacted] is unknown");
}

#[test]
fn key_files_are_trimmed_and_bad_ones_named_without_their_content() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, format!("  {KEY}\r\n")).unwrap();
    Secret::from_file(&file).unwrap();

    for (content, word) in [
        (String::new(), "empty"),
        (" \n".to_owned(), "empty"),
        (format!("{KEY}\nsecond line"), "one line"),
        (format!("{KEY} tail"), "one line"),
        (format!("{KEY}é"), "one line"),
        ("k".repeat(5000), "one line"),
    ] {
        std::fs::write(&file, content).unwrap();
        let text = Secret::from_file(&file).unwrap_err().to_string();
        assert!(text.contains(word) && text.contains(file.to_str().unwrap()), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
    let missing = Secret::from_file(&folder.path().join("none")).unwrap_err().to_string();
    assert!(missing.contains("cannot be read"), "{missing}");
}

#[test]
fn addresses_lose_what_is_secret_and_keep_what_helps() {
    for (given, expected) in [
        ("https://h.example/a/b.mp4", "https://h.example/a/b.mp4"),
        ("https://h.example/a?canary=1#x", "https://h.example/a?[redacted]"),
        ("https://h.example#canary", "https://h.example?[redacted]"),
        ("https://canary:canary@h.example:8443/a", "https://h.example:8443/a"),
        ("https://a@canary@h.example/", "https://h.example/"),
        ("https://g.example/cb/v1/01JA/canary", "https://g.example/cb/v1/01JA/[redacted]"),
        ("https://g.example/x/cb/v1/01JA/canary/more", "https://g.example/x/cb/v1/01JA/[redacted]"),
        ("/cb/v1/01JA/canary?y", "/cb/v1/01JA/[redacted]?[redacted]"),
        ("/cb/v1/01JA", "/cb/v1/01JA"),
        ("data:image/png;base64,canary", "data:[redacted]"),
        ("not a url ?canary", "not a url ?[redacted]"),
        ("", ""),
    ] {
        assert_eq!(redact_url(given), expected, "{given}");
    }
}

#[test]
fn sentences_of_others_are_cleaned_too() {
    let text = "The image `https://b.example/i.png?canary` and HTTP://u:canary@c.example/x?canary \
                failed; see /cb/v1/01JA/canary, \"data:image/png;base64,canary\". Bye";
    let clean = redact_text(text);
    assert!(!clean.contains("canary"), "{clean}");
    assert_eq!(
        clean,
        "The image `https://b.example/i.png?[redacted]` and HTTP://c.example/x?[redacted] \
         failed; see /cb/v1/01JA/[redacted] \"data:[redacted]\". Bye"
    );
    assert_eq!(redact_text("nothing to hide"), "nothing to hide");
}

/// Every way to fail, with a key and a signed query on board.
#[tokio::test]
async fn failures_tell_neither_key_nor_query() {
    let timeout = Duration::from_millis(200);
    let limits = |limits| CallLimits { connect_timeout: timeout, total_timeout: timeout, ..limits };
    let create = CreateClient::new(&limits(CallLimits::for_creates()), Trust::Nobody).unwrap();
    let route = RouteClient::new(&limits(CallLimits::for_reads()), Trust::Nobody).unwrap();
    let patience = FetchTimeouts { connect: timeout, idle: timeout };
    let key = Secret::new(KEY).unwrap();

    let mut told = Vec::new();
    for plan in [
        Plan::Accept(End::Fin),
        Plan::Accept(End::Hang),
        Plan::Head(End::Rst),
        Plan::Whole(String::new(), End::Hang),
        Plan::Whole("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_owned(), End::Fin),
        Plan::Whole("HTTP/9 what\r\n\r\n".to_owned(), End::Fin),
    ] {
        let peer = Peer::start(plan).await;
        for scheme in ["http", "https"] {
            let address = format!("{scheme}://{}", peer.address);
            let url = Url::parse(&format!("{address}/t?{QUERY}")).unwrap();
            let gate = Gate::until(Instant::now() + timeout);
            let body = KEY.as_bytes().to_vec().into();
            let outcome = create.post(&url, HeaderMap::new(), &key, body, gate).await;
            told.push(format!("{outcome:?}"));
            let outcome = route.get(&url, HeaderMap::new(), &key).await;
            told.push(outcome.map_or_else(|error| format!("{error} {error:?}"), |_| String::new()));
            let rules = Rules {
                hosts: Hosts::AnyPublic,
                origins: vec![egress::Origin::parse(&address).unwrap()],
                redirects_max: 3,
            };
            let guarded = GuardedClient::new(rules, patience, Trust::Nobody).unwrap();
            match guarded.get(url.as_str(), None).await {
                Err(error) => told.push(format!("{error} {error:?}")),
                Ok(mut response) => {
                    told.push(format!("{response:?}"));
                    while let Some(piece) = response.body.next().await.transpose() {
                        if let Err(error) = piece {
                            told.push(format!("{error} {error:?}"));
                            break;
                        }
                    }
                }
            }
        }
    }
    assert!(told.iter().filter(|text| !text.is_empty()).count() >= 30, "{told:#?}");
    for text in told {
        assert!(!text.contains("canary"), "{text}");
    }
}

#[tokio::test]
async fn refusals_tell_the_host_and_the_rule_only() {
    let rules = Rules::for_outputs(&Settings::default(), &[]).unwrap();
    let client = GuardedClient::new(rules, FetchTimeouts::default(), Trust::Nobody).unwrap();
    for url in [
        format!("https://h.example/v.mp4?{QUERY}"),
        format!("https://user:canary@a.volces.com/?{QUERY}"),
        format!("https://a.volces.com:8443/?{QUERY}"),
        format!("ftp://a.volces.com/?{QUERY}"),
        format!("https://127.0.0.1/?{QUERY}"),
        format!("canary {QUERY}"),
    ] {
        let error = client.get(&url, None).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("canary"), "{text}");
    }
}
