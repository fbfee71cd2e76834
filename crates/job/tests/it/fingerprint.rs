//! Equal requests have equal fingerprints, and nothing else has.

use job::Fingerprint;
use seedance::{Request, Route, Rules};
use serde_json::{Value, json};

fn request(body: &Value) -> Request {
    seedance::validate(Route::Byteplus, body, &Rules::default()).expect("valid").request
}

fn of(body: &Value) -> Fingerprint {
    Fingerprint::of(Route::Byteplus, &request(body), None, 1)
}

fn text(prompt: &str) -> Value {
    json!({"model": "seedance-2.0", "content": [{"type": "text", "text": prompt}]})
}

fn references(urls: [&str; 2]) -> Value {
    let image = |url: &str| json!({"type": "image_url", "role": "reference_image", "image_url": {"url": url}});
    json!({"model": "seedance-2.0", "content": [image(urls[0]), image(urls[1])]})
}

// covers: M23
#[test]
fn defaults_nulls_and_the_order_of_fields_are_not_part_of_a_request() {
    let plain = text("a heron");
    let mut said = json!({"resolution": "720p", "seed": null, "duration": 5});
    said["content"] = plain["content"].clone();
    said["model"] = json!("dreamina-seedance-2-0-260128");
    assert_eq!(of(&plain), of(&said));
}

#[test]
fn the_order_of_references_is() {
    let (a, b) = ("https://example.com/a.png", "https://example.com/b.png");
    assert_ne!(of(&references([a, b])), of(&references([b, a])));
}

#[test]
fn route_end_user_take_and_every_setting_are() {
    let body = text("a heron");
    let base = of(&body);
    let request = request(&body);
    assert_ne!(base, Fingerprint::of(Route::Volcengine, &request, None, 1));
    assert_ne!(base, Fingerprint::of(Route::Byteplus, &request, Some("eve"), 1));
    assert_ne!(base, Fingerprint::of(Route::Byteplus, &request, None, 2));
    for (field, value) in [
        ("resolution", json!("480p")),
        ("ratio", json!("1:1")),
        ("duration", json!(6)),
        ("watermark", json!(true)),
        ("generate_audio", json!(false)),
        ("priority", json!(3)),
    ] {
        let mut other = body.clone();
        other[field] = value;
        assert_ne!(base, of(&other), "{field}");
    }
}

#[test]
fn the_form_is_pinned() {
    // A new rule needs a new version: this value is written into customers' records.
    let print = of(&text("a heron"));
    assert!(print.as_str().starts_with("f1_"));
    assert_eq!(print.as_str().len(), 3 + 64);
    insta::assert_snapshot!(print.as_str());
}
