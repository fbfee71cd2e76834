//! Faults of the API: what the client sees, and whether a task was made.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bench::{Answer, Bench, fixture, request, wait_for};

/// What a client can know of a create call: a status, or that the connection broke.
async fn outcome(bench: &Bench) -> Result<Answer, reqwest::Error> {
    let response = bench.send(Method::POST, "", Some(&request(json!({}))), "sim-key").await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, request_id: None, headers, body, text })
}

async fn made(bench: &Bench) -> u64 {
    bench.stats().await["tasks"]["made"].as_u64().unwrap()
}

#[tokio::test]
async fn lost_answers_leave_a_task_behind_or_not_as_their_names_say() {
    for (kind, status, tasks) in [
        ("drop_before", None, 0),
        ("drop_after_read", None, 0),
        ("accept_then_drop", None, 1),
        ("accept_then_reset", None, 1),
        ("reset_after_half_head", None, 1),
        ("200_cut_body", None, 1),
        ("500_after_create", Some(500), 1),
        ("502_html_after_create", Some(502), 1),
        ("500_without_create", Some(500), 0),
        ("502_html_without_create", Some(502), 0),
        ("200_without_id", Some(200), 1),
        ("redirect", Some(307), 0),
        ("answer", Some(500), 0),
    ] {
        let bench = Bench::start().await;
        bench.set("faults", json!({"create": [{"kind": kind, "times": 1}]})).await;
        let result = outcome(&bench).await;
        assert_eq!(result.as_ref().ok().map(|a| a.status), status, "{kind}: {result:?}");
        assert_eq!(made(&bench).await, tasks, "{kind}");
        if kind.contains("html") {
            let answer = result.as_ref().unwrap();
            assert!(answer.text.starts_with("<html>"), "{kind}");
        }
        if kind == "200_without_id" {
            assert_eq!(result.as_ref().unwrap().text, "{}");
        }
        if kind == "redirect" {
            assert!(result.as_ref().unwrap().headers.contains_key("location"));
        }
        assert_eq!(outcome(&bench).await.unwrap().status, 200, "{kind} was to hit once");
        assert_eq!(made(&bench).await, tasks + 1, "{kind}");
    }
}

#[tokio::test]
async fn half_a_head_is_really_sent() {
    let bench = Bench::start().await;
    bench.set("faults", json!({"create": [{"kind": "200_cut_body"}]})).await;
    let body = request(json!({})).to_string();
    let mut stream = TcpStream::connect(bench.sim.api).await.unwrap();
    let head = format!(
        "POST /api/v3/contents/generations/tasks HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer sim-key\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    // The end may come as a reset; what counts is what arrived before it.
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (head, part) = answer.split_once("\r\n\r\n").unwrap();
    let promised = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert!(part.starts_with("{\"id\":"), "{part}");
    assert!(part.len() < promised.parse::<usize>().unwrap(), "{answer}");
}

#[tokio::test]
async fn a_request_that_never_ends_makes_no_task() {
    let bench = Bench::start().await;
    let body = request(json!({})).to_string();
    let mut stream = TcpStream::connect(bench.sim.api).await.unwrap();
    let head = format!(
        "POST /api/v3/contents/generations/tasks HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer sim-key\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{}", &body[..body.len() - 1]).as_bytes()).await.unwrap();
    drop(stream);
    wait_for("the cut request to be counted", async || {
        (bench.stats().await["calls"]["create"]["unfinished"] == 1).then_some(())
    })
    .await;
    assert_eq!(made(&bench).await, 0);
    assert!(bench.events("create_seen").await.is_empty());
}

#[tokio::test]
async fn every_answer_of_the_fixtures_can_be_given() {
    let bench = Bench::start().await;
    for row in fixture("errors") {
        let (name, status) = (row["name"].as_str().unwrap(), &row["http_status"]);
        if row["calls"] == json!([]) {
            continue;
        }
        let call = row["calls"][0].as_str().unwrap();
        let rule = json!([{"kind": "answer", "code": name, "times": 1}]);
        bench.set("faults", json!({ call: rule })).await;
        let answer = match call {
            "create" => bench.create(&request(json!({}))).await,
            "retrieve" => bench.get("cgt-a").await,
            "list" => bench.list("").await,
            _ => bench.delete("cgt-a").await,
        };
        assert_eq!(&json!(answer.status), status, "{name}");
        if let Some(text) = row["body_text"].as_str() {
            assert_eq!(answer.text, text, "{name}");
            continue;
        }
        let mut expected = row["body"].clone();
        let message = expected["error"]["message"].as_str().unwrap().to_owned();
        let (words, _) = message.split_once(" Request id: ").unwrap();
        let request_id = answer.request_id.clone().unwrap();
        expected["error"]["message"] = format!("{words} Request id: {request_id}").into();
        assert_eq!(answer.body, expected, "{name}");
    }
    assert_eq!(made(&bench).await, 0);
}

#[tokio::test]
async fn an_answer_can_be_made_up() {
    let bench = Bench::start().await;
    bench
        .set(
            "faults",
            json!({"create": [{"kind": "answer", "status": 429, "code": "Brand.New",
        "message": "Not yet.", "retry_after_s": 7, "times": 1}]}),
        )
        .await;
    let answer = bench.create(&request(json!({}))).await;
    assert_eq!((answer.status, answer.code()), (429, "Brand.New"));
    assert_eq!(answer.headers["retry-after"], "7");
    assert!(answer.text.contains("Not yet."));
}

#[tokio::test]
async fn a_slow_create_finishes_after_its_client_has_gone() {
    let bench = Bench::start().await;
    bench.set("faults", json!({"create": [{"kind": "delay_create", "ms": 2_500}]})).await;
    let body = request(json!({}));
    let call = bench.send(Method::POST, "", Some(&body), "sim-key");
    let arrived = wait_for("its request", async || {
        (bench.events("create_seen").await.len() == 1).then_some(())
    });
    tokio::select! {
        answer = call => panic!("the client was to give up first: {answer:?}"),
        () = arrived => {}
    }
    assert_eq!(made(&bench).await, 0);
    wait_for("the task to be made after all", async || (made(&bench).await == 1).then_some(()))
        .await;
}

#[tokio::test]
async fn a_delayed_reply_comes_for_a_task_that_is_there_already() {
    let bench = Bench::start().await;
    bench.set("faults", json!({"create": [{"kind": "delay_reply", "ms": 300}]})).await;
    let body = request(json!({}));
    let (answer, ()) = tokio::join!(bench.create(&body), async {
        wait_for("the task", async || (made(&bench).await == 1).then_some(())).await;
        assert_eq!(bench.events("create_answered").await.len(), 1);
    });
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn rules_count_skip_and_match() {
    let bench = Bench::start().await;
    bench
        .set(
            "faults",
            json!({"create": [
                {"kind": "answer", "code": "ServerOverloaded", "skip": 1, "times": 1,
                 "match": {"text": "boat", "nonce": 5_000}},
            ]}),
        )
        .await;
    let with = json!({"execution_expires_after": 5_000});
    let mut statuses = Vec::new();
    for extra in [json!({}), with.clone(), with.clone(), with.clone()] {
        statuses.push(bench.create(&request(extra)).await.status);
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
    let response = bench.http.get(bench.sim.control_url("faults")).send().await.unwrap();
    let plan = Answer::read(response).await.body;
    assert_eq!((&plan["create"][0]["fired"], &plan["create"][0]["times"]), (&json!(1), &json!(0)));
    let echoed = bench.control("faults", plan).await;
    assert_eq!(echoed.status, 200, "what GET shows can be PUT again");
}

#[tokio::test]
async fn chance_is_drawn_from_the_seed() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let bench = Bench::start().await;
        let rule = json!({"create": [{"kind": "500_without_create", "probability": 0.3}]});
        bench.set("faults", rule).await;
        let mut hits = Vec::new();
        for _ in 0..60 {
            hits.push(bench.create(&request(json!({}))).await.status == 500);
        }
        let count = hits.iter().filter(|hit| **hit).count();
        assert!((8..=30).contains(&count), "{count} of 60 at 0.3");
        runs.push(hits);
    }
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
async fn wrong_plans_are_refused_with_the_reason() {
    let bench = Bench::start().await;
    for (plan, part) in [
        (json!({"creat": []}), "creat"),
        (json!({"create": [{"kind": "explode"}]}), "explode"),
        (json!({"create": [{"kind": "answer", "typo": 1}]}), "typo"),
        (json!({"create": [{"kind": "answer", "probability": 2.0}]}), "probability"),
        (json!({"list": [{"kind": "answer", "code": "No.Such"}]}), "No.Such"),
    ] {
        let answer = bench.control("faults", plan).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains(part), "{}", answer.text);
    }
}

#[tokio::test]
async fn reads_can_fail_in_every_way() {
    let bench = Bench::start().await;
    let id = bench.make(json!({})).await;
    bench
        .set(
            "faults",
            json!({"retrieve": [
                {"kind": "not_found_at_first", "ms": 3_600_000, "times": 1},
                {"kind": "unknown_status", "word": "paused", "times": 1},
                {"kind": "500", "times": 1},
                {"kind": "502_html", "times": 1},
                {"kind": "drop", "times": 1},
                {"kind": "cut_body", "times": 1},
            ]}),
        )
        .await;
    assert_eq!(bench.get(&id).await.status, 404);
    assert_eq!(bench.get(&id).await.body["status"], "paused");
    assert_eq!(bench.get(&id).await.code(), "InternalServiceError");
    assert_eq!(bench.get(&id).await.status, 502);
    let path = format!("/{id}");
    assert!(bench.send(Method::GET, &path, None, "sim-key").await.is_err());
    let cut = bench.send(Method::GET, &path, None, "sim-key").await.unwrap();
    assert!(cut.text().await.is_err());
    assert_eq!(bench.get(&id).await.status, 200);
    bench.set("faults", json!({"retrieve": [{"kind": "not_found_at_first", "ms": 5_000}]})).await;
    bench.advance(6).await;
    assert_eq!(bench.get(&id).await.status, 200, "old enough to be found");
}

#[tokio::test]
async fn lists_can_lose_and_shift_pages() {
    let bench = Bench::start().await;
    let mut made = Vec::new();
    for _ in 0..4 {
        made.push(bench.make(json!({})).await);
    }
    bench
        .set(
            "faults",
            json!({"list": [
                {"kind": "missing_page", "times": 1},
                {"kind": "shifted_page", "count": 1, "times": 1},
                {"kind": "oldest_first", "times": 1},
                {"kind": "answer", "code": "AccountRateLimitExceeded", "times": 1},
            ]}),
        )
        .await;
    let first = |answer: &Answer| answer.body["items"][0]["id"].clone();
    let missing = bench.list("").await.body;
    assert_eq!(missing, json!({"items": [], "total": 4}));
    assert_eq!(first(&bench.list("").await), json!(made[2]));
    assert_eq!(first(&bench.list("").await), json!(made[0]));
    assert_eq!(bench.list("").await.status, 429);
    assert_eq!(first(&bench.list("").await), json!(made[3]));
}

#[tokio::test]
async fn a_delete_can_be_done_without_being_told() {
    let bench = Bench::start().await;
    let id = bench.make(json!({})).await;
    bench
        .set(
            "faults",
            json!({"delete": [
                {"kind": "drop", "times": 1}, {"kind": "done_then_drop", "times": 1},
            ]}),
        )
        .await;
    let path = format!("/{id}");
    assert!(bench.send(Method::DELETE, &path, None, "sim-key").await.is_err());
    assert_eq!(bench.get(&id).await.body["status"], "queued");
    assert!(bench.send(Method::DELETE, &path, None, "sim-key").await.is_err());
    assert_eq!(bench.get(&id).await.body["status"], "cancelled");
}

#[tokio::test]
async fn tasks_can_end_in_every_way() {
    let bench = Bench::start().await;
    for row in fixture("task_errors") {
        let error = &row["error"];
        bench
            .set(
                "faults",
                json!({"task": [{"kind": "failed", "code": error["code"],
            "message": error["message"]}]}),
            )
            .await;
        let id = bench.make(json!({})).await;
        bench.advance(400).await;
        assert_eq!(&bench.until(&id, "failed").await["error"], error);
    }
    bench
        .set(
            "faults",
            json!({"task": [
                {"kind": "no_video_url", "times": 1}, {"kind": "no_last_frame", "times": 1},
                {"kind": "gone", "times": 1}, {"kind": "stuck_queued", "times": 1},
                {"kind": "runs_for", "ms": 3_000_000, "times": 1},
            ]}),
        )
        .await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(bench.make(json!({"return_last_frame": true})).await);
    }
    bench.advance(400).await;
    let content = bench.until(&made[0], "succeeded").await["content"].clone();
    assert!(content.get("video_url").is_none() && content.get("last_frame_url").is_some());
    let content = bench.until(&made[1], "succeeded").await["content"].clone();
    assert!(content.get("video_url").is_some() && content.get("last_frame_url").is_none());
    wait_for("the record to be gone", async || {
        (bench.get(&made[2]).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(bench.get(&made[3]).await.body["status"], "queued");
    bench.until(&made[4], "running").await;
    bench.advance(3_000).await;
    bench.until(&made[4], "succeeded").await;
}

#[tokio::test]
async fn connections_can_be_refused_reset_and_left_silent() {
    let bench = Bench::start().await;
    bench
        .set(
            "faults",
            json!({"connect": [
                {"kind": "reset", "times": 1}, {"kind": "close", "times": 1},
                {"kind": "silent", "ms": 50, "times": 1},
            ]}),
        )
        .await;
    for _ in 0..3 {
        assert!(outcome(&bench).await.is_err());
    }
    assert_eq!(outcome(&bench).await.unwrap().status, 200);
    assert_eq!(made(&bench).await, 1);

    bench.set("faults", json!({"connect": [{"kind": "refuse", "ms": 400}]})).await;
    wait_for("the port to refuse", async || {
        let error = TcpStream::connect(bench.sim.api).await.err()?;
        (error.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
    })
    .await;
    wait_for("the port to open again", async || {
        TcpStream::connect(bench.sim.api).await.ok().map(|_| ())
    })
    .await;
    assert_eq!(outcome(&bench).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_connection_can_be_closed_behind_an_answer_that_did_not_say_so() {
    let bench = Bench::start().await;
    bench.set("faults", json!({"connect": [{"kind": "close_idle", "times": 1}]})).await;
    let mut stream = TcpStream::connect(bench.sim.api).await.unwrap();
    let ask = b"GET /api/v3/contents/generations/tasks/none HTTP/1.1\r\nhost: sim\r\n\r\n";
    stream.write_all(ask).await.unwrap();
    let mut told = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut told)).await;
    end.expect("it is closed, though nobody asked for that").unwrap();
    let told = String::from_utf8(told).unwrap().to_lowercase();
    assert!(told.starts_with("http/1.1 401"), "{told}");
    assert!(!told.contains("connection: close"), "{told}");
}
