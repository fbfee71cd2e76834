//! Whatever a file host answers: heads that contradict themselves, over real sockets.

use std::time::Duration;

use egress::{FetchTimeouts, GuardedClient, Hosts, Origin, Rules, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// More than any input of the run can say.
const BODY_BYTES_MAX: u64 = 64 << 10;

/// Fetches once from a host that says exactly this; tells how it went.
async fn fetch(client: &GuardedClient, listener: &TcpListener, said: &[u8]) -> String {
    let url = format!("http://{}/v.mp4", listener.local_addr().unwrap());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 2_048];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(said).await;
        let _ = stream.shutdown().await;
        // A later connection of the same fetch is refused: nothing of this is worth a redirect.
        stream
    };
    let ask = async {
        let mut response = match client.get(&url, None).await {
            Ok(response) => response,
            Err(error) => return format!("{error:?}").split(['(', ' ']).next().unwrap().to_owned(),
        };
        assert!((100..1_000).contains(&response.status), "{}", response.status);
        let (mut bytes, announced) = (0_u64, response.content_length);
        let end = loop {
            match response.body.next().await {
                Ok(Some(piece)) => bytes += piece.len() as u64,
                Ok(None) => break "whole",
                Err(_) => break "cut",
            }
            assert!(bytes <= BODY_BYTES_MAX);
        };
        if let Some(announced) = announced {
            assert!(bytes <= announced, "{bytes} bytes of {announced}");
            // Every other answer is thrown away with its body.
            let is_file = matches!(response.status, 200 | 206);
            assert!(end == "cut" || bytes == announced || !is_file, "{bytes} of {announced}");
        }
        if let Some(range) = &response.content_range {
            assert!(range.is_ascii(), "{range:?}");
        }
        format!("{} {end} {}", response.status / 100, announced.is_some())
    };
    let both = async { tokio::join!(serve, ask).1 };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("never ends")
}

#[test]
fn fuzz_response_head() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let rules = Rules {
        hosts: Hosts::AnyPublic,
        origins: vec![Origin::parse(&origin).unwrap()],
        redirects_max: 0,
    };
    let timeouts =
        FetchTimeouts { connect: Duration::from_secs(5), idle: Duration::from_millis(200) };
    let words = [
        "HTTP/1.1 ",
        "HTTP/1.0 ",
        "200 OK",
        "206 Partial Content",
        "416 ",
        "\r\n",
        "\r\n\r\n",
        "content-length: ",
        "content-range: bytes ",
        "transfer-encoding: chunked",
        "etag: \"e\"",
        "0\r\n\r\n",
        "5\r\nvideo\r\n",
        "-1",
        "+5",
        "0x5",
        "5, 5",
        "bytes */9",
    ];
    fuzz::run_cases("response_head", &words, 300, |said| {
        // A client of its own each time: a connection that is kept would outlive its input.
        let client = GuardedClient::new(rules.clone(), timeouts, Trust::Nobody).unwrap();
        runtime.block_on(fetch(&client, &listener, said))
    });
}
