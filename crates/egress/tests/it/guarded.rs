//! The probe table: addresses that must not be fetched, each with the rule that has to stop it.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use egress::{
    FetchError, FetchTimeouts, GuardedClient, Hosts, Lookup, Origin, Refused, Rules, Settings,
    Trust,
};

use crate::peer::{Peer, Plan, answer};

fn any_public() -> Rules {
    Rules { hosts: Hosts::AnyPublic, origins: Vec::new(), redirects_max: 3 }
}

fn video_hosts() -> Rules {
    Rules::for_outputs(&Settings::default(), &[]).unwrap()
}

fn references() -> Rules {
    Rules::for_references(&Settings::default(), &[]).unwrap()
}

fn client(rules: Rules) -> GuardedClient {
    GuardedClient::new(rules, FetchTimeouts::default(), Trust::Nobody).unwrap()
}

/// A client whose names resolve to what the n-th call of `answers` says; counts the lookups.
fn client_resolving(
    rules: Rules,
    answers: fn(usize) -> Vec<IpAddr>,
) -> (GuardedClient, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let lookup: Lookup = Arc::new(move |_| {
        let found = answers(count.fetch_add(1, Ordering::SeqCst));
        Box::pin(async move { Ok(found) })
    });
    let patience = FetchTimeouts::default();
    (GuardedClient::with_lookup(rules, patience, Trust::Nobody, lookup).unwrap(), asked)
}

fn rule(refused: &Refused) -> &'static str {
    match refused {
        Refused::Malformed(_) => "malformed",
        Refused::Scheme(_) => "scheme",
        Refused::UserInfo(_) => "user info",
        Refused::Port { .. } => "port",
        Refused::Host(_) => "host",
        Refused::Address(_) => "address",
        Refused::Redirects(_) => "redirects",
    }
}

/// Every one of these is https on port 443, so that nothing but the address can be the reason.
const ADDRESSES: &[&str] = &[
    // loopback, in the spellings that parsers of addresses understand
    "https://127.0.0.1/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://0177.0.0x1/",
    "https://%31%32%37.0.0.1/",
    "https://127%2E0%2E0%2E1/",
    "https://１２７.０.０.１/",
    "https://127。0。0。1/",
    "https:127.0.0.1/",
    "https:///127.0.0.1/",
    "https:\\\\127.0.0.1\\",
    "\thttps://127.0.0.1/",
    "https://127.0.\n0.1/",
    // this host, private, shared, link-local
    "https://0.0.0.0/",
    "https://0/",
    "https://0.1.2.3/",
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://100.127.255.255/",
    "https://169.254.0.1/",
    // metadata services
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://100.100.100.200/",
    "https://100.96.0.96/",
    "https://168.63.129.16/",
    "https://192.0.0.192/",
    "https://[fd00:ec2::254]/",
    // documentation, benchmarking, multicast, reserved, broadcast
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://198.18.0.1/",
    "https://198.19.255.255/",
    "https://192.88.99.1/",
    "https://224.0.0.1/",
    "https://239.255.255.255/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    // IPv6 in its own right
    "https://[::]/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[fc00::1]/",
    "https://[fdff::1]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[100::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[2001::1]/",
    "https://[2001:10::1]/",
    "https://[5f00::1]/",
    "https://[4000::1]/",
    // IPv4 carried in IPv6
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:0:127.0.0.1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::10.0.0.1]/",
    "https://[2002:7f00:1::]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[2002:c0a8:101::1]/",
];

/// Probes that another rule has to stop.
const OTHERS: &[(&str, &str)] = &[
    ("http://a.volces.com/", "scheme"),
    ("HTTP://a.volces.com/", "scheme"),
    ("ftp://a.volces.com/", "scheme"),
    ("gopher://a.volces.com/", "scheme"),
    ("ws://a.volces.com/", "scheme"),
    ("file:///etc/passwd", "malformed"),
    ("file://a.volces.com/etc/passwd", "scheme"),
    ("data:text/plain,x", "malformed"),
    ("javascript:alert(1)", "malformed"),
    ("//a.volces.com/", "malformed"),
    ("a.volces.com", "malformed"),
    ("", "malformed"),
    ("https://", "malformed"),
    ("https://[::1", "malformed"),
    ("https://127.0.0.256/", "malformed"),
    ("https://user@a.volces.com/", "user info"),
    ("https://user:secret@a.volces.com/", "user info"),
    ("https://:secret@a.volces.com/", "user info"),
    ("https://a.volces.com@127.0.0.1/", "user info"),
    ("https://a.volces.com:443@127.0.0.1:443/", "user info"),
    ("https://a.volces.com:80/", "port"),
    ("https://a.volces.com:8443/", "port"),
    ("https://a.volces.com:22/", "port"),
    ("https://a.volces.com:6379/", "port"),
    ("https://a.volces.com:0/", "port"),
];

#[tokio::test]
async fn addresses_that_are_not_public_are_refused_by_every_client() {
    assert!(ADDRESSES.len() + OTHERS.len() >= 60);
    for rules in [any_public(), video_hosts(), references()] {
        let is_plain_allowed = rules.hosts == Hosts::AnyPublicWeb;
        let client = client(rules);
        let addresses = ADDRESSES.iter().map(|url| (*url, "address"));
        let others = OTHERS.iter().copied().filter(|(url, _)| {
            // The one thing that is refused elsewhere and not there; its own table is below.
            !(is_plain_allowed && url.to_ascii_lowercase().starts_with("http:"))
        });
        for (url, expected) in addresses.chain(others) {
            match client.get(url, None).await {
                Err(FetchError::Refused(refused)) => {
                    assert_eq!(rule(&refused), expected, "{url}: {refused}");
                    assert_eq!(client.check(url), Err(refused), "{url}");
                }
                other => panic!("{url}: {other:?}"),
            }
        }
    }
}

#[test]
fn public_addresses_pass_the_check_so_the_table_can_fail() {
    let client = client(any_public());
    for url in [
        "https://8.8.8.8/",
        "https://100.63.255.255/",
        "https://100.128.0.1/",
        "https://172.32.0.1/",
        "https://192.167.255.255/",
        "https://[2606:4700::1111]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[64:ff9b::8.8.8.8]/",
        "https://a.example:443/v.mp4?sig=1",
    ] {
        assert_eq!(client.check(url), Ok(()), "{url}");
    }
}

#[tokio::test]
async fn references_may_be_plain_and_are_as_public_as_all() {
    let client = client(references());
    for url in ["http://a.example/p.png", "https://a.example/p.png", "http://8.8.8.8:80/p.png"] {
        assert_eq!(client.check(url), Ok(()), "{url}");
    }
    // Every private address again, over plain http.
    for url in ADDRESSES.iter().filter(|url| url.starts_with("https://")) {
        let refused = client.check(&url.replacen("https", "http", 1)).unwrap_err();
        assert_eq!(rule(&refused), "address", "{url}: {refused}");
    }
    for (url, expected) in [
        ("http://a.example:8080/", "port"),
        ("http://a.example:443/", "port"),
        ("https://a.example:80/", "port"),
        ("http://user@a.example/", "user info"),
        ("ftp://a.example/", "scheme"),
    ] {
        let refused = client.check(url).unwrap_err();
        assert_eq!(rule(&refused), expected, "{url}: {refused}");
    }
    let error = client.get("http://localhost/", None).await.unwrap_err();
    assert!(matches!(&error, FetchError::Refused(Refused::Address(_))), "{error:?}");
}

#[test]
fn only_hosts_with_an_allowed_suffix_are_video_hosts() {
    let client = client(video_hosts());
    for url in [
        "https://bucket.tos-cn-beijing.volces.com/v.mp4",
        "https://BUCKET.tos-ap-southeast-1.VOLCES.com/v.mp4",
        "https://b.tos.bytepluses.com/v.mp4",
        "https://b.volces.com./v.mp4",
    ] {
        assert_eq!(client.check(url), Ok(()), "{url}");
    }
    for url in [
        "https://volces.com/",
        "https://.volces.com/",
        "https://evilvolces.com/",
        "https://b.volces.com.evil.example/",
        "https://b.volces.community/",
        "https://h.example/b.volces.com",
        "https://h.example/?x=.volces.com",
        "https://8.8.8.8/",
        "https://localhost/",
    ] {
        let refused = client.check(url).unwrap_err();
        assert_eq!(rule(&refused), "host", "{url}: {refused}");
    }
}

/// Names that resolve to something private, and names that change their mind.
#[tokio::test]
async fn a_name_is_worth_what_it_resolves_to() {
    let private: [fn(usize) -> Vec<IpAddr>; 6] = [
        |_| vec!["127.0.0.1".parse().unwrap()],
        |_| vec!["::1".parse().unwrap()],
        |_| vec!["::ffff:10.0.0.1".parse().unwrap()],
        |_| vec!["169.254.169.254".parse().unwrap(), "fe80::1".parse().unwrap()],
        |_| vec!["64:ff9b::7f00:1".parse().unwrap()],
        // Another private address each time.
        |call| vec![format!("10.0.0.{call}").parse().unwrap()],
    ];
    for answers in private {
        let (client, asked) = client_resolving(video_hosts(), answers);
        for _ in 0..2 {
            let error = client.get("https://b.volces.com/v.mp4", None).await.unwrap_err();
            assert!(
                matches!(&error, FetchError::Refused(Refused::Address(_))),
                "{error:?}: a private address was not the reason"
            );
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }
    let (client, _) = client_resolving(any_public(), |_| Vec::new());
    let error = client.get("https://b.volces.com/v.mp4", None).await.unwrap_err();
    assert!(matches!(&error, FetchError::Unreachable { host, .. } if host == "b.volces.com"));

    // The system's own names for this machine.
    let client = self::client(any_public());
    let error = client.get("https://localhost/", None).await.unwrap_err();
    assert!(matches!(&error, FetchError::Refused(Refused::Address(_))), "{error:?}");
}

#[tokio::test]
async fn a_simulated_origin_is_excepted_exactly() {
    let peer = Peer::start(Plan::Paths(vec![("/", answer("200 OK", "", "video"))])).await;
    let port = peer.address.port();
    let origin = |text: &str| Origin::parse(text).unwrap();
    // The same origin however it is spelled, on either side of the comparison.
    for spelled in [format!("http://127.0.0.1:{port}"), format!("HTTP://0x7f.1:{port}/")] {
        let client = client(Rules { origins: vec![origin(&spelled)], ..video_hosts() });
        for url in [format!("http://127.0.0.1:{port}/v"), format!("http://2130706433:{port}/v")] {
            let mut response = client.get(&url, None).await.unwrap();
            assert_eq!(response.body.next().await.unwrap().unwrap(), "video");
        }
        let other = if port == u16::MAX { 1024 } else { port + 1 };
        for (url, expected) in [
            (format!("https://127.0.0.1:{port}/"), "port"),
            (format!("http://127.0.0.1:{other}/"), "scheme"),
            ("http://127.0.0.1/".to_owned(), "scheme"),
            (format!("http://127.0.0.2:{port}/"), "scheme"),
            (format!("http://localhost:{port}/"), "scheme"),
            (format!("http://u@127.0.0.1:{port}/"), "user info"),
            ("https://127.0.0.1/".to_owned(), "address"),
        ] {
            let refused = client.check(&url).unwrap_err();
            assert_eq!(rule(&refused), expected, "{url}: {refused}");
        }
    }
    // A name is excepted with its origin and with nothing else.
    let named = client(Rules {
        origins: vec![origin(&format!("http://localhost:{port}"))],
        ..any_public()
    });
    assert_eq!(named.get(&format!("http://localhost:{port}/v"), None).await.unwrap().status, 200);
    let error = named.get("https://localhost/", None).await.unwrap_err();
    assert!(matches!(&error, FetchError::Refused(Refused::Address(_))), "{error:?}");
}

#[test]
fn an_origin_is_scheme_host_and_port_only() {
    assert_eq!(Origin::parse("https://H.example").unwrap().to_string(), "https://h.example:443");
    for text in [
        "http://h.example/path",
        "http://h.example/?q",
        "http://u@h.example",
        "ftp://h.example",
        "h.example:80",
        "*",
    ] {
        let error = Origin::parse(text).unwrap_err().to_string();
        assert!(error.contains("is not an origin"), "{error}");
    }
}
