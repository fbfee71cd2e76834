//! Callers who write no proper HTTP, or too much, or too slowly: each is told so where HTTP has words for it, none takes
//! the gateway from the others, and its memory stays bounded.

use e2e::kit::{ALICE, Fleet, Options, Wire, text};
use reqwest::Method;
use sandbox::wait;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Short silences, few connections, small bodies.
const TIGHT: &str = "[gateway]\nbody_bytes_max = 1048576\nbodies_bytes_max = 16777216\n\
                     connections_max = 64\n";

fn fleet() -> Fleet {
    fleet_with("body_idle_max = \"800ms\"\n")
}

/// For callers who are not slow, whatever the machine makes of them.
fn patient_fleet() -> Fleet {
    fleet_with("body_idle_max = \"8s\"\n")
}

fn fleet_with(more: &str) -> Fleet {
    let mut options = Options::with_gateway().config(TIGHT).config(more);
    options.roles.retain(|role| *role == "gateway");
    Fleet::start(options)
}

/// The head of a post with a key, and these lines more.
fn head(path: &str, lines: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ALICE}\r\n\
         content-type: application/json\r\n{lines}\r\n"
    )
}

/// An honest caller is served as if nothing were. It comes anew each time: of those who are in and ask for nothing, the
/// one that was silent for longest has to go when the house is full, and that may be a connection kept for later.
fn others_are_served(fleet: &Fleet) {
    let request = fleet.ask(fleet.gateway_port(), Method::GET, "/v1/jobs?limit=1", ALICE);
    let reply = fleet.send(request.header("connection", "close"));
    assert_eq!(reply.status, 200, "{}", reply.body);
}

#[track_caller]
fn told(wire: &mut Wire, status: u16, code: &str) {
    let spoken = wire.hear().unwrap_or_else(|| panic!("hung up without {status} {code}"));
    assert_eq!((spoken.status, spoken.body["code"].as_str()), (status, Some(code)), "{spoken:?}");
    assert!(spoken.head.contains("application/problem+json"), "{}", spoken.head);
    assert_eq!(spoken.body["status"], Value::from(status));
}

/// Drips, a piece with each look, until the other end has had enough.
fn drip(wire: &mut Wire, piece: &[u8]) {
    let gone = wait::until("the end of patience", Duration::from_secs(20), || {
        (!wire.is_silent() || !wire.say(piece)).then_some(())
    });
    gone.unwrap_or_else(|missed| panic!("{missed}"));
}

// covers: M25
#[test]
fn who_drips_a_head_or_falls_silent_in_it_is_told_and_cut() {
    let fleet = fleet();
    let mut silent = fleet.wire();
    silent.say("GET /v1/jobs HTTP/1.1\r\nhost:");
    told(&mut silent, 408, "too-slow");
    assert!(silent.is_closed());

    let mut dripping = fleet.wire();
    dripping.say("GET /v1/jobs HTTP/1.1\r\nhost: x\r\nx-slow: ");
    drip(&mut dripping, b"a");
    told(&mut dripping, 408, "too-slow");

    // Who has not begun is no slow caller: the connection just ends, and none of these took anything from others.
    assert!(fleet.wire().is_closed());
    others_are_served(&fleet);
}

#[test]
fn who_drips_or_breaks_off_a_body_is_told_and_cut() {
    // Long enough for one of them to say that it has said all before it counts as silent.
    let fleet = fleet_with("body_idle_max = \"3s\"\n");
    let mut silent = fleet.wire();
    silent.say(head("/v1/jobs", "content-length: 400\r\n") + "{\"model\":");
    told(&mut silent, 408, "too-slow");

    let mut batch = fleet.wire();
    batch.say(head("/v1/batches", "content-length: 400\r\n") + "[{\"model\":");
    told(&mut batch, 408, "body-broke-off");

    let mut gone = fleet.wire();
    gone.say(head("/v1/jobs", "content-length: 400\r\n") + "{");
    gone.stop_speaking();
    told(&mut gone, 400, "bad-request");

    // Nobody waits for a body whose caller may not send it.
    let mut stranger = fleet.wire();
    stranger.say("POST /v1/jobs HTTP/1.1\r\nhost: x\r\ncontent-length: 400\r\n\r\n");
    told(&mut stranger, 401, "unauthorized");
    others_are_served(&fleet);
}

// covers: M25
#[test]
fn what_is_too_large_is_refused_before_it_is_taken_in() {
    let fleet = patient_fleet();
    let mut line = fleet.wire();
    line.say(format!("GET /v1/jobs?where={} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(9_000)));
    told(&mut line, 414, "address-too-long");

    let mut headers = fleet.wire();
    headers.say(format!("GET / HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n", "a".repeat(20_000)));
    told(&mut headers, 431, "headers-too-large");

    // Beyond what is read of a head at all there is nobody left to write a document.
    for long in [format!("x-a: {}\r\n", "a".repeat(200_000)), "x-a: b\r\n".repeat(500)] {
        let mut wire = fleet.wire();
        wire.say(format!("GET / HTTP/1.1\r\nhost: x\r\n{long}\r\n"));
        assert_eq!(wire.hear().map(|spoken| spoken.status), Some(431));
        assert!(wire.is_closed());
    }

    let mut announced = fleet.wire();
    announced.say(head("/v1/jobs", "content-length: 10000000000000\r\n"));
    told(&mut announced, 413, "body-too-large");

    // Not announced, and sent to the end by a caller who does not listen meanwhile.
    let mut sent = fleet.wire();
    sent.say(head("/v1/jobs", "transfer-encoding: chunked\r\n"));
    let piece = format!("10000\r\n{}\r\n", "a".repeat(0x1_0000));
    for _ in 0..40 {
        sent.say(&piece);
    }
    sent.say("0\r\n\r\n");
    told(&mut sent, 413, "body-too-large");

    let many = format!("{{\"jobs\":[{}{{}}]}}", "{},".repeat(1_000));
    let mut bulk = fleet.wire();
    bulk.say(head("/v1/jobs:bulk", &format!("content-length: {}\r\n", many.len())) + &many);
    told(&mut bulk, 413, "too-many-items");
    others_are_served(&fleet);
}

// covers: M25
#[test]
fn what_is_no_json_of_one_reading_is_refused() {
    let fleet = patient_fleet();
    let deep = "[".repeat(100_000);
    let deep_object = format!("{}1{}", "{\"a\":".repeat(200), "}".repeat(200));
    let wide = format!("[{}1]", "1,".repeat(300_000));
    let bad: [&[u8]; 8] = [
        deep.as_bytes(),
        deep_object.as_bytes(),
        wide.as_bytes(),
        b"{\"model\":\"\xff\xfe\"}",
        b"\xed\xa0\x80",
        b"{\"a\":1,\"a\":2}",
        b"{\"a\":1} {\"a\":1}",
        b"\x00",
    ];
    let paths = ["/v1/jobs", "/v1/jobs:bulk", "/v1/estimate", "/v1/operations", "/v1/keys"];
    for path in paths.into_iter().chain(["/v1/webhook-endpoints", "/v1/batches/b:pause"]) {
        let mut wire = fleet.wire();
        for body in bad {
            // One connection for all of them: none of these ends it.
            wire.say(head(path, &format!("content-length: {}\r\n", body.len())));
            wire.say(body);
            told(&mut wire, 400, "malformed-json");
        }
    }
    let mut wire = fleet.wire();
    wire.say("GET /v1/jobs/%ff%fe HTTP/1.1\r\nhost: x\r\n\r\n");
    told(&mut wire, 400, "bad-path");
    wire.say(format!(
        "GET /v1/jobs?where=%ff HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ALICE}\r\n\r\n"
    ));
    told(&mut wire, 400, "bad-query");
    let mut header = fleet.wire();
    header.say(b"GET /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \xff\xfe\r\n\r\n");
    told(&mut header, 401, "unauthorized");
    others_are_served(&fleet);
}

#[test]
fn what_is_no_http_ends_its_own_connection_only() {
    let fleet = patient_fleet();
    let rubbish: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
    ];
    for bytes in rubbish {
        let mut wire = fleet.wire();
        wire.say(bytes);
        wire.stop_speaking();
        let status = wire.hear().map(|spoken| spoken.status);
        assert!(
            matches!(status, None | Some(400)),
            "{status:?} {:?}",
            String::from_utf8_lossy(bytes)
        );
        assert!(wire.is_closed());
    }

    // A body in pieces that are none.
    for chunks in ["zz\r\nabc\r\n0\r\n\r\n", "ffffffffffffffffff\r\n", "3\r\nabcdef\r\n0\r\n\r\n"] {
        let mut wire = fleet.wire();
        wire.say(head("/v1/jobs", "transfer-encoding: chunked\r\n") + chunks);
        told(&mut wire, 400, "bad-request");
    }

    // A body longer than it says: its end is read as the next request, and is none.
    let mut longer = fleet.wire();
    longer.say(head("/v1/jobs", "content-length: 2\r\n") + "{}{\"smuggled\":true}\r\n\r\n");
    told(&mut longer, 422, "invalid-request");
    assert_eq!(longer.hear().map(|spoken| spoken.status), Some(400));
    assert!(longer.is_closed());

    // Two lengths that disagree are two readings of one request.
    let mut smuggler = fleet.wire();
    smuggler.say(head("/v1/jobs", "transfer-encoding: chunked\r\ncontent-length: 5\r\n"));
    smuggler.say("0\r\n\r\nGET /v1/keys HTTP/1.1\r\nhost: x\r\n\r\n");
    let answers: Vec<u16> = std::iter::from_fn(|| smuggler.hear()).map(|s| s.status).collect();
    assert!(answers.iter().all(|status| *status >= 400), "{answers:?}");

    // Good requests in front of rubbish are answered, in their order.
    let mut piped = fleet.wire();
    let good =
        format!("GET /v1/jobs/x HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ALICE}\r\n\r\n");
    piped.say(good.repeat(3) + "%%%%\r\n\r\n");
    for _ in 0..3 {
        told(&mut piped, 404, "not-found");
    }
    assert_eq!(piped.hear().map(|spoken| spoken.status), Some(400));
    assert!(piped.is_closed());
    others_are_served(&fleet);
}

#[test]
fn who_has_said_everything_may_still_listen() {
    let fleet = patient_fleet();
    let body = Value::from(text("half closed")).to_string();
    let mut wire = fleet.wire();
    wire.say(
        head("/v1/jobs", &format!("prefer: wait=1\r\ncontent-length: {}\r\n", body.len())) + &body,
    );
    wire.stop_speaking();
    let spoken = wire.hear().expect("an answer");
    assert_eq!(spoken.status, 202, "{spoken:?}");
    assert!(wire.is_closed());

    // A follower who has gone gives its seat back without waiting for the next sign of life.
    let id = spoken.body["id"].as_str().expect("a job").to_owned();
    for _ in 0..300 {
        let mut follower = fleet.wire();
        follower.say(format!(
            "GET /v1/jobs/{id}/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ALICE}\r\n\r\n"
        ));
        assert_eq!(follower.hear().map(|spoken| spoken.status), Some(200));
    }
}

#[test]
fn a_crowd_that_asks_for_nothing_keeps_nobody_out() {
    let fleet = fleet();
    let mut crowd: Vec<Wire> = Vec::new();
    for n in 0..300_usize {
        let mut wire = fleet.wire();
        if n.is_multiple_of(2) {
            wire.say("GET /v1/jobs HTTP/1.1\r\nhost: x\r\nx-slow: ");
        }
        crowd.push(wire);
        if n.is_multiple_of(50) {
            others_are_served(&fleet);
        }
    }
    others_are_served(&fleet);
}

#[test]
fn many_large_bodies_at_once_are_bounded_and_keep_no_small_one_out() {
    let fleet = fleet_with("body_idle_max = \"5s\"\n");
    let before = resident_bytes(&fleet);
    let piece = "a".repeat(1_000_000);
    for round in 0..2 {
        let begun = Instant::now();
        let mut wires: Vec<Wire> = (0..60).map(|_| fleet.wire()).collect();
        for wire in &mut wires {
            wire.say(head("/v1/jobs", "content-length: 1048576\r\n") + "{\"model\":\"" + &piece);
        }
        let request = fleet.ask(fleet.gateway_port(), Method::POST, "/v1/jobs", ALICE);
        let reply = fleet.send(request.json(&Value::from(text(&format!("small, {round}")))));
        assert_eq!(reply.status, 202, "{}", reply.body);
        // Some sixteen of them fit and are waited for; the others are told to come again. As many fit anew whenever those
        // have been waited for in vain.
        let turns = 1 + usize::try_from(begun.elapsed().as_secs() / 5).unwrap();
        let answers: Vec<u16> =
            wires.iter_mut().filter_map(Wire::hear).map(|spoken| spoken.status).collect();
        let refused = answers.iter().filter(|status| **status == 503).count();
        let fit = 30 * turns;
        assert!(refused + fit >= 60 && answers.contains(&408), "{turns} turns: {answers:?}");
    }
    // Far less than the 120 MB that were sent stays, once the allocator has had an occasion to give it back.
    let bounded = || {
        others_are_served(&fleet);
        (resident_bytes(&fleet).saturating_sub(before) < 64 << 20).then_some(())
    };
    wait::until("the bodies' memory given back", Duration::from_secs(20), bounded).unwrap_or_else(
        |missed| panic!("{missed}: {} MiB, {} before", resident_bytes(&fleet) >> 20, before >> 20),
    );
}

/// What the gateway has in memory.
fn resident_bytes(fleet: &Fleet) -> u64 {
    sandbox::machine::resident_bytes(fleet.role("gateway").pid()).expect("it runs")
}
