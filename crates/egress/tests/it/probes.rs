//! The probe suite: a listener on this machine counts who gets through. Nobody may.
//!
//! The tables of `guarded` say which rule stops an address. Here it is only asked whether a connection
//! arrives, for every spelling of this machine, as a link, behind redirects, behind names, and with a
//! proxy named in the environment. That the listener can be reached at all is shown by a client
//! without a guard.

use std::net::IpAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use egress::{
    FetchError, FetchTimeouts, GuardedClient, Hosts, Lookup, Origin, Rules, Settings, Trust,
};
use tokio::net::TcpListener;

use crate::peer::{Peer, Plan, answer};

/// Set in the child process of the test about proxies, to the listener's address.
const CHILD_ENV: &str = "SEEDFLEET_PROBE_CHILD";

/// Ways to write this machine. The listener waits at each of them.
const HERE: &[&str] = &[
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.000.000.001",
    "2130706433",
    "2130706433.",
    "017700000001",
    "0177.0.0.1",
    "0177.0x0.0.1",
    "0177.0.1",
    "0x7f000001",
    "0X7F000001",
    "0x7F.1",
    "0x7f.0.0.1",
    "0x7f.0x0.0x0.0x1",
    "0x0000000000007f000001",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "１２７.０.０.１",
    "127。0。0。1",
    "127．0｡0。1",
    "①②⑦.0.0.1",
    "0",
    "0.0.0.0",
    "0x0",
    "00.0.0",
    "localhost",
    "LOCALHOST",
    "LocalHost.",
    "ｌｏｃａｌｈｏｓｔ",
    "ⓛocalhost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
];

/// Places inside of networks like ours, where nobody listens: they must be refused, not tried.
const INSIDE: &[&str] = &[
    "127.255.255.254",
    "10.0.0.1",
    "012.0.0.1",
    "0xa000001",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "3232235521",
    "100.64.0.1",
    "100.127.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "2852039166",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "198.18.0.1",
    "192.88.99.1",
    "224.0.0.251",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "0.0.0.1",
    "[::127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::192.168.0.1]",
    "[2002:7f00:1::]",
    "[2002:0a00:0001::1]",
    "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[ff05::1:3]",
    "[100::1]",
];

/// A listener on one port of all addresses of this machine; counts what arrives.
struct Canary {
    port: u16,
    arrived: Arc<AtomicUsize>,
}

impl Canary {
    async fn start() -> Self {
        let arrived = Arc::new(AtomicUsize::new(0));
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(both) => both,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(),
        };
        let port = listener.local_addr().unwrap().port();
        let count = Arc::clone(&arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        Self { port, arrived }
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Links that would lead to the listener, or to a place inside, if anybody followed them.
    fn links(&self) -> Vec<String> {
        let port = self.port;
        let mut links = Vec::new();
        for host in HERE.iter().chain(INSIDE) {
            links.push(format!("http://{host}:{port}/v.mp4"));
            links.push(format!("https://{host}:{port}/v.mp4"));
            links.push(format!("https://{host}/v.mp4"));
        }
        for twisted in [
            "http://b.volces.com@127.0.0.1:PORT/",
            "https://b.volces.com:443@127.0.0.1:PORT/",
            "https://b.volces.com%00@127.0.0.1:PORT/",
            "http://b.volces.com\\@127.0.0.1:PORT/",
            "http://127.0.0.1:PORT#@b.volces.com/",
            "http://127.0.0.1:PORT?@b.volces.com/",
            "http://127.0.0.1:PORT\\.b.volces.com/",
            "HtTp://127.0.0.1:PORT/",
            "http:127.0.0.1:PORT/",
            "http:///127.0.0.1:PORT/",
            "http:\\\\127.0.0.1:PORT\\",
            " http://127.0.0.1:PORT/",
            "ht\ntp://127.0.0.1:PORT/",
            "http://127.0.0.1:0PORT/",
            "ftp://127.0.0.1:PORT/",
            "ws://127.0.0.1:PORT/",
            "gopher://127.0.0.1:PORT/_x",
            "https://b.volces.com:PORT/",
        ] {
            links.push(twisted.replace("PORT", &port.to_string()));
        }
        links
    }
}

fn any_public() -> Rules {
    Rules { hosts: Hosts::AnyPublic, origins: Vec::new(), redirects_max: 3 }
}

fn video_hosts() -> Rules {
    Rules::for_outputs(&Settings::default(), &[]).unwrap()
}

fn patience() -> FetchTimeouts {
    FetchTimeouts { connect: Duration::from_secs(2), idle: Duration::from_secs(2) }
}

/// A client whose every name means one of these addresses, in turn.
fn resolving_to(rules: Rules, addresses: &[&str]) -> GuardedClient {
    let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
    let asked = AtomicUsize::new(0);
    let lookup: Lookup = Arc::new(move |_| {
        let at = asked.fetch_add(1, Ordering::SeqCst) % addresses.len();
        let found = vec![addresses[at]];
        Box::pin(async move { Ok(found) })
    });
    GuardedClient::with_lookup(rules, patience(), Trust::Nobody, lookup).unwrap()
}

async fn is_refused(client: &GuardedClient, link: &str) {
    let refused = client.get(link, None).await;
    assert!(matches!(refused, Err(FetchError::Refused(_))), "{link}: {refused:?}");
}

#[tokio::test]
async fn no_link_leads_inside() {
    let canary = Canary::start().await;
    let links = canary.links();
    assert!(HERE.len() + INSIDE.len() >= 60);
    // Whatever a name means to this client, it is this machine.
    for rules in [any_public(), video_hosts()] {
        let client = resolving_to(rules, &["127.0.0.1", "::1", "::ffff:127.0.0.1", "0.0.0.0"]);
        for link in &links {
            is_refused(&client, link).await;
        }
    }
    assert_eq!(canary.arrived(), 0);
}

/// Without this the suite would pass with a listener that nobody can reach.
#[tokio::test]
async fn a_client_without_a_guard_gets_through_by_most_spellings() {
    let canary = Canary::start().await;
    let bare = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2));
    let bare = bare.build().unwrap();
    for host in HERE {
        let _ = bare.get(format!("http://{host}:{}/", canary.port)).send().await;
    }
    let arrived = canary.arrived();
    assert!(arrived >= 25, "only {arrived} of {} spellings arrive", HERE.len());
}

#[tokio::test]
async fn no_redirect_leads_inside() {
    let canary = Canary::start().await;
    for (turn, link) in canary.links().into_iter().enumerate() {
        // A header's value is ASCII; browsers and clients meet such hosts percent-encoded.
        let Ok(link) = egress::Url::parse(&link) else { continue };
        let last = answer("302 Found", &format!("location: {link}\r\n"), "");
        let hop = |to: &str| answer("307 Temporary Redirect", &format!("location: {to}\r\n"), "");
        // Directly, or behind one or two honest steps.
        let start = ["/0", "/1", "/2"][turn % 3];
        let paths = vec![("/0", last), ("/1", hop("/0")), ("/2", hop("1"))];
        let peer = Peer::start(Plan::Paths(paths)).await;
        let origins = vec![Origin::parse(&format!("http://{}", peer.address)).unwrap()];
        let rules = Rules { origins, ..any_public() };
        let client = resolving_to(rules, &["127.0.0.1", "10.0.0.1"]);
        is_refused(&client, peer.url(start).as_str()).await;
        assert_eq!(peer.now().whole, 1 + turn % 3, "{link}");
    }
    assert_eq!(canary.arrived(), 0);
}

/// The name is judged by the very address that is connected to, so answering differently later gains
/// nothing; and a name is asked anew for each fetch, so an honest past does not help.
#[tokio::test]
async fn no_name_leads_inside() {
    let canary = Canary::start().await;
    let port = canary.port;
    for addresses in [
        &["127.0.0.1", "::1"][..],
        &["::ffff:127.0.0.1", "0.0.0.0"],
        &["64:ff9b::7f00:1", "2002:7f00:1::", "127.0.0.2"],
        &["169.254.169.254", "fd00:ec2::254", "100.100.100.200"],
    ] {
        let client = resolving_to(video_hosts(), addresses);
        for name in ["b.volces.com", "B.VOLCES.COM.", "127.0.0.1.b.volces.com", "xn--a.volces.com"]
        {
            for _ in addresses {
                let link = format!("https://{name}/v.mp4");
                let error = client.get(&link, None).await.unwrap_err();
                assert!(matches!(error, FetchError::Refused(_)), "{link}: {error:?}");
                is_refused(&client, &format!("https://{name}:{port}/v.mp4")).await;
            }
        }
    }
    assert_eq!(canary.arrived(), 0);
}

/// A proxy would resolve names itself, where nobody vets them. The environment is set before the
/// process starts, so the probes run in a child: this very test, by its name.
#[tokio::test]
async fn no_proxy_of_the_environment_is_used() {
    if let Ok(proxy) = std::env::var(CHILD_ENV) {
        return behind_a_proxy(&proxy).await;
    }
    let canary = Canary::start().await;
    let proxy = format!("http://127.0.0.1:{}", canary.port);
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "probes::no_proxy_of_the_environment_is_used", "--nocapture"]);
    child.env(CHILD_ENV, &proxy);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        child.env(name, &proxy).env(name.to_uppercase(), &proxy);
    }
    child.env_remove("no_proxy").env_remove("NO_PROXY");
    // CGI's guard against a `Proxy:` header, which would switch HTTP_PROXY off.
    child.env_remove("REQUEST_METHOD");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    // The one that got through is the client without a guard.
    assert_eq!(canary.arrived(), 1);
}

async fn behind_a_proxy(proxy: &str) {
    let bare = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
    assert!(bare.get("http://b.volces.com/").send().await.is_err(), "the proxy hangs up");

    let peer = Peer::start(Plan::Paths(vec![("/", answer("200 OK", "", "video"))])).await;
    let origin = Origin::parse(&format!("http://{}", peer.address)).unwrap();
    let rules = Rules { origins: vec![origin], ..any_public() };
    let client = resolving_to(rules, &["127.0.0.1", "10.0.0.1"]);
    let direct = client.get(peer.url("/").as_str(), None).await.unwrap();
    assert_eq!(direct.status, 200);
    assert_eq!(peer.now().connections, 1, "not by way of {proxy}");
    for link in ["https://b.volces.com/v.mp4", "https://127.0.0.1/", "https://localhost/"] {
        is_refused(&client, link).await;
    }
}
