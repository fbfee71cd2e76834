//! The ledger, the counters and the program itself.

use std::io::BufRead as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use simulator::{Limits, Options};

use crate::bench::{Bench, request, wait_for};

#[tokio::test]
async fn the_ledger_tells_what_was_seen_made_and_billed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.ndjson");
    let options =
        Options { ledger: Some(path.clone()), limits: Limits::unlimited(), ..Options::default() };
    let bench = Bench::with(options).await;
    let body = request(json!({"execution_expires_after": 131_071,
        "callback_url": "http://127.0.0.1:9/cb/v1/a/b"}));
    let response = bench
        .http
        .post(bench.tasks_url())
        .bearer_auth("sim-key")
        .header("x-client-request-id", "attempt-1")
        .json(&body)
        .send()
        .await
        .unwrap();
    let id = crate::bench::Answer::read(response).await.id();
    bench.advance(400).await;
    bench.until(&id, "succeeded").await;
    bench.create(&request(json!({"duration": 99}))).await;

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let served = bench.ledger().await;
    assert_eq!(served[..lines.len()], lines[..], "the control interface shows the file");
    let numbers: Vec<u64> = lines.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=lines.len() as u64).collect::<Vec<_>>());

    let of = |event: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["event"] == event).collect()
    };
    let seen = of("create_seen");
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0]["client_request_id"], "attempt-1");
    assert_eq!(seen[0]["nonce"], 131_071);
    // Null for the first moment of a machine on which nobody else asks the kernel. Its clock and this program's are two
    // readings of one, and a millisecond is cut off the second.
    for call in &seen {
        let at_ms = call["at_ms"].as_i64().unwrap();
        if let Some(arrived_us) = call["arrived_us"].as_u64().and_then(|us| i64::try_from(us).ok())
        {
            assert!(arrived_us <= (at_ms + 2) * 1_000, "{call}");
        }
    }
    assert_eq!(seen[0]["callback_path"], "/cb/v1/a/b");
    assert_eq!(seen[0]["account"], "main");
    assert_eq!(seen[0]["model"], crate::bench::MODEL);
    assert_eq!(seen[0]["body_sha256"].as_str().unwrap().len(), 64);
    let made = of("task_made");
    assert_eq!((made.len(), &made[0]["task"]), (1, &json!(id)));
    assert_eq!(made[0]["request_id"], seen[0]["request_id"]);
    let answered = of("create_answered");
    let statuses: Vec<&Value> = answered.iter().map(|line| &line["http_status"]).collect();
    assert_eq!(statuses, [&json!(200), &json!(400)]);
    let billed = of("billed");
    assert_eq!((billed.len(), &billed[0]["tokens"]), (1, &json!(108_900)));
    assert!(!text.contains("paper boat"), "prompts stay out of the ledger");
}

#[tokio::test]
async fn a_lost_answer_is_billed_and_shows_in_the_ledger() {
    let bench = Bench::start().await;
    bench.set("faults", json!({"create": [{"kind": "accept_then_drop", "times": 1}]})).await;
    let body = request(json!({}));
    let sent = bench.send(reqwest::Method::POST, "", Some(&body), "sim-key").await;
    assert!(sent.is_err());
    let answered = bench.events("create_answered").await.remove(0);
    assert_eq!(
        (&answered["http_status"], &answered["fault"]),
        (&Value::Null, &json!("accept_then_drop"))
    );
    bench.advance(400).await;
    wait_for("the task to be billed", async || bench.events("billed").await.pop()).await;
}

#[tokio::test]
async fn every_call_is_counted_with_its_outcome() {
    let bench = Bench::start().await;
    let id = bench.make(json!({})).await;
    bench.get(&id).await;
    bench.get("cgt-a").await;
    bench.list("").await;
    bench.delete(&id).await;
    let calls = bench.stats().await["calls"].clone();
    assert_eq!(
        calls,
        json!({"create": {"200": 1}, "delete": {"200": 1}, "list": {"200": 1},
            "retrieve": {"200": 1, "404": 1}})
    );
    let noted: Vec<Value> =
        bench.events("call").await.iter().map(|line| line["call"].clone()).collect();
    assert_eq!(noted, ["retrieve", "retrieve", "list", "delete"]);
}

#[tokio::test]
async fn thousands_of_tasks_have_pages_ends_and_ids_of_their_own() {
    let bench = Bench::start().await;
    let body = request(json!({}));
    let pages = async |page: usize| bench.list(&format!("page_num={page}&page_size=500")).await;
    for _ in 0..30 {
        let calls = (0..100).map(|_| bench.create(&body));
        assert!(futures::future::join_all(calls).await.iter().all(|answer| answer.status == 200));
    }
    assert_eq!(pages(1).await.body["total"], 3_000);
    assert_eq!(pages(6).await.body["items"].as_array().unwrap().len(), 500);
    bench.advance(400).await;
    wait_for("all of them to end", async || {
        (bench.stats().await["tasks"]["billed"] == 3_000).then_some(())
    })
    .await;
    let ids: std::collections::BTreeSet<String> = bench
        .events("billed")
        .await
        .iter()
        .map(|line| line["task"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 3_000, "no two tasks share an id");
}

#[tokio::test]
async fn the_program_says_where_it_listens_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let ports_file = folder.path().join("ports.json");
    let ledger = folder.path().join("ledger.ndjson");
    let mut child = Command::new(env!("CARGO_BIN_EXE_simulator"))
        .args(["--listen", "127.0.0.1:0", "--media-listen", "127.0.0.1:0"])
        .args(["--control-listen", "127.0.0.1:0", "--clock-scale", "1000", "--seed", "3"])
        .args(["--api-key", "k1=one/p", "--limits", "individual", "--limits", "list_qps=none"])
        .args(["--route", "volcengine", "--ports-file"])
        .arg(&ports_file)
        .arg("--ledger")
        .arg(&ledger)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let ports: Value = wait_for("the ports file", async || {
        serde_json::from_str(&std::fs::read_to_string(&ports_file).ok()?).ok()
    })
    .await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url =
        format!("http://{}/api/v3/contents/generations/tasks", ports["api"].as_str().unwrap());
    let body = json!({"model": "doubao-seedance-2-0-mini-260615",
        "content": [{"type": "text", "text": "a kite"}]});
    let made = http.post(&url).bearer_auth("k1").json(&body).send().await.unwrap();
    let id = crate::bench::Answer::read(made).await.id();
    let done = wait_for("the task to succeed", async || {
        let got = http.get(format!("{url}/{id}")).bearer_auth("k1").send().await.unwrap();
        let task = crate::bench::Answer::read(got).await.body;
        (task["status"] == "succeeded").then_some(task)
    })
    .await;
    let media = done["content"]["video_url"].as_str().unwrap();
    assert!(media.contains(ports["media"].as_str().unwrap()), "{media}");
    assert_eq!(http.get(media).send().await.unwrap().status(), 200);
    let stats = format!("http://{}/_sim/stats", ports["control"].as_str().unwrap());
    let stats = crate::bench::Answer::read(http.get(stats).send().await.unwrap()).await.body;
    assert_eq!(stats["windows"]["create_rpm"]["one/2.0-mini"]["limit"], 180);

    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(child.wait().unwrap().success(), "SIGTERM is an orderly end");
    let lines = std::io::BufReader::new(std::fs::File::open(&ledger).unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("\"billed\"")));
}
