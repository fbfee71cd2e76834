//! What the create client can know after each way a call can fail, and that it sends once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use egress::{
    CallLimits, CreateClient, Gate, HeaderMap, HeaderValue, Hold, Moment, PostOutcome, Secret,
    Silence, Trust, Url,
};
use tokio::sync::oneshot;

use crate::peer::{End, Peer, Plan, answer};

const BODY_BYTES: usize = 1200;

fn client() -> CreateClient {
    client_within(Duration::from_secs(10))
}

fn client_within(total: Duration) -> CreateClient {
    let limits = CallLimits {
        connect_timeout: Duration::from_millis(400).min(total),
        total_timeout: total,
        ..CallLimits::for_creates()
    };
    CreateClient::new(&limits, Trust::Nobody).unwrap()
}

fn open_gate() -> Gate {
    Gate::until(Instant::now() + Duration::from_secs(60))
}

fn key() -> Secret {
    Secret::new("canary-key-4711").unwrap()
}

async fn post_to(client: &CreateClient, url: &Url, body_bytes: usize, gate: Gate) -> PostOutcome {
    let mut headers = HeaderMap::new();
    headers.insert("x-client-request-id", HeaderValue::from_static("01JATTEMPT"));
    client.post(url, headers, &key(), vec![b'x'; body_bytes].into(), gate).await
}

async fn post(peer: &Peer, gate: Gate) -> PostOutcome {
    post_to(&client(), &peer.url("/tasks"), BODY_BYTES, gate).await
}

fn assert_nothing_sent(outcome: &PostOutcome, expected: Hold) {
    match outcome {
        PostOutcome::NothingSent { hold, .. } => assert_eq!(*hold, expected, "{outcome:?}"),
        PostOutcome::Answered { .. } | PostOutcome::Unclear { .. } => panic!("{outcome:?}"),
    }
}

fn assert_unclear(outcome: &PostOutcome, expected: Option<u16>) {
    match outcome {
        PostOutcome::Unclear { head, .. } => {
            assert_eq!(head.as_ref().map(|(status, _)| *status), expected, "{outcome:?}");
        }
        PostOutcome::Answered { .. } | PostOutcome::NothingSent { .. } => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_whole_answer_is_handed_over_with_its_headers() {
    let headers = "x-request-id: 0217abc\r\nretry-after: 7\r\n";
    let body = r#"{"id":"cgt-1"}"#;
    let peer = Peer::start(Plan::Whole(answer("200 OK", headers, body), End::Fin)).await;
    let outcome = post(&peer, open_gate()).await;
    let PostOutcome::Answered { answer, request_complete } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((answer.status, request_complete), (200, true));
    assert_eq!(answer.body, body);
    assert_eq!(answer.head.request_id.as_deref(), Some("0217abc"));
    assert_eq!(answer.head.retry_after, Some(Duration::from_secs(7)));

    let seen = peer.at_the_end().await;
    assert_eq!((seen.connections, seen.whole, seen.body_bytes), (1, 1, BODY_BYTES));
    let head = &seen.heads[0];
    for line in [
        "post /tasks http/1.1\r\n",
        "content-length: 1200\r\n",
        "content-type: application/json\r\n",
        "authorization: bearer canary-key-4711\r\n",
        "x-client-request-id: 01jattempt\r\n",
    ] {
        assert!(head.contains(line), "{line:?} not in {head}");
    }
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(!head.contains("expect:"), "{head}");
}

#[tokio::test]
async fn without_a_connection_nothing_was_sent() {
    let refusing = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let garbling = Peer::start(Plan::Garble).await;
    let closing = Peer::start(Plan::Accept(End::Fin)).await;
    let hanging = Peer::start(Plan::Accept(End::Hang)).await;
    for url in [
        format!("http://{refusing}/"),
        "http://name.invalid/".to_owned(),
        format!("https://{}/", garbling.address),
        format!("https://{}/", closing.address),
        format!("https://{}/", hanging.address),
    ] {
        let url = Url::parse(&url).unwrap();
        let outcome = post_to(&client(), &url, BODY_BYTES, open_gate()).await;
        assert_nothing_sent(&outcome, Hold::Connect);
    }
    for peer in [garbling, closing, hanging] {
        assert_eq!(peer.at_the_end().await.heads.len(), 0);
    }
}

/// A listener whose queue is full answers no SYN. The time-out that fires first is once the one for
/// connecting and once the total one, which the library reports as something else.
#[tokio::test]
async fn an_unanswered_syn_is_nothing_sent_whichever_timeout_fires() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(100), tokio::net::TcpStream::connect(address))
            .await
    {
        held.push(stream);
    }
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    for total_ms in [5000, 150] {
        let client = client_within(Duration::from_millis(total_ms));
        let outcome = post_to(&client, &url, BODY_BYTES, open_gate()).await;
        assert_nothing_sent(&outcome, Hold::Connect);
    }
}

#[tokio::test]
async fn a_cut_with_the_last_byte_released_is_unclear() {
    for plan in [
        Plan::Head(End::Fin),
        Plan::Head(End::Rst),
        Plan::Whole(String::new(), End::Fin),
        Plan::Whole(String::new(), End::Rst),
        Plan::Whole("HTTP/1.1 200 OK\r\ncontent-".to_owned(), End::Fin),
    ] {
        let name = format!("{plan:?}");
        let peer = Peer::start(plan).await;
        let outcome = post(&peer, open_gate()).await;
        assert_unclear(&outcome, None);
        let seen = peer.at_the_end().await;
        assert_eq!((seen.connections, seen.heads.len()), (1, 1), "{name}");
        assert!(seen.whole <= 1, "{name}");
    }
}

#[tokio::test]
async fn a_cut_with_the_last_byte_still_here_is_nothing_sent() {
    for end in [End::Fin, End::Rst] {
        for body_bytes in [BODY_BYTES, 4_000_000] {
            let peer = Peer::start(Plan::Head(end)).await;
            let never =
                Gate { before_release: Some(Box::pin(std::future::pending())), ..open_gate() };
            let outcome = post_to(&client(), &peer.url("/"), body_bytes, never).await;
            assert_nothing_sent(&outcome, Hold::Cut);
            assert_eq!(peer.at_the_end().await.whole, 0);
        }
    }
}

#[tokio::test]
async fn silence_and_half_an_answer_are_unclear() {
    let silent = Peer::start(Plan::Whole(String::new(), End::Hang)).await;
    let quick = client_within(Duration::from_secs(2));
    let outcome = post_to(&quick, &silent.url("/"), BODY_BYTES, open_gate()).await;
    assert_unclear(&outcome, None);
    assert!(matches!(outcome, PostOutcome::Unclear { how: Silence::Timeout, .. }), "{outcome:?}");
    assert_eq!(silent.at_the_end().await.whole, 1);

    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"id\":".to_owned();
    let peer = Peer::start(Plan::Whole(cut, End::Fin)).await;
    assert_unclear(&post(&peer, open_gate()).await, Some(200));
    assert_eq!(peer.at_the_end().await.whole, 1);

    let long = answer("200 OK", "x-request-id: r1\r\n", &"y".repeat((1 << 20) + 1));
    let peer = Peer::start(Plan::Whole(long, End::Fin)).await;
    let outcome = post(&peer, open_gate()).await;
    assert_unclear(&outcome, Some(200));
    let PostOutcome::Unclear { how: Silence::TooLong, head: Some((_, head)), reason } = outcome
    else {
        unreachable!()
    };
    assert_eq!(head.request_id.as_deref(), Some("r1"));
    assert!(reason.contains("longer than 1048576 bytes"), "{reason}");
}

/// Statuses are the next room's business; here each of them is simply an answer, and costs one POST.
#[tokio::test]
async fn every_status_is_one_answer_and_one_request() {
    for status in [400, 401, 404, 408, 409, 413, 424, 429, 499, 500, 502, 503, 504] {
        let text = answer(&format!("{status} Word"), "", "{}");
        let peer = Peer::start(Plan::Whole(text, End::Fin)).await;
        let outcome = post(&peer, open_gate()).await;
        let PostOutcome::Answered { answer, request_complete: true } = outcome else {
            panic!("{status}: {outcome:?}");
        };
        assert_eq!(answer.status, status);
        assert_eq!(peer.at_the_end().await.whole, 1);
    }
}

#[tokio::test]
async fn a_redirect_is_shown_and_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
        let headers = format!("location: {}\r\n", elsewhere.url("/again"));
        let text = answer(&format!("{status} Moved"), &headers, "");
        let peer = Peer::start(Plan::Whole(text, End::Fin)).await;
        let outcome = post(&peer, open_gate()).await;
        assert!(
            matches!(&outcome, PostOutcome::Answered { answer, .. } if answer.status == status),
            "{outcome:?}"
        );
        assert_eq!(peer.at_the_end().await.whole, 1);
        assert_eq!(elsewhere.now().connections, 0);
    }
}

#[tokio::test]
async fn an_answer_that_overtakes_the_last_byte_keeps_it_here() {
    let text = answer("413 Payload Too Large", "connection: close\r\n", "too long");
    let peer = Peer::start(Plan::EarlyAnswer(text)).await;
    let never = Gate { before_release: Some(Box::pin(std::future::pending())), ..open_gate() };
    let outcome = post(&peer, never).await;
    let PostOutcome::Answered { answer, request_complete: false } = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!((answer.status, &answer.body[..]), (413, &b"too long"[..]));
    assert_eq!(peer.at_the_end().await.body_bytes, BODY_BYTES - 1);
}

#[tokio::test]
async fn past_the_deadline_the_last_byte_stays() {
    // Side by side: each needs a deadline behind which even a busy machine has got the rest of the body out.
    let cases = [1, 2, BODY_BYTES, 3_000_000].map(async |body_bytes| {
        let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
        let deadline = Instant::now() + Duration::from_secs(3);
        let until_past = async move { tokio::time::sleep_until(deadline.into()).await };
        let gate = Gate { before_release: Some(Box::pin(until_past)), ..Gate::until(deadline) };
        let outcome = post_to(&client(), &peer.url("/"), body_bytes, gate).await;
        assert_nothing_sent(&outcome, Hold::GateClosed);
        let seen = peer.at_the_end().await;
        assert_eq!((seen.whole, seen.body_bytes), (0, body_bytes - 1));
        assert!(seen.heads[0].contains(&format!("content-length: {body_bytes}\r\n")));
    });
    futures::future::join_all(cases).await;
}

/// More than the kernels of both sides take in before somebody reads.
const LONG_BODY_BYTES: usize = 24 << 20;

/// A gate whose slot begins after `opens_in` and lasts for `lasts`.
fn slot(opens_in: Duration, lasts: Duration) -> Gate {
    let opens = Instant::now() + opens_in;
    let wall_closes = SystemTime::now() + opens_in + lasts;
    let moment = Moment { opens, closes: opens + lasts, wall_closes, last_word: None };
    Gate { moment: Some(moment), ..open_gate() }
}

#[tokio::test]
async fn a_far_side_that_is_slower_than_the_slot_gets_no_last_byte() {
    let (text, s) = (answer("200 OK", "", "{}"), Duration::from_secs);
    // The short slot is long enough for a busy machine to connect within it.
    for (lasts, slow, sent) in [(s(2), s(3), false), (s(60), s(1), true)] {
        let peer = Peer::start(Plan::SlowStart(slow, text.clone())).await;
        let gate = slot(Duration::ZERO, lasts);
        let outcome = post_to(&client(), &peer.url("/"), LONG_BODY_BYTES, gate).await;
        let whole = peer.at_the_end().await.whole;
        if sent {
            assert!(matches!(outcome, PostOutcome::Answered { .. }), "{outcome:?}");
        } else {
            assert_nothing_sent(&outcome, Hold::OutOfTurn);
        }
        assert_eq!(whole, usize::from(sent), "within {lasts:?}");
    }
}

#[tokio::test]
async fn a_connection_that_stands_early_waits_for_its_instant() {
    let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
    let gate = slot(Duration::from_secs(2), Duration::from_secs(60));
    let opens = gate.moment.as_ref().map(|moment| moment.opens).unwrap();
    let url = peer.url("/");
    let posting = tokio::spawn(async move { post_to(&client(), &url, BODY_BYTES, gate).await });
    let seen = peer.until(|seen| seen.body_bytes >= BODY_BYTES - 1).await;
    assert_eq!(seen.whole, 0, "all but the last byte is there");
    peer.until(|seen| seen.whole == 1).await;
    assert!(Instant::now() >= opens);
    let outcome = posting.await.unwrap();
    assert!(matches!(outcome, PostOutcome::Answered { request_complete: true, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_slot_already_over_opens_no_connection() {
    let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
    let outcome = post(&peer, slot(Duration::ZERO, Duration::ZERO)).await;
    assert_nothing_sent(&outcome, Hold::OutOfTurn);
    assert_eq!(peer.now().connections, 0);
}

/// A fault point may sit between the last byte and the answer, and nowhere else.
#[tokio::test]
async fn the_hook_after_the_release_runs_once_the_last_byte_has_left() {
    let passed = Arc::new(AtomicBool::new(false));
    let gate = |deadline| {
        let passed = Arc::clone(&passed);
        let hook = async move { passed.store(true, Ordering::Release) };
        Gate { after_release: Some(Box::pin(hook)), ..Gate::until(deadline) }
    };
    let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
    let mut late = gate(Instant::now() + Duration::from_millis(50));
    // sleeps: the deadline has to pass while the hook runs.
    late.before_release = Some(Box::pin(tokio::time::sleep(Duration::from_millis(100))));
    assert_nothing_sent(&post(&peer, late).await, Hold::GateClosed);
    assert!(!passed.load(Ordering::Acquire), "nothing left");
    let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
    let outcome = post(&peer, gate(Instant::now() + Duration::from_secs(60))).await;
    assert!(matches!(outcome, PostOutcome::Answered { .. }), "{outcome:?}");
    assert!(passed.load(Ordering::Acquire));
}

#[tokio::test]
async fn a_deadline_already_past_opens_no_connection() {
    let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
    let outcome = post(&peer, Gate::until(Instant::now())).await;
    assert_nothing_sent(&outcome, Hold::GateClosed);
    assert_eq!(peer.now().connections, 0);

    let outcome = post_to(&client(), &peer.url("/"), 0, open_gate()).await;
    assert_nothing_sent(&outcome, Hold::Request);
    assert_eq!(peer.now().connections, 0);
}

#[tokio::test]
async fn the_hook_runs_when_all_but_the_last_byte_is_out() {
    let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
    let (open, opened) = oneshot::channel();
    let hook = async move { opened.await.unwrap() };
    let gate = Gate { before_release: Some(Box::pin(hook)), ..open_gate() };
    let url = peer.url("/");
    let posting = tokio::spawn(async move { post_to(&client(), &url, BODY_BYTES, gate).await });

    let seen = peer.until(|seen| seen.body_bytes == BODY_BYTES - 1).await;
    assert_eq!(seen.whole, 0);
    assert!(!posting.is_finished());
    open.send(()).unwrap();
    let outcome = posting.await.unwrap();
    assert!(matches!(outcome, PostOutcome::Answered { request_complete: true, .. }), "{outcome:?}");
    assert_eq!(peer.at_the_end().await.whole, 1);
}

/// The connection is driven by the library in the background; it must not let the byte go after the
/// caller has been told that it stayed, or has walked away.
#[tokio::test]
async fn a_gate_opened_after_the_verdict_releases_nothing() {
    for abandon in [false, true] {
        let peer = Peer::start(Plan::Whole(answer("200 OK", "", "{}"), End::Fin)).await;
        let (open, opened) = oneshot::channel::<()>();
        let hook = async move {
            let _ = opened.await;
        };
        let gate = Gate { before_release: Some(Box::pin(hook)), ..open_gate() };
        let url = peer.url("/");
        let total = Duration::from_secs(if abandon { 10 } else { 2 });
        let posting =
            tokio::spawn(
                async move { post_to(&client_within(total), &url, BODY_BYTES, gate).await },
            );
        peer.until(|seen| seen.body_bytes == BODY_BYTES - 1).await;
        if abandon {
            posting.abort();
            assert!(posting.await.unwrap_err().is_cancelled());
        } else {
            assert_nothing_sent(&posting.await.unwrap(), Hold::Cut);
        }
        // The hook may be gone with the connection already, which is as good.
        let _ = open.send(());
        let seen = peer.at_the_end().await;
        assert_eq!((seen.whole, seen.body_bytes), (0, BODY_BYTES - 1));
    }
}

/// A pooled client has 48 % false alarms against the first peer and 50 % against the second.
#[tokio::test]
async fn peers_that_drop_idle_connections_cause_no_doubt_and_no_second_request() {
    const POSTS: usize = 300;
    let text = answer("200 OK", "", "{}");
    for plan in [Plan::AnswerThenCloseIdle(text.clone()), Plan::ResetSecond(text)] {
        let peer = Peer::start(plan).await;
        let client = client();
        for _ in 0..POSTS {
            let outcome = post_to(&client, &peer.url("/"), 900, open_gate()).await;
            assert!(matches!(outcome, PostOutcome::Answered { .. }), "{outcome:?}");
        }
        let seen = peer.at_the_end().await;
        assert_eq!((seen.whole, seen.connections), (POSTS, POSTS));
    }
}

#[test]
fn a_total_above_a_minute_is_refused_with_the_key() {
    let total_timeout = Duration::from_secs(61);
    let limits = CallLimits { total_timeout, ..CallLimits::for_creates() };
    let error = CreateClient::new(&limits, Trust::Nobody).unwrap_err();
    assert!(error.to_string().starts_with("provider.create_timeout: 61s"), "{error}");
}
