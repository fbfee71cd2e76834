//! The main job from end to end: every mode in, every kind of end out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::kit::{ALICE, Fleet, Options, item, text};
use job::{End, JobId, State};
use serde_json::{Value, json};

/// As much of a PNG as it takes to know its size.
fn png(width: u32, height: u32) -> String {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend(width.to_be_bytes());
    bytes.extend(height.to_be_bytes());
    bytes.extend([8, 2, 0, 0, 0, 0, 0, 0, 0]);
    format!("data:image/png;base64,{}", STANDARD.encode(bytes))
}

fn picture(role: &str) -> Value {
    item("image_url", "https://media.example.com/a.png", role)
}

fn film() -> Value {
    item("video_url", "https://media.example.com/a.mp4", "reference_video")
}

fn sound() -> Value {
    item("audio_url", "https://media.example.com/a.mp3", "reference_audio")
}

// covers: M1, M4, M5, M7/succeeded, M11, M13, M14, M22, M27
#[test]
fn a_request_comes_in_and_a_verified_video_lies_in_the_bucket() {
    let fleet = Fleet::start(Options::with_gateway());
    let body = text("a paper boat").with("resolution", "480p").with("ratio", "16:9");
    let reply = fleet.post_job(body.with("metadata", json!({"order": "42"})));
    assert_eq!(reply.status, 202, "{}", reply.body);
    let id = JobId::parse(reply.body["id"].as_str().unwrap()).unwrap();
    let record = fleet.wait(&id, "succeeded");

    let ledger = fleet.ledger();
    assert_eq!(ledger.creates_of(&record), 1);
    let billed = ledger.billed_to(&record);
    assert_eq!(billed.len(), 1);
    let manifest = fleet.verified_manifest(&record);
    assert_eq!(manifest.task_id, billed[0].task);
    let video = manifest.video().expect("a stored video");
    assert_eq!(video.output.sha256, billed[0].video_sha256);
    let frame = video.last_frame.as_ref().expect("a last frame");
    assert_eq!(Some(&frame.sha256), billed[0].last_frame_sha256.as_ref());

    let facts = &manifest.facts;
    assert_eq!(facts.status.as_deref(), Some("succeeded"));
    assert_eq!(facts.model.as_deref(), Some("dreamina-seedance-2-0-260128"));
    assert!(facts.seed.is_some(), "the seed that was used");
    assert_eq!(facts.duration_s, Some(4));
    assert_eq!(facts.ratio.as_deref(), Some("16:9"));
    assert_eq!(facts.resolution.as_deref(), Some("480p"));
    assert!(facts.generate_audio.is_some());
    assert_eq!(facts.completion_tokens, Some(billed[0].tokens));
    assert_eq!(record.spec.estimate_tokens, billed[0].tokens, "the estimate is exact for texts");

    let shown = fleet.get(&format!("/v1/jobs/{id}"), ALICE).body;
    assert_eq!(shown["state"], "succeeded");
    assert_eq!(shown["output"]["video_sha256"], Value::from(video.output.sha256.as_str()));
    assert_eq!(shown["metadata"]["order"], "42");
    fleet.audit(&[id]);
}

// covers: M2, M15, M16, M17, M18, M19, M20
#[test]
fn every_mode_goes_through_and_every_impossible_one_is_told_before_anything_is_sent() {
    let fleet = Fleet::start(Options::default());
    let inline = |role| item("image_url", &png(640, 480), role);
    let good = [
        text("only words"),
        text("one frame").and(picture("first_frame")),
        text("one frame without a role").and(picture("")),
        text("two frames").and(picture("first_frame")).and(picture("last_frame")),
        text("inline").and(inline("first_frame")),
        text("an asset").and(item("image_url", "asset://asset-1", "reference_image")),
        text("references").and(picture("reference_image")).and(film()).and(sound()),
        text("film and sound").and(film()).and(sound()).with("model", "seedance-2.0-fast"),
    ];
    let ids: Vec<JobId> = good.into_iter().map(|body| fleet.admit(body)).collect();

    let two_seconds = text("x").and(film()).and(film()).and(film()).and(film());
    let bad = [
        ("/content", text("sound alone").and(sound())),
        ("/content", text("mixed").and(picture("first_frame")).and(picture("reference_image"))),
        ("/content/2/role", text("two").and(picture("first_frame")).and(picture(""))),
        ("/content/1", text("too small").and(item("image_url", &png(100, 100), "first_frame"))),
        ("/content/1", text("too long").and(item("image_url", &png(3000, 400), "first_frame"))),
        ("/content", two_seconds),
        ("/content/0/text", text("a boat --ratio 16:9")),
        ("/callback_url", text("ours").with("callback_url", "https://example.com/")),
        ("/model", text("unknown").with("model", "sora-9")),
    ];
    for (pointer, body) in bad {
        let body = Value::from(body);
        let refusal = fleet.try_admit(body.clone()).expect_err(&body.to_string());
        let faults = refusal.faults();
        assert!(faults.iter().any(|f| f.pointer.starts_with(pointer)), "{pointer}: {faults:#?}");
        assert!(faults.iter().all(|f| !f.fix.is_empty()), "{faults:#?}");
    }

    for record in fleet.wait_stored(&ids) {
        let billed = fleet.ledger().billed_to(&record);
        let manifest = fleet.verified_manifest(&record);
        assert_eq!(manifest.output().unwrap().sha256, billed[0].video_sha256);
    }
    assert_eq!(fleet.ledger().events("create_seen").count(), ids.len());
    fleet.audit(&ids);
}

// covers: M3
#[test]
fn the_other_route_has_its_own_ids_from_end_to_end() {
    let route = "[pools.sim]\nroute = \"volcengine\"\n";
    let fleet =
        Fleet::start(Options::default().config(route).simulator(&["--route", "volcengine"]));
    let foreign = text("mixed up").with("model", "dreamina-seedance-2-0-260128");
    let refusal = fleet.try_admit(foreign).expect_err("an id of the other route");
    assert!(refusal.faults().iter().any(|fault| fault.pointer == "/model"), "{refusal}");
    let id = fleet.admit(text("by its alias"));
    let record = fleet.wait(&id, "succeeded");
    let manifest = fleet.verified_manifest(&record);
    assert_eq!(manifest.facts.model.as_deref(), Some("doubao-seedance-2-0-260128"));
    assert_eq!(manifest.frozen.route.as_deref(), Some("volcengine"));
    fleet.audit(&[id]);
}

// covers: M7/failed, M7/expired, M7/cancelled, M11, M12, M24/failed, M25
#[test]
fn a_task_without_a_video_leaves_its_payload_and_an_honest_end() {
    let fleet = Fleet::start(Options::default());
    let rule = |kind, word| json!({"kind": kind, "match": {"text": word}});
    let mut broke = rule("failed", "broke");
    broke["code"] = json!("OutputVideoSensitiveContentDetected");
    broke["message"] = json!("the generated video may contain sensitive information");
    let plan = [
        broke,
        rule("expired", "lapsed"),
        rule("cancelled", "withdrawn"),
        rule("no_video_url", "hollow"),
    ];
    fleet.faults(&json!({"task": plan}));
    let job = |word| fleet.admit(text(&format!("a {word} film")));
    let [broke, lapsed, withdrawn, hollow] = ["broke", "lapsed", "withdrawn", "hollow"].map(job);
    let useful = text("a lapsed film, still wanted").with("useful_until", "2099-01-01T00:00:00Z");
    let wanted = fleet.admit(useful);

    let filed = |id: &JobId, word: &str, outcome: &str| {
        let record = fleet.wait(id, word);
        let manifest = fleet.until("the payload", || {
            let record = fleet.record(id);
            let pending = matches!(&record.life.state,
                State::Finished { filing, .. } if *filing == job::Filing::Pending);
            (!pending).then(|| fleet.verified_manifest(&record))
        });
        let told = serde_json::to_value(&manifest).unwrap();
        assert_eq!(told["outcome"], outcome, "{told}");
        let ledger = fleet.ledger();
        assert_eq!(ledger.creates_of(&record), 1, "a {word} task is never bought again");
        record
    };
    let record = filed(&broke, "failed", "failed");
    let State::Finished { end: End::Failed { cause }, .. } = &record.life.state else { panic!() };
    assert_eq!(cause.code, "OutputVideoSensitiveContentDetected");
    assert!(cause.message.contains("sensitive information"));
    let record = filed(&lapsed, "expired", "expired");
    let State::Finished { end, .. } = &record.life.state else { panic!() };
    assert_eq!(*end, End::Expired { retryable: true });
    filed(&wanted, "expired", "expired");
    filed(&withdrawn, "cancelled", "cancelled");
    filed(&hollow, "output_lost", "output_lost");
    assert!(fleet.timeline(&hollow).iter().any(|line| line.contains("without a video link")));

    // Who asks for one code again gets the jobs of that code again, and is told the price first.
    let retry = ["failed", "retry", "OutputVideoSensitiveContentDetected"];
    let asked = fleet.cli(&retry);
    assert_eq!(asked.code, 9, "{asked:?}");
    assert!(asked.stderr.contains("1 jobs would be made again"), "{asked:?}");
    fleet.faults(&json!({}));
    let done = fleet.cli(&[&retry[..], &["--reason", "reworded", "--yes", "-o", "json"]].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let again = fleet.until("its next take", || {
        let found = fleet.cli(&["jobs", "list", "--where", "state=succeeded", "-o", "id"]);
        JobId::parse(found.stdout.trim()).ok()
    });
    assert_eq!(fleet.record(&again).spec.retry_of.as_ref(), Some(&broke));
    fleet.audit(&[broke, lapsed, withdrawn, hollow, wanted, again]);
}
