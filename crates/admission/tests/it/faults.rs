//! Bad input: everything that is wrong is told at once, and nothing of it is kept.

use crate::documents::{data_url, picture, png, showing, text, video, with};
use crate::house::{House, api, told};
use admission::{CODES, Intake, Refusal};
use job::{Priority, Source};
use seedance::{ErrorTable, Fault};
use serde_json::{Value, json};

/// The one fault of a document.
async fn fault(house: &House, document: Value) -> Fault {
    let said = document.to_string();
    let refusal = house.door().admit(api(document)).await.expect_err(&said);
    let [fault] = refusal.faults() else { panic!("{said}: {refusal}") };
    fault.clone()
}

// covers: M2, M25
#[tokio::test(flavor = "multi_thread")]
async fn all_faults_of_both_halves_come_at_once_and_nothing_is_kept() {
    let house = House::open().await;
    let mut document = showing("a boat --ratio 16:9", &[picture(&data_url("image/png", &png()))]);
    document["resolution"] = json!("8k");
    document["callback_url"] = json!("https://example.com/hook");
    document["priority"] = json!("urgent");
    document["useful_until"] = json!("2020-01-01T00:00:00Z");
    document["metadata"] = json!({"order": 991});
    document["webhook"] = json!({"url": "http://example.com/hook", "secret": "s"});
    document["people"] = json!(true);
    document["output"] = json!({"prefix": "../up"});
    document["custom_idd"] = json!("r1");
    let everything = [
        "/priority value-not-allowed",
        "/useful_until useful-until-past",
        "/metadata/order wrong-type",
        "/webhook/secret unknown-field",
        "/webhook/url url-scheme",
        "/output/prefix name-invalid",
        "/consent_ref consent-missing",
        "/callback_url field-owned-by-fleet",
        "/custom_idd unknown-field",
        "/resolution value-not-allowed",
        "/content/0/text prompt-parameter",
    ];
    for source in [Source::Api, Source::Import, Source::Cli] {
        let answer = house.door().admit(Intake::new(document.clone(), source)).await;
        assert_eq!(told(answer), everything, "{source:?}");
    }
    assert!(house.is_empty(), "a faulty document leaves nothing");

    let now = house.store.now().await.expect("Redis answers");
    let dry = house.door().check(&api(document), now).expect_err("it is faulty");
    assert_eq!(dry.faults().len(), everything.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_row_beside_bad_ones_goes_through() {
    let house = House::open().await;
    let rows = vec![
        api(json!("not a document")),
        api(text("a boat")),
        api(with("a boat", "take", json!(0))),
        api(json!([])),
    ];
    let answers = house.door().admit_many(rows).await;
    assert!(answers[1].is_ok());
    let bad: Vec<String> = answers.into_iter().filter(Result::is_err).flat_map(told).collect();
    assert_eq!(bad, [" body-not-object", "/take out-of-range", " body-not-object"]);
    assert_eq!(house.job_count().await, 1);
}

// covers: M5
#[tokio::test(flavor = "multi_thread")]
async fn what_the_fleet_sets_itself_is_refused_with_the_field_to_use() {
    let house = House::open().await;
    for (field, value, cure) in [
        ("callback_url", json!("https://example.com/"), "\"webhook\""),
        ("execution_expires_after", json!(7_200), "\"useful_until\""),
        ("safety_identifier", json!("u1"), "\"end_user\""),
        ("service_tier", json!("default"), "leave it out"),
        ("return_last_frame", json!(false), "leave it out"),
    ] {
        let fault = fault(&house, with("a boat", field, value)).await;
        assert_eq!(
            (fault.pointer, fault.code.as_str()),
            (format!("/{field}"), "field-owned-by-fleet")
        );
        assert!(fault.fix.contains(cure), "{}", fault.fix);
    }
    assert!(house.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_compared_with_both_vocabularies() {
    let house = House::open().await;
    for (key, meant) in [
        ("resolutoin", "resolution"),
        ("custom-id", "custom_id"),
        ("usefull_until", "useful_until"),
        ("Priority", "priority"),
        ("meta_data", "metadata"),
    ] {
        let fault = fault(&house, with("a boat", key, json!("x"))).await;
        assert_eq!(fault.code, "unknown-field");
        assert!(fault.fix.contains(&format!("{meant:?}")), "{key}: {}", fault.fix);
    }
    let nested = fault(&house, with("a boat", "output", json!({"prefixes": "a"}))).await;
    assert_eq!(nested.pointer, "/output/prefixes");
    assert!(nested.fix.contains("\"prefix\""), "{}", nested.fix);
    let many: serde_json::Map<_, _> = (0..5_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let answer = house.door().admit(api(with("a boat", "output", json!(many)))).await;
    assert!(told(answer).len() < 50, "the answer stays short");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_bounded() {
    let house = House::open().await;
    let pairs = |n: usize| -> Value {
        (0..n).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into()
    };
    let wrong = [
        (pairs(17), "/metadata too-many-entries"),
        (json!({"k": "v".repeat(513)}), "/metadata/k out-of-range"),
        (json!({"": "v"}), "/metadata/ out-of-range"),
        (json!({"a/b": 1}), "/metadata/a~1b wrong-type"),
        (json!({"k": "two\nlines"}), "/metadata/k value-not-allowed"),
        (json!(["k"]), "/metadata wrong-type"),
    ];
    for (metadata, expected) in wrong {
        let answer = house.door().admit(api(with("a boat", "metadata", metadata))).await;
        assert_eq!(told(answer), [expected]);
    }
    let long_key = json!({"k".repeat(65): "v"});
    let fault = fault(&house, with("a boat", "metadata", long_key)).await;
    assert!(fault.message.contains("key"), "{}", fault.message);
    assert!(house.is_empty());

    let mut most = pairs(15);
    most["k".repeat(64)] = json!("v".repeat(512));
    let answer = house.door().admit(api(with("a boat", "metadata", most))).await;
    let spec = house.record(&answer.expect("it fits").id).await.spec;
    assert_eq!(spec.metadata.len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_instant_that_lies_ahead_is_useful() {
    let house = House::open().await;
    let now = house.store.now().await.expect("Redis answers");
    let until = |ms: i64| {
        let text = job::Timestamp::from_unix_ms(now.unix_ms() + ms).rfc3339();
        api(with("a boat", "useful_until", json!(text)))
    };
    let door = house.door();
    let codes = |answer: Result<_, Refusal>| -> Vec<String> {
        answer.map(|_: admission::Checked| Vec::new()).unwrap_or_else(|refusal| {
            refusal.faults().iter().map(|fault| fault.code.clone()).collect()
        })
    };
    assert_eq!(codes(door.check(&until(0), now)), ["useful-until-past"]);
    assert_eq!(codes(door.check(&until(1), now)), [""; 0]);
    for bad in [json!("tomorrow"), json!("2027-01-01"), json!(1_900_000_000)] {
        let answer = door.check(&api(with("a boat", "useful_until", bad)), now);
        assert_eq!(codes(answer).len(), 1);
    }
    let admitted = door.admit(until(3_600_000)).await.expect("it lies ahead");
    let spec = house.record(&admitted.id).await.spec;
    assert_eq!(spec.useful_until.map(job::Timestamp::unix_ms), Some(now.unix_ms() + 3_600_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_nobody_published_is_not_guessed() {
    let house = House::open().await;
    let mut document = showing("a boat", &[video("https://media.example.com/a.mp4")]);
    document["model"] = json!("seedance-2.0-mini");
    let refusal = house.door().admit(api(document)).await.expect_err("no price is known");
    assert_eq!(refusal.code(), "price-unknown");
    assert!(!refusal.is_retryable());
    assert!(refusal.to_string().contains("2.0-mini"), "{refusal}");
    assert!(house.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_stands_in_the_record() {
    let house = House::open().await;
    let endpoint = store::Endpoint {
        id: "main".into(),
        tenant: "acme".into(),
        url: "https://example.com/".into(),
        types: Vec::new(),
        description: String::new(),
        secrets: Vec::new(),
        secret_ref: None,
        created_by: String::new(),
        created_at: job::Timestamp::default(),
    };
    house.store.put_endpoint(&endpoint, 0).await.expect("Redis answers");
    let mut document = text("a boat");
    for (key, value) in [
        ("end_user", json!("user 7")),
        ("priority", json!("high")),
        ("custom_id", json!("row 1")),
        ("useful_until", Value::Null),
        ("metadata", json!({"order": "991", "note": null})),
        ("webhook", json!({"url": "https://example.com/hook?x=1", "secret_ref": "main"})),
        ("output", json!({"prefix": "orders/991/"})),
        ("take", json!(3)),
    ] {
        document[key] = value;
    }
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned();
    let intake = Intake {
        tenant: "acme".into(),
        batch: Some("night-1".into()),
        traceparent: Some(traceparent.clone()),
        ..Intake::new(document, Source::Cli)
    };
    let admitted = house.door().admit(intake).await.expect("it is sound");
    let record = house.record(&admitted.id).await;
    assert_eq!(Some(record.created_at), admitted.created_at);
    let spec = record.spec;
    assert_eq!((spec.tenant.as_str(), spec.pool.as_str()), ("acme", "main"));
    assert_eq!(spec.end_user.as_deref(), Some("user 7"));
    assert_eq!((spec.priority, spec.request.priority), (Priority::High, 0));
    assert_eq!(spec.custom_id.as_deref(), Some("row 1"));
    assert_eq!((spec.useful_until, spec.take), (None, 3));
    assert_eq!(spec.metadata.into_iter().collect::<Vec<_>>(), [("order".into(), "991".into())]);
    let webhook = spec.webhook.expect("it was given");
    assert_eq!(webhook.secret_ref.as_deref(), Some("main"));
    assert_eq!(spec.output_prefix.as_deref(), Some("orders/991"));
    assert_eq!((spec.batch.as_deref(), spec.traceparent), (Some("night-1"), Some(traceparent)));
    assert_eq!(spec.estimate_tokens, admitted.estimate_tokens);
    assert_eq!(spec.request.model_id, "dreamina-seedance-2-0-260128");

    // A number is the provider's own priority and leaves the lane alone.
    let admitted = house.door().admit(api(with("a boat", "priority", json!(7)))).await;
    let spec = house.record(&admitted.expect("it is sound").id).await.spec;
    assert_eq!((spec.priority, spec.request.priority), (Priority::Normal, 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be_kept_are_refused_before_anything_is() {
    let house = House::open().await;
    let plain = || api(text("a boat"));
    let mut reserved = plain();
    reserved.tenant = "media".into();
    for intake in [
        Intake { tenant: "a/b".into(), ..plain() },
        Intake { tenant: String::new(), ..plain() },
        reserved,
        Intake { batch: Some("a:b".into()), ..plain() },
        Intake { idempotency_key: Some("two words".into()), ..plain() },
        Intake { idempotency_key: Some("k".repeat(256)), ..plain() },
    ] {
        assert_eq!(told(house.door().admit(intake).await), [" name-invalid"]);
    }
    for (url, code) in [
        (json!("ftp://example.com/"), "url-scheme"),
        (json!("/hook"), "url-invalid"),
        (json!("https://me:pw@example.com/"), "url-invalid"),
        (Value::Null, "missing-field"),
        (json!(7), "wrong-type"),
    ] {
        let fault = fault(&house, with("a boat", "webhook", json!({"url": url}))).await;
        assert_eq!((fault.pointer.as_str(), fault.code.as_str()), ("/webhook/url", code));
        assert!(!fault.message.contains("pw"), "{}", fault.message);
    }
    for (take, code) in [
        (json!(1_001), "out-of-range"),
        (json!(-1), "out-of-range"),
        (json!(1.5), "not-an-integer"),
        (json!("2"), "wrong-type"),
    ] {
        assert_eq!(fault(&house, with("a boat", "take", take)).await.code, code);
    }
    for field in ["people", "review"] {
        assert_eq!(fault(&house, with("a boat", field, json!("yes"))).await.code, "wrong-type");
    }
    assert_eq!(fault(&house, with("a boat", "priority", json!(true))).await.code, "wrong-type");
    assert_eq!(fault(&house, with("a boat", "priority", json!(10))).await.code, "out-of-range");
    assert!(house.is_empty());
}

#[test]
fn every_word_of_the_door_has_advice() {
    for code in CODES {
        assert!(ErrorTable::builtin().own(code).is_some(), "{code} has no advice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_without_a_known_secret_is_refused() {
    let house = House::open().await;
    for (hook, code) in [
        (json!({"url": "https://example.com/hook"}), "missing-field"),
        (json!({"url": "https://example.com/hook", "secret_ref": "whe_none"}), "value-not-allowed"),
    ] {
        let fault = fault(&house, with("a boat", "webhook", hook)).await;
        assert_eq!((fault.pointer.as_str(), fault.code.as_str()), ("/webhook/secret_ref", code));
    }
    assert!(house.is_empty());
}
